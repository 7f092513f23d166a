"""A model and its fallbacks, in order, with a circuit breaker for each.

A `ModelChain` is itself a `Model`, its first. A `ChainCursor` goes along it for one turn and decides which
errors lead to the next model. The session's model does not change.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from omni_tui.models.base import Model, ModelError, ModelEvent, ModelRequest
from omni_tui.resilience.breaker import CircuitBreaker

_LASTING = frozenset({"auth", "quota", "permanent"})
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class ModelSwitch:
    """A switch from one model to the next, with the reason in words."""

    model: str
    to: str
    reason: str
    todo: str = ""


class ModelBreakers:
    """The circuit breakers of all models of a process, by name. `on_change` is called for each change."""

    def __init__(
        self,
        on_change: Callable[[str, CircuitBreaker], None] | None = None,
        make: Callable[[], CircuitBreaker] = CircuitBreaker,
    ) -> None:
        self._on_change = on_change or (lambda _name, _breaker: None)
        self._make = make
        self._all: dict[str, CircuitBreaker] = {}

    def of(self, name: str) -> CircuitBreaker:
        """Return a model's breaker."""
        return self._all.setdefault(name, self._make())

    def troubled(self) -> list[str]:
        """Return the models whose breakers are not closed."""
        return [name for name, breaker in self._all.items() if breaker.state != "closed"]

    def succeeded(self, name: str) -> None:
        """Close the breaker: the model answered, or the person chose it."""
        breaker = self.of(name)
        was = breaker.state
        breaker.succeeded()
        if was != "closed":
            self._on_change(name, breaker)

    def failed(self, name: str, error: ModelError) -> None:
        """A model failed after all retries."""
        breaker = self.of(name)
        lasting = error.kind in _LASTING or error.status == _NOT_FOUND
        breaker.failed(error.what, at_once=lasting or error.kind == "transient", lasting=lasting)
        if breaker.state != "closed":
            self._on_change(name, breaker)


class ModelChain:
    """A model and its fallbacks, which are made when they are needed."""

    def __init__(
        self, first: Model, others: Sequence[str], make: Callable[[str], Model], breakers: ModelBreakers
    ) -> None:
        self.first = first
        self.name = first.name
        self.label = first.label
        self.breakers = breakers
        self._others = tuple(dict.fromkeys(name for name in others if name != first.name))
        self._make = make
        self._made: dict[int, Model] = {0: first}

    def __len__(self) -> int:
        return 1 + len(self._others)

    def at(self, index: int) -> Model:
        """Return the model at an index."""
        if index not in self._made:
            self._made[index] = self._make(self._others[index - 1])
        return self._made[index]

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Stream an answer of the first model, without fallbacks."""
        return self.first.stream(request)

    def context_window(self) -> int | None:
        """The context window of the first model, in tokens."""
        return self.first.context_window()

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens for the first model."""
        return self.first.count(request)


class ChainCursor:
    """The position of one turn in a chain: it begins at the first model and never goes back."""

    def __init__(self, model: Model) -> None:
        self._chain = model if isinstance(model, ModelChain) else None
        self.model = self._chain.first if self._chain is not None else model
        """The model to ask now."""
        self._index = 0
        self.probing = False
        """Whether the request is a trial of a half-open breaker, made once only."""

    @property
    def label(self) -> str:
        """The label of its answers: its own, or which model it replaces."""
        if self.model.label or self._index == 0 or self._chain is None:
            return self.model.label
        return f"{self.model.name}, in the place of {self._chain.name}"

    def begin(self) -> ModelSwitch | None:
        """A request begins. Return the switch if this model's breaker is open and another is asked."""
        self.probing = False
        if self._chain is None:
            return None
        left = self.model.name
        here = self._chain.breakers.of(left)
        if here.take():
            self.probing = here.state == "half_open"
            return None
        reason = f"{left} is left alone for another {here.wait_s:.0f} s: {here.reason}"
        if self._go(self._chain):
            return ModelSwitch(left, self.model.name, reason)
        here.take(force=True)
        self.probing = True
        return None

    def succeeded(self) -> None:
        """The model answered."""
        if self._chain is not None:
            self._chain.breakers.succeeded(self.model.name)

    def released(self) -> None:
        """The request was given up before its outcome was known."""
        if self._chain is not None:
            self._chain.breakers.of(self.model.name).released()

    def failed(self, error: ModelError) -> ModelSwitch | None:
        """The model failed after all retries. Return the switch to the next, None if there is none."""
        if self._chain is None:
            return None
        left, beyond = self.model, -1
        # Whether the error is about the model, not about the request.
        its_own = error.kind in _LASTING | {"transient", "cut"} or error.status == _NOT_FOUND
        if its_own:
            self._chain.breakers.failed(left.name, error)
        else:
            self.released()
        if error.kind == "overflow":
            if (window := left.context_window()) is None:
                return None
            beyond = window
        elif not its_own or error.kind == "cut":
            return None
        if not self._go(self._chain, beyond):
            return None
        return ModelSwitch(left.name, self.model.name, error.what, error.todo)

    def _go(self, chain: ModelChain, beyond: int = -1) -> bool:
        """Go to the next model whose breaker lets it be asked, with more than `beyond` tokens of window."""
        for index in range(self._index + 1, len(chain)):
            model = chain.at(index)
            if (model.context_window() or 0) <= beyond:
                continue
            breaker = chain.breakers.of(model.name)
            if breaker.take():
                self._index, self.model = index, model
                self.probing = breaker.state == "half_open"
                return True
        return False
