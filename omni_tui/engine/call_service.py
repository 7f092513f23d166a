"""The call desk: takes calls from the agent and from the person, through the gate to the executor.

Every call that enters leaves with exactly one outcome, whatever happens in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from omni_tui.agents import ToolOutcome
from omni_tui.approvals import CallProposal, Gate, GrantRefused, Resolution, Subject
from omni_tui.engine.call_dispatcher import CallDispatcher, CallWithdrawn
from omni_tui.engine.call_proposals import CallProposalFactory, ManualCall, ServerGone, new_call_id
from omni_tui.engine.route_fallback import IntendedCall, RouteFallback
from omni_tui.engine.turn_modes import TurnModes
from omni_tui.memory import CallRow, Journal, JournalBroken, SavedTask, call_table, task_table
from omni_tui.models.attachments import images_in
from omni_tui.models.base import Image, ToolCall
from omni_tui.protocol import SafeText, UserError
from omni_tui.protocol.events import CallState
from omni_tui.security.text import safe
from omni_tui.tools import (
    MAY_BE_HALF_DONE,
    BadArguments,
    CallBecameTask,
    CallOutcome,
    Catalogue,
    OrderPlace,
    SchemaChecker,
    StoredResult,
    TaskTracker,
    ToolRoutes,
    model_text,
)
from omni_tui.tools.tool_names import ToolKey

logger = logging.getLogger(__name__)

_IMAGE = "[image, "
"""What `model_text` says of a picture begins so."""


class CallService:
    """All calls of one session."""

    def __init__(
        self,
        *,
        journal: Journal,
        gate: Gate,
        sending: CallDispatcher,
        tasks: TaskTracker,
        catalogue: Catalogue,
        schemas: SchemaChecker,
        routes: ToolRoutes,
        subject: Callable[[str, str], Subject | None],
        turns: TurnModes,
    ) -> None:
        self._journal = journal
        self._gate = gate
        self._sending = sending
        self._at_servers = tasks
        self._catalogue = catalogue
        self._subject = subject
        self.proposals = CallProposalFactory(catalogue, schemas, subject, routes.known)
        self._turns = turns
        self._tasks: dict[str, asyncio.Task[CallOutcome]] = {}
        self._entry = asyncio.Lock()
        self._restored: dict[tuple[str, str, int, str], CallRow] = {}
        self._fallbacks = RouteFallback(routes, subject, self.proposals.check, new_call_id)
        self._stand_ins: dict[str, str] = {}
        self._taken_up: dict[tuple[str, str, int, str], tuple[str, asyncio.Task[CallOutcome]]] = {}

    # --- from the agent -------------------------------------------------------------------------

    async def by_agent(self, turn: str, step: int, call: ToolCall, agent: str = "root") -> ToolOutcome:
        """Carry one call of a model through to its outcome. Raises only `CancelledError`.

        Calls that come together enter the queue in the order in which they come.
        """
        number = new_call_id()
        outcome = await self._tracked(number, self._from_agent(number, turn, step, call, agent))
        images = await self._images(turn, step, call, agent) if _IMAGE in outcome.text else ()
        return ToolOutcome(outcome.text, outcome.state, call=outcome.call, note=outcome.note, images=images)

    async def _images(self, turn: str, step: int, call: ToolCall, agent: str) -> tuple[Image, ...]:
        """Return the pictures of a call's kept result."""
        row = await self._journal.run(lambda tx: call_table.find(tx, turn, step, call.id, agent))
        if row is None or row.state != "succeeded":
            return ()
        data = await self._journal.run(lambda tx: call_table.get_result(tx, row.call, row.attempt))
        return images_in(StoredResult.load(data).content) if data else ()

    async def _from_agent(
        self, number: str, turn: str, step: int, call: ToolCall, agent: str
    ) -> CallOutcome:
        if (taken_up := self._taken_up.get((turn, agent, step, call.id))) is not None:
            return await self._await_task(*taken_up)
        async with self._entry:
            restored = self._restored.pop((turn, agent, step, call.id), None)
            if restored is None:
                if (earlier := await self._earlier(turn, step, call, agent)) is not None:
                    return earlier
                try:
                    proposal, subject = await self.proposals.of_agent(number, turn, step, call, agent)
                except ServerGone as gone:
                    outcome = CallOutcome("failed", f"Error: {gone}", str(gone), did_not_run=True)
                    return await self._elsewhere(outcome, number, "", (turn, step, call, agent), gone.pair)
                except (BadArguments, UserError) as error:
                    return CallOutcome("failed", f"Error: {error}", str(error))
                entered = await self._enter(proposal, subject)
            row = restored or proposal
            place = self._sending.place((turn, step, agent, row.server), row.server, row.tool)
        try:
            if restored is not None:
                outcome = await self._go_on(restored, number, place)
            else:
                outcome = await self._through(proposal, subject, entered, place)
        finally:
            place.leave()
        pair = (row.server, row.tool)
        return await self._elsewhere(outcome, number, row.call, (turn, step, call, agent), pair)

    async def _elsewhere(
        self,
        outcome: CallOutcome,
        number: str,
        sent: str,
        origin: tuple[str, int, ToolCall, str],
        pair: ToolKey,
    ) -> CallOutcome:
        """Take a call that did not run to the next server of its route, if it has one."""
        if not outcome.did_not_run:
            return outcome
        turn, step, call, agent = origin
        row = await self._journal.run(lambda tx: call_table.load(tx, sent)) if sent else None
        arguments = row.args.decode() if row is not None else call.arguments
        wanted = IntendedCall(pair, arguments, turn, step, agent, call.id)
        return await self._fallbacks.go_on(
            outcome, wanted, lambda proposal, subject: self._stand_in(number, proposal, subject)
        )

    async def _stand_in(self, number: str, proposal: CallProposal, subject: Subject) -> CallOutcome:
        """Carry out a call in the place of another; who cancels that one cancels this one."""
        self._stand_ins[number] = proposal.call
        self._tasks[proposal.call] = self._tasks[number]
        key = (proposal.turn, proposal.step, proposal.agent, proposal.server)
        place = self._sending.place(key, proposal.server, proposal.tool)
        try:
            entered = await self._enter(proposal, subject)
            return await self._through(proposal, subject, entered, place)
        finally:
            place.leave()
            self._stand_ins.pop(number, None)
            self._tasks.pop(proposal.call, None)

    async def _earlier(self, turn: str, step: int, call: ToolCall, agent: str) -> CallOutcome | None:
        """Return what became of this very call before a restart, if it was made then."""
        row = await self._journal.run(lambda tx: call_table.find(tx, turn, step, call.id, agent))
        if row is None:
            return None
        data = await self._journal.run(lambda tx: call_table.get_result(tx, row.call, row.attempt))
        if data:
            state: CallState = "succeeded" if row.state == "cached" else row.state
            return CallOutcome(state, model_text(StoredResult.load(data).raw()), call=row.call)
        if row.state == "cancelled" and await self._journal.run(
            lambda tx: task_table.load(tx, row.call, row.attempt) is not None
        ):
            return CallOutcome(row.state, f"It was cancelled while it ran. {MAY_BE_HALF_DONE}")
        return CallOutcome(row.state, _WORDS.get(row.state, "The call ended without a result."))

    # --- from the person ------------------------------------------------------------------------

    def question(self, hand: ManualCall) -> tuple[SafeText, ...]:
        """Return why a call by hand must be confirmed first; empty if it may go."""
        assessment = self._gate.assess(hand.proposal, hand.subject, self._turns.mode(""))
        return tuple(safe(why) for why in assessment.why) if assessment.decision == "ask" else ()

    def start_by_hand(self, hand: ManualCall) -> str:
        """Start a call by hand, once, and return its id; its events tell the rest."""
        call = hand.proposal.call
        self._spawn(call, self._by_hand(hand.proposal, hand.subject))
        return call

    # --- the way through ------------------------------------------------------------------------

    async def _by_hand(self, proposal: CallProposal, subject: Subject) -> CallOutcome:
        entered = await self._enter(proposal, subject)
        return await self._through(proposal, subject, entered)

    async def _enter(self, proposal: CallProposal, subject: Subject) -> Resolution | None:
        """Put a proposal before the gate. One that was cancelled on its way in does not stay there."""
        turn = proposal.turn
        proposal = replace(proposal, loosened=self._turns.loosened(turn, proposal.server))
        try:
            return await self._gate.propose(proposal, subject, self._turns.mode(turn))
        except asyncio.CancelledError:
            await asyncio.shield(self._abandon(proposal.call, "cancelled"))
            raise

    async def _through(
        self,
        proposal: CallProposal,
        subject: Subject,
        entered: Resolution | None,
        place: OrderPlace | None = None,
    ) -> CallOutcome:
        resolution = entered or await self._gate.resolution(proposal.call)
        await self._accept(proposal.call, subject, resolution)
        return await self._after(proposal.call, proposal.server, resolution, place)

    async def _accept(self, call: str, subject: Subject, resolution: Resolution) -> None:
        """Who approves a call of a tool that is new or has changed has accepted it as it was shown."""
        review = "changed" in (subject.server_trust, subject.tool_trust) or subject.tool_trust == "new"
        row = self._gate.row(call)
        if resolution.state == "approved" and review and "user" in resolution.decider and row is not None:
            await self._catalogue.accept(subject.server, subject.tool, row.def_hash)

    async def _go_on(self, row: CallRow, number: str, place: OrderPlace) -> CallOutcome:
        """Wait for the verdict on a call that was pending before a restart, then carry it out."""
        self._tasks[row.call], self._stand_ins[number] = self._tasks[number], row.call
        try:
            resolution = await self._gate.resolution(row.call)
            if (subject := self._subject(row.server, row.tool)) is not None:
                await self._accept(row.call, subject, resolution)
            return await self._after(row.call, row.server, resolution, place)
        finally:
            self._tasks.pop(row.call, None)
            self._stand_ins.pop(number, None)

    async def _after(
        self, call: str, server: str, resolution: Resolution, place: OrderPlace | None
    ) -> CallOutcome:
        while resolution.state == "approved":
            outcome = await self._sent(call, place)
            if outcome.state != "held":
                return outcome
            resolution = await self._gate.resolution(call)
            row = self._gate.row(call)
            if row is not None and (subject := self._subject(server, row.tool)) is not None:
                await self._accept(call, subject, resolution)
        return CallOutcome(resolution.state, _refusal(resolution), resolution.reason)

    async def _sent(self, call: str, place: OrderPlace | None) -> CallOutcome:
        try:
            return await self._sending.send(call, place)
        except CallBecameTask as begun:  # its place is free again: a task may take days
            return await self._at_servers.follow(begun)
        except CallWithdrawn:
            return CallOutcome("cancelled", _WORDS["cancelled"])
        except (UserError, GrantRefused, JournalBroken) as error:
            logger.warning("call %s was not sent: %s", call, error)
            await self._abandon(call, str(error))
            return CallOutcome(
                "failed",
                f"Nothing was sent: {error}",
                str(error),
                did_not_run=not isinstance(error, JournalBroken),
            )

    async def _abandon(self, call: str, reason: str) -> None:
        try:
            await self._gate.withdraw(call, decider="gate", reason=reason)
        except JournalBroken:
            logger.exception("call %s could not be journalled as withdrawn", call)

    # --- tasks ----------------------------------------------------------------------------------

    def _spawn(self, call: str, work: Coroutine[Any, Any, CallOutcome]) -> asyncio.Task[CallOutcome]:
        task = asyncio.create_task(work, name=f"call {call}")
        self._tasks[call] = task

        def done(finished: asyncio.Task[CallOutcome]) -> None:
            self._tasks.pop(call, None)
            if not finished.cancelled() and (error := finished.exception()) is not None:
                logger.error("call %s broke", call, exc_info=error)

        task.add_done_callback(done)
        return task

    async def _tracked(self, call: str, work: Coroutine[Any, Any, CallOutcome]) -> CallOutcome:
        """Run the way through as a task that `cancel` can find.

        Cancelling us cancels the call, and says which it was: never sent, or cut off on its way.
        """
        task = self._spawn(call, work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            on_its_way = self._stand_ins.get(call, call)
            self._gate.halt(call, on_its_way)
            if not task.cancelled():
                await self.cancel(call, decider="stop", reason="the run was stopped")
            if task.done() and not task.cancelled() and task.exception() is None:
                return task.result()
            state: CallState = "cancelled" if self._gate.withdrawn(on_its_way) else "uncertain"
            return CallOutcome(state, _WORDS[state])
        except JournalBroken as error:
            return CallOutcome("failed", f"Nothing was sent: {error}", str(error))
        except Exception as error:
            return CallOutcome("failed", f"Error inside Omni TUI: {type(error).__name__}", str(error))

    async def cancel(self, call: str, *, decider: str = "user", reason: str = "cancelled") -> bool:
        """Cancel one call, wherever it is on its way. False if it is not here (any more)."""
        call = self._stand_ins.get(call, call)
        task = self._tasks.get(call)
        if task is not None and self._at_servers.stop(call, decider=decider, reason=reason):
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
        """End what runs. What waits for the person stays pending in the journal; tasks go on."""
        self._at_servers.park()
        tasks = [
            task
            for call, task in self._tasks.items()
            if (row := self._gate.row(call)) is not None and row.state == "dispatching"
        ]
        waiting = [task for task in self._tasks.values() if task not in tasks]
        for task in (*tasks, *waiting):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=2)

    # --- after a restart ------------------------------------------------------------------------

    async def restore(self, rows: list[CallRow], fallbacks: Mapping[str, str]) -> None:
        """Put the calls that were waiting when the app ended back into the queue.

        `fallbacks` says of those that stand in for another call, for which.
        """
        for row in rows:
            subject = self._subject(row.server, row.tool)
            mode = self._turns.mode(row.turn)
            await self._gate.restore(row, subject, mode, fallbacks.get(row.call, ""))
            self._restored[(row.turn, row.agent, row.step, row.provider_call_id)] = row

    async def leave_restored(self) -> None:
        """Take back what came back after a restart: its turn is not gone on with."""
        rows, self._restored = list(self._restored.values()), {}
        for row in rows:
            await self._gate.withdraw(row.call, decider="stop", reason="its turn was not gone on with")

    def take_up(self, rows: list[CallRow], running: dict[str, SavedTask]) -> None:
        """Go on asking after the calls that ran as tasks when the app ended."""
        for row in rows:
            task = self._spawn(row.call, self._at_servers.take_up(row, running[row.call]))
            self._taken_up[(row.turn, row.agent, row.step, row.provider_call_id)] = (row.call, task)

    async def _await_task(self, call: str, task: asyncio.Task[CallOutcome]) -> CallOutcome:
        """Wait for a call from before a restart. Who stops waiting for it cancels it, as with any call."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not self._at_servers.stop(call, decider="stop", reason="the run was stopped"):
                raise
            return await task

    def restored(self, call: str) -> bool:
        """Whether a call came back after a restart and nobody waits for it yet."""
        return any(row.call == call for row in self._restored.values())


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
    """Tell the model exactly what happened to its call, and the person's own words."""
    text = _WORDS.get(resolution.state, "Not sent.")
    if resolution.state == "rejected" and resolution.feedback:
        return f"{text} The user says: {resolution.feedback}"
    if resolution.state in ("denied", "withheld") and resolution.reason:
        return f"{text} ({resolution.reason})"
    return text
