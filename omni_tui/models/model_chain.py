"""Models in the order in which they are asked, and a breaker for each.

A `ModelChain` is a `Model` itself: its first. Who asks it goes along it with a `ChainCursor`, which decides
which errors lead to the next model. The session's model stays what it is.
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
    """From one model to the next: both names, and why, in words."""

    model: str
    to: str
    reason: str
    todo: str = ""


class ModelBreakers:
    """The breakers of all models of a process, by name. `on_change` hears of each that changed."""

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

    def succeeded(self, name: str) -> None:
        """A model answered."""
        breaker = self.of(name)
        was = breaker.state
        breaker.succeeded()
        if was != "closed":
            self._on_change(name, breaker)

    def failed(self, name: str, error: ModelError) -> None:
        """A model failed for good: what was to be tried again has been."""
        breaker = self.of(name)
        lasting = error.kind in _LASTING or error.status == _NOT_FOUND
        breaker.failed(error.what, at_once=lasting or error.kind == "transient", lasting=lasting)
        if breaker.state != "closed":
            self._on_change(name, breaker)

    def reset(self, name: str) -> None:
        """Begin anew: the person chose this model."""
        self.succeeded(name)


class ModelChain:
    """A model and those that stand in for it. The others are made when they are needed."""

    def __init__(
        self, first: Model, others: Sequence[str], make: Callable[[str], Model], breakers: ModelBreakers
    ) -> None:
        self.first = first
        self.breakers = breakers
        self._others = tuple(dict.fromkeys(name for name in others if name != first.name))
        self._make = make
        self._made: dict[int, Model] = {0: first}

    def __len__(self) -> int:
        return 1 + len(self._others)

    def at(self, index: int) -> Model:
        """Return the model at a place, 0 is the first."""
        if index not in self._made:
            self._made[index] = self._make(self._others[index - 1])
        return self._made[index]

    @property
    def name(self) -> str:
        """The first model's name."""
        return self.first.name

    @property
    def label(self) -> str:
        """What must be said about the first."""
        return self.first.label

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Stream an answer of the first; nobody stands in for it here."""
        return self.first.stream(request)

    def context_window(self) -> int | None:
        """Tokens the first takes."""
        return self.first.context_window()

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens, as the first counts."""
        return self.first.count(request)


class ChainCursor:
    """One turn's way along a chain: it begins at the first, and never goes back within the turn."""

    def __init__(self, model: Model) -> None:
        self._chain = model if isinstance(model, ModelChain) else None
        self._model = model if not isinstance(model, ModelChain) else model.first
        self._index = 0
        self.probing = False
        """Whether the request is one to find out if the model answers again: it is made once only."""

    @property
    def model(self) -> Model:
        """The model to ask now."""
        return self._model

    @property
    def label(self) -> str:
        """What must be said of its answers: what it is, or in whose place it answers."""
        if self._model.label or self._index == 0 or self._chain is None:
            return self._model.label
        return f"{self._model.name}, in the place of {self._chain.name}"

    def begin(self) -> ModelSwitch | None:
        """A request begins. Returns the step if the model is left alone now and another is asked."""
        self.probing = False
        if self._chain is None:
            return None
        here = self._chain.breakers.of(self._model.name)
        if here.take():
            self.probing = here.state == "half_open"
            return None
        left = self._model.name
        reason = f"{left} is left alone for another {here.wait_s:.0f} s: {here.reason}"
        if self._go(from_index=self._index + 1):
            return ModelSwitch(left, self._model.name, reason)
        here.take(force=True)
        self.probing = True
        return None

    def succeeded(self) -> None:
        """The model answered."""
        if self._chain is not None:
            self._chain.breakers.succeeded(self._model.name)

    def released(self) -> None:
        """The request was given up before it was known what becomes of it."""
        if self._chain is not None:
            self._chain.breakers.of(self._model.name).released()

    def failed(self, error: ModelError) -> ModelSwitch | None:
        """The model failed for good. Returns the step to the next, None if it ends here."""
        if self._chain is None:
            return None
        if not _concerns_model(error):
            self.released()
        else:
            self._chain.breakers.failed(self._model.name, error)
        if not (_concerns_model(error) and error.kind != "cut") and error.kind != "overflow":
            return None
        left = self._model
        window = left.context_window() if error.kind == "overflow" else None
        if error.kind == "overflow" and window is None:
            return None
        if not self._go(from_index=self._index + 1, beyond=window):
            return None
        return ModelSwitch(left.name, self._model.name, error.what, error.todo)

    def _go(self, *, from_index: int, beyond: int | None = None) -> bool:
        """Go to the first model from there on that may be asked, with a window larger than `beyond`."""
        chain = self._chain
        if chain is None:
            return False
        for index in range(from_index, len(chain)):
            model = chain.at(index)
            if beyond is not None and (model.context_window() or 0) <= beyond:
                continue
            breaker = chain.breakers.of(model.name)
            if breaker.take():
                self._index, self._model = index, model
                self.probing = breaker.state == "half_open"
                return True
        return False


def _concerns_model(error: ModelError) -> bool:
    """Whether an error says something about the model, and not about what it was asked."""
    return error.kind in _LASTING | {"transient", "cut"} or error.status == _NOT_FOUND
