"""Which keys decide on which item, and how the card names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from textual.content import Content
from textual.style import Style

from omni_tui.face.approval.pending_items import PendingItem, decision_labels, why_blocked
from omni_tui.face.approval.plan_card import PendingPlanItem
from omni_tui.face.approval.server_request_card import PendingRequestItem
from omni_tui.face.widgets.lines_view import join_content

_TEXT = "$text-1"
_GAP = "   "
DecisionKey = tuple[str, str, str]
"""An action's name, its word, and a style; the style "" is that of accepting."""

_CALL: tuple[tuple[DecisionKey, ...], ...] = (
    (("approve", "approve", ""), ("reject", "reject", "$fail"), ("reject_why", "reject, say why", _TEXT)),
    (("edit_call", "edit", _TEXT), ("later", "later", _TEXT), ("mark", "mark", _TEXT),
     ("view_call", "whole", _TEXT)),
)  # fmt: skip
_PLAN = (_CALL[0], tuple(word for word in _CALL[1] if word[0] != "mark"))
_CANCEL, _LATER = ("cancel_ask", "cancel", _TEXT), ("later", "later", _TEXT)
_EDIT, _WHOLE = ("edit_call", "edit", _TEXT), ("view_call", "whole", _TEXT)
_OPEN, _COPY = ("open_page", "open first", _TEXT), ("copy_call", "copy", _TEXT)


def keys_of(item: PendingItem) -> tuple[tuple[DecisionKey, ...], ...]:
    """Return the keys for an item, by rows."""
    if isinstance(item, PendingPlanItem):
        return _PLAN
    if not isinstance(item, PendingRequestItem):
        return _CALL
    first: list[DecisionKey] = [("reject", decision_labels(item).refuse, "$fail"), _CANCEL]
    second: list[DecisionKey] = [_LATER, _WHOLE]
    if not why_blocked(item):
        first.insert(0, ("approve", decision_labels(item).accept, ""))
        if item.event.kind == "sampling":
            second.insert(0, _EDIT)
    if item.event.kind == "url":
        second = [*([_OPEN] if item.event.browser else []), _COPY, *second]
    return tuple(first), tuple(second)


def allowed_actions(item: PendingItem) -> frozenset[str]:
    """Return the names of the actions an item takes, those without a word on the card included.

    Accepting is always among them: where it cannot be done, the card says why.
    """
    if not isinstance(item, PendingRequestItem):
        return frozenset({"copy_call", *(name for row in _CALL for name, _word, _style in row)})
    named = {name for row in keys_of(item) for name, _word, _style in row}
    return frozenset({"approve", "copy_call", "mark", *named})


def key_lines(item: PendingItem, key_of: Callable[[str], str], ready: str, width: int) -> list[Content]:
    """Return the rows of keys; `ready` is the style of accepting. What has no room goes to a row below."""
    lines: list[Content] = []
    for row in keys_of(item):
        words = [_key_word(key_of(name), word, name, style or ready) for name, word, style in row]
        lines += [join_content(_GAP, part) for part in _packed(words, width)]
    return lines


def _packed(words: list[Content], width: int) -> Iterator[list[Content]]:
    row: list[Content] = []
    for word in words:
        used = sum(other.cell_length + len(_GAP) for other in row)
        if row and used + word.cell_length > width:
            yield row
            row = []
        row.append(word)
    yield row


def _key_word(key: str, label: str, action: str, style: str) -> Content:
    """Return a key with its word; a click on it does the same."""
    text = Content.assemble((key, f"bold {style}"), (f" {label}", "$text-2"))
    return text.stylize(Style.from_meta({"decide": action}))
