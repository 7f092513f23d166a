"""What waits for the person, of whatever kind: a call, something a server asks, or a plan.

Queue, card and the screens that show the whole know items only; what is particular to a kind stands
in `calls`, `asks` and `plans`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from textual.content import Content

from omni_tui.face.approval import call_card, plan_card, server_request_card
from omni_tui.face.approval.card_body import CardBody
from omni_tui.face.approval.plan_card import PendingPlanItem
from omni_tui.face.approval.server_request_card import PendingRequestItem
from omni_tui.face.approval.values import main_argument, parse
from omni_tui.face.approval.visible import visible, visible_identifier
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import ApprovalRequested

PendingItem: TypeAlias = ApprovalRequested | PendingRequestItem | PendingPlanItem


@dataclass(frozen=True, slots=True)
class DecisionLabels:
    """What the two decisions are called on an item, and the item itself: `call`, `question`, `plan`."""

    accept: str
    refuse: str
    noun: str


def decision_labels(item: PendingItem) -> DecisionLabels:
    """Return what deciding on an item is called."""
    if isinstance(item, PendingRequestItem):
        return DecisionLabels(server_request_card.accept_label(item.event), "decline", "question")
    return DecisionLabels("approve", "reject", "plan" if isinstance(item, PendingPlanItem) else "call")


def compose_body(item: PendingItem, width: int) -> CardBody:
    """Draw the parts of an item's card."""
    match item:
        case PendingRequestItem():
            return server_request_card.compose_body(item, width)
        case PendingPlanItem():
            return plan_card.compose_body(item, width)
        case _:
            return call_card.compose_body(item, width)


def item_name(item: PendingItem) -> str:
    """Return what an item is called: whose it is, and what."""
    dot = "·" if isinstance(item, PendingPlanItem) else "›"
    label = visible_identifier(item.label) if isinstance(item, ApprovalRequested) else visible(item.label)
    return f"{visible_identifier(item.server)} {dot} {label}"


def chip(item: PendingItem) -> Content:
    """Return the filled word that says of what kind an item is."""
    match item:
        case PendingRequestItem(event=event):
            return server_request_card.chip(event)
        case PendingPlanItem(event=plan):
            return plan_card.chip(plan)
        case _:
            return call_card.chip(item)


def headline(item: PendingItem) -> SafeText:
    """Return what says most about an item, on one line."""
    if isinstance(item, PendingRequestItem):
        return server_request_card.headline(item.event)
    if isinstance(item, PendingPlanItem):
        return plan_card.headline(item.event)
    return main_argument(parse(item.arguments_json) if item.complete else None)


def is_form(item: PendingItem) -> bool:
    """Whether accepting only opens a form: what is sent is decided on there."""
    return isinstance(item, PendingRequestItem) and item.event.kind == "form"


def why_blocked(item: PendingItem) -> str:
    """Return why an item cannot be accepted as it stands, "" if it can."""
    return server_request_card.why_blocked(item.event) if isinstance(item, PendingRequestItem) else ""


def why_not_in_batch(item: PendingItem) -> str:
    """Return why an item may not be decided together with others, "" if it may."""
    if isinstance(item, PendingRequestItem):
        return "a question of a server is answered by itself"
    if isinstance(item, PendingPlanItem):
        return "a plan is decided on by itself"
    if item.risk == "destructive":
        return "it destroys; such calls are approved one by one"
    if item.held:
        return "its server or tool changed; look at it by itself"
    if item.edited:
        return "it was edited; look at it by itself"
    return "" if item.complete else "it is too long to be shown together with others"


def copy_text(item: PendingItem) -> tuple[str, str]:
    """Return the text that copying an item copies, and what it is called."""
    if isinstance(item, PendingRequestItem):
        return server_request_card.copy_text(item.event)
    if isinstance(item, PendingPlanItem):
        return item.arguments_json, "the plan"
    return (item.arguments_json if item.complete else item.arguments), "the arguments"
