"""Commands about tools: describe one, check arguments, call it by hand; the cache and the counts."""

from __future__ import annotations

from omni_tui.engine.context import EngineContext
from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.protocol import AnyEvent, JsonText, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.call_stats import ClearCache, ReadStats, StatsRead
from omni_tui.protocol.events import (
    ArgumentsChecked,
    CommandDone,
    ConfirmNeeded,
    Problem,
    ToolDetails,
)
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import exact_json, safe, safe_line
from omni_tui.tools import (
    BadArguments,
    BadSchema,
    Tool,
    annotation_lines,
    parse_arguments,
)

_SCHEMA_LIMIT = 200_000


class ToolHandlers(Handlers):
    """Describes, checks and calls tools."""

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {
            c.DescribeTool: self._describe,
            c.CheckArguments: self._check,
            c.CallTool: self._call,
            ClearCache: self._clear_cache,
            ReadStats: self._read_stats,
        }

    async def _describe(self, command: c.DescribeTool) -> AnyEvent:
        tool = find_tool(self._context, command.server, command.tool)
        definition = tool.definition
        schema = exact_json(definition.input_schema)
        output = exact_json(definition.output_schema) if definition.output_schema else exact_json({})
        if len(schema) + len(output) > _SCHEMA_LIMIT:
            output = exact_json({})
        if len(schema) > _SCHEMA_LIMIT:
            schema = exact_json({"type": "object"})
        return ToolDetails(
            server=tool.server,
            tool=tool.name,
            label=identifier(tool.name),
            title=safe_line(definition.title, limit=128),
            description=safe(definition.description, limit=16_000),
            risk=tool.risk,
            annotations=annotation_lines(definition.annotations),
            input_schema_json=schema,
            output_schema_json=output if definition.output_schema else JsonText(""),
            trust=tool.trust,
            model_name=tool.model_name,
            not_checked=await self._context.schemas.not_checked(tool.def_hash, definition.input_schema),
        )

    async def _check(self, command: c.CheckArguments) -> AnyEvent:
        tool = find_tool(self._context, command.server, command.tool)
        try:
            value = parse_arguments(command.arguments_json)
            problems = await self._context.schemas.check(tool.def_hash, tool.definition.input_schema, value)
        except BadArguments as error:
            problems = (Problem(where=safe(""), what=safe(str(error))),)
        except BadSchema:
            problems = ()
        return ArgumentsChecked(problems=problems)

    async def _call(self, command: c.CallTool) -> AnyEvent:
        tool = find_tool(self._context, command.server, command.tool)
        calls = self._session.calls
        try:
            value = parse_arguments(command.arguments_json)
            unchecked = await calls.proposals.check(tool, value, len(command.arguments_json))
        except BadArguments as error:
            raise UserError(str(error)) from None
        hand = calls.proposals.by_hand(tool, value, confirmed=command.confirmed, unchecked=unchecked)
        if why := calls.question(hand):
            return ConfirmNeeded(server=tool.server, tool=tool.name, risk=tool.risk, why=why)
        return CommandDone(id=calls.start_by_hand(hand))

    async def _clear_cache(self, command: ClearCache) -> AnyEvent:
        if command.server:
            self._context.connection(command.server)
        dropped = self._context.cache.clear(command.server)
        results = "1 result was" if dropped == 1 else f"{dropped} results were"
        return CommandDone(text=safe(f"{results} dropped from the cache"))

    async def _read_stats(self, _command: ReadStats) -> AnyEvent:
        return StatsRead(
            pool=self._context.pool.depth(),
            tools=self._session.feed.stats.rows(),
            cache_entries=len(self._context.cache),
            cache_hits=self._context.cache.hits,
        )


def find_tool(context: EngineContext, server: str, name: str) -> Tool:
    """Return a tool. Raises `UserError` that says why it is not there."""
    tool = context.catalogue.get(server, name)
    if tool is not None:
        return tool
    context.connection(server)
    if server not in context.catalogue.servers():
        raise UserError(f"{server} is not connected, so its tools are not known")
    raise UserError(f"{server} has no tool named {name}")
