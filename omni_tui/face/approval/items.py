"""What waits for the person, of whatever kind: a call, something a server asks, or a plan.

Queue, card and the screens that show the whole know items only; what is particular to a kind stands
in `calls`, `asks` and `plans`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from textual.content import Content

from omni_tui.face.approval import asks, calls, plans
from omni_tui.face.approval.asks import Asked
from omni_tui.face.approval.body import Body
from omni_tui.face.approval.plans import Planned
from omni_tui.face.approval.values import parse, what_matters
from omni_tui.face.approval.visible import identifier, visible
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import ApprovalRequested

Item: TypeAlias = ApprovalRequested | Asked | Planned


@dataclass(frozen=True, slots=True)
class Words:
    """What the two decisions are called on an item, and the item itself: `call`, `question`, `plan`."""

    accept: str
    refuse: str
    noun: str


def words_of(item: Item) -> Words:
    """Return what deciding on an item is called."""
    if isinstance(item, Asked):
        return Words(asks.accept_word(item.event), "decline", "question")
    return Words("approve", "reject", "plan" if isinstance(item, Planned) else "call")


def compose_body(item: Item, width: int) -> Body:
    """Draw the parts of an item's card."""
    match item:
        case Asked():
            return asks.compose_body(item, width)
        case Planned():
            return plans.compose_body(item, width)
        case _:
            return calls.compose_body(item, width)


def name_of(item: Item) -> str:
    """Return what an item is called: whose it is, and what."""
    dot = "·" if isinstance(item, Planned) else "›"
    label = identifier(item.label) if isinstance(item, ApprovalRequested) else visible(item.label)
    return f"{identifier(item.server)} {dot} {label}"


def chip(item: Item) -> Content:
    """Return the filled word that says of what kind an item is."""
    match item:
        case Asked(event=event):
            return asks.chip(event)
        case Planned(event=plan):
            return plans.chip(plan)
        case _:
            return calls.chip(item)


def matters(item: Item) -> SafeText:
    """Return what says most about an item, on one line."""
    if isinstance(item, Asked):
        return asks.matters(item.event)
    if isinstance(item, Planned):
        return plans.matters(item.event)
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
    if isinstance(item, Planned):
        return "a plan is decided on by itself"
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
    if isinstance(item, Planned):
        return item.arguments_json, "the plan"
    return (item.arguments_json if item.complete else item.arguments), "the arguments"
