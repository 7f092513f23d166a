"""Carries out the built-in tools. They call no server; the transcript shows their use."""

from __future__ import annotations

import json
from typing import Literal

from omni_tui.agents.agent_host import ToolOutcome
from omni_tui.agents.goal import track_goal
from omni_tui.agents.turn_limits import TurnSettings
from omni_tui.agents.turn_writer import TurnWriter
from omni_tui.models.base import ToolCall
from omni_tui.models.builtin_tool_specs import FIND_TOOLS, FOUND, PAGE, TRACK_GOAL
from omni_tui.models.message_history import FROM_SERVER, arguments_of
from omni_tui.protocol.context import BuiltinToolCalled
from omni_tui.security.text import safe_line, strip_invisible

_DESCRIBED = 200
_LINE = 300


async def call_builtin(call: ToolCall, writer: TurnWriter, settings: TurnSettings) -> ToolOutcome:
    """Answer a call of a tool in `BUILTIN_TOOLS`, and journal question and answer."""
    arguments = arguments_of(call) or {}
    if call.name == FIND_TOOLS.name:
        return await _find(writer, arguments)
    if call.name == TRACK_GOAL.name:
        return await track_goal(writer, arguments)
    return await _read(writer, arguments, min(PAGE, settings.result_limit))


async def _find(writer: TurnWriter, arguments: dict[str, object]) -> ToolOutcome:
    query = arguments.get("query")
    if not isinstance(query, str) or not query.strip():
        return ToolOutcome("`query` must be some words.", "invalid")
    tools = writer.host.tools()
    found = writer.host.window(writer.agent).offering.find(tools, query, FOUND)
    names = ", ".join(tool.shown for tool in found)
    await _journal(writer, "find_tools", query, names or "nothing fits")
    if not found:
        text = f"None of the {len(tools)} tools has these words. Try others, or go on without."
        return ToolOutcome(text, "done")
    rows = [
        {
            "name": tool.name,
            "description": " ".join(strip_invisible(tool.description)[0].split())[:_DESCRIBED],
        }
        for tool in found
    ]
    # Servers wrote the descriptions, so they are data.
    text = json.dumps(rows, ensure_ascii=False, indent=0)
    return ToolOutcome(text, "succeeded", note="\n[Omni TUI: these tools are on offer from now on.]")


async def _read(writer: TurnWriter, arguments: dict[str, object], page: int) -> ToolOutcome:
    call, offset = arguments.get("call"), arguments.get("offset", 0)
    if not isinstance(call, str) or not isinstance(offset, int) or isinstance(offset, bool):
        return ToolOutcome("`call` must be an id (c-…) and `offset` a whole number.", "invalid")
    stored = await writer.host.stored(call[:100])
    if stored is None:
        await _journal(writer, "read_result", call, "there is no such result")
        return ToolOutcome("There is no result of that id in this session.", "invalid")
    total = len(stored.text)
    start = max(0, min(offset, total))
    end = min(total, start + page)
    if start >= end:
        return ToolOutcome(f"The result has {total} characters; nothing is at {offset}.", "invalid")
    rest = f"; go on with offset {end}" if end < total else "; that was the last of it"
    where = f"characters {start} to {end} of {total}"
    await _journal(writer, "read_result", call, where)
    note = f"\n[Omni TUI: {where} of the result of call {strip_invisible(call)[0]}{rest}]"
    # A server wrote it, whatever the state of its call.
    status = stored.status if stored.status in FROM_SERVER else "failed"
    return ToolOutcome(stored.text[start:end], status, note=note)


async def _journal(
    writer: TurnWriter, tool: Literal["find_tools", "read_result"], asked: str, answer: str
) -> None:
    event = BuiltinToolCalled(
        turn=writer.turn,
        tool=tool,
        asked=safe_line(asked, limit=_LINE, joined=True),
        answer=safe_line(answer, limit=_LINE, joined=True),
        agent=writer.agent,
    )
    await writer.commit(event)
