"""Commands about tools and about the verdict on their calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from omni_tui.memory import call_table
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import (
    ArgumentsChecked,
    CallChanged,
    CallState,
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
    canonical,
    parse_arguments,
)

if TYPE_CHECKING:
    from omni_tui.engine.core import Engine

_SCHEMA_LIMIT = 200_000


class ToolHandlers:
    """Describing, checking, calling and deciding."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def table(self) -> dict[type, Any]:
        """Return the handlers by command type."""
        return {
            c.DescribeTool: self._describe,
            c.CheckArguments: self._check,
            c.CallTool: self._call,
            c.CancelCall: self._cancel,
            c.DecideCall: self._decide,
            c.EditCall: self._edit,
            c.SettleCall: self._settle,
        }

    def _tool(self, server: str, name: str) -> Tool:
        tool = self._engine.catalogue.get(server, name)
        if tool is not None:
            return tool
        if server not in self._engine.registry.names():
            known = ", ".join(sorted(self._engine.registry.names())) or "none"
            raise UserError(f"there is no server named {server}; there are: {known}")
        if server not in self._engine.catalogue.servers():
            raise UserError(f"{server} is not connected, so its tools are not known")
        raise UserError(f"{server} has no tool named {name}")

    async def _describe(self, command: c.DescribeTool) -> AnyEvent:
        tool = self._tool(command.server, command.tool)
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
            output_schema_json=output if definition.output_schema else exact_json_empty(),
            trust=tool.trust,
            model_name=tool.model_name,
            not_checked=await self._engine.schemas.not_checked(tool.def_hash, definition.input_schema),
        )

    async def _check(self, command: c.CheckArguments) -> AnyEvent:
        tool = self._tool(command.server, command.tool)
        try:
            value = parse_arguments(command.arguments_json)
            problems = await self._engine.schemas.check(tool.def_hash, tool.definition.input_schema, value)
        except BadArguments as error:
            problems = (Problem(where=safe(""), what=safe(str(error))),)
        except BadSchema:
            problems = ()
        return ArgumentsChecked(problems=problems)

    async def _call(self, command: c.CallTool) -> AnyEvent:
        tool = self._tool(command.server, command.tool)
        desk = self._engine.session.desk
        try:
            value = parse_arguments(command.arguments_json)
            unchecked = await desk.proposals.check(tool, value, len(command.arguments_json))
        except BadArguments as error:
            raise UserError(str(error)) from None
        hand = desk.proposals.by_hand(tool, value, confirmed=command.confirmed, unchecked=unchecked)
        if why := desk.question(hand):
            return ConfirmNeeded(server=tool.server, tool=tool.name, risk=tool.risk, why=why)
        return CommandDone(id=desk.start_by_hand(hand))

    async def _cancel(self, command: c.CancelCall) -> AnyEvent:
        cancelled = await self._engine.session.desk.cancel(command.call, reason="cancelled by you")
        if not cancelled:
            raise UserError("this call is over already")
        return CommandDone()

    async def _decide(self, command: c.DecideCall) -> AnyEvent:
        session = self._engine.session
        if command.verdict == "defer":
            return CommandDone()
        row = session.gate.row(command.call)
        orphan = row is not None and session.desk.restored(command.call)
        await session.gate.decide(
            command.call,
            command.digest,
            approve=command.verdict == "approve",
            feedback=command.feedback,
        )
        if command.stop and command.verdict == "reject":
            await session.runner.stop()
        elif orphan and not session.runner.running and session.runner.unfinished:
            await session.runner.go_on()
        return CommandDone()

    async def _edit(self, command: c.EditCall) -> AnyEvent:
        session = self._engine.session
        row = session.gate.row(command.call)
        if row is None:
            raise UserError("this call does not wait for a decision any more")
        tool = self._tool(row.server, row.tool)
        try:
            value = parse_arguments(command.arguments_json)
            await session.desk.proposals.check(tool, value, len(command.arguments_json))
        except BadArguments as error:
            raise UserError(str(error)) from None
        await session.gate.edit(command.call, command.digest, canonical(value))
        return CommandDone()

    async def _settle(self, command: c.SettleCall) -> AnyEvent:
        state: CallState = "succeeded" if command.happened else "cancelled"
        words = "you say it happened" if command.happened else "you say it did not happen"
        event = CallChanged(call=command.call, state=state, decider="user", reason=safe(words))
        journal = self._engine.session.journal
        try:
            await journal.commit(
                event,
                change=lambda tx: call_table.move(tx, command.call, state, expect=("uncertain",)),
            )
        except call_table.CallMoved:
            raise UserError("the outcome of this call is known") from None
        await asyncio.sleep(0)
        return CommandDone()


def exact_json_empty() -> Any:
    """Return the mark for "the server gives no schema"."""
    from omni_tui.protocol import JsonText

    return JsonText("")
