"""What one call gave back: text · JSON · structured · raw, however large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive

from omni_tui.face.form.exact_json import NotJson, parse
from omni_tui.face.messages import CopyText
from omni_tui.face.results.binary_parts import is_binary, next_binary, open_part, suffix_of
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.face.results.json_tree import JsonTree
from omni_tui.face.results.long_text_view import NO_PART, LongTextView, Look
from omni_tui.face.results.part_pages import STRUCTURED, WHOLE, JsonLayoutError, PartPages, indent_json
from omni_tui.face.results.save_bar import SaveBar
from omni_tui.face.results.tabs import TabLine
from omni_tui.face.shell import shell_of
from omni_tui.protocol.commands import SaveResult
from omni_tui.protocol.events import CallFinished, ContentPart, FileSaved

if TYPE_CHECKING:
    pass

ResultTab = Literal["text", "JSON", "structured", "raw"]
TABS: tuple[ResultTab, ...] = ("text", "JSON", "structured", "raw")
TREE_LIMIT = 2_000_000
"""Longest structured content, in characters, that is shown as a tree; a longer one as laid-out JSON."""
_EMPTY = "Nothing has been called yet.\n\nFill in the form and press F9."
_SUFFIX = {"application/json": ".json", "text/markdown": ".md", "text/html": ".html"}
"""Suffixes of files of text, by media type; that of other content comes from its bytes."""


class ResultView(Vertical):
    """The result of the call that was handed to `show`; parts are fetched as they come into sight."""

    DEFAULT_CSS = """
    ResultView { height: 1fr; }
    ResultView > JsonTree { display: none; margin-top: 1; }
    ResultView > LongTextView { margin-top: 1; }
    """
    BINDINGS = [
        Binding("right_square_bracket", "turn(1)", "next view"),
        Binding("left_square_bracket", "turn(-1)", "previous view", show=False),
        Binding("s", "save", "save"),
        Binding("o", "open", "open"),
        Binding("y", "copy", "copy"),
    ]

    tab: reactive[ResultTab] = reactive[ResultTab]("text", init=False)

    def __init__(self) -> None:
        super().__init__()
        self._finished: CallFinished | None = None
        self._empty = _EMPTY
        self._pages: dict[int, PartPages] = {}
        self._feed: Iterator[ContentPart] = iter(())
        self._open: PartPages | None = None
        self._open_part = NO_PART
        self._look: Look = "text"
        self._opened: int | None = None

    def compose(self) -> ComposeResult:
        """Tabs, a view of lines and a tree; one of the two is shown."""
        yield TabLine(TABS, self.tab)
        yield LongTextView()
        yield JsonTree()

    def on_mount(self) -> None:
        """Say what to do first."""
        self._redraw()

    # --- what the owner uses

    def show(self, finished: CallFinished | None, empty: str = _EMPTY) -> None:
        """Show the result of a call, or the words for "there is none"."""
        self._finished, self._empty = finished, empty
        self._pages, self._opened = {}, None
        tabs = self.query_one(TabLine)
        kinds = {part.kind for part in finished.parts} if finished is not None else set()
        tabs.missing = frozenset() if "structured" in kinds else frozenset({"structured"})
        tabs.note = _note(finished)
        if self.tab == "structured" and "structured" not in kinds:
            self.tab = "text"
        self._redraw()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to open where there is something that is not text."""
        return self._picked() is not None if action == "open" else True

    @property
    def lines(self) -> LongTextView:
        """The view of lines."""
        return self.query_one(LongTextView)

    def close_bar(self) -> bool:
        """Close the bar that asks for a path. True if it was open."""
        bars = self.query(SaveBar)
        if not bars:
            return False
        bars.remove()
        self.focus_view()
        return True

    def focus_view(self) -> None:
        """Give the keys to whichever view is in front."""
        tree = self.query_one(JsonTree)
        (tree if tree.display else self.lines).focus()

    # --- drawing

    def watch_tab(self) -> None:
        """Draw the other view."""
        if self.is_attached:
            self.query_one(TabLine).current = self.tab
            self._redraw()

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        """Go to the tab that was clicked."""
        event.stop()
        self.tab = cast("ResultTab", event.name)

    def action_turn(self, by: int) -> None:
        """Go to the next or the previous view."""
        self.tab = cast("ResultTab", self.query_one(TabLine).beside(by))
        self.focus_view()

    def _redraw(self) -> None:
        self.workers.cancel_group(self, "result")
        lines, tree = self.lines, self.query_one(JsonTree)
        lines.clear()
        self._feed, self._open = iter(()), None
        as_tree = self.tab == "structured" and self._size_of("structured") <= TREE_LIMIT
        tree.display = as_tree and self._finished is not None and self._has("structured")
        lines.display = not tree.display
        if self._finished is None:
            lines.add(self._empty, "dim")
        elif self.tab == "text":
            self._feed = iter(self._finished.parts)
            self._more()
        elif self.tab == "JSON":
            self._show_json()
        elif self.tab == "raw":
            self._stream(WHOLE)
        elif tree.display:
            self._show_tree()
        elif self._has("structured"):
            self._stream(STRUCTURED)
        else:
            lines.add("This result has no structured content.", "dim")

    def _has(self, kind: str) -> bool:
        return self._finished is not None and any(part.kind == kind for part in self._finished.parts)

    def _size_of(self, kind: str) -> int:
        parts = self._finished.parts if self._finished is not None else ()
        return sum(part.size for part in parts if part.kind == kind)

    def _pages_of(self, part: int) -> PartPages:
        if part not in self._pages:
            call = self._finished.call if self._finished is not None else ""
            self._pages[part] = PartPages(shell_of(self).port, call, part)
        return self._pages[part]

    # --- lines, as they come into sight

    def _stream(self, part: int) -> None:
        self._open, self._open_part, self._look = self._pages_of(part), part, "json"
        for number, text in enumerate(self._open.texts):
            self.lines.add(text, "json", part, goes_on=number > 0)
        self._more()

    def on_long_text_view_near_end(self, event: LongTextView.NearEnd) -> None:
        """Fetch more."""
        event.stop()
        self._more()

    @work(group="result", exclusive=True, exit_on_error=False)
    async def _more(self) -> None:
        lines = self.lines
        if self._open is not None:
            try:
                text = await self._open.next()
            except REQUEST_ERRORS as error:
                self._open = None
                lines.add(error_text(error), "fail")
                return
            if text:
                lines.add(text, self._look, self._open_part, goes_on=len(self._open.texts) > 1)
                return
            self._open = None
        part = next(self._feed, None)
        if part is None:
            return
        self._begin(part)

    def _begin(self, part: ContentPart) -> None:
        """Draw the beginning of one part: its head if there are several, and its text."""
        lines = self.lines
        many = self._finished is not None and len(self._finished.parts) > 1
        if part.kind == "structured":
            if self._finished is not None and len(self._finished.parts) == 1:
                lines.add("The whole of this result is structured content: see the tab.", "dim", part.index)
            self.call_later(self._more)
            return
        if many or part.kind != "text":
            gap = "\n" if part.index else ""
            lines.add(gap + _head(part), "head", part.index)
        if part.truncated:
            self._open, self._open_part, self._look = self._pages_of(part.index), part.index, "text"
            for number, text in enumerate(self._open.texts):
                lines.add(text, "text", part.index, goes_on=number > 0)
            self.call_later(self._more)
        else:
            if part.text:
                lines.add(part.text, "text", part.index)
            elif part.kind == "text":
                lines.add("(an empty text)", "dim", part.index)
            self.call_later(self._more)

    # --- laid-out JSON and the tree

    @work(group="result", exclusive=True, exit_on_error=False)
    async def _show_json(self) -> None:
        lines = self.lines
        part = next((p for p in self._parts() if p.text.lstrip()[:1] in ("{", "[")), None)
        if part is None:
            lines.add("No part of this result is JSON.", "dim")
            return
        try:
            text = part.text if not part.truncated else await self._pages_of(part.index).whole()
            if text is None:
                raise JsonLayoutError("too long to be laid out: read it under text, or save it with s")
            lines.add(await indent_json(text), "json", part.index)
        except (JsonLayoutError, *REQUEST_ERRORS) as error:
            lines.add(error_text(error), "dim" if isinstance(error, JsonLayoutError) else "fail")

    def _parts(self) -> tuple[ContentPart, ...]:
        parts = self._finished.parts if self._finished is not None else ()
        return tuple(part for part in parts if part.kind in ("text", "resource"))

    @work(group="result", exclusive=True, exit_on_error=False)
    async def _show_tree(self) -> None:
        import asyncio

        tree = self.query_one(JsonTree)
        try:
            text = await self._pages_of(STRUCTURED).whole(TREE_LIMIT * 4)
            value = await asyncio.to_thread(parse, text or "null")
        except NotJson:
            tree.display, self.lines.display = False, True
            self._stream(STRUCTURED)
            return
        except REQUEST_ERRORS as error:
            tree.display, self.lines.display = False, True
            self.lines.add(error_text(error), "fail")
            return
        tree.show(value)

    # --- copying and saving

    def action_copy(self) -> None:
        """Copy what was read of this view."""
        if self._finished is not None:
            text = "".join(self._pages_of(STRUCTURED).texts) if self._tree_shown else self.lines.text
            self.post_message(CopyText(text, "the result"))

    @property
    def _tree_shown(self) -> bool:
        return bool(self.query_one(JsonTree).display)

    def action_save(self) -> None:
        """Ask where to save the part in sight."""
        if self._finished is not None and not self.query(SaveBar):
            self._ask_where(self._finished.call, *self._in_sight())

    def on_save_bar_another(self, event: SaveBar.Another) -> None:
        """Save the next part, or the one before, instead."""
        event.stop()
        places = [part.index for part in self._blocks]
        if self._finished is not None and event.part in places and len(places) > 1:
            part = self._blocks[(places.index(event.part) + event.by) % len(places)]
            self._ask_where(self._finished.call, part.index, *_described(part))

    @work(group="save", exclusive=True, exit_on_error=False)
    async def _ask_where(self, call: str, part: int, what: str, mime: str) -> None:
        suffix = _SUFFIX.get(mime, ".txt")
        if any(one.index == part and is_binary(one) for one in self._blocks):
            suffix = await suffix_of(shell_of(self).port, call, part) or ".bin"
        if self._finished is None or self._finished.call != call:
            return
        if bars := self.query(SaveBar):
            bars.first(SaveBar).take(part, what, f"result{suffix}")
        else:
            many = len(self._blocks) > 1 and part >= 0
            await self.mount(SaveBar(part, what, f"result{suffix}", several=many))

    @property
    def _blocks(self) -> list[ContentPart]:
        return [part for part in (self._finished.parts if self._finished else ()) if part.index >= 0]

    def _in_sight(self) -> tuple[int, str, str]:
        if self.tab == "raw":
            return WHOLE, "the raw result", "application/json"
        if self.tab == "structured" and self._has("structured"):
            return STRUCTURED, "the structured content", "application/json"
        parts, here = self._blocks, self.lines.part_in_sight
        part = next((p for p in parts if p.index == here), parts[0] if parts else None)
        if part is None:
            return WHOLE, "the raw result", "application/json"
        return part.index, *_described(part)

    # --- opening

    def _picked(self) -> ContentPart | None:
        if not self.is_mounted or self.tab == "raw":
            return None
        return next_binary(self._blocks, self.lines.part_in_sight, self._opened)

    @work(group="open", exclusive=True, exit_on_error=False)
    async def action_open(self) -> None:
        """Show the picture, or play the sound, in sight; pressed again, the next one."""
        part, finished = self._picked(), self._finished
        if part is None or finished is None:
            return
        self._opened = part.index
        said, level = await open_part(shell_of(self).port, finished.call, part.index)
        many = f"part {part.index + 1} of {len(finished.parts)}" if len(finished.parts) > 1 else ""
        self.app.notify(said, title=many, severity=level, timeout=8, markup=False)

    def on_save_bar_closed(self, event: SaveBar.Closed) -> None:
        """Back to the result."""
        event.stop()
        self.close_bar()

    def on_save_bar_save(self, event: SaveBar.Save) -> None:
        """Have the engine write the file."""
        event.stop()
        self._save(event)

    @work(group="save", exclusive=True, exit_on_error=False)
    async def _save(self, event: SaveBar.Save) -> None:
        port = shell_of(self).port
        call = self._finished.call if self._finished is not None else ""
        command = SaveResult(call=call, path=event.path, part=event.part, overwrite=event.overwrite)
        try:
            reply = await port.ask(command)
        except REQUEST_ERRORS as error:
            for bar in self.query(SaveBar):
                bar.say(error_text(error), exists=not event.overwrite and "exists" in error_text(error))
            return
        if isinstance(reply, FileSaved):
            self.close_bar()
            self.app.notify(f"{reply.path} · {size_words(reply.size)}", title="saved", markup=False)


def size_words(size: int) -> str:
    """Return a number of bytes in words: `812 B`, `3.4 KB`, `5.0 MB`."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} KB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def _head(part: ContentPart) -> str:
    """Return one line about a part: what it is, of which type, how large."""
    sign = {"image": "▣", "audio": "♪", "link": "→", "resource": "◫"}.get(part.kind, "─")
    bits = [part.kind, part.uri, part.mime, size_words(part.size) if part.size else ""]
    line = f"{sign} " + " · ".join(bit for bit in bits if bit)
    return line + ("   o opens it · s saves it" if is_binary(part) else "")


def _described(part: ContentPart) -> tuple[str, str]:
    """Return what a part is in words, and its media type."""
    return _head(part)[2:].partition("   ")[0], part.mime


def _note(finished: CallFinished | None) -> Content:
    if finished is None or not finished.parts:
        return Content("")
    count = sum(1 for part in finished.parts if part.index >= 0)
    parts = f"{count} parts · " if count > 1 else ""
    return Content.styled(parts + size_words(finished.size), "$text-3")
