"""Budgets of tokens and money by turn, session and day, enforced before a request is sent.

The forecast of a request is reserved before it is sent and released when its usage is counted, so that
parallel requests cannot exceed a budget together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args, runtime_checkable

import msgspec

from omni_tui.models.base import Model, ModelRequest
from omni_tui.protocol.events import Usage

EXPECTED_OUTPUT = 1_000
"""Expected tokens of an answer if `max_tokens` does not limit it."""

Span = Literal["turn", "session", "day"]
_SPANS: tuple[Span, ...] = get_args(Span)

GO_ON = "type /continue"
"""How a person continues the work, in words."""


class Forecast(msgspec.Struct, frozen=True):
    """The expected usage of a request. `cost` is in US dollars, None if the price is unknown."""

    input: int
    output: int
    cost: float | None = 0.0


@runtime_checkable
class UsageForecaster(Protocol):
    """A model that can forecast the usage of a request."""

    def forecast(self, request: ModelRequest) -> Forecast:
        """Estimate a request's usage. Fast, never raises, never uses the network."""
        ...


def forecast(model: Model, request: ModelRequest) -> Forecast:
    """Return the expected usage of a request; a model without a forecast costs nothing."""
    if isinstance(model, UsageForecaster):
        return model.forecast(request)
    return Forecast(model.count(request), EXPECTED_OUTPUT)


class BudgetLimits(msgspec.Struct, frozen=True):
    """Tokens and US dollars of each span; 0 is no limit."""

    turn_tokens: int = 0
    session_tokens: int = 0
    day_tokens: int = 0
    turn_cost: float = 0.0
    session_cost: float = 0.0
    day_cost: float = 0.0

    def of(self, span: Span) -> tuple[int, float]:
        """Return the limits of a span: tokens and US dollars."""
        if span == "turn":
            return self.turn_tokens, self.turn_cost
        if span == "session":
            return self.session_tokens, self.session_cost
        return self.day_tokens, self.day_cost


@dataclass(slots=True)
class UsageTotal:
    """The sum of usages. `unpriced` counts requests without a known price: `cost` excludes them."""

    tokens: int = 0
    cost: float = 0.0
    estimated: bool = False
    unpriced: int = 0

    def add(self, usage: Usage) -> None:
        """Add one request's usage."""
        self.tokens += usage.input + usage.output
        self.cost += usage.cost or 0.0
        self.estimated = self.estimated or usage.estimated
        self.unpriced += usage.cost is None and usage.input + usage.output > 0


class DailyUsage(Protocol):
    """The usage of today, over all sessions and processes."""

    def today(self) -> UsageTotal:
        """Return the sum."""
        ...

    def add(self, usage: Usage) -> None:
        """Add one request's usage."""
        ...


class BudgetExceeded(Exception):
    """A request would exceed a budget: why, and what to do. Nothing was sent."""

    def __init__(self, reason: str, todo: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.todo = todo


class Budget:
    """The budgets of one session. Call `count` once for each usage, when it is on disk.

    `reserved`: what all sessions that share the day have reserved.
    """

    def __init__(
        self, limits: BudgetLimits, day: DailyUsage, reserved: dict[object, Forecast] | None = None
    ) -> None:
        self.limits = limits
        self.session = UsageTotal()
        self._day = day
        self._reserved = {} if reserved is None else reserved
        self._turns: dict[str, UsageTotal] = {}
        self._held: dict[int, tuple[str, Forecast]] = {}
        self._next = 0

    def restore(self, session: UsageTotal, turns: Mapping[str, UsageTotal]) -> None:
        """Begin with what was used before a restart, which the day includes already."""
        self.session = replace(session)
        self._turns = {turn: replace(total) for turn, total in turns.items()}

    def count(self, turn: str, usage: Usage) -> None:
        """Count one request."""
        self.session.add(usage)
        self._turns.setdefault(turn, UsageTotal()).add(usage)
        self._day.add(usage)

    def turn(self, turn: str) -> UsageTotal:
        """Return what a turn has used."""
        return self._turns.get(turn, UsageTotal())

    def hold(self, turn: str, model: str, wanted: Forecast) -> int:
        """Reserve the usage of a request; return the number for `free`. Raises `BudgetExceeded`."""
        free = wanted == Forecast(0, 0)
        for span in () if free else _SPANS:
            self._check(span, turn, model, wanted)
        self._next += 1
        self._held[self._next] = (turn, wanted)
        self._reserved[self, self._next] = wanted
        return self._next

    def free(self, hold: int) -> None:
        """Release a reservation: the request was counted, or never sent."""
        self._held.pop(hold, None)
        self._reserved.pop((self, hold), None)

    def _check(self, span: Span, turn: str, model: str, wanted: Forecast) -> None:
        tokens, money = self.limits.of(span)
        if not tokens and not money:
            return
        used = {"turn": self.turn(turn), "session": self.session, "day": self._day.today()}[span]
        held = [each for of, each in self._held.values() if span != "turn" or of == turn]
        if span == "day":
            held = list(self._reserved.values())
        would = used.tokens + sum(each.input + each.output for each in held) + wanted.input + wanted.output
        if tokens and would > tokens:
            raise BudgetExceeded(
                f"the next request would use about {wanted.input + wanted.output:,} tokens and exceed the "
                f"{span}'s budget: {_about(used)}{used.tokens:,} of {tokens:,} tokens are used",
                _todo(span, "tokens"),
            )
        if not money:
            return
        if wanted.cost is None:
            raise BudgetExceeded(
                f"the price of {model} is unknown, so the {span}'s budget of ${money:g} cannot be enforced",
                f'set input_price and output_price under [models."{model}"], '
                f"or remove {span}_cost (/budget {span}_cost 0)",
            )
        cost = used.cost + sum(each.cost or 0.0 for each in held) + wanted.cost
        if cost > money:
            raise BudgetExceeded(
                f"the next request may cost ${wanted.cost:.4f} and exceed the {span}'s budget: "
                f"{_about(used)}${used.cost:.4f} of ${money:g} is used",
                _todo(span, "cost"),
            )


def _about(used: UsageTotal) -> str:
    return "about " if used.estimated else "at least " if used.unpriced else ""


def _todo(span: Span, what: str) -> str:
    if span == "turn":
        return f"{GO_ON} in another turn with the same budget, or raise it first (/budget turn_{what} …)"
    return f"raise it (/budget {span}_{what} …, or [budget] in the config), then {GO_ON}"


def add_usage(one: Usage, other: Usage) -> Usage:
    """Return the usage of two requests together."""
    if other == Usage():
        return one
    costs = [usage.cost for usage in (one, other) if usage.cost is not None]
    return Usage(
        input=one.input + other.input,
        output=one.output + other.output,
        cached=one.cached + other.cached,
        cost=sum(costs) if len(costs) == 2 else None,
        estimated=one.estimated or other.estimated,
    )
