"""All that an agent may ask of the engine. There is no other way from here to a tool or the journal."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from omni_tui.models.base import Image, Message, ToolCall, ToolSpec
from omni_tui.models.window import Window
from omni_tui.protocol.events import AnyEvent, Event
from omni_tui.protocol.values import CallOrigin


class ToolOutcome(msgspec.Struct, frozen=True):
    """What became of a call. `status` is a call's state, or "invalid" if it never became one.

    `text` is whole and as it came: the loop bounds and frames it for the model. With `stop` the
    person refused and wants no further word from the model. `call` is the id under which the host
    keeps the whole result, "" if it does not; `note` is what the host has to say behind it; `images`
    are the pictures of a result.
    """

    text: str
    status: str
    stop: bool = False
    call: str = ""
    note: str = ""
    images: tuple[Image, ...] = ()


class EarlierResult(msgspec.Struct, frozen=True):
    """The whole of an earlier result, as a model would be told it; `status` is its call's state."""

    text: str
    status: str


class AgentHost(Protocol):
    """The engine, as an agent sees it.

    A host that parks a turn raises `CancelledError` from `call` and `commit`: the loop then writes
    nothing more, so that the turn can be gone on with later.
    """

    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the tools on offer now."""
        ...

    async def call(self, origin: CallOrigin, call: ToolCall) -> ToolOutcome:
        """Carry one call through the gate; takes as long as the person takes.

        Never raises but `CancelledError`. Called again for a call that was made before a restart,
        it returns what became of that one.
        """
        ...

    async def commit(self, *events: AnyEvent) -> None:
        """Journal events in one transaction; returns when they are on disk."""
        ...

    def post(self, *events: AnyEvent) -> None:
        """Journal events soon."""
        ...

    def live(self, event: Event) -> None:
        """Show something that is true for the moment only."""
        ...

    def history(self) -> tuple[Message, ...]:
        """Return all committed messages. At the start of a turn the last one is the person's."""
        ...


@runtime_checkable
class SteerableHost(Protocol):
    """A host whose person may say more while a turn runs."""

    async def take_in(self, turn: str) -> None:
        """Put what was said meanwhile before the model, as part of this turn."""
        ...

    def steps(self, turn: str) -> int:
        """Return how many answers a model has given in this turn."""
        ...


@runtime_checkable
class ContextHost(Protocol):
    """A host that keeps windows from turn to turn, and results to be read again.

    An agent whose host does not has a window for one turn, and is not offered `read_result`.
    """

    def window(self, agent: str) -> Window:
        """Return the window of an agent's conversation, the same one every time."""
        ...

    async def stored(self, call: str) -> EarlierResult | None:
        """Return the result of a call that an agent of this session made, None if there is none."""
        ...
