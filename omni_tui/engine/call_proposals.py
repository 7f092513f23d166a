"""From what a model or the person wants to what the gate is asked: tool found, arguments checked."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from omni_tui.approvals.subject import CallProposal, Subject
from omni_tui.engine.context import EngineContext
from omni_tui.models.base import ToolCall
from omni_tui.protocol import UserError
from omni_tui.protocol.values import CallOrigin
from omni_tui.security.schema_checker import BadSchema
from omni_tui.tools.call_arguments import BadArguments, canonical, parse_arguments
from omni_tui.tools.catalogue import Tool
from omni_tui.tools.tool_names import ToolKey


def new_call_id() -> str:
    """Return an id for a call: short enough to read, unique enough for a session's lifetime."""
    return "c-" + uuid.uuid4().hex[:12]


@dataclass(frozen=True, slots=True)
class ProposedCall:
    """A call that is ready for the gate: what is to be called with what, and what is known of the tool."""

    proposal: CallProposal
    subject: Subject


class ServerGone(UserError):
    """The server of a known tool is not there now."""

    def __init__(self, pair: ToolKey) -> None:
        super().__init__(f"{pair[0]} is not connected")
        self.pair = pair


class CallProposalFactory:
    """Makes proposals of calls."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context

    async def of_agent(self, number: str, origin: CallOrigin, call: ToolCall) -> ProposedCall:
        """Return what a model's call proposes. Raises `BadArguments`, `UserError`, `ServerGone`."""
        tool = self._context.catalogue.find(call.name)
        if tool is None:
            if (pair := self._context.routes.known(call.name)) is not None:
                raise ServerGone(pair)
            near = ", ".join(self._context.catalogue.nearest(call.name)) or "none is like it"
            raise UserError(f"there is no tool named {call.name}. Nearest: {near}")
        value = parse_arguments(call.arguments)
        unchecked = await self.check(tool, value, len(call.arguments))
        subject = self._context.subject(tool.server, tool.name)
        if subject is None:
            raise ServerGone((tool.server, tool.name))
        proposal = CallProposal(
            call=number,
            server=tool.server,
            tool=tool.name,
            arguments=canonical(value),
            origin="agent",
            made_by=origin,
            unchecked=unchecked,
        )
        return ProposedCall(proposal, subject)

    async def next_in_route(
        self, origin: CallOrigin, first: ToolKey, last: ToolKey, arguments: str, reason: str
    ) -> ProposedCall | None:
        """Return the call at the server behind `last` in the route of `first`, None if there is none.

        `reason`: why the call at `last` did not run. Raises `BadArguments`, with words for the model.
        """
        tool = self._context.routes.after(*last)
        subject = self._context.subject(tool.server, tool.name) if tool is not None else None
        if tool is None or subject is None:
            return None
        try:
            value = parse_arguments(arguments)
            unchecked = await self.check(tool, value, len(arguments))
        except BadArguments as error:
            words = f"{tool.server} was not tried instead: for its tool of that name, {error}"
            raise BadArguments(words) from None
        proposal = CallProposal(
            call=new_call_id(),
            server=tool.server,
            tool=tool.name,
            arguments=canonical(value),
            origin="agent",
            made_by=origin,
            unchecked=unchecked,
            fallback=f"it replaces {first[0]} › {first[1]}, which did not run: {reason}",
        )
        return ProposedCall(proposal, subject)

    async def check(self, tool: Tool, value: dict[str, object], size: int) -> str:
        """Check arguments against the tool's schema; return why that was not possible, or "".

        Raises `BadArguments` where they do not fit.
        """
        if not tool.definition.input_schema:
            return ""
        try:
            wrong = await self._context.schemas.check(
                tool.def_hash, tool.definition.input_schema, value, size=size
            )
        except BadSchema as error:
            return str(error)
        if wrong:
            listed = "; ".join(f"{each.where or 'arguments'}: {each.what}" for each in wrong[:5])
            raise BadArguments(f"the arguments do not fit the tool's schema: {listed}")
        return ""

    def by_hand(
        self, tool: Tool, value: dict[str, object], *, confirms: str = "", unchecked: str = ""
    ) -> ProposedCall:
        """Prepare a call by hand whose arguments have been checked. Raises `UserError`.

        `confirms` is the digest of the question that the person said yes to.
        """
        subject = self._context.subject(tool.server, tool.name)
        if subject is None:
            raise ServerGone((tool.server, tool.name))
        proposal = CallProposal(
            call=new_call_id(),
            server=tool.server,
            tool=tool.name,
            arguments=canonical(value),
            origin="hand",
            confirms=confirms,
            unchecked=unchecked,
        )
        return ProposedCall(proposal, subject)
