"""What waits at the gate: calls that are not over, and how each is resolved."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from omni_tui.approvals.cards import CardContent
from omni_tui.approvals.subject import CallProposal
from omni_tui.memory import CallRow
from omni_tui.protocol import AnyEvent, Mode
from omni_tui.protocol.events import CallState

PENDING_STATES: tuple[CallState, ...] = ("pending", "held")


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a proposal ended, before anything was sent. `approved` is the only state that may go on."""

    state: CallState
    decider: str
    reason: str = ""
    feedback: str = ""


@dataclass(slots=True)
class PendingCall:
    """What the gate holds in memory of a call that is not over. The row in the journal decides."""

    row: CallRow
    card: CardContent
    digest: str
    waiter: asyncio.Future[Resolution]
    proposal: CallProposal
    mode: Mode
    """The mode of its turn."""
    halted: bool = False
    """Whether its run was stopped: it gets no grant any more, though its end is not on disk yet."""
    unwritten: tuple[AnyEvent, ...] = ()
    written: bool = True
    tried_again: bool = False
    """Whether this approval has served for a further attempt after a refused token."""
    repeated: int = 0
    """For how many further attempts after a failure this approval has served."""

    @property
    def cancelled(self) -> bool:
        """Whether it has ended as cancelled."""
        return self.row.state == "cancelled"
