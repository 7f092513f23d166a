"""Cards painted and read back: what a card says of itself, held against its cells."""

from __future__ import annotations

import re

import msgspec
from textual.app import App, ComposeResult
from textual.content import Content
from textual.geometry import Region
from textual.widget import Widget

from omni_tui.face.approval.arming import Arming
from omni_tui.face.approval.card import ApprovalCard, key_lines
from omni_tui.face.approval.pending_call import PendingCallItem
from omni_tui.face.keys import key_of
from omni_tui.face.themes import fallback_variables
from omni_tui.protocol import JsonText
from omni_tui.protocol.events import ApprovalRequested
from tests.face.fake import FakeClock
from tests.face.random_cards import Table, cells, missing, missing_of_edit, sent
from tests.face.scenario import approval


class OneCard(App[None]):
    """A card, or the view that shows the whole of an item, over the whole terminal."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return fallback_variables()

    def key(self, action: str, *, spelled: bool = False) -> str:
        return key_of(action, {}, spelled=spelled)

    def compose(self) -> ComposeResult:
        yield self.widget


def a_card() -> ApprovalCard:
    arming = Arming(FakeClock(0.0))

    def keys() -> list[Content]:
        assert card.item is not None
        return key_lines(card.item, lambda name: name[0], "$done", card.size.width)

    card = ApprovalCard(arming, keys, lambda: [])
    return card


def call_with(arguments: Table) -> ApprovalRequested:
    text = sent(arguments)
    return msgspec.structs.replace(approval("c1"), arguments_json=JsonText(text), size=len(text))


def painted(widget: Widget) -> str:
    """Return the text of every cell of a widget, as it is painted."""
    width, height = widget.outer_size
    return "\n".join(strip.text for strip in widget.render_lines(Region(0, 0, width, height)))


def not_found(arguments: Table, text: str) -> list[list[str]]:
    """Return for each argument that is not in the cells what is missing of it."""
    seen = cells(text)
    if len({key for key, _value in arguments}) == 3 and arguments[0][0] in ("oldText", "old_str", "search"):
        edit = missing_of_edit(arguments, seen)
        lost = [edit, edit, missing(*arguments[2], seen)]
    else:
        lost = [missing(key, value, seen) for key, value in arguments]
    return [each for each in lost if each]


def check(card: ApprovalCard, arguments: Table) -> bool:
    """Hold what the card says against what it painted; True if it says that all is there."""
    card.show(PendingCallItem(call_with(arguments)))
    text = painted(card)
    lost, words = not_found(arguments, text), cells(text)
    count = len(arguments)
    claims = {0: "ittakesnoarguments", 1: "theoneargumentisshown"}.get(count, f"all{count}argumentsshown")
    whole = card._arming.painted is not None and card._arming.painted.whole
    assert (claims in words) == whole, text
    if whole:
        assert lost == [], text
    elif count > 1 and lost:
        counted = re.search(rf"(\d+)of{count}argumentsnotshownwhole", words)
        assert counted is not None, text
        assert int(counted.group(1)) >= len(lost), (lost, text)
    else:
        assert re.search(r"…[\d,]+morelines?", words) is not None, text
    return whole
