"""Read the log of `llm` (`logs.db`), of both of its schemas.

Since 0.32 a thread has a tip, a message, and each message its parent; the parts of a message are texts,
thoughts, calls and results. Before, a conversation had responses with a prompt and an answer each.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from omni_tui.conversations.document import MOST_ITEMS, SavedConversation
from omni_tui.conversations.foreign import (
    ItemCollector,
    dict_in,
    json_in,
    moment_in,
    server_and_tool,
    text_in,
    text_part,
)
from omni_tui.conversations.foreign_database import ForeignDatabase, Value, text_of

_Parts = dict[str, list[dict[str, Value]]]


def is_llm(database: ForeignDatabase) -> bool:
    """Whether a database is such a log."""
    return database.has("conversations", "responses") or database.has("threads", "messages", "parts")


def from_llm(database: ForeignDatabase) -> list[SavedConversation]:
    """Return the conversations of a log, oldest first."""
    found: list[SavedConversation] = []
    if database.has("conversations", "responses"):
        found += _of_responses(database)
    if database.has("threads", "turns", "messages", "parts"):
        found += _of_threads(database)
    return found


# --- threads ----------------------------------------------------------------------------------------


def _of_threads(database: ForeignDatabase) -> list[SavedConversation]:
    parents: dict[str, tuple[str, str]] = {}
    for row in database.rows("messages", ("hash", "parent_hash", "role")):
        parents[text_of(row["hash"])] = text_of(row["parent_hash"]), text_of(row["role"])
    parts: _Parts = defaultdict(list)
    for row in database.rows("parts", ("message_hash", "position", "type", "tool_name", "text", "payload")):
        parts[text_of(row["message_hash"])].append(row)
    times: dict[str, float] = {}
    models: dict[str, str] = {}
    for row in database.rows("turns", ("thread_id", "tip_message_hash", "model", "datetime_utc")):
        times[text_of(row["tip_message_hash"])] = moment_in(row["datetime_utc"])
        models[text_of(row["thread_id"])] = text_of(row["model"])
    found = []
    for row in database.rows("threads", ("id", "name", "tip_message_hash", "datetime_utc")):
        ident = text_of(row["id"])
        collector = ItemCollector("llm")
        chain = _chain(text_of(row["tip_message_hash"]), parents)
        when, ts = dict.fromkeys(chain, 0.0), 0.0
        for message in reversed(chain):  # the time of a turn stands at its last message
            when[message] = ts = times.get(message, ts)
        for message in chain:
            ts = when[message]
            for part in sorted(parts.get(message, ()), key=_position):
                _take(collector, part, parents[message][1], ts)
        found.append(
            collector.conversation(
                ident=ident,
                title=text_of(row["name"]),
                model=models.get(ident, ""),
                created=moment_in(row["datetime_utc"]),
            )
        )
    return found


def _chain(tip: str, parents: dict[str, tuple[str, str]]) -> list[str]:
    """Return the messages up to a tip, first one first; a circle ends it."""
    chain: dict[str, None] = {}
    while tip in parents and tip not in chain and len(chain) < MOST_ITEMS:
        chain[tip] = None
        tip = parents[tip][0]
    return list(chain)[::-1]


def _position(part: dict[str, Value]) -> int:
    return part["position"] if isinstance(part["position"], int) else 0


def _take(collector: ItemCollector, part: dict[str, Value], role: str, ts: float) -> None:
    text, payload = text_of(part["text"]), _payload(part["payload"])
    match part["type"]:
        case "text" if role == "user":
            collector.user(text, ts)
        case "text" if role == "assistant":
            collector.answer(text, ts)
        case "reasoning":
            collector.thought(text, ts)
        case "tool_call":
            server, tool = server_and_tool(text_in(payload.get("name")) or text_of(part["tool_name"]))
            ident = text_in(payload.get("tool_call_id"))
            collector.call(ident, server, tool, dict_in(payload.get("arguments")), ts)
        case "tool_result":
            failed = bool(payload.get("exception"))
            output = text_in(payload.get("output"))
            collector.result(text_in(payload.get("tool_call_id")), (text_part(output),), failed=failed)


def _payload(value: Value) -> dict[str, Any]:
    try:
        return dict_in(json_in(text_of(value))) if value else {}
    except ValueError:
        return {}


# --- conversations and responses --------------------------------------------------------------------


def _of_responses(database: ForeignDatabase) -> list[SavedConversation]:
    names = {
        text_of(row["id"]): (text_of(row["name"]), text_of(row["model"]))
        for row in database.rows("conversations", ("id", "name", "model"))
    }
    calls, results = _by_response(database, "tool_calls"), _by_response(database, "tool_results")
    collectors: dict[str, ItemCollector] = {}
    began: dict[str, float] = {}
    columns = ("id", "conversation_id", "prompt", "response", "reasoning", "datetime_utc")
    for row in database.rows("responses", columns):
        ident = text_of(row["conversation_id"]) or text_of(row["id"])
        collector = collectors.setdefault(ident, ItemCollector("llm"))
        ts = moment_in(row["datetime_utc"])
        began.setdefault(ident, ts)
        for result in results[text_of(row["id"])]:
            failed = bool(result["exception"])
            output = text_of(result["output"])
            collector.result(text_of(result["tool_call_id"]), (text_part(output),), failed=failed)
        collector.user(text_of(row["prompt"]), ts)
        collector.thought(text_of(row["reasoning"]), ts)
        collector.answer(text_of(row["response"]), ts)
        for call in calls[text_of(row["id"])]:
            server, tool = server_and_tool(text_of(call["name"]))
            ident_of_call = text_of(call["tool_call_id"])
            collector.call(ident_of_call, server, tool, text_of(call["arguments"]) or "{}", ts)
    return [
        collector.conversation(
            ident=ident,
            title=names.get(ident, ("", ""))[0],
            model=names.get(ident, ("", ""))[1],
            created=began[ident],
        )
        for ident, collector in collectors.items()
    ]


def _by_response(database: ForeignDatabase, table: str) -> _Parts:
    rows: _Parts = defaultdict(list)
    if database.has(table):
        columns = ("response_id", "name", "arguments", "output", "exception", "tool_call_id")
        for row in database.rows(table, columns):
            rows[text_of(row["response_id"])].append(row)
    return rows
