"""Models: fallbacks, circuit breakers, available models, spending."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply, Event, Journalled
from omni_tui.protocol.text import SafeText

ModelState = Literal["closed", "open", "half_open"]
BudgetKey = Literal["turn_tokens", "session_tokens", "day_tokens", "turn_cost", "session_cost", "day_cost"]


class ModelFellBack(Journalled):
    """A model could not answer; the next fallback is asked for the rest of this turn.

    The session's model does not change. `reason` and `todo`: what went wrong, and what to do.
    """

    turn: str
    model: SafeText
    to: SafeText
    reason: SafeText
    todo: SafeText = SafeText("")
    agent: str = "root"


class ModelStateChanged(Event):
    """A model's circuit breaker opened or closed. `wait_s` are the seconds until it is tried again."""

    model: SafeText
    state: ModelState
    reason: SafeText = SafeText("")
    wait_s: float = 0.0


class Spending(Event):
    """What was used in this session and, by all sessions, today. Money in US dollars.

    `estimated` says that some of it had to be estimated; `unpriced` counts requests of today whose
    price is not known, `session_unpriced` those of this session: the money is without them. The limits
    are 0 where there is none.
    """

    session_tokens: int
    session_cost: float
    day_tokens: int
    day_cost: float
    estimated: bool = False
    unpriced: int = 0
    session_unpriced: int = 0
    session_tokens_limit: int = 0
    session_cost_limit: float = 0.0
    day_tokens_limit: int = 0
    day_cost_limit: float = 0.0


class ModelChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A model that could be used. `name` is exact, `label` the name made safe to show.

    `because` says how it was found. `state` and `wait_s` are those of its circuit breaker.
    """

    name: str
    label: SafeText
    because: SafeText
    costs_money: bool
    current: bool = False
    state: ModelState = "closed"
    wait_s: float = 0.0


class ModelsFound(CommandReply):
    """The models that could be used: the session's, those of the config, those that were found."""

    models: tuple[ModelChoice, ...]


class FindModels(Command):
    """Ask which models there are. `look` also asks model servers on this machine; nothing costs money."""

    look: bool = True


class SetBudget(Command):
    """Change one budget until the app ends. `value` is in tokens or US dollars; 0 is no limit."""

    key: BudgetKey
    value: float
