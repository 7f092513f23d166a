"""Read a transcript of Codex (`rollout-….jsonl`): one JSON object a line, under `~/.codex/sessions`.

A line is `{"timestamp", "type", "payload"}`. `session_meta` begins it; `response_item` holds what the model
had: `message`, `reasoning`, `function_call`, `custom_tool_call` and their outputs; `event_msg` what was
shown. Where there are events of what the person typed, they count: the messages of the items also hold
instructions and facts about the environment. Such an event is `user_message` or, since 2026,
`item_completed` with a `UserMessage`; the latter also tells of commands, changes of files and calls whether
they failed. Older files have the items without the envelope.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from omni_tui.conversations.document import FilePart, SavedConversation
from omni_tui.conversations.foreign import (
    ItemCollector,
    dict_in,
    json_in,
    list_in,
    moment_in,
    server_and_tool,
    text_in,
    text_part,
)

_ITEMS = frozenset({
    "message", "reasoning", "function_call", "function_call_output", "custom_tool_call",
    "custom_tool_call_output", "local_shell_call",
})  # fmt: skip
_FAILED = ("failed", "declined")
_PUT_IN = ("<environment_context>", "<user_instructions>", "# AGENTS.md instructions")
"""How messages begin that the program puts in for the person."""


def is_codex(line: dict[str, Any]) -> bool:
    """Whether a line is one of such a transcript."""
    if line.get("type") in ("session_meta", "response_item", "event_msg", "turn_context"):
        return isinstance(line.get("payload"), dict)
    return line.get("type") in _ITEMS or ("instructions" in line and "timestamp" in line and "id" in line)


def from_codex(lines: Iterable[dict[str, Any]]) -> SavedConversation:
    """Return the conversation of a transcript."""
    whole = list(lines)
    events = [dict_in(line.get("payload")) for line in whole if line.get("type") == "event_msg"]
    completed = [dict_in(event.get("item")) for event in events if event.get("type") == "item_completed"]
    failed = {text_in(item.get("id")) for item in completed if item.get("status") in _FAILED}
    messages = any(event.get("type") == "user_message" for event in events)
    typed = messages or any(item.get("type") == "UserMessage" for item in completed)
    collector = ItemCollector("codex")
    ident = model = ""
    created = 0.0
    for line in whole:
        ts = moment_in(line.get("timestamp"))
        created = created or ts
        payload = dict_in(line.get("payload"))
        match line.get("type"):
            case "session_meta":
                ident = ident or text_in(payload.get("id"))
            case "turn_context":
                model = text_in(payload.get("model")) or model
            case "event_msg" if payload.get("type") == "user_message":
                collector.user(text_in(payload.get("message")), ts)
            case "event_msg" if payload.get("type") == "item_completed" and not messages:
                item = dict_in(payload.get("item"))
                if item.get("type") == "UserMessage":
                    collector.user(_text(item.get("content")), ts)
            case "response_item":
                _take(collector, payload, ts, typed=typed, failed=failed)
            case kind if kind in _ITEMS:
                _take(collector, line, ts, typed=typed, failed=failed)
            case None:
                ident = ident or text_in(line.get("id"))
    return collector.conversation(ident=ident, model=model, created=created)


def _take(
    collector: ItemCollector, item: dict[str, Any], ts: float, *, typed: bool, failed: Collection[str]
) -> None:
    """Take an item; `failed` are the calls that are told to have failed elsewhere."""
    ident = text_in(item.get("call_id")) or text_in(item.get("id"))
    match item.get("type"):
        case "message" if item.get("role") == "assistant":
            collector.answer(_text(item.get("content")), ts)
        case "message" if item.get("role") == "user" and not typed:
            text = _text(item.get("content"))
            if not text.lstrip().startswith(_PUT_IN):
                collector.user(text, ts)
        case "reasoning":
            collector.thought(_text(item.get("summary")) or _text(item.get("content")), ts)
        case "function_call":
            server, tool = _named(item)
            collector.call(ident, server, tool, text_in(item.get("arguments")) or "{}", ts)
        case "custom_tool_call":
            server, tool = _named(item)
            collector.call(ident, server, tool, {"input": text_in(item.get("input"))}, ts)
        case "local_shell_call":
            collector.call(ident, "", "local_shell", dict_in(item.get("action")), ts)
        case "function_call_output" | "custom_tool_call_output":
            part, bad = _output(item.get("output"))
            collector.result(ident, (part,), failed=bad or ident in failed)


def _named(item: dict[str, Any]) -> tuple[str, str]:
    """Return server and tool of a call; the server may stand in a field of its own, the namespace."""
    space, name = text_in(item.get("namespace")), text_in(item.get("name"))
    return server_and_tool(f"{space}__{name}" if space.startswith("mcp__") else name)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(filter(None, (text_in(dict_in(block).get("text")) for block in list_in(content))))


def _output(output: object) -> tuple[FilePart, bool]:
    """Return the text of an output, and whether it is that of a failure."""
    if isinstance(output, str):
        try:
            value = dict_in(json_in(output)) if output.startswith("{") else {}
        except ValueError:
            value = {}
        if not isinstance(value.get("output"), str):
            return text_part(output), False
        code = dict_in(value.get("metadata")).get("exit_code")
        return text_part(value["output"]), isinstance(code, int) and code != 0
    value = dict_in(output)
    text = _text(value.get("content")) or _text(output)
    return text_part(text), value.get("success") is False
