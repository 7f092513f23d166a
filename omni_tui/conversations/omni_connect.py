"""Read a saved history of MCPOmni Connect, the program that Omni TUI descends from.

It is a JSON list of messages, or an object with such a list for each session. A message has `role` (`user`,
`assistant`, `tool`, `system`), `content`, `timestamp`, and `msg_metadata` (`metadata` in other versions),
in which an answer has `tool_calls`, and a result `tool_call_id`, `tool` and `args`. The times of its first
versions are no times of day; those are left out. Versions up to 0.1.14 wrote lines `role: content` instead.
"""

from __future__ import annotations

import re
from typing import Any

from omni_tui.conversations.document import SavedConversation, UnreadableFile
from omni_tui.conversations.foreign import (
    ItemCollector,
    dict_in,
    json_in,
    list_in,
    moment_in,
    text_in,
    text_part,
)

_ROLES = frozenset(("user", "assistant", "tool", "system"))
_LINE = re.compile(r"(user|assistant|tool|system): ?(.*)", re.DOTALL)
_AGENT = re.compile(r"Agent: \S.*")
_EARLIEST = 1_000_000_000.0
"""Unix time; what is before is the time since a start."""


def is_history(value: object) -> bool:
    """Whether a JSON value is such a list of messages."""
    messages = list_in(value)
    return bool(messages) and all(
        isinstance(each, dict) and each.get("role") in _ROLES and "content" in each for each in messages
    )


def from_history(value: object) -> list[SavedConversation]:
    """Return the conversations of a file. Raises `UnreadableFile` if it is not one."""
    if is_history(value):
        return [_conversation("", list_in(value))]
    sessions = dict_in(value)
    if sessions and all(is_history(each) for each in sessions.values() if each):
        return [_conversation(name, each) for name, each in sessions.items() if each]
    raise UnreadableFile("it is JSON, but no conversation that Omni TUI knows")


def _conversation(name: str, messages: list[dict[str, Any]]) -> SavedConversation:
    collector = ItemCollector("omni-connect")
    ident = name
    for number, message in enumerate(messages):
        ident = ident or text_in(message.get("session_id"))
        about = dict_in(message.get("msg_metadata")) or dict_in(message.get("metadata"))
        ts = moment_in(message.get("timestamp"))
        ts = ts if ts >= _EARLIEST else 0.0
        content = message["content"]
        text = content if isinstance(content, str) else _as_text(content)
        match message["role"]:
            case "user":
                collector.user(text, ts)
            case "assistant":
                collector.answer(text, ts)
                for call in list_in(about.get("tool_calls")) or list_in(message.get("tool_calls")):
                    _call(collector, dict_in(call), ts)
            case "tool":
                _result(collector, message, about, text, ts, number)
    return collector.conversation(ident=ident, title=name)


def _call(collector: ItemCollector, call: dict[str, Any], ts: float) -> None:
    function = dict_in(call.get("function"))
    arguments = function.get("arguments")
    given = arguments if isinstance(arguments, str | dict | list) else {}
    collector.call(text_in(call.get("id")), "", text_in(function.get("name")), given or "{}", ts)


def _result(
    collector: ItemCollector,
    message: dict[str, Any],
    about: dict[str, Any],
    text: str,
    ts: float,
    number: int,
) -> None:
    ident = text_in(about.get("tool_call_id")) or text_in(message.get("tool_call_id"))
    if not collector.knows(ident):  # a result that stands alone tells its call itself
        ident = ident or f"message {number}"
        given = about.get("args")
        arguments = given if isinstance(given, str | dict | list) else {}
        collector.call(ident, "", text_in(about.get("tool")), arguments or "{}", ts)
    collector.result(ident, (text_part(text),))


def _as_text(content: object) -> str:
    if content is None:
        return ""
    texts = [text_in(dict_in(block).get("text")) for block in list_in(content)]
    return "\n".join(filter(None, texts))


def is_lines(text: str) -> bool:
    """Whether a text is a history of the versions that wrote lines."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    return bool(_LINE.fullmatch(first) or _AGENT.fullmatch(first))


def from_lines(text: str) -> list[SavedConversation]:
    """Return the conversation of such lines. A line that names no role goes on with the message before."""
    collector = ItemCollector("omni-connect")
    role, said = "", list[str]()
    for line in [*text.split("\n"), "system: "]:
        found = _LINE.fullmatch(line)
        if found is None and not _AGENT.fullmatch(line):
            said.append(line)
            continue
        words = "\n".join(said).strip("\n")
        if role == "user":
            collector.user(words)
        elif role in ("assistant", "tool"):
            collector.answer(words if role == "assistant" else f"(result of a tool)\n{words}")
        role, said = (found[1], [found[2]]) if found else ("", [])
    return [collector.conversation()]


def read_json(data: str) -> Any:
    """Return the value of a file. Raises `UnreadableFile`, with the place of what is wrong."""
    try:
        return json_in(data)
    except ValueError as error:
        raise UnreadableFile(f"it is damaged: {error}") from None
