"""What each turn of a session may do: the mode its message was sent in, and what was allowed only later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omni_tui.protocol import Mode


@dataclass(frozen=True, slots=True)
class _Sent:
    mode: Mode
    number: int


class TurnModes:
    """The modes of the turns of one session.

    A change of mode or of a server's settings loosens only for messages sent after it, so what a call
    may do depends on when its turn's message was sent. `now` gives the mode of this moment.
    """

    def __init__(self, now: Callable[[], Mode]) -> None:
        self._now = now
        self._sent: dict[str, _Sent] = {}
        self._number = 0
        self._allowed: dict[str, int] = {}

    def sent(self, turn: str, mode: Mode) -> None:
        """The message of a turn was sent in a mode, or its turn is gone on with now."""
        self._sent[turn] = _Sent(mode, self._number)

    def mode(self, turn: str) -> Mode:
        """Return the mode of a turn; that of now for what belongs to none."""
        found = self._sent.get(turn)
        return self._now() if found is None else found.mode

    def allowed(self, server: str) -> None:
        """The person allowed, added, changed or switched on a server just now."""
        self._number += 1
        self._allowed[server] = self._number

    def loosened(self, turn: str, server: str) -> str:
        """Say what was allowed of a server only after a turn's message, "" if nothing was."""
        found = self._sent.get(turn)
        if found is None or self._allowed.get(server, 0) <= found.number:
            return ""
        return f"you allowed or changed {server} after the message that this call works on"
