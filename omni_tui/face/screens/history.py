"""The turns of the conversation: your messages with what followed, to jump to one or rewind."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, Static

from omni_tui.face.approval.visible import visible
from omni_tui.face.formats import counted
from omni_tui.face.screens.base import TitledScreen, key_line
from omni_tui.face.transcript.call_summary import result_text
from omni_tui.face.transcript.item_types import AnyItem, CallItem, TaskItem, TextItem, UserItem
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol.session_search import TextPlace

_LONGEST = 20_000
"""Characters of one text that words are looked for in."""
_WIDE = 70


@dataclass(slots=True)
class HistoryTurn:
    """A message of the person with what followed. `texts` are its words, in small letters."""

    message: UserItem
    number: int
    calls: int = 0
    texts: list[str] = field(default_factory=list)
    answer: str = ""


class TurnRows(RowList):
    """One row for each turn."""

    def __init__(self) -> None:
        super().__init__(id="turn-rows")
        self.turns: dict[str, HistoryTurn] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return number, time and words of a message; the answer and the calls if there is room."""
        turn = self.turns[key]
        when = time.strftime("%H:%M", time.localtime(turn.message.ts))
        left = Content.styled(f" {turn.number:>4} {when}  ", "$text-3")
        calls = counted(turn.calls, "call") if turn.calls else ""
        right = Content.styled(f" {calls} ", "$text-3") if calls and width >= _WIDE else Content("")
        room = max(8, width - left.cell_length - right.cell_length - 1)
        words = Content.styled(_one_line(turn.message.text), "$text-1")
        if width >= _WIDE and turn.answer:
            words = fit_content(words, max(20, room // 2))
            words += Content.styled(f"  {_one_line(turn.answer)}", "$text-2")
        words = fit_content(words, room)
        return left + words + Content(" " * max(1, room + 1 - words.cell_length)) + right


class HistoryScreen(TitledScreen[TextPlace]):
    """The turns, the newest last, or those with every word. Its result is the message that was chosen.

    It is jumped to; or, with `rewinds`, the model is to forget it. Then turns that it has forgotten already
    are left out.
    """

    AUTO_FOCUS = "TurnRows"
    BINDINGS: ClassVar = [
        Binding("escape,q", "back", "back"),
        Binding("slash", "filter", "filter"),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
    ]

    def __init__(
        self,
        items: Iterable[AnyItem],
        words: str = "",
        *,
        forgotten: Container[str] = (),
        rewinds: bool = False,
    ) -> None:
        self._heading = "REWIND" if rewinds else "HISTORY"
        self._does = "forget it and the rest" if rewinds else "jump there"
        super().__init__(self._heading)
        self._turns = {
            turn.message.turn: turn for turn in turns_of(items) if turn.message.turn not in forgotten
        }
        self._words = words

    def body(self) -> ComposeResult:
        """Lay out the filter and the rows."""
        hint = "/ words of your messages, answers and calls"
        line = Input(self._words, placeholder=hint, id="history-filter", compact=True)
        line.cursor_blink = False
        yield line
        yield TurnRows()
        yield Static(id="history-empty", markup=False)

    @property
    def rows(self) -> TurnRows:
        """The list."""
        return self.query_one(TurnRows)

    def on_mount(self) -> None:
        """Show the turns, with the cursor on the newest."""
        self.rows.turns = self._turns
        self._fill()

    def _fill(self) -> None:
        rows, wanted = self.rows, self._words.casefold().split()
        rows.set_keys([key for key, turn in self._turns.items() if _has(turn, wanted)])
        if rows.selected is None and rows.keys:
            rows.select(rows.keys[-1])
        self.set_class(not rows.keys, "-empty")
        number = f" {len(rows.keys):,}" + (f" of {len(self._turns):,}" if wanted else "")
        title = Content.assemble((self._heading, "bold $mine"), (number, "$text-3"))
        self.query_one("#screen-title", Static).update(title)
        nothing = "No turn has all of these words." if wanted else "No messages yet."
        self.query_one("#history-empty", Static).update(Content.styled(nothing, "$text-2"))
        self._draw_keys()

    def _draw_keys(self) -> None:
        keys = [("enter", self._does)] if self.rows.keys else []
        if not self.query_one("#history-filter", Input).has_focus:
            keys.insert(0, ("/", "filter"))
        self.foot(key_line(*keys, ("esc", "back")))

    def on_descendant_focus(self) -> None:
        """Show the keys of what has the focus."""
        self._draw_keys()

    @on(Input.Changed)
    def _filtered(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self._words:
            self._words = event.value
            self._fill()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._jump()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self._jump()

    def _jump(self) -> None:
        if self.rows.selected is not None:
            self.dismiss(TextPlace(turn=self.rows.selected))

    def action_filter(self) -> None:
        """Type what to look for."""
        self.query_one("#history-filter", Input).focus()

    def action_move(self, step: int) -> None:
        """Move the cursor of the list while words are typed."""
        self.rows.action_move(step)

    def action_back(self) -> None:
        """Leave the filter, or close the screen."""
        line = self.query_one("#history-filter", Input)
        if line.has_focus or line.value:
            line.value = ""
            self.rows.focus()
        else:
            self.dismiss(None)


def turns_of(items: Iterable[AnyItem]) -> Iterator[HistoryTurn]:
    """Yield the turns of a transcript. What was done before the first message belongs to none."""
    turn: HistoryTurn | None = None
    number = 0
    for item in items:
        if isinstance(item, UserItem):
            if turn is not None:
                yield turn
            number += 1
            turn = HistoryTurn(item, number)
        if turn is None:
            continue
        turn.texts += (text[:_LONGEST].casefold() for text in _texts(item))
        turn.calls += isinstance(item, CallItem)
        if isinstance(item, TextItem) and item.kind == "answer" and item.source.strip():
            turn.answer = item.source
    if turn is not None:
        yield turn


def _texts(item: AnyItem) -> Iterator[str]:
    match item:
        case UserItem(text=text):
            yield text
        case TextItem():
            yield item.source
        case CallItem(server=server, tool=tool, arguments=arguments):
            yield f"{server} {tool} {arguments}"
            yield result_text(item.parts)
        case TaskItem(title=title, goal=goal):
            yield f"{title} {goal}"
            for inner in item.sub_agent.fold.items if item.sub_agent is not None else ():
                yield from _texts(inner)
        case _:
            pass


def _has(turn: HistoryTurn, words: Sequence[str]) -> bool:
    return all(any(word in text for text in turn.texts) for word in words)


def _one_line(text: str) -> str:
    return visible(" ".join(text[:400].split()))
