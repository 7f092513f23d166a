"""Commands about the model: which one answers, what it is told, what may be spent."""

from __future__ import annotations

import math

import msgspec

from omni_tui.agents.system_prompt import system_prompt
from omni_tui.engine.handlers.base import Handlers
from omni_tui.models.budget import GO_ON
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.commands import SetModel
from omni_tui.protocol.context import ReadSystem, SetSystem, SystemText
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.models import FindModels, ModelsFound, SetBudget
from omni_tui.security.text import safe

LONGEST = 20_000
"""Characters of the person's own part of the system prompt."""
_SHOWN = 40_000


class ModelHandlers(Handlers):
    """Finds and sets models, their system prompt and their budgets."""

    async def _set_model(self, command: SetModel) -> AnyEvent:
        self._context.models.breakers.succeeded(command.name)
        await self._session.set_model(command.name)
        return CommandDone(text=safe(f"{command.name} answers from your next message on"))

    async def _find(self, command: FindModels) -> AnyEvent:
        look = command.look and not self._context.options.demo
        current = self._session.settings.model
        return ModelsFound(models=await self._context.models.found(current, look=look))

    async def _set_budget(self, command: SetBudget) -> AnyEvent:
        """Change one limit of this client's, for its session and those it opens until it leaves."""
        if not math.isfinite(command.value) or command.value < 0:
            raise UserError("a budget is a number from 0; 0 is no limit")
        if self._session.attended:
            self._check_person()
        kind = float if command.key.endswith("_cost") else int
        changed, budget = {command.key: kind(command.value)}, self._session.budget
        budget.limits = msgspec.structs.replace(budget.limits, **changed)
        self._client.limits = msgspec.structs.replace(self._client.limits, **changed)
        self._session.feed.tell_spending()
        limit = f"{command.value:g}" if command.value else "no limit"
        return CommandDone(text=safe(f"{command.key} is {limit} until you leave; {GO_ON} to go on"))

    async def _read_system(self, _command: ReadSystem) -> AnyEvent:
        session = self._session
        policy = session.policy()
        return SystemText(
            own=safe(policy.system_prompt, limit=_SHOWN),
            source="config" if session.settings.system is None else "session",
            whole=safe(system_prompt(policy.system_prompt, policy.instructions), limit=_SHOWN),
        )

    async def _set_system(self, command: SetSystem) -> AnyEvent:
        if len(command.text) > LONGEST:
            raise UserError(
                f"the system prompt has {len(command.text)} characters; at most {LONGEST} can be set"
            )
        await self._session.set_system(command.text.strip())
        return CommandDone(text=safe("the model is told so from your next message on"))
