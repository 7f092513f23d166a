"""Commands about models: which there are, and what may be spent."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from omni_tui.engine.core import Engine
from omni_tui.models.budget import GO_ON
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.models import FindModels, ModelsFound, SetBudget
from omni_tui.security.text import safe


class ModelHandlers:
    """The part of the command table that is about models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def table(self) -> dict[type, Callable[[Any], Awaitable[AnyEvent | None]]]:
        """Return the handlers by command."""
        return {FindModels: self._find, SetBudget: self._budget}

    async def _find(self, command: FindModels) -> AnyEvent:
        engine = self._engine
        look = command.look and not engine.options.demo
        return ModelsFound(models=await engine.models.found(engine.session.settings.model, look=look))

    async def _budget(self, command: SetBudget) -> AnyEvent:
        if not math.isfinite(command.value) or command.value < 0:
            raise UserError("a budget is a number from 0; 0 is no limit")
        engine = self._engine
        engine.models.set_limit(engine.session.budget, command.key, command.value)
        engine.live(engine.models.spending(engine.session.budget))
        limit = f"{command.value:g}" if command.value else "no limit"
        return CommandDone(text=safe(f"{command.key} is {limit} until you leave; {GO_ON} to go on"))
