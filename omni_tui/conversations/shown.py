"""A conversation made safe to read: what every form but JSON is written from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from omni_tui.conversations.document import (
    LONGEST_TEXT,
    FileCall,
    FileItem,
    FileMessage,
    FileNote,
    FileSession,
    FileThought,
)
from omni_tui.conversations.from_journal import shown_part
from omni_tui.protocol import SafeText
from omni_tui.protocol.deciders import outcome_words
from omni_tui.protocol.loaded import PROGRAMS
from omni_tui.security.text import safe, safe_json, safe_line

MARKS = {"succeeded": "✓", "failed": "✗", "result_rejected": "✗", "uncertain": "?"}
_MARK = "⊘"
_NONE = SafeText("")


@dataclass(frozen=True, slots=True)
class ShownItem:
    """One item, safe to show. `about` is a line beside its name: outcome of a call, attachments.

    Of a call `name` is `server › tool`, `mark` its outcome as a sign, `text` its arguments, and `results`
    are its results.
    """

    kind: Literal["you", "answer", "thought", "call", "note"]
    text: SafeText
    name: SafeText = _NONE
    about: SafeText = _NONE
    mark: str = ""
    good: bool = True
    when: str = ""
    ts: float = 0.0
    results: tuple[SafeText, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class ShownConversation:
    """A conversation with a title and facts about it, such as `model: offline`. Iterate its items once."""

    title: SafeText
    facts: tuple[SafeText, ...]
    items: Iterator[ShownItem]
    created: float


def shown(session: FileSession, items: Iterable[FileItem]) -> ShownConversation:
    """Return a conversation with every text made safe, each item when it is asked for."""
    facts = []
    if session.created:
        facts.append(f"{_when(session.created)} UTC")
    if session.model:
        facts.append(f"model {session.model}")
    facts += [f"#{tag}" for tag in session.tags]
    if session.loaded is not None:
        facts.append(f"loaded from {session.loaded.file} ({PROGRAMS[session.loaded.source]})")
    if session.unread:
        facts.append(f"{session.unread:,} saved events could not be read and are missing")
    return ShownConversation(
        title=safe_line(session.title, joined=True) if session.title.strip() else safe("SavedConversation"),
        facts=tuple(safe_line(fact) for fact in facts),
        items=_items(items),
        created=session.created,
    )


def _items(items: Iterable[FileItem]) -> Iterator[ShownItem]:
    for item in items:
        when = _when(item.ts) if item.ts else ""
        match item:
            case FileMessage(role="user"):
                names = ", ".join(
                    f"{each.server} › {each.label or each.address}" for each in item.attachments
                )
                about = safe_line(f"with {names}" if names else "", limit=500)
                yield ShownItem("you", _safe(item.text), about=about, when=when, ts=item.ts)
            case FileMessage():
                facts = [item.agent if item.agent != "root" else "", item.label]
                facts.append("cut off" if item.partial else "")
                about = safe_line(" · ".join(filter(None, facts)))
                yield ShownItem("answer", _safe(item.text), about=about, when=when, ts=item.ts)
            case FileThought():
                yield ShownItem("thought", _safe(item.text), when=when, ts=item.ts)
            case FileCall():
                yield _call(item, when)
            case FileNote():
                yield ShownItem("note", _safe(item.text), good=not item.warning, when=when, ts=item.ts)


def _call(call: FileCall, when: str) -> ShownItem:
    name = safe_line(f"{call.server} › {call.tool}" if call.server else call.tool, limit=400)
    return ShownItem(
        "call",
        safe_json(json.loads(bytes(call.arguments)), limit=LONGEST_TEXT),
        name=name,
        about=safe_line(" · ".join(filter(None, _outcome(call))), limit=1_000),
        mark=MARKS.get(call.state, _MARK),
        good=call.state == "succeeded",
        when=when,
        ts=call.ts,
        results=tuple(_safe(shown_part(part)) for part in call.result),
    )


def _outcome(call: FileCall) -> Iterator[str]:
    if call.state == "unfinished":
        yield "had not ended when this was saved"
    elif call.state not in ("succeeded", "failed", "result_rejected"):
        yield outcome_words(call.state, call.decider)
    elif call.state != "succeeded":
        yield "failed" if call.state == "failed" else "its result breaks its schema"
    if call.elapsed_ms:
        yield f"{call.elapsed_ms / 1000:.1f} s" if call.elapsed_ms >= 1000 else f"{call.elapsed_ms:.0f} ms"
    yield call.reason
    yield f"“{call.feedback}”" if call.feedback else ""
    yield "by hand" if call.origin == "hand" else ""
    yield call.agent if call.agent != "root" else ""


def _safe(text: str) -> SafeText:
    return safe(text, limit=LONGEST_TEXT * 2)


def _when(ts: float) -> str:
    try:
        return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return ""
