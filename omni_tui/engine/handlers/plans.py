"""Commands about plans: the verdict, and another plan in the place of what was shown."""

from __future__ import annotations

from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.plan import DecidePlan, EditPlan


class PlanHandlers(Handlers):
    """Deciding and editing."""

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {DecidePlan: self._decide, EditPlan: self._edit}

    async def _decide(self, command: DecidePlan) -> AnyEvent:
        session = self._session
        await session.plans.decide(
            command.plan,
            command.digest,
            approve=command.verdict == "approve",
            feedback=command.feedback,
        )
        runner = session.runner
        if not runner.running and runner.unfinished:
            # It waited since before a restart: the verdict is the word to go on.
            await runner.go_on()
        return CommandDone()

    async def _edit(self, command: EditPlan) -> AnyEvent:
        await self._session.plans.edit(command.plan, command.digest, command.plan_json)
        return CommandDone()
