"""What each turn of a session may do: the mode of its message, and what was allowed only later."""

from __future__ import annotations

from dataclasses import dataclass

from omni_tui.protocol import Mode


@dataclass(slots=True)
class SessionSettings:
    """What a session is set to; kept in its journal. `system` is None where the config's words hold."""

    mode: Mode
    model: str
    system: str | None = None


class TurnModes:
    """The modes of the turns of one session.

    A change of mode or of a server's settings loosens only for later messages. What a call may do
    therefore depends on when the message of its turn was sent.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._sent: dict[str, tuple[Mode, int]] = {}
        """The mode of each turn's message, and how many servers were allowed before it."""
        self._number = 0
        self._allowed: dict[str, int] = {}

    def sent(self, turn: str, mode: Mode) -> None:
        """Note that the message of a turn was sent in a mode, or that the turn is continued now."""
        self._sent[turn] = mode, self._number

    def mode(self, turn: str) -> Mode:
        """Return the mode of a turn; the present one for what belongs to no turn."""
        return self._sent[turn][0] if turn in self._sent else self._settings.mode

    def allowed(self, server: str) -> None:
        """Note that the person allowed, added, changed or enabled a server now."""
        self._number += 1
        self._allowed[server] = self._number

    def loosened(self, turn: str, server: str) -> str:
        """Return what was allowed of a server only after a turn's message, "" if nothing was."""
        if turn not in self._sent or self._allowed.get(server, 0) <= self._sent[turn][1]:
            return ""
        return f"you allowed or changed {server} after the message that this call works on"
