"""What of a session can be found: the words of its messages, answers, thoughts, calls and results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

from omni_tui.memory import call_table
from omni_tui.memory.crypto import SealBroken
from omni_tui.memory.sqlite import Transaction
from omni_tui.protocol import AnyEvent, ProtocolError, decode_event
from omni_tui.protocol.events import (
    Answer,
    CallFinished,
    CallProposed,
    SessionOpened,
    SessionTagged,
    SessionTitled,
    Thought,
    UserMessage,
)
from omni_tui.protocol.loaded import CallLoaded
from omni_tui.protocol.session_search import TextRole

LONGEST_RESULT = 16 * 1024
"""Characters of a result that can be found; what comes after is left out."""
_LARGEST_READ = 4 * 1024 * 1024
"""Bytes of a stored result; of a larger one only the preview can be found."""

ROLES: tuple[TextRole, ...] = get_args(TextRole)
_KINDS = (
    UserMessage, Answer, Thought, CallProposed, CallFinished, CallLoaded, SessionOpened, SessionTitled,
    SessionTagged,
)  # fmt: skip
_TYPES = tuple(str(kind.__struct_config__.tag) for kind in _KINDS)


@dataclass(frozen=True, slots=True)
class FoundText:
    """The text of one event. `ts` in Unix seconds; `call`, `message` or `turn` is what it belongs to.

    A title has the tags after it, so that both are found; `server` and `tool` are those of a call.
    """

    seq: int
    ts: float
    role: TextRole
    text: str
    turn: str = ""
    message: str = ""
    call: str = ""
    server: str = ""
    tool: str = ""


@dataclass(frozen=True, slots=True)
class SessionTexts:
    """New texts of a session up to event `head`. `title` and `tags` are None if they did not change."""

    head: int
    texts: list[FoundText]
    title: str | None = None
    tags: tuple[str, ...] | None = None


def texts_after(tx: Transaction, after: int, limit: int = 1_000_000_000) -> SessionTexts:
    """Return the texts of up to `limit` events after number `after`; unreadable events are left out.

    `head` is `after` once there are no more.
    """
    texts: list[FoundText] = []
    title: str | None = None
    tags: tuple[str, ...] | None = None
    (newest,) = tx.execute("SELECT ifnull(max(seq), 0) FROM events").fetchone()
    head = max(after, min(int(newest), after + limit))
    for event in _events(tx, after, head):
        if isinstance(event, SessionOpened | SessionTitled):
            title = event.title
        elif isinstance(event, SessionTagged):
            tags = event.tags
        elif (found := text_of(tx, event)) is not None and found.text:
            texts.append(found)
    return SessionTexts(head, texts, title, tags)


def read_text(tx: Transaction, seq: int) -> FoundText | None:
    """Return the text of one event, None if it has none or cannot be read."""
    return next((text_of(tx, event) for event in _events(tx, seq - 1, seq)), None)


def _events(tx: Transaction, after: int, head: int) -> Iterator[AnyEvent]:
    marks = ", ".join("?" * len(_TYPES))
    found = tx.execute(
        f"SELECT seq, body FROM events WHERE seq > ? AND seq <= ? AND type IN ({marks}) ORDER BY seq",
        (after, head, *_TYPES),
    )
    for seq, body in found:
        try:
            yield decode_event(tx.open(body, f"events/{seq}/body"))
        except (SealBroken, ProtocolError):
            continue


def text_of(tx: Transaction, event: AnyEvent) -> FoundText | None:
    """Return what can be found of an event, None for one without a text."""
    match event:
        case UserMessage():
            return FoundText(event.seq, event.ts, "you", event.text, turn=event.turn)
        case Answer():
            return FoundText(event.seq, event.ts, "answer", event.text, event.turn, event.message)
        case Thought():
            return FoundText(event.seq, event.ts, "thought", event.text, event.turn, event.message)
        case CallProposed():
            text = f"{event.server} {event.tool} {event.arguments}"
            call = FoundText(event.seq, event.ts, "call", text, event.turn, call=event.call)
            return replace(call, server=event.server, tool=event.tool)
        case CallLoaded():
            shown = "\n".join(filter(None, (event.reason, *(part.text for part in event.parts))))
            text = f"{event.server} {event.tool} {event.arguments}\n{shown[:LONGEST_RESULT]}"
            return FoundText(
                event.seq, event.ts, "call", text, event.turn, "", event.call, event.server, event.tool
            )
        case CallFinished():
            return FoundText(event.seq, event.ts, "result", _result(tx, event), call=event.call)
        case _:
            return None


def _result(tx: Transaction, event: CallFinished) -> str:
    shown = "\n".join(filter(None, (event.reason, *(part.text for part in event.parts))))
    whole = _stored_result(tx, event) if any(part.truncated for part in event.parts) else ""
    return (whole or shown)[:LONGEST_RESULT]


def _stored_result(tx: Transaction, event: CallFinished) -> str:
    """Return the texts of a stored result, "" if it is not there, too large or not readable."""
    found = tx.execute(
        "SELECT size FROM results WHERE call = ? AND attempt = ?", (event.call, event.attempt)
    ).fetchone()
    if not found or found[0] > _LARGEST_READ:
        return ""
    try:
        content = json.loads(call_table.get_result(tx, event.call, event.attempt))["content"]
        texts = [block["text"] for block in content if isinstance(block.get("text"), str)]
    except (SealBroken, ValueError, LookupError, TypeError, AttributeError):
        return ""
    return "\n".join(texts)
