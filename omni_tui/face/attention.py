"""The terminal's title and its bell: how a person who looks elsewhere learns that something waits.

Everything that goes to the terminal past Textual's own drawing is written here, without control characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from omni_tui.face.clock import Clock
from omni_tui.security.text import safe_line

BELL = "\x07"
BELL_PAUSE_S = 10.0
"""The least seconds between two bells, however much begins to wait."""
LONG_TURN_S = 20.0
"""Seconds of a turn whose end is worth a bell."""
_LONGEST = 80
_SAVE, _RESTORE = "\x1b[22;2t", "\x1b[23;2t"
"""Put the window's title on the terminal's stack, and take it from there (XTerm, CSI t)."""


class TerminalWindow:
    """The terminal's bell, and its title while the app has the terminal; then the title is as it was.

    Nothing is written before the first `show`. A terminal without a stack of titles is left an empty one.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._text = ""
        self._here = False
        self._saved = False

    def terminal_taken(self) -> None:
        """The app has the terminal, for the first time or again."""
        self._here = True
        self._draw()

    def terminal_left(self) -> None:
        """Restore the title: the app is about to give the terminal back."""
        if self._saved:
            self._write(f"{_title('')}{_RESTORE}")
        self._here = self._saved = False

    def show(self, text: str) -> None:
        """Show a text, made safe."""
        if text != self._text:
            self._text = text
            self._draw()

    def ring(self) -> None:
        """Ring the bell, unless somebody else has the terminal now."""
        if self._here:
            self._write(BELL)

    def _draw(self) -> None:
        if self._here and self._text:
            self._write(("" if self._saved else _SAVE) + _title(self._text))
            self._saved = True


def _title(text: str) -> str:
    line = safe_line(text, limit=_LONGEST, joined=True)
    return f"\x1b]2;{''.join(one for one in line if one.isprintable())}\x07"


class Attention:
    """Follows what waits and what runs, and tells what title to show and when to ring."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: frozenset[str] = frozenset()
        self._running = ""
        self._began = self._rang = float("-inf")
        self._done = False

    def look(self, waiting: Iterable[str], running: str, *, focus: bool) -> bool:
        """Take the present state into account: keys of what waits, and the turn. Return whether to ring.

        The bell is for a person who looks elsewhere.
        """
        now = self._clock.monotonic()
        keys = frozenset(waiting)
        news = bool(keys - self._known)
        self._known = keys
        if running != self._running:
            ended = bool(self._running) and not running and now - self._began >= LONG_TURN_S
            self._running, self._began = running, now
            self._done = ended
            news = news or ended
        self._done = self._done and not focus
        if focus or not news or now - self._rang < BELL_PAUSE_S:
            return False
        self._rang = now
        return True

    def title(self, session: str) -> str:
        """Return the title: how many items wait, or that a turn has ended meanwhile."""
        mark = f"({len(self._known)}) " if self._known else "(done) " if self._done else ""
        return f"{mark}Omni TUI" + (f" · {session}" if session else "")
