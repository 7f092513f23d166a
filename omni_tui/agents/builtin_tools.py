"""Carries out the built-in tools. They call no server; the transcript shows their use."""

from __future__ import annotations

import json

from omni_tui.agents.agent_host import ToolOutcome
from omni_tui.agents.turn_limits import ChatPolicy
from omni_tui.agents.turn_writer import TurnWriter
from omni_tui.models.base import ToolCall
from omni_tui.models.builtin_tool_specs import FIND_TOOLS, FOUND, PAGE
from omni_tui.models.message_history import FROM_SERVER, arguments_of
from omni_tui.protocol.context import BuiltinToolCalled
from omni_tui.security.text import safe_line, strip_invisible

_DESCRIBED = 200
_LINE = 300


class BuiltinTools:
    """The built-in tools in one turn of an agent."""

    def __init__(self, writer: TurnWriter, policy: ChatPolicy) -> None:
        self._writer = writer
        self._policy = policy
        self._selector = writer.host.window(writer.agent).offering

    async def call(self, call: ToolCall) -> ToolOutcome:
        """Answer a call of a tool in `BUILTIN_TOOLS`, and journal question and answer."""
        arguments = arguments_of(call) or {}
        if call.name == FIND_TOOLS.name:
            return await self._find(arguments)
        return await self._read(arguments)

    async def _find(self, arguments: dict[str, object]) -> ToolOutcome:
        query = arguments.get("query")
        if not isinstance(query, str) or not query.strip():
            return ToolOutcome("`query` must be some words.", "invalid")
        tools = self._writer.host.tools()
        found = self._selector.find(tools, query, FOUND)
        rows = [
            {
                "name": tool.name,
                "description": " ".join(strip_invisible(tool.description)[0].split())[:_DESCRIBED],
            }
            for tool in found
        ]
        names = ", ".join(tool.shown for tool in found)
        await self._tell(call="find_tools", asked=query, answer=names or "nothing fits")
        if not rows:
            return ToolOutcome(
                f"None of the {len(tools)} tools has these words. Try others, or go on without.", "done"
            )
        # Servers wrote the descriptions, so they are data.
        text = json.dumps(rows, ensure_ascii=False, indent=0)
        return ToolOutcome(text, "succeeded", note="\n[Omni TUI: these tools are on offer from now on.]")

    async def _read(self, arguments: dict[str, object]) -> ToolOutcome:
        call, offset = arguments.get("call"), arguments.get("offset", 0)
        if not isinstance(call, str) or not isinstance(offset, int) or isinstance(offset, bool):
            return ToolOutcome("`call` must be an id (c-…) and `offset` a whole number.", "invalid")
        stored = await self._writer.host.stored(call[:100])
        if stored is None:
            await self._tell(call="read_result", asked=call, answer="there is no such result")
            return ToolOutcome("There is no result of that id in this session.", "invalid")
        total = len(stored.text)
        start = max(0, min(offset, total))
        end = min(total, start + min(PAGE, self._policy.result_limit))
        if start >= end:
            return ToolOutcome(f"The result has {total} characters; nothing is at {offset}.", "invalid")
        rest = f"; go on with offset {end}" if end < total else "; that was the last of it"
        where = f"characters {start} to {end} of {total}"
        await self._tell(call="read_result", asked=call, answer=where)
        note = f"\n[Omni TUI: {where} of the result of call {strip_invisible(call)[0]}{rest}]"
        # A server wrote it, whatever the state of its call.
        status = stored.status if stored.status in FROM_SERVER else "failed"
        return ToolOutcome(stored.text[start:end], status, note=note)

    async def _tell(self, *, call: str, asked: str, answer: str) -> None:
        event = BuiltinToolCalled(
            turn=self._writer.turn,
            tool="find_tools" if call == "find_tools" else "read_result",
            asked=safe_line(asked, limit=_LINE, joined=True),
            answer=safe_line(answer, limit=_LINE, joined=True),
            agent=self._writer.agent,
        )
        await self._writer.commit(event)
