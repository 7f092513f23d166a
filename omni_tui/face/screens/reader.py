"""The whole of a long result, page by page, with search."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from omni_tui.face.messages import CopyText
from omni_tui.face.port import CommandError
from omni_tui.face.results.binary_parts import open_part, suffix_of
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.face.results.save_bar import SaveBar
from omni_tui.face.shell import shell_of
from omni_tui.face.transcript.paged_text_view import PagedTextView
from omni_tui.protocol import AnyCommand, LinkClosed
from omni_tui.protocol.commands import ReadResult, SaveResult
from omni_tui.protocol.events import FileSaved, TextPage
from omni_tui.protocol.media import PartOf

if TYPE_CHECKING:
    from omni_tui.face.port import Port

PAGE = 60_000
"""Characters asked for at a time."""


class ReaderScreen(Screen[None]):
    """Reads one part of a call's result. Pages are fetched as the person comes near their end."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back"),
        Binding("slash", "search", "search"),
        Binding("n", "next(1)", "next"),
        Binding("N", "next(-1)", "previous"),
        Binding("right_square_bracket", "part(1)", "next part"),
        Binding("left_square_bracket", "part(-1)", "part before", show=False),
        Binding("y", "copy", "copy what is read"),
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
        & > PagedTextView { padding: 0 0 0 2; }
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
        self._needle = ""
        self._binary = False
        self._said = ""

    def compose(self) -> ComposeResult:
        """The text between a title and a line that says where one is."""
        yield Static(Content(self._title), id="reader-title", markup=False)
        yield PagedTextView(id="reader-text")
        yield Static(id="reader-state", markup=False)
        yield Input(placeholder="search", id="reader-search", compact=True)

    def on_mount(self) -> None:
        """Ask for the first page."""
        self.query_one(Input).cursor_blink = self.app.animation_level != "none"
        self.view.focus()
        self._more()

    @property
    def view(self) -> PagedTextView:
        """The text."""
        return self.query_one(PagedTextView)

    @property
    def port(self) -> Port:
        """The way to the engine."""
        return shell_of(self).port

    # --- pages

    @property
    def complete(self) -> bool:
        """Whether everything has been fetched."""
        return self._total is not None and self._read >= self._total

    @on(PagedTextView.NearEnd)
    def _more(self) -> None:
        if not self.complete and not self._trouble:
            self._fetch()
        self._say()

    @work(group="reader", exclusive=False, exit_on_error=False)
    async def _fetch(self) -> None:
        await self.fetch_page()

    def page_command(self, part: int, offset: int) -> AnyCommand:
        """Return the command that fetches a page."""
        return ReadResult(call=self.call, part=part, offset=offset, limit=PAGE)

    async def fetch_page(self) -> bool:
        """Fetch the next page; False if there is none or it did not come."""
        if self.complete or self.view.busy:
            return False
        self.view.busy = True
        part, offset = self.part, self._read
        try:
            page = await self.port.ask(self.page_command(part, offset))
        except CommandError as error:
            self._trouble = " · ".join(
                filter(None, (error.failure.what, error.failure.why, error.failure.todo))
            )
            return False
        except (LinkClosed, TimeoutError) as error:
            self._trouble = f"the engine did not answer: {error or 'no reply in time'}"
            return False
        finally:
            self.view.busy = False
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
        self.view.add(page.text, last=self.complete)
        self._say()
        return bool(page.text)

    def action_part(self, step: int) -> None:
        """Read another part of the result."""
        part = min(max(0, self.part + step), self._parts - 1)
        if part != self.part:
            self.part, self._total, self._read, self._trouble, self._said = part, None, 0, "", ""
            self.view.empty()
            self._more()

    # --- what is not text

    def is_binary(self, page: TextPage) -> bool:
        """Whether this is the page of a part that is a picture, a sound, or other binary content."""
        return page.kind in ("image", "audio")

    @work(group="open", exclusive=True, exit_on_error=False)
    async def action_open(self) -> None:
        """Show the picture, or play the sound, that is this part."""
        self.trouble("opening …")
        said, _ = await open_part(self.port, self.call, self.part, self.OF)
        self.trouble(said)

    def trouble(self, words: str) -> None:
        """Say something in the line below."""
        self._said = words
        self._say()

    # --- saving

    def save_command(self, part: int, path: str, *, overwrite: bool) -> AnyCommand:
        """Return the command that writes a part to a file."""
        return SaveResult(call=self.call, part=part, path=path, overwrite=overwrite)

    def file_name(self) -> str:
        """Return a name for the file, without a suffix if there is none to be had from it."""
        return "result"

    @work(group="save", exclusive=True, exit_on_error=False)
    async def action_save(self) -> None:
        """Ask where to save the part that is shown."""
        if self.query(SaveBar):
            return
        name = self.file_name()
        suffix = await suffix_of(self.port, self.call, self.part, self.OF)
        if suffix and not name.endswith(suffix) and (self._binary or self.OF == "call"):
            name += suffix
        self._said = ""
        await self.mount(SaveBar(self.part, "this part as it came", name), before="#reader-state")

    @on(SaveBar.Save)
    def _to_be_saved(self, event: SaveBar.Save) -> None:
        event.stop()
        self._save(event.part, event.path, overwrite=event.overwrite)

    @work(group="save", exclusive=True, exit_on_error=False)
    async def _save(self, part: int, path: str, *, overwrite: bool) -> None:
        try:
            saved = await self.port.ask(self.save_command(part, path, overwrite=overwrite))
        except REQUEST_ERRORS as error:
            words = error_text(error)
            for bar in self.query(SaveBar):
                bar.say(words, exists=isinstance(error, CommandError) and "exists already" in words)
            return
        self._close_bar()
        if isinstance(saved, FileSaved):
            self.trouble(f"{saved.size:,} bytes are in {saved.path}")

    @on(SaveBar.Closed)
    def _not_saved(self, event: SaveBar.Closed) -> None:
        event.stop()
        self._close_bar()

    def _close_bar(self) -> None:
        self.query(SaveBar).remove()
        self.view.focus()

    # --- search

    def action_search(self) -> None:
        """Ask what to look for."""
        self.add_class("-searching")
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _look(self, event: Input.Submitted) -> None:
        event.stop()
        self._needle = event.value
        self._end_search()
        self._find(1)

    def action_next(self, step: int) -> None:
        """Go to the next place, or the one before."""
        if self._needle:
            self._find(step)

    @work(group="search", exclusive=True, exit_on_error=False)
    async def _find(self, step: int) -> None:
        """Look in what is here; going on, fetch more until it is found or all is read."""
        self._trouble = ""
        while not self.view.find(self._needle, step):
            if step < 0 or not await self.fetch_page():
                self._trouble = self._trouble or f"no {'more ' if self.view.found else ''}“{self._needle}”"
                break
        self._say()

    def _end_search(self) -> None:
        self.remove_class("-searching")
        self.view.focus()

    # --- the rest

    def action_leave(self) -> None:
        """Close the bar, the search, or the reader."""
        if self.query(SaveBar):
            self._close_bar()
        elif self.has_class("-searching"):
            self._end_search()
        else:
            self.dismiss()

    def action_copy(self) -> None:
        """Copy what has been fetched."""
        what = self.WHAT if self.complete else f"the first {self._read:,} characters of {self.WHAT}"
        self.post_message(CopyText(self.view.text, what))

    @on(PagedTextView.Moved)
    def _say(self) -> None:
        """Say where one is."""
        if not self.is_mounted:
            return
        parts = [f"part {self.part + 1} of {self._parts}"] if self._parts > 1 else []
        if self._total is not None:
            parts.append(f"{self._read:,} of {self._total:,} characters")
        elif not self._trouble:
            parts.append("reading …")
        parts.append(f"{self.view.percent} %")
        said = self._said or self._trouble
        keys = "o opens it · s saves it · " if self._binary else ""
        text = Content.assemble(
            (said, "$waiting"), " · " if said else "", (" · ".join(parts), "$text-2"),
            "   ", (keys, "$text-1"), (self.KEYS, "$text-3"),
        )  # fmt: skip
        self.query_one("#reader-state", Static).update(text)
