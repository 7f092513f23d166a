"""What waits for the person, of whatever kind: a call, or something a server asks.

Queue, card and the screens that show the whole know items only; what is particular to a kind stands
in `calls` and `asks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from textual.content import Content

from omni_tui.face.approval import asks, calls
from omni_tui.face.approval.asks import Asked
from omni_tui.face.approval.body import Body
from omni_tui.face.approval.values import parse, what_matters
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import ApprovalRequested

Item: TypeAlias = ApprovalRequested | Asked


@dataclass(frozen=True, slots=True)
class Words:
    """What the two decisions are called on an item, and the item itself: `call`, `question`."""

    accept: str
    refuse: str
    noun: str


def words_of(item: Item) -> Words:
    """Return what deciding on an item is called."""
    if isinstance(item, Asked):
        return Words(asks.accept_word(item.event), "decline", "question")
    return Words("approve", "reject", "call")


def compose_body(item: Item, width: int) -> Body:
    """Draw the parts of an item's card."""
    return asks.compose_body(item, width) if isinstance(item, Asked) else calls.compose_body(item, width)


def chip(item: Item) -> Content:
    """Return the filled word that says of what kind an item is."""
    return asks.chip(item.event) if isinstance(item, Asked) else calls.chip(item)


def matters(item: Item) -> SafeText:
    """Return what says most about an item, on one line."""
    if isinstance(item, Asked):
        return asks.matters(item.event)
    return what_matters(parse(item.arguments_json) if item.complete else None)


def is_form(item: Item) -> bool:
    """Whether accepting only opens a form: what is sent is decided on there."""
    return isinstance(item, Asked) and item.event.kind == "form"


def why_not(item: Item) -> str:
    """Return why an item cannot be accepted as it stands, "" if it can."""
    return asks.why_not(item.event) if isinstance(item, Asked) else ""


def why_alone(item: Item) -> str:
    """Return why an item may not be decided together with others, "" if it may."""
    if isinstance(item, Asked):
        return "a question of a server is answered by itself"
    if item.risk == "destructive":
        return "it destroys; such calls are approved one by one"
    if item.held:
        return "its server or tool changed; look at it by itself"
    if item.edited:
        return "it was edited; look at it by itself"
    return "" if item.complete else "it is too long to be shown together with others"


def to_copy(item: Item) -> tuple[str, str]:
    """Return the text that copying an item copies, and what it is called."""
    if isinstance(item, Asked):
        return asks.to_copy(item.event)
    return (item.arguments_json if item.complete else item.arguments), "the arguments"
