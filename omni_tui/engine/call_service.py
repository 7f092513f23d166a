"""The calls of one session: from an agent or the person, through the gate, to the outcome.

Every call that enters gets exactly one outcome, whatever happens meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any

from omni_tui.agents import ToolOutcome
from omni_tui.approvals import Gate, GrantRefused, PendingCall, Resolution
from omni_tui.engine.call_dispatcher import CallDispatcher, CallWithdrawn
from omni_tui.engine.call_proposals import CallProposalFactory, ProposedCall, ServerGone, new_call_id
from omni_tui.engine.context import EngineContext
from omni_tui.engine.turn_modes import TurnModes
from omni_tui.memory import CallRow, Journal, JournalBroken, SavedTask, call_table, task_table
from omni_tui.models.attachments import images_in
from omni_tui.models.base import ToolCall
from omni_tui.protocol import SafeText, UserError
from omni_tui.protocol.events import CallState
from omni_tui.protocol.values import CallOrigin
from omni_tui.security.text import safe
from omni_tui.tools import (
    MAY_BE_HALF_DONE,
    BadArguments,
    CallBecameTask,
    CallOutcome,
    OrderPlace,
    StoredResult,
    TaskTracker,
    model_text,
)
from omni_tui.tools.tool_names import ToolKey

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class ActiveCall:
    """A call without an outcome yet, and the task that carries it out.

    Once another call stands in for it, `id` and `item` (None before the gate has it) are those of that
    call.
    """

    id: str
    item: PendingCall | None = None
    task: asyncio.Task[CallOutcome] | None = None


class CallService:
    """All calls of one session."""

    def __init__(
        self,
        *,
        context: EngineContext,
        journal: Journal,
        gate: Gate,
        dispatcher: CallDispatcher,
        tasks: TaskTracker,
        turns: TurnModes,
    ) -> None:
        self._context = context
        self._journal = journal
        self._gate = gate
        self._dispatcher = dispatcher
        self._server_tasks = tasks
        self._turns = turns
        self.proposals = CallProposalFactory(context)
        self._entry = asyncio.Lock()
        self._active: dict[str, ActiveCall] = {}
        """By the id of the call, and by the ids of those that stand in for it."""
        self._restored: dict[CallOrigin, PendingCall] = {}
        """Calls that waited for the person when the app ended, until their agent asks for them."""
        self._followed: dict[CallOrigin, ActiveCall] = {}
        """Calls that ran as tasks at their servers when the app ended."""

    # --- from the agent -------------------------------------------------------------------------

    async def by_agent(self, origin: CallOrigin, call: ToolCall) -> ToolOutcome:
        """Carry one call of a model through to its outcome. Raises only `CancelledError`.

        Calls that come together enter the queue in the order in which they come.
        """
        active = self._followed.get(origin)
        if active is None:
            item = self._restored.pop(origin, None)
            active = ActiveCall(item.id if item is not None else new_call_id(), item)
            self._start(active, self._from_agent(active, origin, call))
        outcome = await self._outcome(active)
        return ToolOutcome(
            outcome.text, outcome.state, call=outcome.call, note=outcome.note, images=outcome.images
        )

    async def _from_agent(self, active: ActiveCall, origin: CallOrigin, call: ToolCall) -> CallOutcome:
        async with self._entry:
            if active.item is None:
                if (earlier := await self._earlier(origin)) is not None:
                    return earlier
                try:
                    proposed = await self.proposals.of_agent(active.id, origin, call)
                except ServerGone as gone:
                    outcome = CallOutcome("failed", f"Error: {gone}", str(gone), did_not_run=True)
                    return await self._elsewhere(outcome, active, origin, gone.pair, call.arguments)
                except (BadArguments, UserError) as error:
                    return CallOutcome("failed", f"Error: {error}", str(error))
                item = await self._enter(active, proposed)
            else:
                item = active.item
            row = item.row
            place = self._dispatcher.place(origin, row.server, row.tool)
        try:
            outcome = await self._carry(item, place)
        finally:
            place.leave()
        arguments = item.row.args.decode()
        return await self._elsewhere(outcome, active, origin, (row.server, row.tool), arguments)

    async def _elsewhere(
        self, outcome: CallOutcome, active: ActiveCall, origin: CallOrigin, first: ToolKey, arguments: str
    ) -> CallOutcome:
        """Try the next servers of the route for a call that surely did not run, each as a new call."""
        pair = first
        while outcome.state == "failed" and outcome.did_not_run:
            try:
                proposed = await self.proposals.next_in_route(
                    origin, first, pair, arguments, outcome.reason
                )
            except BadArguments as error:
                return replace(outcome, text=f"{outcome.text}. {error}")
            if proposed is None:
                return outcome
            pair = (proposed.subject.server, proposed.subject.tool)
            # From now on, cancelling the call cancels the one that stands in for it.
            active.id, active.item = proposed.proposal.call, None
            self._active[active.id] = active
            place = self._dispatcher.place(origin, *pair)
            try:
                outcome = await self._carry(await self._enter(active, proposed), place)
            finally:
                place.leave()
        if pair == first:
            return outcome
        where = f"{first[0]} could not be reached; this is the outcome of the same call at {pair[0]}."
        return replace(outcome, note=f"{outcome.note}\n[Omni TUI: {where}]")

    async def _earlier(self, origin: CallOrigin) -> CallOutcome | None:
        """Return the outcome of this very call from before a restart, None if it was not made."""
        row = await self._journal.run(lambda tx: call_table.find(tx, origin))
        if row is None:
            return None
        data = await self._journal.run(lambda tx: call_table.get_result(tx, row.call, row.attempt))
        if data:
            result = StoredResult.load(data)
            images = images_in(result.content) if row.state == "succeeded" else ()
            state: CallState = "succeeded" if row.state == "cached" else row.state
            return CallOutcome(state, model_text(result.raw()), call=row.call, images=images)
        if row.state == "cancelled" and await self._journal.run(
            lambda tx: task_table.load(tx, row.call, row.attempt) is not None
        ):
            return CallOutcome(row.state, f"It was cancelled while it ran. {MAY_BE_HALF_DONE}")
        return CallOutcome(row.state, _WORDS.get(row.state, "The call ended without a result."))

    # --- from the person ------------------------------------------------------------------------

    def question(self, hand: ProposedCall) -> tuple[SafeText, ...]:
        """Return why a call by hand must be confirmed first; empty if it need not be."""
        assessment = self._gate.assess(hand.proposal, hand.subject, self._turns.mode(""))
        return tuple(safe(why) for why in assessment.why) if assessment.decision == "ask" else ()

    def start_by_hand(self, hand: ProposedCall) -> str:
        """Start a call by hand, once, and return its id; its events tell the rest."""
        active = ActiveCall(hand.proposal.call)
        self._start(active, self._by_hand(active, hand))
        return active.id

    async def _by_hand(self, active: ActiveCall, hand: ProposedCall) -> CallOutcome:
        return await self._carry(await self._enter(active, hand), None)

    # --- the way through ------------------------------------------------------------------------

    async def _enter(self, active: ActiveCall, proposed: ProposedCall) -> PendingCall:
        """Propose a call to the gate. If cancelled meanwhile, withdraw it."""
        proposal = proposed.proposal
        turn = proposal.made_by.turn
        proposal = replace(proposal, loosened=self._turns.loosened(turn, proposal.server))
        try:
            active.item = await self._gate.propose(proposal, proposed.subject, self._turns.mode(turn))
        except asyncio.CancelledError:
            active.item = self._gate.item(proposal.call)
            await asyncio.shield(self._abandon(proposal.call, "cancelled"))
            raise
        return active.item

    async def _carry(self, item: PendingCall, place: OrderPlace | None) -> CallOutcome:
        """Wait for the decision on a call, send it if it is approved, and return its outcome.

        A call that is held again on its way waits for another decision.
        """
        while True:
            resolution = await item.verdict()
            await self._accept(item, resolution)
            if resolution.state != "approved":
                return CallOutcome(resolution.state, _refusal(resolution), resolution.reason)
            try:
                outcome = await self._dispatcher.send(item, place)
            except CallBecameTask as begun:  # leave its place: a task may take days
                return await self._server_tasks.follow(begun)
            except CallWithdrawn:
                return CallOutcome("cancelled", _WORDS["cancelled"])
            except (UserError, GrantRefused, JournalBroken) as error:
                logger.warning("call %s was not sent: %s", item.id, error)
                await self._abandon(item.id, str(error))
                unsent = not isinstance(error, JournalBroken)
                return CallOutcome("failed", f"Nothing was sent: {error}", str(error), did_not_run=unsent)
            if outcome.state != "held":
                return outcome

    async def _accept(self, item: PendingCall, resolution: Resolution) -> None:
        """Accept a new or changed tool as it was shown: the person has approved a call of it."""
        if resolution.state != "approved" or "user" not in resolution.decider:
            return
        shown, row = item.card.subject, item.row
        if not shown.transport:  # it was shown before its server was connected
            shown = self._context.subject(row.server, row.tool) or shown
        if "changed" in (shown.server_trust, shown.tool_trust) or shown.tool_trust == "new":
            await self._context.catalogue.accept(row.server, row.tool, row.def_hash)

    async def _abandon(self, call: str, reason: str) -> None:
        try:
            await self._gate.withdraw(call, decider="gate", reason=reason)
        except JournalBroken:
            logger.exception("call %s could not be journalled as withdrawn", call)

    # --- tasks ----------------------------------------------------------------------------------

    def _start(self, active: ActiveCall, work: Coroutine[Any, Any, CallOutcome]) -> None:
        """Carry out a call in a task that `cancel` finds."""
        call = active.id
        self._active[call] = active
        active.task = asyncio.create_task(work, name=f"call {call}")

        def done(finished: asyncio.Task[CallOutcome]) -> None:
            self._active = {key: each for key, each in self._active.items() if each is not active}
            if not finished.cancelled() and (error := finished.exception()) is not None:
                logger.error("call %s broke", call, exc_info=error)

        active.task.add_done_callback(done)

    async def _outcome(self, active: ActiveCall) -> CallOutcome:
        """Wait for the outcome of a call.

        Cancelling this cancels the call and returns what is known: never sent, or cut off.
        """
        task = active.task
        assert task is not None
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._gate.halt(active.id)
            if not task.cancelled():
                await self.cancel(active.id, decider="stop", reason="the turn was stopped")
            if task.done() and not task.cancelled() and task.exception() is None:
                return task.result()
            unsent = active.item is not None and active.item.cancelled
            state: CallState = "cancelled" if unsent else "uncertain"
            return CallOutcome(state, _WORDS[state])
        except JournalBroken as error:
            return CallOutcome("failed", f"Nothing was sent: {error}", str(error))
        except Exception as error:
            return CallOutcome("failed", f"Error inside Omni TUI: {type(error).__name__}", str(error))

    async def cancel(self, call: str, *, decider: str = "user", reason: str = "cancelled") -> bool:
        """Cancel one call at any point of its way. Return False if it is over."""
        active = self._active.get(call)
        task = active.task if active is not None else None
        call = active.id if active is not None else call
        if task is not None and self._server_tasks.stop(call, decider=decider, reason=reason):
            await asyncio.wait([task], timeout=5)
            return True
        withdrawn, row = False, self._gate.row(call)
        on_its_way = row is not None and row.state == "approved"
        try:
            withdrawn = await self._gate.withdraw(call, decider=decider, reason=reason)
        except JournalBroken:
            logger.exception("call %s could not be journalled as cancelled", call)
        if task is not None and not task.done() and (on_its_way or not withdrawn):
            task.cancel()
            await asyncio.wait([task], timeout=5)
        return withdrawn or task is not None

    async def close(self) -> None:
        """End the running calls. Pending ones stay in the journal; tasks keep running at their servers."""
        self._server_tasks.park()
        calls = list(dict.fromkeys(self._active.values()))
        calls.sort(key=lambda each: each.item is None or each.item.row.state != "dispatching")
        tasks = [each.task for each in calls if each.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2)

    # --- after a restart ------------------------------------------------------------------------

    async def restore(self, rows: list[CallRow], fallbacks: Mapping[str, str]) -> None:
        """Put the calls that were pending when the app ended back into the queue.

        `fallbacks`: for each call that stands in for another one, the words that say so.
        """
        for row in rows:
            subject = self._context.subject(row.server, row.tool)
            mode = self._turns.mode(row.turn)
            item = await self._gate.restore(row, subject, mode, fallbacks.get(row.call, ""))
            self._restored[row.made_by] = item

    async def withdraw_restored(self) -> None:
        """Withdraw the restored calls: their turn is not continued."""
        items, self._restored = list(self._restored.values()), {}
        for item in items:
            await self._gate.withdraw(item.id, decider="stop", reason="its turn was not continued")

    def follow_tasks(self, rows: list[CallRow], running: dict[str, SavedTask]) -> None:
        """Follow the calls that ran as tasks when the app ended."""
        for row in rows:
            active = ActiveCall(row.call)
            self._start(active, self._server_tasks.resume(row, running[row.call]))
            self._followed[row.made_by] = active

    def restored(self, call: str) -> bool:
        """Whether a call was restored and its agent does not wait for it yet."""
        return any(item.id == call and item.waits for item in self._restored.values())


_WORDS: dict[CallState, str] = {
    "uncertain": (
        "Outcome unknown: the call was cut off and may or may not have run. "
        "Check with a tool that only reads; do not repeat it."
    ),
    "cancelled": "Cancelled by the user before it was sent.",
    "rejected": "Rejected by the user. Do not repeat it with the same arguments.",
    "denied": "Denied by policy.",
    "withheld": "Not sent: it needs an approval and nobody is there to give it.",
    "expired": "The approval timed out; it was not refused. You may ask again later.",
}


def _refusal(resolution: Resolution) -> str:
    """Return what the model is told about its call, with the person's feedback."""
    text = _WORDS.get(resolution.state, "Not sent.")
    if resolution.state == "rejected" and resolution.feedback:
        return f"{text} The user says: {resolution.feedback}"
    if resolution.state in ("denied", "withheld") and resolution.reason:
        return f"{text} ({resolution.reason})"
    return text
