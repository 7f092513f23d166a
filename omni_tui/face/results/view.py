"""The result of a call as text, JSON, structured content or raw."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Literal, cast

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from omni_tui.face.form.exact_json import NotJson, parse
from omni_tui.face.formats import format_size
from omni_tui.face.messages import CopyText
from omni_tui.face.port import REQUEST_ERRORS, error_text
from omni_tui.face.results.json_tree import JsonTree
from omni_tui.face.results.parts import (
    STRUCTURED,
    WHOLE,
    JsonLayoutError,
    PartPages,
    indent_json,
    is_binary,
    next_binary,
    open_part,
    suffix_of,
)
from omni_tui.face.results.save_bar import SaveBar
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.long_text_view import NO_PART, LongTextView, Look
from omni_tui.protocol.commands import SaveResult
from omni_tui.protocol.events import CallFinished, ContentPart

ResultTab = Literal["text", "JSON", "structured", "raw"]
TABS: tuple[ResultTab, ...] = ("text", "JSON", "structured", "raw")
TREE_LIMIT = 2_000_000
"""Longest structured content, in characters, that is shown as a tree. A longer one is shown as JSON."""
_EMPTY = "No calls yet.\n\nFill in the form and press F9."
_SUFFIX = {"application/json": ".json", "text/markdown": ".md", "text/html": ".html"}
"""File suffixes of text by media type. Those of other content come from its bytes."""


class TabLine(Widget):
    """A line of tabs: `text · JSON · structured · raw`, with a note at the right. A click selects a tab."""

    DEFAULT_CSS = """
    TabLine { height: 1; width: 1fr; padding: 0 1; }
    """

    current: reactive[str] = reactive("")
    note: reactive[Content] = reactive(Content(""))

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, names: Sequence[str], current: str) -> None:
        super().__init__()
        self.names = names
        self.missing: frozenset[str] = frozenset()
        self.set_reactive(TabLine.current, current)

    def render(self) -> Content:
        """Draw the names, and the note if it fits."""
        dot = Content.styled(" · ", "$text-3")
        line = dot.join(Content.styled(name, self._style(name)) for name in self.names)
        room = self.size.width - line.cell_length - self.note.cell_length
        return line + Content(" " * room) + self.note if room > 1 else line

    def _style(self, name: str) -> str:
        if name == self.current:
            return "bold $mine"
        return "$text-3" if name in self.missing else "$text-2"

    def on_click(self, event: events.Click) -> None:
        """Select the tab under the mouse."""
        right = 1
        for name in self.names:
            right += len(name) + 3
            if event.x < right - 1:
                self.post_message(self.Chosen(name))
                return


class ResultView(Vertical):
    """Shows one result. Its parts are fetched when they come into view."""

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
        """Lay out the tabs, a text view and a tree; one of the two is visible."""
        yield TabLine(TABS, self.tab)
        yield LongTextView()
        yield JsonTree()

    def on_mount(self) -> None:
        """Show the hint what to do."""
        self._redraw()

    def show(self, finished: CallFinished | None, empty: str = _EMPTY) -> None:
        """Show the result of a call, or the text for none."""
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
        """Enable `open` if there is a part that is not text."""
        return self._picked() is not None if action == "open" else True

    @property
    def lines(self) -> LongTextView:
        """The text view."""
        return self.query_one(LongTextView)

    def close_bar(self) -> bool:
        """Close the save bar; return whether it was open."""
        bars = self.query(SaveBar)
        if not bars:
            return False
        bars.remove()
        self.focus_view()
        return True

    def focus_view(self) -> None:
        """Focus the visible view."""
        tree = self.query_one(JsonTree)
        (tree if tree.display else self.lines).focus()

    # --- drawing

    def watch_tab(self) -> None:
        """Draw the view of the tab."""
        if self.is_attached:
            self.query_one(TabLine).current = self.tab
            self._redraw()

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        """Go to the clicked tab."""
        event.stop()
        self.tab = cast("ResultTab", event.name)

    def action_turn(self, by: int) -> None:
        """Go to the next or the previous view."""
        self.tab = TABS[(TABS.index(self.tab) + by) % len(TABS)]
        self.focus_view()

    def _redraw(self) -> None:
        self.workers.cancel_group(self, "result")
        lines, tree = self.lines, self.query_one(JsonTree)
        lines.clear()
        self._feed, self._open = iter(()), None
        size = sum(part.size for part in self._parts("structured"))
        tree.display = self.tab == "structured" and self._has("structured") and size <= TREE_LIMIT
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

    def _parts(self, *kinds: str) -> list[ContentPart]:
        parts = self._finished.parts if self._finished is not None else ()
        return [part for part in parts if part.kind in kinds]

    def _has(self, kind: str) -> bool:
        return bool(self._parts(kind))

    def _pages_of(self, part: int) -> PartPages:
        if part not in self._pages:
            call = self._finished.call if self._finished is not None else ""
            self._pages[part] = PartPages(shell_of(self).port, call, part)
        return self._pages[part]

    # --- text, fetched as it comes into view

    def _stream(self, part: int, look: Look = "json") -> None:
        self._open, self._open_part, self._look = self._pages_of(part), part, look
        for number, text in enumerate(self._open.texts):
            self.lines.add(text, look, part, continues=number > 0)
        self.call_later(self._more)

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
                lines.add(text, self._look, self._open_part, continues=len(self._open.texts) > 1)
                return
            self._open = None
        if (part := next(self._feed, None)) is not None:
            self._begin(part)

    def _begin(self, part: ContentPart) -> None:
        """Draw one part: its heading if there are several, and its text."""
        lines = self.lines
        many = self._finished is not None and len(self._finished.parts) > 1
        if part.kind == "structured":
            if not many:
                lines.add("This result has only structured content: see that tab.", "dim", part.index)
            self.call_later(self._more)
            return
        if many or part.kind != "text":
            gap = "\n" if part.index else ""
            lines.add(gap + _head(part), "head", part.index)
        if part.truncated:
            self._stream(part.index, "text")
            return
        if part.text:
            lines.add(part.text, "text", part.index)
        elif part.kind == "text":
            lines.add("(empty text)", "dim", part.index)
        self.call_later(self._more)

    # --- JSON and the tree

    @work(group="result", exclusive=True, exit_on_error=False)
    async def _show_json(self) -> None:
        lines = self.lines
        part = next((p for p in self._parts("text", "resource") if p.text.lstrip()[:1] in ("{", "[")), None)
        if part is None:
            lines.add("No part of this result is JSON.", "dim")
            return
        try:
            text = part.text if not part.truncated else await self._pages_of(part.index).whole()
            if text is None:
                raise JsonLayoutError("too long for this view: read it under text, or save it with s")
            lines.add(await asyncio.to_thread(indent_json, text), "json", part.index)
        except (JsonLayoutError, *REQUEST_ERRORS) as error:
            lines.add(error_text(error), "dim" if isinstance(error, JsonLayoutError) else "fail")

    @work(group="result", exclusive=True, exit_on_error=False)
    async def _show_tree(self) -> None:
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
        """Copy what this view has read."""
        if self._finished is not None:
            tree = self.query_one(JsonTree)
            text = "".join(self._pages_of(STRUCTURED).texts) if tree.display else self.lines.text
            self.post_message(CopyText(text, "the result"))

    def action_save(self) -> None:
        """Ask where to save the visible part."""
        if self._finished is not None and not self.query(SaveBar):
            self._ask_where(self._finished.call, *self._visible())

    def on_save_bar_another(self, event: SaveBar.Another) -> None:
        """Save another part instead."""
        event.stop()
        places = [part.index for part in self._blocks]
        if self._finished is not None and event.part in places and len(places) > 1:
            part = self._blocks[(places.index(event.part) + event.by) % len(places)]
            self._ask_where(self._finished.call, part.index, _about(part), part.mime)

    @work(group="save", exclusive=True, exit_on_error=False)
    async def _ask_where(self, call: str, part: int, what: str, mime: str) -> None:
        suffix = _SUFFIX.get(mime, ".txt")
        if any(one.index == part and is_binary(one) for one in self._blocks):
            suffix = await suffix_of(shell_of(self).port, call, part) or ".bin"
        if self._finished is None or self._finished.call != call:
            return
        if bars := self.query(SaveBar):
            bars.first(SaveBar).set_part(part, what, f"result{suffix}")
        else:
            many = len(self._blocks) > 1 and part >= 0
            await self.mount(SaveBar(part, what, f"result{suffix}", several=many))

    @property
    def _blocks(self) -> list[ContentPart]:
        return [part for part in (self._finished.parts if self._finished else ()) if part.index >= 0]

    def _visible(self) -> tuple[int, str, str]:
        if self.tab == "structured" and self._has("structured"):
            return STRUCTURED, "the structured content", "application/json"
        parts, here = self._blocks, self.lines.visible_part
        if self.tab == "raw" or not parts:
            return WHOLE, "the raw result", "application/json"
        part = next((p for p in parts if p.index == here), parts[0])
        return part.index, _about(part), part.mime

    # --- opening

    def _picked(self) -> ContentPart | None:
        if not self.is_mounted or self.tab == "raw":
            return None
        return next_binary(self._blocks, self.lines.visible_part, self._opened)

    @work(group="open", exclusive=True, exit_on_error=False)
    async def action_open(self) -> None:
        """Open the visible image or audio; pressed again, the next one."""
        part, finished = self._picked(), self._finished
        if part is None or finished is None:
            return
        self._opened = part.index
        text, level = await open_part(shell_of(self).port, finished.call, part.index)
        many = f"part {part.index + 1} of {len(finished.parts)}" if len(finished.parts) > 1 else ""
        self.app.notify(text, title=many, severity=level, timeout=8, markup=False)

    def on_save_bar_closed(self, event: SaveBar.Closed) -> None:
        """Go back to the result."""
        event.stop()
        self.close_bar()

    @on(SaveBar.Save)
    @work(group="save", exclusive=True, exit_on_error=False)
    async def _save(self, event: SaveBar.Save) -> None:
        call = self._finished.call if self._finished is not None else ""
        command = SaveResult(call=call, path=event.path, part=event.part, overwrite=event.overwrite)
        saved = await self.query_one(SaveBar).save(command)
        if saved is not None:
            self.close_bar()
            self.app.notify(f"{saved.path} · {format_size(saved.size)}", title="saved", markup=False)


def _head(part: ContentPart) -> str:
    """Return one line about a part: kind, address, type and size."""
    sign = {"image": "▣", "audio": "♪", "link": "→", "resource": "◫"}.get(part.kind, "─")
    return f"{sign} {_about(part)}{'   o open · s save' if is_binary(part) else ''}"


def _about(part: ContentPart) -> str:
    size = format_size(part.size) if part.size else ""
    return " · ".join(filter(None, (part.kind, part.uri, part.mime, size)))


def _note(finished: CallFinished | None) -> Content:
    if finished is None or not finished.parts:
        return Content("")
    count = sum(1 for part in finished.parts if part.index >= 0)
    parts = f"{count} parts · " if count > 1 else ""
    return Content.styled(parts + format_size(finished.size), "$text-3")
