"""What the person is shown about a call: built from the exact bytes, made safe, honest about gaps."""

from __future__ import annotations

import json
from dataclasses import dataclass

from omni_tui.approvals.pins import since
from omni_tui.approvals.subject import Subject
from omni_tui.memory import CallRow
from omni_tui.protocol import JsonText, Mode
from omni_tui.protocol.events import ApprovalRequested, CallProposed
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import count_hidden, exact_json, safe, safe_json, safe_line

CARD_LIMIT = 48_000
"""Characters of arguments that travel with a card; the rest is fetched before it can be approved."""

_PREVIEW = 2_000


@dataclass(frozen=True, slots=True)
class CardContent:
    """Why a call is asked about, and whether it is a second showing."""

    subject: Subject
    why: tuple[str, ...]
    held: bool = False
    edited: bool = False
    restored: bool = False
    fallback: str = ""
    """For what the call stands in, "" if it was wanted itself."""
    mode: Mode | None = None
    """The mode under which it waits, None for a call by hand."""
    expires: float = 0.0
    """When it ends by itself, unapproved, as Unix time; 0 for never."""


def call_proposed(card: CardContent, row: CallRow, digest: str) -> CallProposed:
    """Return the event that says somebody wants to make a call."""
    return CallProposed(
        call=row.call,
        server=row.server,
        tool=row.tool,
        label=identifier(row.tool),
        arguments=safe_json(json.loads(row.args), limit=_PREVIEW, joined=False),
        size=len(row.args),
        digest=digest,
        origin="hand" if row.origin == "hand" else "agent",
        turn=row.turn,
        agent=row.agent,
        risk=card.subject.risk,
        server_trusted=card.subject.server_trusted,
        fallback=safe(card.fallback, limit=500, joined=False),
    )


def request_approval(card: CardContent, row: CallRow, digest: str) -> ApprovalRequested:
    """Return the event that puts a call before the person."""
    subject = card.subject
    value = json.loads(row.args)
    exact = exact_json(value)
    complete = len(exact) <= CARD_LIMIT
    return ApprovalRequested(
        call=row.call,
        server=row.server,
        tool=row.tool,
        label=identifier(row.tool),
        digest=digest,
        risk=subject.risk,
        server_trusted=subject.server_trusted,
        why=tuple(safe(reason, limit=500, joined=False) for reason in (card.fallback, *card.why) if reason),
        arguments=safe_json(value, limit=CARD_LIMIT, joined=False),
        arguments_json=exact if complete else JsonText(exact[:CARD_LIMIT]),
        size=len(row.args),
        complete=complete,
        differs=count_hidden(row.args.decode("utf-8", "replace"), joined=False) > 0 or _escapes(value),
        held=card.held,
        description=safe(subject.description, limit=2_000, joined=False),
        title=safe_line(subject.title, limit=128),
        target=safe(subject.target, limit=2_000, joined=False),
        transport=subject.transport,
        trust=safe_line(_trust(subject)),
        turn=row.turn,
        agent=row.agent,
        origin="hand" if row.origin == "hand" else "agent",
        edited=card.edited,
        restored=card.restored,
        mode=card.mode,
        news=subject.news,
        alike=subject.alike,
        expires=card.expires,
    )


def _trust(subject: Subject) -> str:
    """Return in words how far a tool is the one that the person knows."""
    if not subject.transport:
        return "not connected"
    if subject.server_trust == "changed":
        return "how it is started, or what it says about its use, has changed"
    if subject.tool_trust == "new":
        return "new on this server"
    return f"{subject.tool_trust} since {since(subject.first_seen)}"


def _escapes(value: object) -> bool:
    """Whether a string holds characters that JSON escapes and a terminal would act on."""
    if isinstance(value, str):
        return count_hidden(value.replace("\n", "").replace("\t", ""), joined=False) > 0
    if isinstance(value, dict):
        return any(_escapes(key) or _escapes(each) for key, each in value.items())
    return isinstance(value, list) and any(_escapes(each) for each in value)
