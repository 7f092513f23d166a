"""The transcript on the screen."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.reactive import var
from textual.timer import Timer

from omni_tui.face import actions
from omni_tui.face.formats import format_size
from omni_tui.face.lines import Line, copied_text
from omni_tui.face.messages import CopyText
from omni_tui.face.shell import shell_of
from omni_tui.face.transcript.call_summary import result_text
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_lines import MEASURE, draw_item, estimate_rows
from omni_tui.face.transcript.item_types import (
    AnyItem,
    CallItem,
    PhaseItem,
    PlanItem,
    TaskItem,
    TextItem,
    UserItem,
)
from omni_tui.face.transcript.long_texts import LongTexts
from omni_tui.face.transcript.markdown import code_blocks, warm_up
from omni_tui.face.transcript.plan_fold import toggle
from omni_tui.face.transcript.sub_agents import SubAgent
from omni_tui.face.widgets.block_view import SelectableView
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import AnswerDelta, ThoughtDelta
from omni_tui.protocol.session_search import TextPlace
from omni_tui.security.identifiers import identifier

FRAME_S = 1 / 60
STREAM_S = 1 / 15
"""Shortest times between two drawings: of any change, and of streaming text."""

_ROLES = (
    "text dim hint strong em s link url h1 h2 h3 bullet rule quote quote-bar code code-inline code-tag "
    "code-keyword code-string code-number code-name code-comment code-added code-removed user user-bar "
    "thought thought-mark call-mark call-name arguments value waiting running done failed failed-text "
    "state-quiet result result-mark cursor"
)


class TranscriptView(SelectableView, inherit_bindings=False):
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
    """Items added while the user was reading further up."""

    class Changed(Message):
        """What runs, waits or is unread may have changed."""

    @dataclass
    class Zoomed(Message):
        """The view shows the agent of `task` only, or everything if that is None."""

        task: TaskItem | None

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.fold = Fold()
        self.zoomed_task: TaskItem | None = None
        """The task whose agent alone is shown."""
        self._before_zoom: tuple[int | None, bool] = (None, True)
        self._due: Timer | bool = False
        self._drawn_at = self._cost = 0.0
        self._ticker: Timer | None = None
        self._code_at = (-1, -1)
        self._warm = False
        self._long_texts = LongTexts(self._run_layout, self._laid_out)
        self._unfinished: set[int] = set()
        """Blocks drawn while a long text was still laid out; it may be theirs."""
        self._behind: set[int] = set()
        """Blocks of a stream that brought more than one drawing takes in."""

    # --- events

    def apply(self, event: AnyEvent) -> None:
        """Apply one event; it is drawn with the next frame."""
        if self.fold.apply(event):
            if not self._warm and self.is_attached:  # an answer comes soon and should not wait for imports
                self._warm = True
                self.run_worker(warm_up, thread=True, group="warm-up", exit_on_error=False)
            self._schedule(STREAM_S if isinstance(event, (AnswerDelta, ThoughtDelta)) else FRAME_S)

    def engine_stopped(self) -> None:
        """Stop the clocks of what ran."""
        self.fold.engine_stopped(self.now())
        self._schedule(FRAME_S)

    def clear(self) -> None:
        """Remove everything: another session will be replayed."""
        self.fold = Fold()
        if self.zoomed_task is not None:
            self.zoomed_task = None
            self.post_message(self.Zoomed(None))
        self._long_texts.forget()
        self.cursor, self.unread, self.following = None, 0, True
        self.screen.clear_selection()
        self.reset()
        self._schedule(FRAME_S)

    def flush(self) -> None:
        """Draw what changed, now."""
        if isinstance(self._due, Timer):
            self._due.stop()
        self._due = False
        started = time.perf_counter()
        changed = (self._zoomed_agent or self.fold).take_changes()
        known = len(self.heights)
        self.grow(len(self.items))
        touched = [index for index in self.shown.with_next_shown(changed) if index < known]
        for index in touched:
            self.redraw(index)
        if not self.following:
            new = [self.items[index] for index in changed if index >= known]
            self.unread += sum(not (item.hidden or isinstance(item, PhaseItem | TaskItem)) for item in new)
        visible = self.following or known == 0 or self._in_window(touched)
        self.settle()
        if visible:
            self.refresh()
        self._tick_while_needed()
        self.post_message(self.Changed())
        self._drawn_at = time.perf_counter()
        self._cost = self._drawn_at - started
        behind, self._behind = self._behind, set()
        for index in behind:
            self.shown.touch(index)
        if behind:
            self._schedule(FRAME_S)

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
        first, last = self.heights.find(top)[0], self.heights.find(top + self.window.height)[0]
        return any(first <= index <= last for index in indexes)

    def _tick_while_needed(self) -> None:
        if self._ticker is not None:
            moving = self.fold.running or self.fold.retrying is not None
            (self._ticker.resume if moving else self._ticker.pause)()

    def _tick(self) -> None:
        self.fold.tick()
        for agent in self.fold.sub_agents.all():
            agent.tick()
        self.flush()

    def on_mount(self) -> None:
        """Start the clock of running calls; draw what came before."""
        self._ticker = self.set_interval(1.0, self._tick, pause=True, name="elapsed")
        self.flush()

    # --- one agent alone

    @property
    def shown(self) -> Fold:
        """The fold on the screen: the whole transcript, or that of one agent."""
        return self.fold if self._zoomed_agent is None else self._zoomed_agent.fold

    @property
    def items(self) -> list[AnyItem]:
        """The items on the screen."""
        return self.shown.items

    @property
    def _zoomed_agent(self) -> SubAgent | None:
        return None if self.zoomed_task is None else self.zoomed_task.sub_agent

    def zoom_into(self, task: TaskItem) -> bool:
        """Show only a task's agent; return False if it did nothing yet or one is shown already."""
        if task.sub_agent is None or not task.sub_agent.fold.items or self._zoomed_agent is not None:
            return False
        self._before_zoom = (self.cursor, self.following)
        self.zoomed_task = task
        task.sub_agent.alone = True
        self._show_other(None, following=True)
        return True

    def zoom_out(self) -> bool:
        """Show everything again, at the place before; return False if everything is shown."""
        if self._zoomed_agent is None:
            return False
        self._zoomed_agent.alone = False
        self.zoomed_task = None
        self.fold.take_changes()  # everything is drawn again
        self._show_other(*self._before_zoom)
        return True

    def _show_other(self, cursor: int | None, following: bool) -> None:
        self.cursor = None
        self.screen.clear_selection()
        self.reset(len(self.items))
        self.following = following
        self.settle()
        if following or cursor is None:
            self.cursor = self._last_item if cursor is None else cursor
        else:
            self.put_cursor(cursor)
        self.refresh()
        self.post_message(self.Zoomed(self.zoomed_task))

    def action_agent_alone(self) -> None:
        """Show only the agent of the task with the cursor."""
        task = self.current
        if not isinstance(task, TaskItem) or not self.zoom_into(task):
            self.notify("No agent has worked on this yet.", markup=False)

    # --- blocks

    def draw_block(self, index: int, width: int) -> list[Line]:
        """Draw one item. The beginning of a long text stands for it until a thread has laid it out."""
        item, lay_out = self.items[index], self._long_texts.lay_out
        lines = draw_item(item, self._above(index), width - 1, self.now(), lay_out)
        if self._long_texts.waiting:
            self._unfinished.add(index)
        elif isinstance(item, TextItem):
            item.streamed = None
        if isinstance(item, TextItem) and item.stream is not None and item.stream.behind:
            self._behind.add(index)
        return lines

    def copied_rows(self, index: int) -> list[Line]:
        """Draw one item whole, however long it is."""
        if index not in self._unfinished:
            return self.rows_of(index)
        return draw_item(self.items[index], self._above(index), self.window.width - 1, self.now())

    def _run_layout(self, work: Coroutine[Any, Any, None]) -> None:
        self.run_worker(work, group="layout", exit_on_error=False)

    def _laid_out(self) -> None:
        """Draw again what a long text stood in for."""
        for agent in self.fold.sub_agents.all():
            agent.draw_again()
        unfinished, self._unfinished = self._unfinished, set()
        for index in unfinished:
            self.redraw(index)
        self.settle()
        self.refresh()

    @property
    def fill_width(self) -> int:
        """Backgrounds end where the text does."""
        return min(self.window.width - 1, MEASURE)

    def guess_rows(self, index: int, width: int) -> int:
        """Guess the rows of one item."""
        return estimate_rows(self.items[index], width - 1)

    def can_hold_cursor(self, index: int) -> bool:
        """Skip hidden items and titles of phases."""
        return not (self.items[index].hidden or isinstance(self.items[index], PhaseItem))

    def _above(self, index: int) -> AnyItem | None:
        above = (self.items[at] for at in range(index - 1, -1, -1))
        return next((item for item in above if not item.hidden), None)

    def now(self) -> float:
        """Return Unix time by the clock of the app."""
        return shell_of(self).clock.time()

    def watch_following(self, following: bool) -> None:
        """At the end nothing is unread."""
        if following:
            self.unread = 0
        if self.is_mounted:
            self.post_message(self.Changed())

    # --- the cursor

    @property
    def _last_item(self) -> int | None:
        return self._nearest(len(self.items) - 1, -1)

    @property
    def current(self) -> AnyItem | None:
        """The item with the cursor."""
        if self.cursor is None or self.cursor >= len(self.items):
            return None
        return self.items[self.cursor]

    def focus_call(self, call: str) -> bool:
        """Put the cursor on a call and scroll to it; return False if it is not here."""
        self.zoom_out()
        index = self.fold.find_call(call)
        if index is None and (held := self.fold.sub_agents.by_call.get(call)) is not None:
            self.put_cursor(held)
            zoomed = self.zoom_into(self.fold.sub_agents.tasks[held])
            index = self.shown.find_call(call) if zoomed else None
        if index is None:
            return False
        self.flush()
        self.put_cursor(index)
        self.focus(scroll_visible=False)
        return True

    def show_text(self, place: TextPlace) -> bool:
        """Put the cursor on what is at a place, expand it and scroll to it; return False without it."""
        self.zoom_out()
        index = self.fold.find_text(place)
        if index is None:
            return bool(place.call) and self.focus_call(place.call)
        self.flush()
        self.fold.items[index].folded = False
        self.redraw(index)
        self.put_cursor(index)
        return True

    def on_focus(self) -> None:
        """Put the cursor on the last item unless it is on one."""
        if self.current is None and self.items:
            self.cursor = self._last_item

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the item; open, unfold or fold it where the row says so."""
        found = self.block_at(event.y)
        if found is None or event.chain > 1 or self.text_selection is not None:
            return
        self.cursor, row = found
        target = next((line.target for line in self.rows_of(self.cursor)[row:]), "")
        if target == "open":
            self.action_item_open()
        elif target == "fold":
            self.action_item_fold()

    def action_item_previous(self) -> None:
        """Go to the item above."""
        self.walk(-1)

    def action_item_next(self) -> None:
        """Go to the item below."""
        self.walk(1)

    def action_turn_previous(self) -> None:
        """Go to the message of yours above."""
        self._walk_turns(-1)

    def action_turn_next(self) -> None:
        """Go to the message of yours below, or to the end after the last one."""
        self._walk_turns(1)

    def _walk_turns(self, step: int) -> None:
        """Go to another message of yours. Without a cursor, the first step back goes to the last one."""
        at = len(self.items) if self.cursor is None else self.cursor
        index = at + step
        while 0 <= index < len(self.items):
            if isinstance(self.items[index], UserItem) and self.can_hold_cursor(index):
                self.put_cursor(index)
                return
            index += step
        (self.action_transcript_end if step > 0 else self.action_transcript_home)()

    def action_transcript_home(self) -> None:
        """Go to the first item."""
        self.put_cursor(self._nearest(0, 1))
        self.action_scroll_home()

    def action_transcript_end(self) -> None:
        """Go to the last item and follow new ones."""
        self.cursor = self._last_item
        self.action_scroll_end()

    action_transcript_page_up = SelectableView.action_page_up
    action_transcript_page_down = SelectableView.action_page_down

    def action_item_fold(self) -> None:
        """Unfold or fold the item with the cursor."""
        if (item := self.current) is not None and self.cursor is not None:
            if isinstance(item, PlanItem):
                toggle(self.fold, self.cursor)
            else:
                item.folded = not item.folded
            if item.folded:
                self.following = False
            self.shown.touch(self.cursor)
            self.flush()
            self.show_block(self.cursor)

    def action_item_open(self) -> None:
        """Open the full result if only its beginning is here, else unfold or fold the item."""
        item, cursor = self.current, self.cursor
        lines = self.rows_of(cursor) if isinstance(item, CallItem) and cursor is not None else []
        if isinstance(item, CallItem) and (item.cut or (lines and lines[-1].target == "open")):
            title = f"{identifier(item.server)} › {item.tool}"
            self.post_message(OpenResult(item.call, title, len(item.parts)))
        else:
            self.action_item_fold()

    def action_edit_message(self) -> None:
        """Edit and resend the message with the cursor, or the last one before it."""
        self.zoom_out()
        at = len(self.items) if self.cursor is None else self.cursor + 1
        message = next((item for item in reversed(self.items[:at]) if isinstance(item, UserItem)), None)
        if message is None:
            self.notify("No message of yours to edit before this.", markup=False)
        else:
            self.post_message(EditAndResend(message))

    # --- copying

    def action_item_copy(self) -> None:
        """Copy the item with the cursor."""
        match self.current:
            case UserItem(text=text):
                self._copy(text, "your message")
            case TextItem() as item:
                self._copy(item.source, f"the {item.kind}")
            case CallItem() as call:
                name = f"{identifier(call.server)} › {call.tool}"
                parts = (name, call.arguments, result_text(call.parts))
                self._copy("\n\n".join(filter(None, parts)), "the call")
            case None:
                self.notify("Nothing to copy yet.", markup=False)
            case _ if self.cursor is not None:
                self._copy(copied_text(self.copied_rows(self.cursor)).strip("\n"), "the notice")

    def action_copy_answer(self) -> None:
        """Copy the last answer as Markdown."""
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
        """Copy the preview of the result of the call with the cursor."""
        if isinstance(item := self.current, CallItem):
            what = "the result"
            if item.cut:
                what = f"the beginning of the result (Enter opens all {format_size(item.result_size)})"
            self._copy(result_text(item.parts), what)

    def _copy(self, text: str, what: str) -> None:
        if text:
            self.post_message(CopyText(text, what))
        else:
            self.notify(f"No {what.removeprefix('the ').removeprefix('a ')} to copy.", markup=False)


@dataclass
class EditAndResend(Message):
    """The user wants to edit and resend a message."""

    item: UserItem


@dataclass
class OpenResult(Message):
    """Open the full result of a call with this many parts."""

    call: str
    title: str = ""
    parts: int = 1
