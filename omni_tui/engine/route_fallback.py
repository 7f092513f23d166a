"""A call that surely did not run goes to the next server of its route, as a new call through the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from omni_tui.approvals import CallProposal, Subject
from omni_tui.tools import BadArguments, CallOutcome, Tool, ToolRoutes, parse_arguments
from omni_tui.tools.tool_names import ToolKey

Check = Callable[[Tool, dict[str, object], int], Awaitable[str]]
Carry = Callable[[CallProposal, Subject], Awaitable[CallOutcome]]


@dataclass(frozen=True, slots=True)
class IntendedCall:
    """What was to be called: the tool, its arguments (JSON), and whose call it is."""

    pair: ToolKey
    arguments: str
    turn: str
    step: int
    agent: str
    provider_call_id: str


class RouteFallback:
    """Takes calls from one server of a route to the next."""

    def __init__(
        self,
        routes: ToolRoutes,
        subject: Callable[[str, str], Subject | None],
        check: Check,
        new_call: Callable[[], str],
    ) -> None:
        self._routes = routes
        self._subject = subject
        self._check = check
        self._new_call = new_call

    async def go_on(self, outcome: CallOutcome, wanted: IntendedCall, carry: Carry) -> CallOutcome:
        """Return what became of a call in the end: of itself, or of those that stood in for it."""
        first, pair = wanted.pair, wanted.pair
        while outcome.state == "failed" and outcome.did_not_run:
            tool = self._routes.after(*pair)
            subject = self._subject(tool.server, tool.name) if tool is not None else None
            if tool is None or subject is None:
                return outcome
            try:
                value = parse_arguments(wanted.arguments)
                unchecked = await self._check(tool, value, len(wanted.arguments))
            except BadArguments as error:
                words = f"{tool.server} was not asked instead: for its tool of that name, {error}"
                return replace(outcome, text=f"{outcome.text}. {words}")
            pair = (tool.server, tool.name)
            proposal = CallProposal(
                call=self._new_call(),
                server=tool.server,
                tool=tool.name,
                arguments=wanted.arguments.encode(),
                origin="agent",
                turn=wanted.turn,
                step=wanted.step,
                agent=wanted.agent,
                provider_call_id=wanted.provider_call_id,
                unchecked=unchecked,
                fallback=f"it stands in for {first[0]} › {first[1]}, which did not run: {outcome.reason}",
            )
            outcome = await carry(proposal, subject)
        if pair == first:
            return outcome
        told = f"\n[Omni TUI: {first[0]} could not be asked; this is what became of the call at {pair[0]}.]"
        return replace(outcome, note=outcome.note + told)
