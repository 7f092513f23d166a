"""The full view of a result: page by page, with search."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from omni_tui.face.messages import CopyText
from omni_tui.face.port import REQUEST_ERRORS, error_text
from omni_tui.face.results.parts import open_part, suffix_of
from omni_tui.face.results.save_bar import SaveBar
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.long_text_view import LongTextView
from omni_tui.protocol import AnyCommand
from omni_tui.protocol.commands import ReadResult, SaveResult
from omni_tui.protocol.events import TextPage
from omni_tui.protocol.media import PartOf

PAGE = 60_000
"""Characters of one page."""


class ReaderScreen(Screen[None]):
    """Shows one part of a call's result. The next page is fetched near the end of the text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back"),
        Binding("slash", "search", "search"),
        Binding("n", "next(1)", "next"),
        Binding("N", "next(-1)", "previous"),
        Binding("right_square_bracket", "part(1)", "next part"),
        Binding("left_square_bracket", "part(-1)", "part before", show=False),
        Binding("y", "copy", "copy"),
        Binding("s", "save", "save"),
        Binding("o", "open", "open"),
    ]
    DEFAULT_CSS = """
    ReaderScreen {
        background: $page;
        & > #reader-title, & > #reader-state { height: 1; padding: 0 2; background: $bar; color: $text-2; }
        & > #reader-title { color: $text-1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #reader-search { display: none; height: 1; border: none; padding: 0 2; background: $bar; }
        &.-searching > #reader-search { display: block; }
        &.-searching > #reader-state { display: none; }
        & > LongTextView { padding: 0 0 0 2; }
    }
    """

    WHAT: ClassVar[str] = "the result"
    KEYS: ClassVar[str] = "/ search · n next · y copy · esc back"
    OF: ClassVar[PartOf] = "call"

    def __init__(self, call: str, *, title: str = "", parts: int = 1, part: int = 0) -> None:
        super().__init__()
        self.call = call
        self.part = part
        self._title = title or call
        self._parts = max(1, parts)
        self._total: int | None = None
        self._read = 0
        self._trouble = ""
        self._fetching = False
        self._needle = ""
        self._binary = False
        self._said = ""

    def compose(self) -> ComposeResult:
        """Lay out a title, the text and a line with position and keys."""
        yield Static(Content(self._title), id="reader-title", markup=False)
        yield LongTextView(id="reader-text")
        yield Static(id="reader-state", markup=False)
        yield Input(placeholder="search", id="reader-search", compact=True)

    def on_mount(self) -> None:
        """Fetch the first page."""
        self.query_one(Input).cursor_blink = self.app.animation_level != "none"
        self.view.focus()
        self._more()

    @property
    def view(self) -> LongTextView:
        """The text."""
        return self.query_one(LongTextView)

    # --- pages

    @property
    def complete(self) -> bool:
        """Whether everything has been fetched."""
        return self._total is not None and self._read >= self._total

    @on(LongTextView.NearEnd)
    def _more(self) -> None:
        if not self.complete and not self._trouble:
            self.run_worker(self.fetch_page(), group="reader", exit_on_error=False)
        self._say()

    def page_command(self, part: int, offset: int) -> AnyCommand:
        """Return the command that fetches a page."""
        return ReadResult(call=self.call, part=part, offset=offset, limit=PAGE)

    async def fetch_page(self) -> bool:
        """Fetch the next page; return whether there was one."""
        if self.complete or self._fetching:
            return False
        self._fetching = True
        part, offset = self.part, self._read
        try:
            page = await shell_of(self).port.ask(self.page_command(part, offset))
        except REQUEST_ERRORS as error:
            self._trouble = error_text(error)
            return False
        finally:
            self._fetching = False
            self._say()
        if not isinstance(page, TextPage):
            self._trouble = f"the engine answered with {type(page).__name__} instead of a page"
            return False
        if part != self.part or page.offset != offset:
            return False
        self._total, self._read = page.total, offset + len(page.text)
        self._binary = self.is_binary(page)
        if not page.text:
            self._total = self._read
        self.view.add(page.text, continues=offset > 0)
        self._say()
        return bool(page.text)

    def action_part(self, step: int) -> None:
        """Show another part of the result."""
        part = min(max(0, self.part + step), self._parts - 1)
        if part != self.part:
            self.part, self._total, self._read, self._trouble, self._said = part, None, 0, "", ""
            self.view.clear()
            self._more()

    # --- parts that are not text

    def is_binary(self, page: TextPage) -> bool:
        """Return whether a page is of a part that is not text."""
        return page.kind in ("image", "audio")

    @work(group="open", exclusive=True, exit_on_error=False)
    async def action_open(self) -> None:
        """Open this part in another program."""
        self.trouble("opening …")
        said, _ = await open_part(shell_of(self).port, self.call, self.part, self.OF)
        self.trouble(said)

    def trouble(self, words: str) -> None:
        """Show a message in the line below."""
        self._said = words
        self._say()

    # --- saving

    def save_command(self, part: int, path: str, *, overwrite: bool) -> AnyCommand:
        """Return the command that writes a part to a file."""
        return SaveResult(call=self.call, part=part, path=path, overwrite=overwrite)

    def file_name(self) -> str:
        """Return a name for the file, without a suffix if that is not known."""
        return "result"

    @work(group="save", exclusive=True, exit_on_error=False)
    async def action_save(self) -> None:
        """Ask where to save this part."""
        if self.query(SaveBar):
            return
        name = self.file_name()
        suffix = await suffix_of(shell_of(self).port, self.call, self.part, self.OF)
        if suffix and not name.endswith(suffix) and (self._binary or self.OF == "call"):
            name += suffix
        self._said = ""
        await self.mount(SaveBar(self.part, "this part as it came", name), before="#reader-state")

    @on(SaveBar.Save)
    @work(group="save", exclusive=True, exit_on_error=False)
    async def _save(self, event: SaveBar.Save) -> None:
        command = self.save_command(event.part, event.path, overwrite=event.overwrite)
        saved = await self.query_one(SaveBar).save(command)
        if saved is not None:
            self._close_bar()
            self.trouble(f"saved {saved.size:,} bytes to {saved.path}")

    @on(SaveBar.Closed)
    def _not_saved(self, event: SaveBar.Closed) -> None:
        event.stop()
        self._close_bar()

    def _close_bar(self) -> None:
        self.query(SaveBar).remove()
        self.view.focus()

    # --- search

    def action_search(self) -> None:
        """Ask for the text to find."""
        self.add_class("-searching")
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _look(self, event: Input.Submitted) -> None:
        event.stop()
        self._needle = event.value
        self._end_search()
        self._find(1)

    def action_next(self, step: int) -> None:
        """Go to the next match (1) or the one before (-1)."""
        if self._needle:
            self._find(step)

    @work(group="search", exclusive=True, exit_on_error=False)
    async def _find(self, step: int) -> None:
        """Search the text; forward, fetch pages until there is a match or none are left."""
        self._trouble = ""
        while not self.view.find(self._needle, step):
            if step < 0 or not await self.fetch_page():
                self._trouble = self._trouble or f"no {'more ' if self.view.found else ''}“{self._needle}”"
                break
        self._say()

    def _end_search(self) -> None:
        self.remove_class("-searching")
        self.view.focus()

    # --- closing, copying, the line below

    def action_leave(self) -> None:
        """Close the save bar, else the search, else the screen."""
        if self.query(SaveBar):
            self._close_bar()
        elif self.has_class("-searching"):
            self._end_search()
        else:
            self.dismiss()

    def action_copy(self) -> None:
        """Copy the text fetched so far."""
        what = self.WHAT if self.complete else f"the first {self._read:,} characters of {self.WHAT}"
        self.post_message(CopyText(self.view.text, what))

    @on(LongTextView.Moved)
    def _say(self) -> None:
        """Show the position, a message and the keys."""
        if not self.is_mounted:
            return
        parts = [f"part {self.part + 1} of {self._parts}"] if self._parts > 1 else []
        if self._total is not None:
            parts.append(f"{self._read:,} of {self._total:,} characters")
        elif not self._trouble:
            parts.append("reading …")
        parts.append(f"{self.view.percent} %")
        said = self._said or self._trouble
        keys = "o open · s save · " if self._binary else ""
        text = Content.assemble(
            (said, "$waiting"), " · " if said else "", (" · ".join(parts), "$text-2"),
            "   ", (keys, "$text-1"), (self.KEYS, "$text-3"),
        )  # fmt: skip
        self.query_one("#reader-state", Static).update(text)
