"""The gate: every call passes it, and only the gate makes grants.

A proposal is assessed, journalled, and then allowed, put before the person, or refused. An approved
call gets a grant for one attempt. Redeeming the grant is the compare-and-set that moves the journal row
to `dispatching` and yields the exact bytes to send. Everything unknown is refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from omni_tui.approvals import further_attempts
from omni_tui.approvals.cards import CardContent, call_proposed, request_approval
from omni_tui.approvals.dispatches import Dispatches
from omni_tui.approvals.grants import Grant, GrantRefused, Mint
from omni_tui.approvals.pending import PENDING_STATES, PendingCall, PendingItems, Resolution
from omni_tui.approvals.policy import Assessment, Decision, assess
from omni_tui.approvals.subject import CallProposal, Subject, decision_facts, has_changed
from omni_tui.memory import CallMoved, CallRow, Journal, Transaction, call_table
from omni_tui.protocol import AnyEvent, Mode, UserError
from omni_tui.protocol.calls import AttemptFailed, AttemptRefused
from omni_tui.protocol.events import CallChanged, CallFinished, CallState
from omni_tui.security.text import safe
from omni_tui.servers.base import Dispatch

logger = logging.getLogger(__name__)


class Gate:
    """Decides on proposals, keeps the queue, makes grants and redeems them.

    `now` returns the mode of this moment. A call is judged under that mode and under the mode of its
    turn.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        base: dict[Mode, Decision],
        lookup: Callable[[str, str], Subject | None],
        digest: Callable[[bytes], str],
        now: Callable[[], Mode] | None = None,
        headless: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._base = base
        self._lookup = lookup
        self._digest = digest
        self._now = now
        self.headless = headless
        self._mint = Mint(clock)
        self._open: PendingItems[PendingCall] = PendingItems("call")
        self.dispatches = Dispatches(journal)

    # --- proposals ------------------------------------------------------------------------------

    def assess(self, proposal: CallProposal, subject: Subject, mode: Mode) -> Assessment:
        """Return the decision on a proposal of a turn in `mode`, without side effects."""
        now = mode if self._now is None else self._now()
        return assess(self._base, decision_facts(proposal, subject, mode, now))

    async def propose(self, proposal: CallProposal, subject: Subject, mode: Mode) -> PendingCall:
        """Journal a proposal. Return it, decided by the policy or waiting for the person."""
        assessment = self.assess(proposal, subject, mode)
        item = self._item(proposal, subject, assessment, mode)
        self._open.add(item)
        if assessment.decision == "allow":
            # Written together with `dispatching`, so that one flush serves both.
            decider = assessment.decider
            item.row = replace(item.row, state="approved", decider=decider)
            item.written = False
            approved = CallChanged(call=item.id, state="approved", decider=decider)
            item.unwritten = (call_proposed(item.card, item.row, item.digest), approved)
            self._settle(item, Resolution("approved", decider))
        elif assessment.decision == "deny":
            await self._refuse(item, "denied", assessment.decider, assessment.why[0])
        elif self.headless:
            reason = "; ".join(assessment.why) or "it needs an approval"
            await self._refuse(item, "withheld", "headless", reason)
        else:
            events = (call_proposed(item.card, item.row, item.digest), self._request(item))
            await self._journal.commit(*events, change=lambda tx: call_table.insert(tx, item.row))
        return item

    async def restore(
        self, row: CallRow, subject: Subject | None, mode: Mode, fallback: str = ""
    ) -> PendingCall:
        """Put a call that was pending when the app ended back into the queue.

        If its server is not connected yet, `reconsider` completes the card later.
        """
        proposal = CallProposal.from_row(row)
        if subject is None:
            subject = Subject.missing(row.server, row.tool)
            asked_in = mode if row.origin == "agent" else None
            assessment = Assessment(
                "ask", "restart", (f"{row.server} is not connected yet",), mode=asked_in
            )
        else:
            assessment = _after_restart(self.assess(proposal, subject, mode))
        item = self._item(proposal, subject, assessment, mode, row=row)
        item.card = replace(item.card, restored=True, fallback=fallback)
        self._open.add(item)
        await self._journal.commit(self._request(item))
        return item

    async def reconsider(self, server: str) -> None:
        """Show the calls again that waited for the tools of a server."""
        async with self._open.lock:
            for item in self._open:
                incomplete = item.card.restored and not item.card.subject.transport
                subject = self._lookup(server, item.row.tool)
                if item.row.server != server or not incomplete or subject is None:
                    continue
                if has_changed(item.row, subject):
                    await self._hold(item, subject)
                    continue
                assessment = _after_restart(self.assess(item.proposal, subject, item.mode))
                was = item.card
                card = CardContent(subject, assessment.why, held=assessment.held, restored=True)
                item.card = replace(
                    card, edited=was.edited, fallback=was.fallback, mode=assessment.mode or was.mode
                )
                await self._journal.commit(self._request(item))

    def _item(
        self,
        proposal: CallProposal,
        subject: Subject,
        assessment: Assessment,
        mode: Mode,
        row: CallRow | None = None,
    ) -> PendingCall:
        state: CallState = "held" if assessment.held else "pending"
        if row is None:
            row = proposal.row(subject, state, self._digest(proposal.arguments))
        card = CardContent(
            subject,
            assessment.why,
            held=assessment.held,
            fallback=proposal.fallback,
            mode=assessment.mode,
        )
        return PendingCall(row, card, self._shown(row), proposal, mode)

    async def _refuse(self, item: PendingCall, state: CallState, decider: str, reason: str) -> None:
        row = replace(item.row, state=state, decider=decider)
        await self._journal.commit(
            call_proposed(item.card, row, item.digest),
            CallChanged(call=row.call, state=state, decider=decider, reason=safe(reason, limit=1000)),
            change=lambda tx: call_table.insert(tx, row),
        )
        item.row = row
        self._settle(item, Resolution(state, decider, reason))

    # --- the person -----------------------------------------------------------------------------

    def pending(self) -> list[str]:
        """Return the calls that wait for the person, oldest first."""
        return [item.id for item in self._open if item.row.state in PENDING_STATES]

    async def decide(self, call: str, digest: str, *, approve: bool, feedback: str = "") -> Resolution:
        """Carry out the person's decision on exactly what was shown. Raises `UserError`.

        The decision is on disk before anything follows from it.
        """
        async with self._open.lock:
            item = self._open.waiting(call, digest)
            if approve:
                await self._still_as_shown(item)
            state: CallState = "approved" if approve else "rejected"
            words, attempt = safe(feedback, limit=4000), item.row.attempt
            event = CallChanged(call=call, state=state, decider="user", feedback=words, attempt=attempt)
            await self._move(item, state, event, decider="user")
            resolution = Resolution(state, "user", feedback=feedback)
            self._settle(item, resolution)
            return resolution

    async def edit(self, call: str, digest: str, arguments: bytes) -> None:
        """Replace the arguments of a pending call. It stays pending, under a new digest."""
        async with self._open.lock:
            item = self._open.waiting(call, digest)
            row = replace(item.row, args=arguments, args_hash=self._digest(arguments))
            card = replace(item.card, edited=True, restored=False)
            await self._journal.commit(
                request_approval(card, row, self._shown(row)),
                change=lambda tx: call_table.move(
                    tx, call, row.state, expect=PENDING_STATES, args=row.args, args_hash=row.args_hash
                ),
            )
            item.row, item.card, item.digest = row, card, self._shown(row)

    def halt(self, *stopped: str) -> None:
        """Make no further grant for these calls: their turn was stopped, and they will be withdrawn.

        All calls of a turn are halted before the first one ends, since its end may let another one
        start.
        """
        for call in stopped:
            if (item := self._open.get(call)) is not None:
                item.halted = True

    async def withdraw(self, call: str, *, decider: str, reason: str) -> bool:
        """Withdraw a call that was not sent yet. Return False if it was too late."""
        async with self._open.lock:
            item = self._open.get(call)
            if item is None or item.row.state not in (*PENDING_STATES, "approved"):
                return False
            self._mint.revoke(call)
            why, attempt = safe(reason, limit=1000), item.row.attempt
            event = CallChanged(call=call, state="cancelled", decider=decider, reason=why, attempt=attempt)
            if not item.written:
                row = replace(item.row, state="cancelled")
                await self._journal.commit(
                    *item.unwritten, event, change=lambda tx: call_table.insert(tx, row)
                )
                item.row = row
            else:
                try:
                    await self._move(
                        item, "cancelled", event, decider=decider, expect=(*PENDING_STATES, "approved")
                    )
                except UserError:
                    return False
            self._settle(item, Resolution("cancelled", decider, reason))
            return True

    def item(self, call: str) -> PendingCall | None:
        """Return an open call."""
        return self._open.get(call)

    def row(self, call: str) -> CallRow | None:
        """Return the row of an open call."""
        item = self._open.get(call)
        return item.row if item else None

    # --- grants ---------------------------------------------------------------------------------

    async def still_allowed(self, call: str) -> bool:
        """Return False if the mode became stricter and a call that it allowed must be asked about now.

        It is then pending (withheld if headless). What a person approved stays approved.
        """
        async with self._open.lock:
            item = self._open.get(call)
            return item is None or not await self._tightened(item)

    async def _tightened(self, item: PendingCall) -> bool:
        row = item.row
        if row.state != "approved" or row.decider != "mode":
            return False
        subject = self._lookup(row.server, row.tool)
        if subject is None or has_changed(row, subject):
            return False  # it gets no grant anyway: see `_as_approved`
        assessment = self.assess(item.proposal, subject, item.mode)
        if assessment.decision == "allow":
            return False
        if assessment.decision == "deny":
            state: CallState = "denied"
        else:
            state = "withheld" if self.headless else "held" if assessment.held else "pending"
        item.reopen()
        item.card = replace(item.card, why=assessment.why, held=assessment.held, mode=assessment.mode)
        reason = "; ".join(assessment.why)
        decider = (
            "" if state in PENDING_STATES else "headless" if state == "withheld" else assessment.decider
        )
        now = replace(row, state=state, decider=decider)
        event: AnyEvent = request_approval(item.card, now, item.digest)
        if state not in PENDING_STATES:
            event = CallChanged(
                call=row.call,
                state=state,
                decider=decider,
                reason=safe(reason, limit=1000),
                attempt=row.attempt,
            )
        await self._journal.commit(*self._entered(item, now), event, change=self._change(item, now))
        item.row, item.written, item.unwritten = now, True, ()
        if state not in PENDING_STATES:
            self._settle(item, Resolution(state, decider, reason))
        return True

    @staticmethod
    def _entered(item: PendingCall, now: CallRow) -> tuple[AnyEvent, ...]:
        """Return the event that says a call was proposed, if it is not on disk yet."""
        return () if item.written else (call_proposed(item.card, now, item.digest),)

    @staticmethod
    def _change(item: PendingCall, now: CallRow) -> Callable[[Transaction], None]:
        """Return the change in the table that gives an approved call its new state."""
        if not item.written:
            return lambda tx: call_table.insert(tx, now)
        return lambda tx: call_table.move(
            tx, now.call, now.state, expect=("approved",), decider=now.decider
        )

    def grant(self, call: str) -> Grant:
        """Make the grant for an approved call. Raises `UserError` for any other.

        Also if the tool or its server changed since the approval.
        """
        item = self._as_approved(call)
        grant = self._mint.issue(
            call=call,
            attempt=item.row.attempt,
            server_fp=item.row.server_fp,
            def_hash=item.row.def_hash,
            args_hash=item.row.args_hash,
        )
        item.row = replace(item.row, nonce=grant.nonce)
        return grant

    async def redeem(self, grant: Grant) -> Dispatch:
        """Use a grant up: journal `dispatching`, then return what may be sent. Raises `GrantRefused`.

        The bytes come from the row that the compare-and-set matched, not from memory. If cancelled
        during the write, the call ends as cancelled and nothing is sent.
        """
        self._mint.take(grant)
        item = self._open.get(grant.call)
        if item is None or item.row.state != "approved" or item.row.nonce != grant.nonce:
            raise GrantRefused("the call of this grant is over, or was not approved")
        try:
            return await self.dispatches.redeem(item, grant)
        finally:
            if item.cancelled:
                self._settle(item, Resolution("cancelled", "stop", "cancelled before anything was sent"))

    def is_open(self, dispatch: Dispatch) -> bool:
        """Whether this very dispatch came from a redeemed grant and is not over. The tap asks this."""
        return dispatch in self.dispatches

    async def again(self, dispatch: Dispatch, failed: AttemptRefused | AttemptFailed) -> bool:
        """Start the next attempt of a call. Return True if it is approved and a grant can be made.

        The attempt sends the same bytes to what was approved. If that has changed, a call that surely
        did not run is pending again (withheld if headless). Raises `UserError` if no further attempt is
        allowed; the call is then unchanged.
        """
        async with self._open.lock:
            item = self._open.get(dispatch.call)
            if (
                item is None
                or further_attempts.attempts_exhausted(item, failed)
                or dispatch not in self.dispatches
            ):
                raise UserError("it was tried again already, or is over")
            subject = self._lookup(dispatch.server, dispatch.tool)
            if subject is None:
                raise UserError("the server is gone, or no longer has this tool")
            await further_attempts.start_next_attempt(
                self._journal, item, subject, failed, shown=self._shown, headless=self.headless
            )
            self.dispatches.close(dispatch)
            if item.row.state == "approved":
                return not await self._tightened(item)
            item.reopen()
            if item.row.state == "withheld":
                self._settle(item, Resolution("withheld", "headless", further_attempts.CHANGED))
            return False

    async def finish_unsent(self, call: str, event: CallFinished, result: bytes) -> None:
        """Journal that an approved call is answered from the cache, and forget it. Raises `UserError`.

        The conditions are those of a grant.
        """
        item = self._as_approved(call)
        await self._journal.commit(
            *item.unwritten,
            event,
            change=lambda tx: further_attempts.record_cached(tx, item.row, result, new=not item.written),
        )
        self._open.remove(call)

    async def finish(self, dispatch: Dispatch, event: AnyEvent, state: CallState, result: bytes) -> None:
        """Journal the end of a call, with its whole result, and forget it."""
        self.dispatches.close(dispatch)

        def change(tx: Transaction) -> None:
            call_table.move(tx, dispatch.call, state, expect=("dispatching",))
            if result:
                call_table.put_result(tx, dispatch.call, dispatch.attempt, result)

        try:
            await self._journal.commit(event, change=change)
        finally:
            self._open.remove(dispatch.call)

    # --- inside ---------------------------------------------------------------------------------

    def _as_approved(self, call: str) -> PendingCall:
        item = self._open.get(call)
        if item is None or item.row.state != "approved":
            raise UserError("this call is not approved")
        if item.halted:
            raise UserError("its turn was stopped")
        subject = self._lookup(item.row.server, item.row.tool)
        if subject is None or has_changed(item.row, subject):
            raise UserError("the tool or its server changed after the approval")
        return item

    async def _still_as_shown(self, item: PendingCall) -> None:
        """Raise `UserError` if the tool is gone, has changed since it was shown, or is denied now."""
        subject = self._lookup(item.row.server, item.row.tool)
        if subject is None:
            raise UserError(f"{item.row.server} is not connected now, or no longer has this tool")
        if not has_changed(item.row, subject):
            assessment = self.assess(item.proposal, subject, item.mode)
            if assessment.decision == "deny":
                raise UserError(f"{assessment.why[0]}; reject it, or change the mode")
            return
        await self._hold(item, subject)
        raise UserError("the tool or its server changed while this waited; look at it again")

    async def _hold(self, item: PendingCall, subject: Subject) -> None:
        """Show a pending call again with the tool as it is now."""
        row = replace(item.row, server_fp=subject.server_fp, def_hash=subject.def_hash, state="held")
        why = ("the tool or its server changed while this waited",)
        item.card = replace(item.card, subject=subject, why=why, held=True)
        item.row, item.digest = row, self._shown(row)
        await self._journal.commit(
            self._request(item),
            change=lambda tx: call_table.move(
                tx, row.call, "held", expect=PENDING_STATES, server_fp=row.server_fp, def_hash=row.def_hash
            ),
        )

    async def _move(
        self,
        item: PendingCall,
        state: CallState,
        event: AnyEvent,
        *,
        decider: str,
        expect: tuple[CallState, ...] = PENDING_STATES,
    ) -> None:
        call = item.row.call
        try:
            await self._journal.commit(
                event, change=lambda tx: call_table.move(tx, call, state, expect=expect, decider=decider)
            )
        except CallMoved:
            raise UserError("somebody else decided on this call first") from None
        item.row = replace(item.row, state=state, decider=decider)

    def _settle(self, item: PendingCall, resolution: Resolution) -> None:
        item.settle(resolution)
        if resolution.state != "approved":
            self._open.remove(item.id)

    def _shown(self, row: CallRow) -> str:
        """Return the digest that a decision must name: server, definition and arguments, as shown."""
        return self._digest(f"{row.call}|{row.server_fp}|{row.def_hash}|{row.args_hash}".encode())

    def _request(self, item: PendingCall) -> Any:
        return request_approval(item.card, item.row, item.digest)


def _after_restart(assessment: Assessment) -> Assessment:
    """Add why an allowed call waits again after a restart: nothing is sent without the person then."""
    if assessment.decision != "allow":
        return assessment
    return replace(assessment, why=(*assessment.why, "it waited for you when the app ended"))
