"""Commands about models: which there are, and what may be spent."""

from __future__ import annotations

import math

import msgspec

from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.models.budget import GO_ON
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.models import FindModels, ModelsFound, SetBudget
from omni_tui.security.text import safe


class ModelHandlers(Handlers):
    """The part of the command table that is about models."""

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {FindModels: self._find, SetBudget: self._budget}

    async def _find(self, command: FindModels) -> AnyEvent:
        look = command.look and not self._context.options.demo
        current = self._session.settings.model
        return ModelsFound(models=await self._context.models.found(current, look=look))

    async def _budget(self, command: SetBudget) -> AnyEvent:
        """Change one limit of this client's, for its session and those it opens until it leaves."""
        if not math.isfinite(command.value) or command.value < 0:
            raise UserError("a budget is a number from 0; 0 is no limit")
        kind = float if command.key.endswith("_cost") else int
        limits = msgspec.structs.replace(self._session.budget.limits, **{command.key: kind(command.value)})
        self._session.budget.limits = self._client.limits = limits
        self._session.feed.tell_spending()
        limit = f"{command.value:g}" if command.value else "no limit"
        return CommandDone(text=safe(f"{command.key} is {limit} until you leave; {GO_ON} to go on"))
