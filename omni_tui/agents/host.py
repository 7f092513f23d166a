"""All that an agent may ask of the engine. There is no other way from here to a tool or the journal."""

from __future__ import annotations

from typing import Protocol

import msgspec

from omni_tui.models.base import Message, ToolCall, ToolSpec
from omni_tui.protocol.events import AnyEvent, Event


class ToolOutcome(msgspec.Struct, frozen=True):
    """What became of a call. `status` is a call's state, or "invalid" if it never became one.

    `text` is whole and as it came: the loop bounds and frames it for the model. With `stop` the
    person refused and wants no further word from the model. `note` is the host's word behind the result.
    """

    text: str
    status: str
    stop: bool = False
    note: str = ""


class AgentHost(Protocol):
    """The engine, as an agent sees it.

    A host that parks a turn raises `CancelledError` from `call` and `commit`: the loop then writes
    nothing more, so that the turn can be gone on with later.
    """

    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the tools on offer now."""
        ...

    async def call(self, turn: str, step: int, call: ToolCall, agent: str = "root") -> ToolOutcome:
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
