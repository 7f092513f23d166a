"""The health of everything: what works, what does not, when it is tried again, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from textual import work
from textual.binding import Binding
from textual.content import Content

from omni_tui.face.formats import counted
from omni_tui.face.screens.base import LinesScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import wrap_rows
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CommandDone, JournalFailed, ServerChanged, ServerRemoved
from omni_tui.protocol.health import HealthCheck, HealthRead, HealthState, ReadHealth, TryAgain
from omni_tui.protocol.memory import MemoryChanged
from omni_tui.protocol.models import ModelStateChanged

_MARKS: dict[HealthState, tuple[str, str]] = {
    "bad": ("✗", "$fail"),
    "note": ("!", "$waiting"),
    "ok": ("✓", "$done"),
}
_PART = 10
_MARGIN = 6
"""Cells beside the lines: the screen's border and the scroll bar."""
_TELLS = (ServerChanged, ServerRemoved, ModelStateChanged, MemoryChanged, JournalFailed)


class HealthScreen(LinesScreen):
    """Updates itself when something changes, and counts down to the next tries."""

    BINDINGS = [Binding("r", "try_again", "try again now")]

    def __init__(self, first: HealthRead) -> None:
        super().__init__("HEALTH")
        self._checks = first.checks

    def on_mount(self) -> None:
        """Draw, and count the seconds."""
        super().on_mount()
        self.set_interval(1.0, self._count)

    def apply(self, event: AnyEvent) -> None:
        """Update when a part has changed."""
        if isinstance(event, _TELLS):
            self._renew()

    def draw(self) -> None:
        """Show the checks."""
        now = shell_of(self).clock.time()
        self.view.show(health_lines(self._checks, now, self.size.width))
        self.foot(key_line(("esc", "back"), ("r", "try again now")))

    def _count(self) -> None:
        if any(check.next_try is not None for check in self._checks):
            self.draw()

    @work(exclusive=True, exit_on_error=False, group="health")
    async def _renew(self) -> None:
        reply = await request(shell_of(self), ReadHealth())
        if isinstance(reply, HealthRead) and self.is_mounted:
            self._checks = reply.checks
            self.draw()

    @work(exclusive=True, exit_on_error=False, group="try-again")
    async def action_try_again(self) -> None:
        """Try everything again that failed, without waiting."""
        shell = shell_of(self)
        if isinstance(done := await request(shell, TryAgain()), CommandDone):
            shell.say(f"{done.text}.")
            self._renew()


def health_lines(checks: tuple[HealthCheck, ...], now: float, width: int) -> Iterator[Content]:
    """Yield the sum, and for each part its lines: how it does, and what to do."""
    wrong = sum(check.state == "bad" for check in checks)
    words = f"{counted(wrong, 'part')} of {len(checks)} failed" if wrong else "everything works"
    yield Content.styled(words, "bold $fail" if wrong else "bold $done")
    yield Content("")
    side = " " * (_PART + 3)
    room = max(20, width - len(side) - _MARGIN)
    for check in checks:
        mark, style = _MARKS[check.state]
        yield Content.assemble(
            (f"{mark} ", style), (f"{check.part:<{_PART}} ", "$text-3"), (check.name, "bold $text-1")
        )
        for row in wrap_rows(check.what, room):
            yield Content.assemble(side, (row, "$text-1" if check.state == "ok" else style))
        if check.next_try is not None:
            left = max(0, round(check.next_try - now))
            yield Content.assemble(side, (f"next retry in {left} s" if left else "retrying now", "$text-2"))
        for row in wrap_rows(check.todo, room) if check.todo else ():
            yield Content.assemble(side, (row, "$text-2"))
