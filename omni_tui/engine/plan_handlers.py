"""Commands about plans: the verdict, and another plan in the place of what was shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.plan import DecidePlan, EditPlan

if TYPE_CHECKING:
    from omni_tui.engine.core import Engine


class PlanHandlers:
    """Deciding and editing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def table(self) -> dict[type, Callable[[Any], Awaitable[AnyEvent]]]:
        """Return the handlers by command type."""
        return {DecidePlan: self._decide, EditPlan: self._edit}

    async def _decide(self, command: DecidePlan) -> AnyEvent:
        session = self._engine.session
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
        await self._engine.session.plans.edit(command.plan, command.digest, command.plan_json)
        return CommandDone()
