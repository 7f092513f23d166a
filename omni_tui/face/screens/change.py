"""What of a tool, and of its server, is not as it was accepted; accepting it as it is now."""

from __future__ import annotations

import asyncio

from textual import work
from textual.binding import Binding
from textual.content import Content

from omni_tui.face.approval.arming import Painted
from omni_tui.face.approval.change import Change, change_lines, read_change
from omni_tui.face.approval.visible import visible_identifier
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.screens.read_to_end import ReadToEndScreen
from omni_tui.face.shell import request, shell_of
from omni_tui.protocol.trust import AcceptTool


class ChangeScreen(ReadToEndScreen[None]):
    """Shows a tool as it was and as it is, and accepts it after all of it was seen."""

    BINDINGS = [Binding("A", "accept", "accept", id="approve"), Binding("escape,q", "back", "back")]

    def __init__(self, server: str, tool: str, clock: Clock, stillness: Stillness) -> None:
        name = f"{visible_identifier(server)} › {visible_identifier(tool)}"
        heading = Content.assemble(("What has changed: ", "bold $text-1"), (name, "bold $mine"))
        super().__init__(heading, clock, stillness)
        self.server = server
        self.tool = tool
        self.change: Change | None = None
        self._hindrance = ""
        self._drawn: tuple[str, int] | None = None
        """The digest and the width of what is on the screen."""
        self._said = "asking …"

    def on_mount(self) -> None:
        """Ask the engine what has changed."""
        self._ask()

    @work(group="change", exclusive=True, exit_on_error=False)
    async def _ask(self) -> None:
        self.change = await read_change(shell_of(self), self.server, self.tool, self._say)
        if self.change is not None:
            self._say("")
            self._drawing.ask()

    def _say(self, words: str) -> None:
        self._said = words
        self.look()

    def draw(self) -> None:
        """Draw the change at the present width, in a thread: it may be long."""
        if self.change is not None:
            self._draw(self.change, self.view.room)

    @work(group="draw", exclusive=True, exit_on_error=False)
    async def _draw(self, change: Change, width: int) -> None:
        lines, self._hindrance = await asyncio.to_thread(change_lines, change, width)
        if change is self.change and width == self.view.room:
            self._drawn = change.page.digest, width
            self.view.show(lines)

    @property
    def _whole(self) -> bool:
        drawn = self.change is not None and self._drawn == (self.change.page.digest, self.view.room)
        return drawn and self.view.end_seen

    @property
    def _missing(self) -> str:
        """Why nothing can be accepted, "" if it can."""
        if self.change is None or self._said:
            return self._said or "it is not read yet"
        return self._hindrance or ("" if self.change.has_news else "it is as it was accepted")

    def painted(self) -> Painted | None:
        """Return what would be accepted, and whether all of it was seen."""
        if self.change is None:
            return None
        return Painted(f"{self.server}\n{self.tool}", self.change.page.digest, self._whole)

    def keys(self) -> Content:
        """Return the keys, and what is missing."""
        missing, accept = self._missing, Content("")
        if not missing:
            accept = self.accept_keys("accept it as it is now")
            missing = "" if self._whole else f"{self.accept_key} counts at the end: page down, or End"
        return Content.assemble(
            accept,
            ("esc", "bold $text-2"), (" back   ", "$text-2"),
            (missing or "all of it seen", "$waiting" if missing else "$text-3"),
        )  # fmt: skip

    def action_accept(self) -> None:
        """Accept the tool, if all of it was seen and nothing has happened for a moment."""
        self.hold(self._accept, self._missing)

    def _accept(self) -> None:
        if self.change is not None:
            self._send(self.change.page.digest)

    @work(group="accept", exclusive=True, exit_on_error=False)
    async def _send(self, digest: str) -> None:
        command = AcceptTool(server=self.server, tool=self.tool, digest=digest)
        if await request(shell_of(self), command, self._say) is not None:
            shell_of(self).say(f"{visible_identifier(self.tool)} is accepted as it is now.")
            self.dismiss(None)
