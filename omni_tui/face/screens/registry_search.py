"""The public registry: search it, and look at what is found."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, Static

from omni_tui.face.screens.base import TitledScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol.public_registry import RegistryFound, RegistryServerInfo, SearchRegistry

_TITLE = "FIND A SERVER"
_HOW = "Write words and press enter. Anyone can publish there; nothing is started before you allow it."


class RegistryRows(RowList):
    """One row for each server that was found."""

    def __init__(self) -> None:
        super().__init__(id="registry-rows")
        self.servers: dict[str, RegistryServerInfo] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return the name, and what the server says of itself."""
        info = self.servers[key]
        mark = "" if info.status == "active" else f" {info.status}"
        name = Content.assemble(
            "  ", (info.name, "$text-1" if info.runs else "$text-3"), (mark, "$waiting")
        )
        name = fit_content(name, max(16, width // 2))
        return fit_content(name + Content.styled(f"  {info.description}", "$text-2"), width)


class RegistrySearchScreen(TitledScreen[str]):
    """Its result is the name of the server that was added, None if none was."""

    AUTO_FOCUS = "#registry-words"
    BINDINGS: ClassVar = [
        Binding("escape", "back", "back"),
        Binding("slash", "words", "other words"),
        Binding("m", "more", "more"),
    ]

    def __init__(self, words: str = "") -> None:
        super().__init__(_TITLE)
        self._words = words
        self._message = ""
        self._trouble = ""
        self._cursor = ""
        self._reply: RegistryFound | None = None

    def body(self) -> ComposeResult:
        """Lay out the words, the rows and what is known of the chosen one."""
        line = Input(
            self._words, placeholder="words, e.g. github issues", id="registry-words", compact=True
        )
        line.cursor_blink = False
        yield line
        yield RegistryRows()
        yield Static(id="registry-detail", markup=False)

    @property
    def rows(self) -> RegistryRows:
        """The list."""
        return self.query_one(RegistryRows)

    @property
    def info(self) -> RegistryServerInfo | None:
        """The server under the cursor."""
        rows = self.rows
        return rows.servers.get(rows.selected) if rows.selected is not None else None

    def on_mount(self) -> None:
        """Search at once if there are words."""
        self._draw()
        if self._words.strip():
            self._search()

    # --- searching

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self._words = event.value
        self._cursor = ""
        self._search()

    @work(group="registry-search", exclusive=True, exit_on_error=False)
    async def _search(self) -> None:
        self._message, self._trouble = "asking the registry …", ""
        self._draw()
        command = SearchRegistry(words=self._words.strip(), cursor=self._cursor)
        reply = await request(shell_of(self), command, self._fail)
        if not isinstance(reply, RegistryFound) or not self.is_attached:
            return
        rows = self.rows
        found = {info.digest: info for info in reply.servers}
        rows.servers = {**rows.servers, **found} if self._cursor else found
        self._reply, self._cursor, self._message = reply, reply.cursor, ""
        rows.set_keys(list(rows.servers))
        if rows.keys:
            if rows.selected is None:
                rows.select(rows.keys[0])
            rows.focus()
        self._draw()

    def action_more(self) -> None:
        """Ask for the next servers."""
        if self._cursor:
            self._search()

    def action_words(self) -> None:
        """Go back to the words."""
        self.query_one("#registry-words", Input).focus()

    def _fail(self, words: str) -> None:
        self._message, self._trouble = "", words
        if self.is_attached:
            self._draw()

    # --- one server

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        if not isinstance(event, RowList.Chosen):
            event.stop()
            self._draw()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        """Open the server under the cursor."""
        from omni_tui.face.screens.registry_server import RegistryServerScreen

        event.stop()
        info = self.info

        def added(name: str | None) -> None:
            if name:
                self.dismiss(name)

        if info is not None:
            self.app.push_screen(RegistryServerScreen(info), added)

    # --- the picture

    def _draw(self) -> None:
        rows, reply = self.rows, self._reply
        title = Content.styled(_TITLE, "bold $mine")
        if reply is not None:
            at = time.strftime("%H:%M", time.localtime(reply.fetched))
            more = "+" if self._cursor else ""
            title += Content.styled(f" {len(rows.keys)}{more} · {reply.address} at {at}", "$text-3")
        self.query_one("#screen-title", Static).update(title)
        rows.display = bool(rows.keys)
        self.query_one("#registry-detail", Static).update(self._detail())
        keys = [("enter", "look at it"), ("/", "other words")] if rows.keys else [("enter", "search")]
        if self._cursor:
            keys.append(("m", "more"))
        self.foot(key_line(*keys, ("esc", "back"), words=self._message, style="$waiting"))

    def _detail(self) -> Content:
        if self._trouble:
            return Content.styled(self._trouble, "$fail")
        info = self.info
        if info is None:
            none = self._reply is not None and not self._message
            return Content.styled(
                "No server has these words. Try fewer of them." if none else _HOW, "$text-2"
            )
        runs = info.runs or "nothing of it can be run or reached from here"
        lines = [
            Content.assemble((info.title or info.name, "bold $text-1"), (f"  {info.version}", "$text-3")),
            Content.styled(info.description or "It does not say what it does.", "$text-2"),
            Content.assemble(("runs  ", "$text-3"), (runs, "$text-1" if info.runs else "$waiting")),
        ]
        if info.status != "active":
            words = f"{info.status}: {info.status_message or 'the registry gives no reason'}"
            lines.append(Content.styled(words, "$waiting"))
        if self._reply is not None and self._reply.problems:
            lines.append(Content.styled(f"left out: {self._reply.problems[0]}", "$text-3"))
        return Content("\n").join(lines)
