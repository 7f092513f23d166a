"""What waits for the person: one item, and the queue of all items of one kind.

Calls, plans and server requests wait in the same way. An item is shown under a digest of exactly what is
shown; a verdict names that digest, so it never counts for something else. One verdict counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from omni_tui.approvals.cards import CardContent
from omni_tui.approvals.subject import CallProposal
from omni_tui.memory import CallRow
from omni_tui.policy import Rule
from omni_tui.protocol import AnyEvent, Mode, UserError
from omni_tui.protocol.events import CallState

Verdict = TypeVar("Verdict")

PENDING_STATES: tuple[CallState, ...] = ("pending", "held")


class Pending(Generic[Verdict]):
    """One item that waits for a verdict. `digest` names what is shown of it now."""

    def __init__(self, ident: str, digest: str = "") -> None:
        self.id = ident
        self.digest = digest
        self._verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    @property
    def waits(self) -> bool:
        """Whether there is no verdict yet."""
        return not self._verdict.done()

    def settle(self, verdict: Verdict) -> None:
        """Give the verdict to those who wait for it. Only the first one counts."""
        if not self._verdict.done():
            self._verdict.set_result(verdict)

    def reopen(self) -> None:
        """Wait for a new verdict: the one before does not hold any more."""
        self._verdict = asyncio.get_running_loop().create_future()

    async def verdict(self) -> Verdict:
        """Return the verdict, once there is one."""
        return await asyncio.shield(self._verdict)


Item = TypeVar("Item", bound="Pending[Any]")


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a proposed call was decided. `approved` is the only state in which it may be sent."""

    state: CallState
    decider: str
    reason: str = ""
    feedback: str = ""
    batch: int = 0
    """How many calls the person decided on together, 0 if this one alone."""


class PendingCall(Pending[Resolution]):
    """A call that is not over, as the gate keeps it in memory. Its row in the journal is the authority."""

    def __init__(
        self, row: CallRow, card: CardContent, digest: str, proposal: CallProposal, mode: Mode
    ) -> None:
        super().__init__(row.call, digest)
        self.row = row
        self.card = card
        self.proposal = proposal
        self.mode: Mode = mode
        """The mode of its turn."""
        self.halted = False
        """Its run was stopped: it gets no grant any more, though its end is not on disk yet."""
        self.rules: tuple[Rule, ...] = ()
        """The rules that allowed it."""
        self.unwritten: tuple[AnyEvent, ...] = ()
        self.written = True
        self.tried_again = False
        """Whether this approval has served for a further attempt after a refused token."""
        self.repeated = 0
        """For how many further attempts after a failure this approval has served."""

        self.may_have_run = False
        """Whether an attempt before this one was cut off: then it ends as uncertain if no other is sent."""

    @property
    def cancelled(self) -> bool:
        """Whether it ended as cancelled."""
        return self.row.state == "cancelled"

    @property
    def stopped(self) -> bool:
        """Whether it was cancelled while its grant was used up: nothing of this attempt was sent."""
        return self.row.state == ("uncertain" if self.may_have_run else "cancelled")


class PendingItems(Generic[Item]):
    """The items of one kind in a session, oldest first. Hold `lock` while one is decided or changed."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._items: dict[str, Item] = {}
        self.lock = asyncio.Lock()

    def __iter__(self) -> Iterator[Item]:
        return iter(list(self._items.values()))

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Put an item at the end of the queue."""
        self._items[item.id] = item

    def get(self, ident: str) -> Item | None:
        """Return an item, None if it is over."""
        return self._items.get(ident)

    def remove(self, ident: str) -> None:
        """Forget an item that is over."""
        self._items.pop(ident, None)

    def waiting(self, ident: str, digest: str) -> Item:
        """Return an item that waits, exactly as it was shown. Raises `UserError`."""
        item = self._items.get(ident)
        if item is None or not item.waits:
            raise UserError(f"this {self._kind} does not wait for a decision any more")
        if item.digest != digest:
            raise UserError(f"this {self._kind} changed after it was shown; look at it again")
        return item
