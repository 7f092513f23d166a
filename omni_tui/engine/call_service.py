"""The calls of one session: from an agent or the person, through the gate, to the outcome.

Every call that enters gets exactly one outcome, whatever happens meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from omni_tui.agents import ToolOutcome
from omni_tui.approvals import rejected_calls
from omni_tui.approvals.gate import Gate
from omni_tui.approvals.grants import GrantRefused
from omni_tui.approvals.outside_data import Result
from omni_tui.approvals.pending import PendingCall, Resolution
from omni_tui.approvals.policy_in_force import PolicyInForce
from omni_tui.approvals.subject import Question
from omni_tui.engine.call_dispatcher import CallDispatcher, CallWithdrawn
from omni_tui.engine.call_proposals import CallProposalFactory, ProposedCall, ServerGone, new_call_id
from omni_tui.engine.context import EngineContext
from omni_tui.engine.turn_modes import TurnModes
from omni_tui.memory import CallRow, Journal, JournalBroken, SavedTask, call_table, task_table
from omni_tui.models.attachments import images_in
from omni_tui.models.base import ToolCall
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.events import CallChanged, CallState, Notice
from omni_tui.protocol.values import CallOrigin
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe
from omni_tui.tools.call_arguments import BadArguments, canonical, parse_arguments
from omni_tui.tools.executor import CallBecameTask, CallOutcome
from omni_tui.tools.results import StoredResult, model_text
from omni_tui.tools.task_tracker import MAY_BE_HALF_DONE, TaskTracker
from omni_tui.tools.tool_names import ToolKey
from omni_tui.tools.write_order import OrderPlace

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
    cancelled: bool = False
    """Whether somebody cancelled it: no other call takes its place then."""
    earlier: CallRow | None = None
    """Its row, where it was sent before a restart."""

    @property
    def row(self) -> CallRow | None:
        """The row of the call, None before the gate has it."""
        return self.item.row if self.item is not None else self.earlier


class CallService:
    """All calls of one session."""

    def __init__(
        self,
        *,
        context: EngineContext,
        journal: Journal,
        gate: Gate,
        policy: PolicyInForce,
        dispatcher: CallDispatcher,
        tasks: TaskTracker,
        turns: TurnModes,
    ) -> None:
        self._context = context
        self._journal = journal
        self._gate = gate
        self._policy = policy
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
        self._refused: dict[str, Resolution] = {}
        """How calls were refused before a restart, of which the model may not have been told yet."""

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
        outcome = await self._outcome(active, origin)
        note = outcome.note
        if active.row is not None:
            note += _note_of_edit(call, active.row.args, outcome.state)
        return ToolOutcome(outcome.text, outcome.state, call=outcome.call, note=note, images=outcome.images)

    async def _from_agent(self, active: ActiveCall, origin: CallOrigin, call: ToolCall) -> CallOutcome:
        async with self._entry:
            if active.item is None:
                if (earlier := await self._earlier(active, origin)) is not None:
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
                await self._gate.withhold()  # it was put before a person; perhaps nobody is there now
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
        while outcome.state == "failed" and outcome.did_not_run and not active.cancelled:
            try:
                proposed = await self.proposals.next_in_route(
                    origin, first, pair, arguments, outcome.reason
                )
            except BadArguments as error:
                return replace(outcome, text=f"{outcome.text}. {error}")
            if proposed is None or active.cancelled:
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

    async def _earlier(self, active: ActiveCall, origin: CallOrigin) -> CallOutcome | None:
        """Return the outcome of this very call from before a restart, None if it was not made."""
        row = await self._journal.run(lambda tx: call_table.find(tx, origin))
        active.earlier = row
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
        if (refused := self._refused.get(row.call)) is not None:
            return CallOutcome(refused.state, _refusal(refused), refused.reason)
        return CallOutcome(row.state, _WORDS.get(row.state, "The call ended without a result."))

    # --- from the person ------------------------------------------------------------------------

    async def question(self, hand: ProposedCall) -> Question | None:
        """Return what a call by hand must be confirmed for first, None if it need not be."""
        await self._policy.prepare()
        return self._gate.question(hand.proposal, hand.subject, self._turns.mode(""))

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
            except CallBecameTask as became:  # leave its place: a task may take days
                outcome = await self._server_tasks.follow(became)
            except CallWithdrawn:
                return CallOutcome("cancelled", _WORDS["cancelled"])
            except (UserError, GrantRefused, JournalBroken) as error:
                logger.warning("call %s was not sent: %s", item.id, error)
                await self._abandon(item.id, str(error))
                if item.may_have_run:
                    return CallOutcome("uncertain", _WORDS["uncertain"], str(error))
                unsent = not isinstance(error, JournalBroken)
                return CallOutcome("failed", f"Nothing was sent: {error}", str(error), did_not_run=unsent)
            if outcome.state != "held":
                self._policy.remember_result(_returned(item.row, outcome))
                return outcome

    async def _accept(self, item: PendingCall, resolution: Resolution) -> None:
        """Accept a new or changed tool as its card showed it: the person has approved the card.

        The question about a call by hand shows no definition, so a yes to it accepts none.
        """
        if resolution.state != "approved" or resolution.decider != "user":
            return
        shown = item.card.subject
        if shown.held or shown.tool_trust == "new":
            try:
                await self._context.accept(shown, session=self._journal.session)
            except UserError as error:
                # The call itself is approved, as its session's audit tells. Its tool stays held.
                name = f"{identifier(shown.server)} › {identifier(shown.tool)}"
                what = safe(f"the definition of {name} was not accepted, and is asked about again")
                self._context.clients.tell(Notice(level="warning", what=what, why=safe(str(error))))

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

    async def _outcome(self, active: ActiveCall, origin: CallOrigin) -> CallOutcome:
        """Wait for the outcome of a call.

        Cancelling this cancels the call and returns what is known: never sent, or cut off.
        """
        task = active.task
        assert task is not None
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            active.cancelled = True
            self._gate.halt(active.id)
            if not task.cancelled():
                await self.cancel(active.id, decider="stop", reason="the turn was stopped")
            if task.done() and not task.cancelled() and task.exception() is None:
                return task.result()
            unsent = active.item.cancelled if active.item is not None else await self._never_made(origin)
            state: CallState = "cancelled" if unsent else "uncertain"
            return CallOutcome(state, _WORDS[state])
        except JournalBroken as error:
            return CallOutcome("failed", f"Nothing was sent: {error}", str(error))
        except Exception as error:
            return CallOutcome("failed", f"Error inside Omni TUI: {type(error).__name__}", str(error))

    async def _never_made(self, origin: CallOrigin) -> bool:
        """Whether the journal has no call that was made by `origin`, now or before a restart."""
        try:
            return await self._journal.run(lambda tx: call_table.find(tx, origin)) is None
        except JournalBroken:
            return False

    async def stop_followed(self, turn: str) -> None:
        """Cancel the calls of a turn that ran as tasks at their servers when the app ended."""
        for origin, active in list(self._followed.items()):
            if origin.turn == turn:
                await self.cancel(active.id, decider="stop", reason="the turn was stopped")

    async def cancel(self, call: str, *, decider: str = "user", reason: str = "cancelled") -> bool:
        """Cancel one call at any point of its way. Return False if it is over."""
        active = self._active.get(call)
        task = active.task if active is not None else None
        if active is not None:
            call, active.cancelled = active.id, True
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

    def recall_refusals(self, events: Iterable[AnyEvent]) -> None:
        """Remember from the journal why calls were not sent, and what the person said about them."""
        for event in events:
            if isinstance(event, CallChanged) and event.state in _NOT_SENT:
                told = Resolution(event.state, event.decider, event.reason, event.feedback)
                self._refused[event.call] = told

    async def withdraw_restored(self) -> None:
        """Withdraw the restored calls: their turn is not continued."""
        items, self._restored = list(self._restored.values()), {}
        for item in items:
            await self._gate.withdraw(item.id, decider="stop", reason="its turn was not continued")

    async def give_up_restored(self, why: str) -> int:
        """Withdraw the restored calls, since they may wait on another machine too; return how many."""
        items, self._restored = list(self._restored.values()), {}
        reason = f"it may wait on another machine, to which this session may have gone: {why}"
        for item in items:
            await self._gate.withdraw(item.id, decider=_RESTART, reason=reason)
            self._refused[item.id] = Resolution("cancelled", _RESTART, reason)
        return len(items)

    def follow_tasks(self, rows: list[CallRow], running: dict[str, SavedTask]) -> None:
        """Follow the calls that ran as tasks when the app ended."""
        for row in rows:
            active = ActiveCall(row.call, earlier=row)
            self._start(active, self._resumed(row, running[row.call]))
            self._followed[row.made_by] = active

    async def _resumed(self, row: CallRow, saved: SavedTask) -> CallOutcome:
        outcome = await self._server_tasks.resume(row, saved)
        self._policy.remember_result(_returned(row, outcome))
        return outcome

    def restored(self, call: str) -> bool:
        """Whether a call was restored and its agent does not wait for it yet."""
        return any(item.id == call and item.waits for item in self._restored.values())


def _returned(row: CallRow, outcome: CallOutcome) -> Result:
    return Result(row.server, outcome.text, row.made_by)


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

_REPEATED = (
    "Rejected automatically: the user rejected this very call twice in this turn and is not asked again. "
    "Do not make it again; do something else, or ask the user what to do."
)
_NOT_SENT: frozenset[CallState] = frozenset(("rejected", "denied", "withheld", "expired", "cancelled"))
_RESTART = "restart"
_EDIT_LIMIT = 4_000
"""Most characters of edited arguments that the model is told."""


def _note_of_edit(call: ToolCall, arguments: bytes, state: CallState) -> str:
    """Return what the model is told if the person changed the arguments of its call before it was sent."""
    if state in _NOT_SENT:
        return ""
    try:
        if canonical(parse_arguments(call.arguments)) == arguments:
            return ""
    except BadArguments:
        return ""
    text = arguments.decode()
    cut = f" (the first {_EDIT_LIMIT:,} of {len(text):,} characters)" if len(text) > _EDIT_LIMIT else ""
    ran = "was sent" if state == "uncertain" else "ran"
    words = f"the user changed the arguments of this call before it {ran}. It {ran} with{cut}:"
    return f"\n[Omni TUI: {words} {text[:_EDIT_LIMIT]}]"


def _refusal(resolution: Resolution) -> str:
    """Return what the model is told about its call, with the person's feedback."""
    text = _WORDS.get(resolution.state, "Not sent.")
    if resolution.decider == rejected_calls.DECIDER:
        return _REPEATED
    if resolution.state == "rejected" and resolution.feedback:
        return f"{text} The user says: {resolution.feedback}"
    if resolution.state == "cancelled" and resolution.decider == _RESTART:
        return f"Not sent from here: {resolution.reason}. Nobody refused it; you may ask for it again."
    if resolution.state in ("denied", "withheld") and resolution.reason:
        return f"{text} ({resolution.reason})"
    return text
