"""Read a transcript of Claude Code: one JSON object a line, under `~/.claude/projects`.

Lines have a `type`; `user` and `assistant` carry a `message` with `content`, a text or blocks (`text`,
`thinking`, `tool_use`, `tool_result`, `image`). Lines of sub-agents say `isSidechain`, lines that the
program put in say `isMeta`, summaries `isCompactSummary`. Edited messages leave their former branch in the
file; all of it is read, in its order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from omni_tui.conversations.document import FilePart, SavedConversation
from omni_tui.conversations.foreign import (
    ItemCollector,
    dict_in,
    list_in,
    moment_in,
    server_and_tool,
    text_in,
    text_part,
)

_SPOKEN = ("user", "assistant")


def is_claude_code(line: dict[str, Any]) -> bool:
    """Whether a line is one of such a transcript."""
    if line.get("type") in _SPOKEN and isinstance(line.get("message"), dict):
        return True
    return line.get("type") in ("summary", "ai-title") or (
        isinstance(line.get("sessionId"), str) and isinstance(line.get("type"), str)
    )


def from_claude_code(lines: Iterable[dict[str, Any]]) -> SavedConversation:
    """Return the conversation of a transcript."""
    collector = ItemCollector("claude-code")
    seen: set[str] = set()
    ident = title = model = ""
    created = 0.0
    for line in lines:
        ident = ident or text_in(line.get("sessionId"))
        title = text_in(line.get("aiTitle")) or title or text_in(line.get("summary"))
        uuid = text_in(line.get("uuid"))
        if line.get("type") not in _SPOKEN or line.get("isMeta") is True or uuid in seen:
            continue
        if uuid:
            seen.add(uuid)
        ts = moment_in(line.get("timestamp"))
        created = created or ts
        message = dict_in(line.get("message"))
        model = text_in(message.get("model")) or model
        if line.get("isCompactSummary") is True:
            collector.note(f"summary of what came before:\n{text_in(message.get('content'))}", ts)
            continue
        agent = "sub-agent" if line.get("isSidechain") is True else "root"
        _take(collector, message, line["type"], ts, agent)
    return collector.conversation(ident=ident, title=title, model=model, created=created)


def _take(collector: ItemCollector, message: dict[str, Any], role: str, ts: float, agent: str) -> None:
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list_in(content)
    said: list[str] = []
    for block in map(dict_in, blocks):
        match block.get("type"):
            case "text" if role == "user":
                said.append(text_in(block.get("text")))
            case "text":
                collector.answer(text_in(block.get("text")), ts, agent)
            case "thinking":
                collector.thought(text_in(block.get("thinking")), ts, agent)
            case "tool_use" | "server_tool_use":
                server, tool = server_and_tool(text_in(block.get("name")))
                collector.call(text_in(block.get("id")), server, tool, block.get("input"), ts, agent)
            case "tool_result":
                parts = _parts(block.get("content"))
                failed = block.get("is_error") is True
                collector.result(text_in(block.get("tool_use_id")), parts, failed=failed)
            case "image":
                said.append("[an image, which is not loaded]")
    if said and agent == "root":
        collector.user("\n".join(said), ts)
    elif said:
        collector.thought("\n".join(said), ts, agent)


def _parts(content: object) -> tuple[FilePart, ...]:
    if isinstance(content, str):
        return (text_part(content),)
    parts = []
    for block in map(dict_in, list_in(content)):
        if block.get("type") == "text":
            parts.append(text_part(text_in(block.get("text"))))
        elif block.get("type") == "image":
            source = dict_in(block.get("source"))
            size = len(text_in(source.get("data"))) * 3 // 4
            parts.append(FilePart(kind="image", mime=text_in(source.get("media_type")), size=size))
    return tuple(parts)
