"""What each turn of a session may do: the mode of its message, and what was allowed only later."""

from __future__ import annotations

from dataclasses import dataclass

from omni_tui.protocol import Mode


@dataclass(frozen=True, slots=True)
class _Sent:
    mode: Mode
    number: int


@dataclass(slots=True)
class SessionSettings:
    """What a session is set to; kept in its journal. `system` is None where the config's words hold."""

    mode: Mode
    model: str
    system: str | None = None


class TurnModes:
    """The modes of the turns of one session.

    A change of mode or of a server's settings loosens only for later messages. What a call may do
    therefore depends on when the message of its turn was sent. `now` returns the mode of this moment.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._sent: dict[str, _Sent] = {}
        self._number = 0
        self._allowed: dict[str, int] = {}

    def sent(self, turn: str, mode: Mode) -> None:
        """Note that the message of a turn was sent in a mode, or that the turn is continued now."""
        self._sent[turn] = _Sent(mode, self._number)

    def mode(self, turn: str) -> Mode:
        """Return the mode of a turn; the present one for what belongs to no turn."""
        found = self._sent.get(turn)
        return self._settings.mode if found is None else found.mode

    def allowed(self, server: str) -> None:
        """Note that the person allowed, added, changed or enabled a server now."""
        self._number += 1
        self._allowed[server] = self._number

    def loosened(self, turn: str, server: str) -> str:
        """Return what was allowed of a server only after a turn's message, "" if nothing was."""
        found = self._sent.get(turn)
        if found is None or self._allowed.get(server, 0) <= found.number:
            return ""
        return f"you allowed or changed {server} after the message that this call works on"
