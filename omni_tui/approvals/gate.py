"""The gate: every call passes it, and only the gate makes grants.

A proposal is assessed, journalled, and then allowed, put before the person, or refused. An approved
call gets a grant for one attempt. Redeeming the grant is the compare-and-set that moves the journal row
to `dispatching` and yields the exact bytes to send. Everything unknown is refused.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from omni_tui.approvals import further_attempts, rejected_calls
from omni_tui.approvals.cards import CardContent, call_proposed, request_approval
from omni_tui.approvals.dispatches import Dispatches
from omni_tui.approvals.expiry import DECIDER as EXPIRED_BY
from omni_tui.approvals.expiry import Expiry
from omni_tui.approvals.grants import Grant, GrantRefused, Mint
from omni_tui.approvals.pending import PENDING_STATES, PendingCall, PendingItems, Resolution
from omni_tui.approvals.policy import Assessment, DecisionFacts, assess, is_of_policy
from omni_tui.approvals.policy_in_force import PolicyInForce
from omni_tui.approvals.rejected_calls import RejectedCalls
from omni_tui.approvals.risk import sure_risk
from omni_tui.approvals.subject import CallProposal, Question, Subject, has_changed, require_canonical
from omni_tui.memory import CallMoved, CallRow, Journal, Transaction, call_table
from omni_tui.policy import CallFacts, Rule, RuleSet, draft_rules, rule_toml
from omni_tui.protocol import AnyEvent, Mode, UserError
from omni_tui.protocol.calls import AttemptFailed, AttemptRefused, CallDeferred, CallEdited
from omni_tui.protocol.events import CallChanged, CallFinished, CallState
from omni_tui.security.text import safe
from omni_tui.servers.base import Dispatch

logger = logging.getLogger(__name__)


class Gate:
    """Decides on proposals, keeps the queue, makes grants and redeems them.

    `now` returns the mode of this moment. A call is judged under that mode and under the mode of its
    turn. `expire_after`: how long a call may wait for the person, in seconds; 0 for as long as it takes.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        policy: PolicyInForce,
        lookup: Callable[[str, str], Subject | None],
        digest: Callable[[bytes], str],
        now: Callable[[], Mode],
        headless: bool,
        expire_after: float = 0.0,
    ) -> None:
        self._journal = journal
        self._policy = policy
        self._lookup = lookup
        self._digest = digest
        self._now = now
        self.headless = headless
        self._mint = Mint()
        self._open: PendingItems[PendingCall] = PendingItems("call")
        self.dispatches = Dispatches(journal, self._permits)
        self.rejected = RejectedCalls()
        self.expiry = Expiry(self, expire_after)

    # --- proposals ------------------------------------------------------------------------------

    def assess(
        self, proposal: CallProposal, subject: Subject, mode: Mode, counted: tuple[Rule, ...] = ()
    ) -> Assessment:
        """Return the decision on a proposal of a turn in `mode`, without side effects.

        `counted` are the rules of which this very call has used up a use already.
        """
        rules = self._policy.rules  # first: the rest is as of when they were read
        facts = self.decision_facts(proposal, subject, mode, counted)
        base = self._policy.base(subject.server)
        found = assess(base, facts, rules)
        if found.decision != "ask" or not proposal.confirms:
            return found
        if proposal.confirms == self._asked(proposal, subject, found).digest:
            return assess(base, replace(facts, confirmed=True), rules)
        return found

    def question(self, proposal: CallProposal, subject: Subject, mode: Mode) -> Question | None:
        """Return what a call by hand is asked about once more, None if it need not be asked again."""
        found = self.assess(proposal, subject, mode)
        return self._asked(proposal, subject, found) if found.decision == "ask" else None

    def _asked(self, proposal: CallProposal, subject: Subject, found: Assessment) -> Question:
        asked = (subject.server, subject.tool, subject.server_fp, subject.def_hash, subject.says)
        shown = [*asked, self._digest(proposal.arguments), subject.risk, *found.why]
        return Question(found.why, found.held, self._digest(json.dumps(shown).encode()))

    def decision_facts(
        self, proposal: CallProposal, subject: Subject, mode: Mode, counted: tuple[Rule, ...] = ()
    ) -> DecisionFacts:
        """Return all that the decision on a proposal of a turn in `mode` depends on."""
        return DecisionFacts(
            mode=mode,
            origin=proposal.origin,
            risk=subject.risk,
            server_trust=subject.server_trust,
            tool_trust=subject.tool_trust,
            unchecked=proposal.unchecked,
            unplanned=bool(proposal.fallback) and proposal.made_by.agent != "root",
            now=self._now(),
            cautious=self._policy.cautious,
            imitation=subject.imitation,
            loosened=proposal.loosened,
            call=self.facts(proposal, subject, mode, counted),
        )

    def facts(
        self, proposal: CallProposal, subject: Subject, mode: Mode, counted: tuple[Rule, ...] = ()
    ) -> CallFacts:
        """Return what rules may look at in a proposal of a turn in `mode`."""
        arguments = json.loads(proposal.arguments)
        own = {rule.key: self._policy.uses.get(rule.key, 1) - 1 for rule in counted}
        return CallFacts(
            server=subject.server,
            tool=subject.tool,
            arguments=arguments,
            mode=mode,
            agent=proposal.made_by.agent,
            who=proposal.origin,
            risk=sure_risk(subject.risk, trusted=self._policy.trusts(subject.server)),
            claimed=subject.risk,
            outside=self._policy.outside(proposal.made_by),
            server_cwd=subject.cwd,
            now=time.time(),
            uses={**self._policy.uses, **own} if own else self._policy.uses,
        )

    async def propose(self, proposal: CallProposal, subject: Subject, mode: Mode) -> PendingCall:
        """Journal a proposal. Return it, decided by the policy or waiting for the person.

        Raises `ValueError` if its arguments are not canonical.
        """
        require_canonical(proposal.arguments)
        await self._policy.prepare()
        assessment = self.assess(proposal, subject, mode)
        item = self._item(proposal, subject, assessment, mode)
        self._open.add(item)
        if assessment.decision == "ask" and self.rejected.too_often(item.row):
            reason = rejected_calls.REASON
            await self._refuse(item, Resolution("rejected", rejected_calls.DECIDER, reason))
        elif assessment.decision == "allow":
            item.rules = assessment.rules
            self._policy.used(item.rules)
            # Written together with `dispatching`, so that one flush serves both.
            approved = Resolution("approved", assessment.decider)
            item.row = replace(item.row, state="approved", decider=assessment.decider)
            item.written = False
            item.unwritten = (
                call_proposed(item.card, item.row, item.digest),
                _changed(item.row, approved),
            )
            self._settle(item, approved)
        elif assessment.decision == "deny":
            await self._refuse(item, Resolution("denied", assessment.decider, assessment.why[0]))
        elif self.headless:
            reason = "; ".join(assessment.why) or "it needs an approval"
            await self._refuse(item, Resolution("withheld", "headless", reason), self._narrowest_rule(item))
        else:
            self._begin_waiting(item)
            events = (call_proposed(item.card, item.row, item.digest), self._request(item))
            await self._journal.commit(*events, change=lambda tx: call_table.insert(tx, item.row))
        return item

    async def restore(
        self, row: CallRow, subject: Subject | None, mode: Mode, fallback: str = ""
    ) -> PendingCall:
        """Put a call that was pending when the app ended back into the queue.

        If its server is not connected yet, `reconsider` completes the card later.
        """
        await self._policy.prepare()
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
        self._begin_waiting(item)
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
                await self._policy.prepare()
                assessment = _after_restart(self.assess(item.proposal, subject, item.mode))
                was = item.card
                card = CardContent(subject, assessment.why, held=assessment.held, restored=True)
                item.card = replace(
                    card,
                    edited=was.edited,
                    fallback=was.fallback,
                    mode=assessment.mode or was.mode,
                    expires=was.expires,
                )
                item.digest = self._shown(item.row, subject)
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
        return PendingCall(row, card, self._shown(row, subject), proposal, mode)

    async def _refuse(self, item: PendingCall, resolution: Resolution, rule: str = "") -> None:
        row = replace(item.row, state=resolution.state, decider=resolution.decider)
        await self._journal.commit(
            call_proposed(item.card, row, item.digest),
            msgspec.structs.replace(_changed(row, resolution), rule_toml=rule),
            change=lambda tx: call_table.insert(tx, row),
        )
        item.row = row
        self._settle(item, resolution)

    def _narrowest_rule(self, item: PendingCall) -> str:
        """Return the narrowest rule that would let a call pass, as TOML; "" if none would."""
        subject, proposal = item.card.subject, item.proposal
        known = self._policy.rules.rules
        facts = self.decision_facts(proposal, subject, item.mode)
        for each in draft_rules(facts.call, {rule.id for rule in known}):
            with_it = RuleSet((*known, each.rule))
            if assess(self._policy.base(subject.server), facts, with_it).decision == "allow":
                return rule_toml(each.rule)
        return ""

    # --- the person -----------------------------------------------------------------------------

    def pending(self) -> list[str]:
        """Return the calls that wait for the person, oldest first."""
        return [item.id for item in self._open if item.row.state in PENDING_STATES]

    async def decide(
        self, call: str, digest: str, *, approve: bool, feedback: str = "", batch: int = 0
    ) -> Resolution:
        """Carry out the person's decision on exactly what was shown. Raises `UserError`.

        The decision is on disk before anything follows from it. `batch`: how many calls are decided on
        together, 0 for this one alone.
        """
        await self._policy.prepare()
        async with self._open.lock:
            item = self._open.waiting(call, digest)
            if approve:
                await self._still_as_shown(item)
            state: CallState = "approved" if approve else "rejected"
            resolution = Resolution(state, "user", feedback=feedback, batch=batch)
            await self._resolve(item, resolution)
            if not approve:
                self.rejected.note(item.row)
            return resolution

    async def defer(self, call: str, digest: str) -> None:
        """Journal that the person will decide later on exactly what was shown. Raises `UserError`."""
        async with self._open.lock:
            self._open.waiting(call, digest)
            await self._journal.commit(CallDeferred(call=call, digest=digest))

    async def edit(self, call: str, digest: str, arguments: bytes, unchecked: str = "") -> None:
        """Replace the arguments of a pending call. It stays pending, under a new digest.

        `unchecked` says why the new arguments could not be checked. Raises `UserError` if a rule denies the
        call as it would be then, `ValueError` if the arguments are not canonical.
        """
        require_canonical(arguments)
        await self._policy.prepare()
        async with self._open.lock:
            item = self._open.waiting(call, digest)
            proposal = replace(item.proposal, arguments=arguments, unchecked=unchecked)
            subject = self._lookup(item.row.server, item.row.tool)
            card, state = item.card, item.row.state
            if subject is not None and not has_changed(item.row, subject):
                assessment = self.assess(proposal, subject, item.mode)
                if assessment.decision == "deny":
                    raise UserError(f"with these arguments it is denied: {assessment.why[0]}")
                why = assessment.why or ("you edited it, so it waits for you",)
                held = card.held or assessment.held  # an edit does not make a change of the tool unseen
                card = replace(card, why=why, held=held, mode=assessment.mode)
                state = "held" if held else state
            row = replace(item.row, state=state, args=arguments, args_hash=self._digest(arguments))
            card = replace(card, edited=True, restored=False, expires=self.expiry.ends())
            edited = CallEdited(call=call, before=item.row.args_hash, after=row.args_hash, digest=digest)
            digest = self._shown(row, card.subject)
            await self._journal.commit(
                edited,
                request_approval(card, row, digest),
                change=lambda tx: call_table.move(
                    tx, call, row.state, expect=PENDING_STATES, args=row.args, args_hash=row.args_hash
                ),
            )
            item.row, item.card, item.digest, item.proposal = row, card, digest, proposal
            self.expiry.begin(call)

    async def expire(self, call: str) -> None:
        """End a call that waited too long; do nothing if it was decided on, or its time still runs.

        A decision that came first counts, and this one too if it came first: see `_resolve`.
        """
        async with self._open.lock:
            item = self._open.get(call)
            waits = item is not None and item.waits and item.row.state in PENDING_STATES
            if item is None or not waits or self.expiry.runs(call):
                return
            with contextlib.suppress(UserError):
                await self._resolve(item, Resolution("expired", EXPIRED_BY, "nobody decided in time"))

    def halt(self, *stopped: str) -> None:
        """Make no further grant for these calls: their turn was stopped, and they will be withdrawn.

        All calls of a turn are halted before the first one ends, since its end may let another one
        start.
        """
        for call in stopped:
            if (item := self._open.get(call)) is not None:
                item.halted = True

    async def withdraw(self, call: str, *, decider: str, reason: str) -> bool:
        """Withdraw a call that was not sent yet. Return False if it was too late.

        It ends as cancelled, or as uncertain if an attempt before may have run.
        """
        async with self._open.lock:
            item = self._open.get(call)
            if item is None or item.row.state not in (*PENDING_STATES, "approved"):
                return False
            self._mint.revoke(call)
            resolution = Resolution("uncertain" if item.may_have_run else "cancelled", decider, reason)
            try:
                if item.written:
                    await self._resolve(item, resolution, (*PENDING_STATES, "approved"))
                    return True
                row = replace(item.row, state="cancelled")
                await self._journal.commit(
                    *item.unwritten,
                    _changed(row, resolution),
                    change=lambda tx: call_table.insert(tx, row),
                )
            except (UserError, CallMoved):  # it was decided on, or its grant was used up, meanwhile
                return False
            item.row = row
            self._settle(item, resolution)
            return True

    async def withhold(self) -> None:
        """Withhold the calls that wait for the person, while nobody is there."""
        async with self._open.lock:
            for item in self._open:
                if not self.headless:
                    return
                if item.row.state not in PENDING_STATES or not item.waits:
                    continue
                left = Resolution("withheld", "headless", "the person left while it waited")
                with contextlib.suppress(UserError):  # it is being refused at this moment
                    await self._resolve(item, left)

    def waiting(self) -> list[PendingCall]:
        """Return the calls that wait for the person, oldest first."""
        return [item for item in self._open if item.row.state in PENDING_STATES and item.waits]

    def item(self, call: str) -> PendingCall | None:
        """Return an open call."""
        return self._open.get(call)

    def row(self, call: str) -> CallRow | None:
        """Return the row of an open call."""
        item = self._open.get(call)
        return item.row if item else None

    # --- grants ---------------------------------------------------------------------------------

    def surely_allowed(self, call: str) -> bool:
        """Whether `still_allowed` would return True without having to wait for anything."""
        item = self._open.get(call)
        if item is None or item.row.state != "approved" or self._open.lock.locked():
            return False
        if not is_of_policy(item.row.decider):
            return True
        return not self._policy.watches_outside and self._stricter(item) is None

    async def still_allowed(self, call: str) -> bool:
        """Return False if the mode became stricter and a call that it allowed must be asked about now.

        It is then pending (withheld if headless), or ends as uncertain if an attempt before may have run.
        What a person approved stays approved.
        """
        await self._policy.prepare()
        async with self._open.lock:
            item = self._open.get(call)
            return item is None or not await self._tightened(item)

    def _permits(self, item: PendingCall) -> bool:
        """Whether the policy still allows a call. Raises `GrantRefused` if it was stopped or changed."""
        if item.halted:
            raise GrantRefused("its turn was stopped")
        subject = self._lookup(item.row.server, item.row.tool)
        if subject is None or has_changed(item.row, subject):
            raise GrantRefused("the tool or its server changed after the approval")
        return self._stricter(item) is None

    def _stricter(self, item: PendingCall) -> Assessment | None:
        """Return what the policy of now says of a call that it allowed, None if it still allows it."""
        row = item.row
        if not is_of_policy(row.decider):
            return None
        subject = self._lookup(row.server, row.tool)
        if subject is None or has_changed(row, subject):
            return None  # it gets no grant anyway: see `_as_approved`
        assessment = self.assess(item.proposal, subject, item.mode, counted=item.rules)
        return None if assessment.decision == "allow" else assessment

    async def _tightened(self, item: PendingCall) -> bool:
        row = item.row
        if row.state != "approved" or (assessment := self._stricter(item)) is None:
            return False
        if item.may_have_run:  # it waits for nobody: a rejection would say that it did not run
            state: CallState = "uncertain"
        elif assessment.decision == "deny":
            state = "denied"
        else:
            state = "withheld" if self.headless else "held" if assessment.held else "pending"
        item.reopen()
        item.card = replace(item.card, why=assessment.why, held=assessment.held, mode=assessment.mode)
        if state in PENDING_STATES:
            self._begin_waiting(item)
        reason = "; ".join(assessment.why)
        decider = (
            "" if state in PENDING_STATES else "headless" if state == "withheld" else assessment.decider
        )
        if state == "uncertain":
            decider, reason = "cut", f"an attempt may have run; it was not tried again: {reason}"
        now = replace(row, state=state, decider=decider, nonce="")
        resolution = Resolution(state, decider, reason)
        event: AnyEvent = request_approval(item.card, now, item.digest)
        if state not in PENDING_STATES:
            event = _changed(now, resolution)
        proposed = () if item.written else (call_proposed(item.card, now, item.digest),)

        def change(tx: Transaction) -> None:
            if item.written:
                call_table.move(tx, now.call, state, expect=("approved",), decider=decider)
            else:
                call_table.insert(tx, now)

        await self._journal.commit(*proposed, event, change=change)
        item.row, item.written, item.unwritten = now, True, ()
        if state not in PENDING_STATES:
            self._settle(item, resolution)
        return True

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

        `PolicyTightened` if the policy does not allow the call any more: see `still_allowed`.

        The bytes come from the row that the compare-and-set matched, not from memory. If cancelled
        during the write, the call ends as cancelled and nothing is sent; as uncertain if an attempt before
        may have run.
        """
        self._mint.take(grant)
        item = self._open.get(grant.call)
        if item is None or item.row.state != "approved" or item.row.nonce != grant.nonce:
            raise GrantRefused("the call of this grant is over, or was not approved")
        try:
            await self._policy.save_uses(item.rules)
        except OSError as error:
            raise GrantRefused(f"the uses of its rule cannot be saved: {error}") from None
        try:
            return await self.dispatches.redeem(item, grant)
        finally:
            if item.stopped:
                self._settle(item, Resolution(item.row.state, "stop", "cancelled before it was sent"))

    async def again(self, dispatch: Dispatch, failed: AttemptRefused | AttemptFailed) -> bool:
        """Start the next attempt of a call. Return True if it is approved and a grant can be made.

        The attempt sends the same bytes to what was approved. If that has changed, a call that surely
        did not run is pending again (withheld if headless). Raises `UserError` if no further attempt is
        allowed, or none without asking anew for a call that may have run; the call is then unchanged.
        """
        await self._policy.prepare()
        async with self._open.lock:
            item = self._open.get(dispatch.call)
            if item is None or dispatch not in self.dispatches:
                raise UserError("it is over")
            # A refused token allows one further attempt.
            refused = isinstance(failed, AttemptRefused)
            if item.tried_again if refused else item.repeated >= further_attempts.MAX_FURTHER:
                raise UserError("it was tried again already")
            subject = self._lookup(dispatch.server, dispatch.tool)
            if subject is None:
                raise UserError("the server is gone, or no longer has this tool")
            if further_attempts.may_have_run(item, failed) and self._stricter(item) is not None:
                raise UserError("the mode or the rules became stricter meanwhile")
            item.card = replace(item.card, expires=self.expiry.ends())
            await further_attempts.start_next_attempt(
                self._journal, item, subject, failed, shown=self._shown, headless=self.headless
            )
            self.dispatches.close(dispatch)
            if item.row.state == "approved":
                return not await self._tightened(item)
            item.reopen()
            if item.row.state in PENDING_STATES:
                self.expiry.begin(item.id)
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
        shown = item.card.subject
        if shown.transport and not has_changed(item.row, subject) and shown.says == subject.says:
            assessment = self.assess(item.proposal, subject, item.mode)
            if assessment.decision == "deny":
                raise UserError(f"{assessment.why[0]}; reject it, or change the mode or the rule")
            return
        await self._hold(item, subject)
        raise UserError("the tool or its server changed while this waited; look at it again")

    async def _hold(self, item: PendingCall, subject: Subject) -> None:
        """Show a pending call again with the tool as it is now."""
        row = replace(item.row, server_fp=subject.server_fp, def_hash=subject.def_hash, state="held")
        why = ("the tool or its server changed while this waited",)
        item.card = replace(item.card, subject=subject, why=why, held=True)
        self._begin_waiting(item)
        item.row, item.digest = row, self._shown(row, subject)
        await self._journal.commit(
            self._request(item),
            change=lambda tx: call_table.move(
                tx, row.call, "held", expect=PENDING_STATES, server_fp=row.server_fp, def_hash=row.def_hash
            ),
        )

    async def _resolve(
        self, item: PendingCall, resolution: Resolution, expect: tuple[CallState, ...] = PENDING_STATES
    ) -> None:
        """Journal a decision, then pass it on. Raises `UserError` if another one was first."""
        state, decider = resolution.state, resolution.decider
        try:
            await self._journal.commit(
                _changed(item.row, resolution),
                change=lambda tx: call_table.move(tx, item.id, state, expect=expect, decider=decider),
            )
        except CallMoved:
            raise UserError("somebody else decided on this call first") from None
        item.row = replace(item.row, state=state, decider=decider)
        self._settle(item, resolution)

    def _begin_waiting(self, item: PendingCall) -> None:
        """Let the time begin, or begin again, in which the person can decide. Nobody there has no time."""
        if self.headless:
            return
        item.card = replace(item.card, expires=self.expiry.ends())
        self.expiry.begin(item.id)

    def _settle(self, item: PendingCall, resolution: Resolution) -> None:
        self.expiry.stop(item.id)
        item.settle(resolution)
        if resolution.state != "approved":
            self._open.remove(item.id)

    def _shown(self, row: CallRow, subject: Subject) -> str:
        """Return the digest that a decision must name: server, definition and arguments, as shown."""
        shown = (row.call, row.server_fp, row.def_hash, row.args_hash, subject.says)
        return self._digest("|".join(shown).encode())

    def _request(self, item: PendingCall) -> Any:
        return request_approval(item.card, item.row, item.digest)


def _changed(row: CallRow, resolution: Resolution) -> CallChanged:
    """Return the event of a decision."""
    return CallChanged(
        call=row.call,
        state=resolution.state,
        decider=resolution.decider,
        reason=safe(resolution.reason, limit=1000),
        feedback=safe(resolution.feedback, limit=4000),
        attempt=row.attempt,
        batch=resolution.batch,
    )


def _after_restart(assessment: Assessment) -> Assessment:
    """Add why an allowed call waits again after a restart: nothing is sent without the person then."""
    if assessment.decision != "allow":
        return assessment
    return replace(assessment, why=(*assessment.why, "it waited for you when the app ended"))
