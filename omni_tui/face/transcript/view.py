"""The transcript on the screen."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.reactive import var
from textual.timer import Timer

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.lines import Line, copied_text
from omni_tui.face.messages import CopyText
from omni_tui.face.transcript.call_summary import result_text, size_of
from omni_tui.face.transcript.fold import (
    AnyItem,
    CallItem,
    Fold,
    PhaseItem,
    PlanItem,
    TaskItem,
    TextItem,
    UserItem,
)
from omni_tui.face.transcript.item_lines import MEASURE, draw_item, estimate_rows
from omni_tui.face.transcript.markdown import code_blocks, warm_up
from omni_tui.face.transcript.messages import OpenResult
from omni_tui.face.transcript.plan_fold import toggle
from omni_tui.face.transcript.zoom import Zooming
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import AnswerDelta, ThoughtDelta
from omni_tui.security.identifiers import identifier

FRAME_S = 1 / 60
STREAM_S = 1 / 15
"""Shortest times between two drawings: of anything, and of text that streams."""

actions.add(
    Action("item_previous", "up,k", "chat", "Go to the message before", palette=False),
    Action("item_next", "down,j", "chat", "Go to the next message", palette=False),
    Action("item_fold", "space", "chat", "Unfold or fold this", "unfold", palette=False),
    Action("item_open", "enter", "chat", "Unfold this, or read the whole result", palette=False),
    Action("item_copy", "y", "chat", "Copy this message or call", "copy", palette=False),
    Action("copy_answer", "Y", "chat", "Copy the last answer", slash="copy"),
    Action("copy_code", "c", "chat", "Copy a code block of this answer; again for the next one"),
    Action("copy_arguments", "a", "chat", "Copy this call's arguments", palette=False),
    Action("copy_result", "r", "chat", "Copy this call's result", palette=False),
    Action("transcript_home", "home", "chat", "Go to the beginning", palette=False),
    Action("transcript_end", "end", "chat", "Go to the end and follow it"),
    Action("transcript_page_up", "pageup", "chat", "Go back a page", palette=False),
    Action("transcript_page_down", "pagedown", "chat", "Go on a page", palette=False),
)

_ROLES = (
    "text dim hint strong em s link url h1 h2 h3 bullet rule quote quote-bar code code-inline code-tag "
    "code-keyword code-string code-number code-name code-comment code-added code-removed user user-bar "
    "thought thought-mark call-mark call-name arguments value waiting running done failed failed-text "
    "state-quiet result result-mark cursor"
)


class TranscriptView(Zooming, inherit_bindings=False):
    """The conversation: a fold over events, drawn line by line."""

    ROLES = "transcript"
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("chat")
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"transcript--{role}" for role in _ROLES.split()}
    DEFAULT_CSS = """
    TranscriptView {
        height: 1fr;
        background: $page;
        color: $text-1;
        & > .transcript--dim, & > .transcript--url, & > .transcript--arguments, & > .transcript--result,
        & > .transcript--quote, & > .transcript--s, & > .transcript--state-quiet { color: $text-2; }
        & > .transcript--hint, & > .transcript--result-mark, & > .transcript--rule,
        & > .transcript--code-tag, & > .transcript--quote-bar { color: $text-3; }
        & > .transcript--strong, & > .transcript--h2, & > .transcript--h3, & > .transcript--call-name,
        & > .transcript--user { text-style: bold; }
        & > .transcript--h1 { color: $mine; text-style: bold; }
        & > .transcript--em { text-style: italic; }
        & > .transcript--s { text-style: strike; }
        & > .transcript--link { text-style: underline; }
        & > .transcript--thought, & > .transcript--thought-mark { color: $text-2; text-style: italic; }
        & > .transcript--bullet { color: $mine; }
        & > .transcript--user, & > .transcript--code { background: $pane; }
        & > .transcript--user-bar { color: $mine; }
        & > .transcript--call-mark, & > .transcript--running { color: $running; }
        & > .transcript--waiting { color: $waiting; }
        & > .transcript--done { color: $done; }
        & > .transcript--failed, & > .transcript--failed-text { color: $fail; }
        & > .transcript--cursor { background: $cursor; }
        & > .transcript--code-inline { color: $running; }
        & > .transcript--code-keyword { color: $mine; }
        & > .transcript--code-string, & > .transcript--code-added { color: $done; }
        & > .transcript--code-number { color: $waiting; }
        & > .transcript--code-name { color: $running; }
        & > .transcript--code-comment { color: $text-2; text-style: italic; }
        & > .transcript--code-added { background: $added; }
        & > .transcript--code-removed { color: $fail; background: $removed; }
    }
    """

    unread: var[int] = var(0)
    """Items that came while the person was reading further up."""

    class Changed(Message):
        """What runs, waits or is unread may have changed."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.can_focus = True
        self.fold = Fold()
        self._due: Timer | bool = False
        self._drawn_at = self._cost = 0.0
        self._ticker: Timer | None = None
        self._code_at = (-1, -1)
        self._warm = False

    # --- events

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account; it is drawn with the next frame."""
        if self.fold.apply(event):
            if not self._warm and self.is_attached:  # an answer comes soon; it should not wait for imports
                self._warm = True
                self.run_worker(warm_up, thread=True, group="warm-up", exit_on_error=False)
            self._schedule(STREAM_S if isinstance(event, (AnswerDelta, ThoughtDelta)) else FRAME_S)

    def engine_stopped(self) -> None:
        """Stop the clocks of what ran."""
        self.fold.engine_stopped(self.now())
        self._schedule(FRAME_S)

    def clear(self) -> None:
        """Forget everything: another session is about to be replayed."""
        self.fold = Fold()
        self.forget_zoom()
        self.cursor, self.unread, self.following = None, 0, True
        self.screen.clear_selection()
        self.reset()
        self._schedule(FRAME_S)

    def flush(self) -> None:
        """Draw what changed, now."""
        if isinstance(self._due, Timer):
            self._due.stop()
        self._due = False
        begun = time.perf_counter()
        changed, known = self.take_changes(), len(self.heights)
        self.grow(len(self.items))
        near = {index + 1 for index in changed} if len(changed) < 100 else set()
        touched = [index for index in changed | near if index < known]
        for index in touched:
            self.redraw(index)
        if not self.following:
            new = [self.items[index] for index in changed if index >= known]
            self.unread += sum(not (item.hidden or isinstance(item, PhaseItem | TaskItem)) for item in new)
        shown = self.following or known == 0 or self._in_window(touched)
        self.settle()
        if shown:
            self.refresh()
        self._tick_while_needed()
        self.post_message(self.Changed())
        self._drawn_at = time.perf_counter()
        self._cost = self._drawn_at - begun

    def _schedule(self, pause: float) -> None:
        """Draw soon: at once after a quiet time, else after a pause that grows with what drawing costs."""
        if self._due or not self.is_attached:
            return
        wait = self._drawn_at + max(pause, 3 * self._cost) - time.perf_counter()
        if wait > 0:
            self._due = self.set_timer(wait, self.flush, name="transcript")
        else:
            self._due = True
            self.call_next(self.flush)

    def _in_window(self, indexes: list[int]) -> bool:
        top = round(self.scroll_y)
        first, last = self.heights.find(top)[0], self.heights.find(top + self.room.height)[0]
        return any(first <= index <= last for index in indexes)

    def _tick_while_needed(self) -> None:
        if self._ticker is not None:
            (self._ticker.resume if self._moving() else self._ticker.pause)()

    def _moving(self) -> bool:
        return bool(self.fold.running or self.fold.retrying is not None)

    def _tick(self) -> None:
        """Seconds pass for what runs or will be tried again."""
        for index in (*self.fold.running, *(() if self.fold.retrying is None else (self.fold.retrying,))):
            self.fold.touch(index)
        for lane in self.fold.lanes.all():
            lane.tick()
        self.flush()

    def on_mount(self) -> None:
        """Start the clock of running calls; draw what came before."""
        self._ticker = self.set_interval(1.0, self._tick, pause=True, name="elapsed")
        self.flush()

    # --- blocks

    def draw_block(self, index: int, width: int) -> list[Line]:
        """Draw one item."""
        return draw_item(self.items[index], self._above(index), width - 1, self.now())

    @property
    def fill_width(self) -> int:
        """Shades end where the text does."""
        return min(self.room.width - 1, MEASURE)

    def guess_rows(self, index: int, width: int) -> int:
        """Guess the rows of one item."""
        return estimate_rows(self.items[index], width - 1)

    def can_hold_cursor(self, index: int) -> bool:
        """Hidden items and titles of phases are passed over."""
        return not (self.items[index].hidden or isinstance(self.items[index], PhaseItem))

    def _above(self, index: int) -> AnyItem | None:
        while index > 0:
            index -= 1
            if not self.items[index].hidden:
                return self.items[index]
        return None

    def now(self) -> float:
        """Return Unix time by the clock of the app."""
        clock = getattr(self.app, "clock", None)
        return float(clock.time()) if clock is not None else time.time()

    def watch_following(self, following: bool) -> None:
        """At the end everything has been seen."""
        if following:
            self.unread = 0
        if self.is_mounted:
            self.post_message(self.Changed())

    # --- what the person does

    @property
    def current(self) -> AnyItem | None:
        """The item with the cursor."""
        if self.cursor is None or self.cursor >= len(self.items):
            return None
        return self.items[self.cursor]

    def focus_call(self, call: str) -> bool:
        """Put the cursor on a call and bring it into view; False if it is not here."""
        self.zoom_out()
        index = self.fold.find_call(call)
        if index is None and (held := self.fold.lanes.by_call.get(call)) is not None:
            task = self.fold.lanes.holders[held]
            self.put_cursor(held)
            index = self.shown.find_call(call) if self.zoom_into(task) else None
        if index is None:
            return False
        self.flush()
        self.put_cursor(index)
        self.focus(scroll_visible=False)
        return True

    def on_focus(self) -> None:
        """The keys came here: there is always something they are on."""
        if self.current is None and self.items:
            self.cursor = self._nearest(len(self.items) - 1, -1)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the person clicks; a click on what folds folds it."""
        found = self.block_at(event.y)
        if found is None or event.chain > 1 or self.text_selection is not None:
            return
        index, row = found
        self.cursor = index
        lines = self.lines_of(index)
        if row < len(lines) and lines[row].target == "open":
            self.action_item_open()
        elif row < len(lines) and lines[row].target == "fold":
            self.action_item_fold()

    def action_item_previous(self) -> None:
        """Go to the item above."""
        self.walk(-1)

    def action_item_next(self) -> None:
        """Go to the item below."""
        self.walk(1)

    def action_transcript_home(self) -> None:
        """Go to the first item."""
        self.put_cursor(self._nearest(0, 1))
        self.action_scroll_home()

    def action_transcript_end(self) -> None:
        """Go to the last item and follow what comes."""
        self.cursor = self._nearest(len(self.items) - 1, -1)
        self.action_scroll_end()

    def action_transcript_page_up(self) -> None:
        """Go back a page."""
        self.action_page_up()

    def action_transcript_page_down(self) -> None:
        """Go on a page."""
        self.action_page_down()

    def action_item_fold(self) -> None:
        """Unfold or fold the item with the cursor."""
        if (item := self.current) is not None and self.cursor is not None:
            if isinstance(item, PlanItem):
                toggle(self.fold, self.cursor)
            else:
                item.folded = not item.folded
            if item.folded or not self.following:
                self.following = False
            self.shown.touch(self.cursor)
            self.flush()
            self.show_block(self.cursor)

    def action_item_open(self) -> None:
        """Unfold; where the engine sent only the beginning of a result, show all of it."""
        item = self.current
        if isinstance(item, CallItem) and (item.cut or self._overflows):
            title = f"{identifier(item.server)} › {item.tool}"
            self.post_message(OpenResult(item.call, title, len(item.parts)))
        else:
            self.action_item_fold()

    @property
    def _overflows(self) -> bool:
        lines = self.lines_of(self.cursor) if self.cursor is not None else []
        return bool(lines) and lines[-1].target == "open"

    # --- copying

    def action_item_copy(self) -> None:
        """Copy the item with the cursor."""
        match self.current:
            case UserItem(text=text):
                self._copy(text, "your message")
            case TextItem() as item:
                self._copy(item.source, f"the {item.kind}")
            case CallItem() as call:
                parts = (
                    f"{identifier(call.server)} › {call.tool}",
                    call.arguments,
                    result_text(call.parts),
                )
                self._copy("\n\n".join(filter(None, parts)), "the call")
            case None:
                self.notify("Nothing to copy yet.", markup=False)
            case _ if self.cursor is not None:
                self._copy(copied_text(self.lines_of(self.cursor)).strip("\n"), "the notice")

    def action_copy_answer(self) -> None:
        """Copy the last answer, as Markdown."""
        answer = self.shown.last_answer()
        self._copy(answer.source if answer is not None else "", "the last answer")

    def action_copy_code(self) -> None:
        """Copy the next code block of the answer with the cursor, else of the last answer."""
        item = self.current
        if not (isinstance(item, TextItem) and item.kind == "answer"):
            item = self.shown.last_answer()
        blocks = code_blocks(item.source) if item is not None else []
        if not blocks:
            self._copy("", "a code block")
            return
        last, number = self._code_at
        number = (number + 1) % len(blocks) if last == id(item) else 0
        self._code_at = (id(item), number)
        self._copy(blocks[number], f"code block {number + 1} of {len(blocks)}")

    def action_copy_arguments(self) -> None:
        """Copy the arguments of the call with the cursor."""
        if isinstance(self.current, CallItem):
            self._copy(self.current.arguments, "the arguments")

    def action_copy_result(self) -> None:
        """Copy the result of the call with the cursor, as far as the preview goes."""
        if isinstance(item := self.current, CallItem):
            what = "the result"
            if item.cut:
                what = f"the beginning of the result (enter reads all {size_of(item.result_size)})"
            self._copy(result_text(item.parts), what)

    def _copy(self, text: str, what: str) -> None:
        if text:
            self.post_message(CopyText(text, what))
        else:
            self.notify(
                f"There is no {what.removeprefix('the ').removeprefix('a ')} to copy.", markup=False
            )
