"""The orchestrator: the person decides on a plan, agents carry it out, and a report ends it.

The next action always follows from `PlanState`, the fold over the journal. A turn is therefore
continued after a crash as if nothing had happened.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from omni_tui.agents.agent_host import AgentHost, AgentScope, PlanHost
from omni_tui.agents.model_client import ModelClient
from omni_tui.agents.plan import Plan
from omni_tui.agents.plan_parser import DirectAnswer, InvalidPlan, PlanConstraints, read_draft
from omni_tui.agents.plan_prompts import (
    correction,
    failure,
    plain_report,
    plan_continues,
    planner_system,
    rejection,
    report_request,
    reporter_system,
)
from omni_tui.agents.plan_state import PLANNER_PATH, PlanRecord, PlanState, TaskRecord
from omni_tui.agents.task_runner import TaskRunner, changed
from omni_tui.agents.turn_limits import PlanLimits, TurnMeter, TurnSettings
from omni_tui.agents.turn_writer import TurnStopped, TurnWriter, run_to_end, turn_ended
from omni_tui.models.base import Message, Model, ModelError
from omni_tui.models.budget import GO_ON
from omni_tui.models.message_history import missing_result, unanswered
from omni_tui.protocol.events import Answer, AnyEvent, Thought, TurnEnded
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed
from omni_tui.security.text import safe, safe_line

REPAIRS = 2
"""How often a draft may be mended."""

REPLANS = 2
"""How often in a turn the model is asked what to do about failed tasks."""

OURS = "written by Omni TUI, not by a model"

EXPIRED = "The approval of the plan timed out; it was not refused. Nothing of it was done."
"""What the conversation, and so the model, is told of a plan that nobody decided on in time."""


async def run_orchestrated(
    host: AgentHost, plans: PlanHost, model: Model, *, turn: str, settings: TurnSettings, limits: PlanLimits
) -> TurnEnded:
    """Work on the last message of the history with a plan; return how the turn ended.

    Continues from `plans.progress`. As in `run_turn`, cancelling the task is the person's Esc, and only
    the `CancelledError` of a parked host is raised.
    """
    work = _OrchestratedTurn(host, plans, model, turn, settings, limits)
    over = await run_to_end(turn, work.work(), work.stopped)
    return turn_ended(turn, work.meter.requests, over)


class _OrchestratedTurn:
    def __init__(
        self,
        host: AgentHost,
        plans: PlanHost,
        model: Model,
        turn: str,
        settings: TurnSettings,
        limits: PlanLimits,
    ) -> None:
        self._host = host
        self._plans = plans
        self._model = model
        self._turn = turn
        self._settings = settings
        self._limits = limits
        self._writer = TurnWriter(host, turn)
        self.meter = TurnMeter(limits.max_requests, limits.max_minutes, plans.waits)
        # Requests from before a restart count too.
        histories = plans.progress.histories.values()
        self.meter.requests = sum(m.role == "assistant" for history in histories for m in history)
        self._client: ModelClient | None = None

    @property
    def _progress(self) -> PlanState:
        return self._plans.progress

    async def work(self) -> TurnStopped | None:
        """Work until the turn is over; return why, None if it is done."""
        try:
            async with self.meter.watching():
                return await self._steps()
        except TurnStopped as over:
            return await self._closed(over)
        except ModelError as error:
            return await self._closed(TurnStopped("failed", error.what, error.todo))

    async def _steps(self) -> TurnStopped | None:
        history = self._host.history()
        if history and history[-1].role == "assistant":
            return self._outcome()  # It was answered, only the end is missing.
        while True:
            progress = self._progress
            last = progress.last
            if progress.asked == "ask":
                await self._ask()
            elif progress.asked == "judge":
                if await self._judge():
                    return None
            elif last is None or last.verdict is None:
                await self._decide(last)
            elif not last.approved:
                await self._refused(last, last.verdict)
            elif last.ended is None:
                await self._carry_out(last)
            else:
                return await self._report()

    # --- planning -------------------------------------------------------------------------------

    async def _ask(self) -> None:
        """Ask the planner once. Its answer is on disk when this returns."""
        progress = self._progress
        scope = AgentScope(
            self._host,
            PLANNER_PATH,
            lambda: (*self._host.history(), *progress.histories.get(PLANNER_PATH, ())),
        )
        system = planner_system(self._plans.offer(), self._settings.system_prompt)
        settings = replace(
            self._settings, system=system, purpose="plan", spoken=False, admit=self.meter.admit
        )
        await ModelClient(TurnWriter(scope, self._turn, PLANNER_PATH), self._model, settings).ask(())

    async def _judge(self) -> bool:
        """Turn the planner's draft into a plan, a correction, or an answer; return whether it is an answer.

        Raises `TurnStopped`.
        """
        progress = self._progress
        scope = PlanConstraints(self._plans.offer(), frozenset(progress.done()), *progress.numbered())
        draft = progress.histories[PLANNER_PATH][-1].text
        try:
            read = read_draft(draft, scope, again=progress.running is not None)
        except InvalidPlan as error:
            if progress.repairs >= REPAIRS:
                raise TurnStopped(
                    "failed",
                    f"{self._model.name} could not make a plan that can be carried out: {error}",
                    "ask in other words, choose another model, or use auto mode",
                ) from None
            await self._to_planner(correction(error.problems))
            return False
        if isinstance(read, DirectAnswer):
            await self._writer.commit(*self._spoken(read.text, self._model.label))
            return True
        if isinstance(read, Plan):
            await self._propose(read)
        else:
            thought = Thought(turn=self._turn, message=_message_id(), text=safe(read.why))
            await self._to_planner(plan_continues(read.why), thought)
        return False

    async def _to_planner(self, message: Message, *events: AnyEvent) -> None:
        writer = TurnWriter(self._host, self._turn, PLANNER_PATH)
        # A planner that calls a tool nevertheless is told that nothing was sent.
        unsent = unanswered(self._progress.histories.get(PLANNER_PATH, ()))
        results = [writer.message(missing_result(call, "unsent")) for call in unsent]
        await self._writer.commit(*events, *results, writer.message(message))

    async def _propose(self, plan: Plan) -> None:
        progress, asks = self._progress, self._limits.plan == "ask"
        former = progress.running or progress.last
        ident, text = f"plan-{uuid.uuid4().hex[:12]}", plan.to_json()
        proposed = PlanProposed(
            plan=ident,
            turn=self._turn,
            digest=self._plans.digest(ident, text),
            analysis=safe(plan.analysis),
            phases=plan.shown(),
            plan_json=text,
            asks=asks,
            calls=self._limits.calls,
            replaces=former.event.plan if former else "",
            why=safe(_why(former), limit=2_000) if former else safe(""),
            expires=self._plans.expires() if asks else 0.0,
        )
        approved = PlanDecided(
            plan=ident,
            turn=self._turn,
            verdict="approved",
            decider="policy",
            digest=proposed.digest,
        )
        await self._writer.commit(proposed, *([] if asks else [approved]))

    async def _decide(self, record: PlanRecord | None) -> None:
        if record is None:
            raise TurnStopped(
                "failed", "the plan of this turn cannot be read any more", "send the message again"
            )
        with self.meter.paused():
            await self._plans.decided(record.event.plan)

    async def _refused(self, record: PlanRecord, verdict: PlanDecided) -> None:
        """Ask for another plan with the person's feedback. Raises `TurnStopped` if there is none."""
        if verdict.decider == "headless":
            raise TurnStopped(
                "failed",
                "the plan needs an approval, and nobody is there to give it; nothing was done",
                'set plan = "allow" under [policy], or use the app',
            )
        if _expired(record):
            raise _nobody_decided()
        if verdict.verdict == "withdrawn":
            raise TurnStopped("stopped", "stopped by you")
        if not verdict.feedback.strip():
            raise TurnStopped("stopped", "you rejected the plan")
        if self._progress.rejections >= self._settings.max_rejections:
            raise TurnStopped(
                "limit", f"{self._progress.rejections} plans were rejected", "say how to continue"
            )
        await self._to_planner(rejection(verdict.words))

    # --- carrying out ---------------------------------------------------------------------------

    async def _carry_out(self, record: PlanRecord) -> None:
        """Carry out the phases until the plan is over or the planner must be asked."""
        await self._take_over(record)
        said = [message.text for message in self._host.history() if message.role == "user"]
        runner = TaskRunner(
            writer=self._writer,
            model=self._model,
            settings=self._settings,
            plans=self._plans,
            meter=self.meter,
            request=said[-1] if said else "",
            parallel=self._limits.parallel,
        )
        left = record.of("waiting", "running")
        await self._plans.settled(frozenset(tool for one in left for tool in one.task.tools))
        while True:
            considered = self._progress.considered
            failed = [one.task.id for one in record.of("failed") if one.task.id not in considered]
            if failed and record.of("waiting") and self._progress.replans < REPLANS:
                await self._to_planner(failure(record.plan, record.tasks, failed, self._progress.histories))
                return
            await self._leave_out(record)
            left = record.of("waiting", "running")
            if not left:
                await self._writer.commit(_plan_ended(record))
                return
            phase = next(each for each in record.plan.phases if left[0].task in each.tasks)
            await runner.phase(record, phase)
            if record.of("waiting", "running") == left and not record.of("failed"):
                raise RuntimeError("the plan stands still")

    async def _leave_out(self, record: PlanRecord) -> None:
        lost = {one.task.id: one for one in record.of("failed", "skipped", "stopped")}
        events: list[AnyEvent] = []
        # Tasks of a phase may depend on each other in any order.
        while fresh := [
            (one, next(other for other in one.task.after if other in lost))
            for one in record.of("waiting")
            if one.task.id not in lost and any(other in lost for other in one.task.after)
        ]:
            for one, cause in fresh:
                lost[one.task.id] = one
                events.append(
                    changed(record, one, "skipped", f"it comes after {cause}, which was not done")
                )
        await self._writer.commit(*events)

    async def _take_over(self, record: PlanRecord) -> None:
        """End the former plans: this one replaces what is left of them."""
        for former in self._progress.plans.values():
            if former is record or not former.approved or former.ended is not None:
                continue
            reason = "another plan takes its place"
            left = former.of("waiting", "running")
            events = [changed(former, one, "skipped", reason) for one in left]
            await self._writer.commit(*events, _plan_ended(former, reason, skipped=len(left)))

    # --- the end --------------------------------------------------------------------------------

    async def _report(self) -> TurnStopped | None:
        """Ask the model for the final report. Without one, show a plain report of our own."""
        tasks = self._all_tasks()
        request = report_request(tasks, self._progress.histories)
        scope = AgentScope(self._host, "root", lambda: (*self._host.history(), request))
        settings = replace(
            self._settings,
            system=reporter_system(self._settings.system_prompt),
            purpose="report",
            admit=self.meter.admit,
        )
        self._client = ModelClient(TurnWriter(scope, self._turn), self._model, settings)
        try:
            await self._client.ask(())
        except (ModelError, TurnStopped) as error:
            await self._writer.commit(*self._spoken(plain_report(tasks, self._progress.histories), OURS))
            if isinstance(error, TurnStopped) and error.status == "limit":
                return error
            what = error.what if isinstance(error, ModelError) else error.reason
            return TurnStopped("failed", f"the model could not write the final report: {what}")
        finally:
            self._client = None
        return self._outcome()

    def _outcome(self) -> TurnStopped | None:
        """Return how a turn ended whose answer is written down."""
        last = self._progress.last
        if last is None:
            return None
        if _expired(last):
            return _nobody_decided()
        if last.ended is None or last.of("stopped"):
            return TurnStopped("stopped", (last.ended.reason if last.ended else "") or "stopped by you")
        if lost := last.of("failed", "skipped"):
            were = "was" if len(lost) == 1 else "were"
            what = f"{len(lost)} of {len(last.tasks)} tasks {were} not done: {_titles(lost)}"
            return TurnStopped("failed", what)
        # A later plan reached this in another way; the failure is reported nevertheless.
        former = [one for one in self._progress.plans.values() if one.approved and one is not last]
        around = [task for record in former for task in record.of("failed")]
        if around:
            return TurnStopped("done", f"a new plan replaced what failed: {_titles(around)}")
        return None

    async def stopped(self) -> TurnStopped:
        """Close what Esc left open; return why. Raises `CancelledError` if the host is parked."""
        if (record := self._progress.open) is not None:
            await self._plans.withdraw(record.event.plan)
        said = self._client.last_words() if self._client is not None else []
        return await self._closed(self.meter.late() or TurnStopped("stopped", "stopped by you"), said)

    async def _closed(self, over: TurnStopped, said: Sequence[AnyEvent] = ()) -> TurnStopped:
        """End the plan, and report in the conversation what was done; return `over`."""
        reason = over.reason
        events: list[AnyEvent] = list(said)
        record = self._progress.running
        if record is not None and record.ended is None:
            left = record.of("waiting", "running")
            events += [changed(record, one, "stopped", reason) for one in left]
            events.append(_plan_ended(record, reason))
        if record is not None and not said:
            # Their state after this commit.
            tasks = [
                replace(one, state="stopped", reason=reason) if one.state in ("waiting", "running") else one
                for one in self._all_tasks()
            ]
            told = plain_report(tasks, self._progress.histories)
            events += self._spoken(f"{told}\n\nThe turn ended: {reason}", OURS)
        elif _expired(self._progress.last):
            events += self._spoken(EXPIRED, OURS)
        await self._writer.commit(*events, last=True)
        return over

    def _spoken(self, text: str, label: str) -> list[AnyEvent]:
        answer = Answer(turn=self._turn, message=_message_id(), text=safe(text), label=safe_line(label))
        return [answer, self._writer.message(Message(role="assistant", text=text))]

    def _all_tasks(self) -> list[TaskRecord]:
        approved = [record for record in self._progress.plans.values() if record.approved]
        return [one for record in approved for one in record.tasks.values()]


def _expired(record: PlanRecord | None) -> bool:
    return record is not None and record.verdict is not None and record.verdict.decider == "timeout"


def _nobody_decided() -> TurnStopped:
    return TurnStopped(
        "limit",
        "nobody decided on the plan in time; nothing of it was done",
        f"{GO_ON} to plan again; expire_after under [policy] is the time",
    )


def _plan_ended(record: PlanRecord, reason: str = "", skipped: int = 0) -> PlanEnded:
    return PlanEnded(
        plan=record.event.plan,
        turn=record.event.turn,
        done=len(record.of("done")),
        failed=len(record.of("failed")),
        skipped=len(record.of("skipped")) + skipped,
        reason=safe(reason, limit=1_000),
    )


def _titles(tasks: Sequence[TaskRecord]) -> str:
    return "; ".join(one.task.title for one in tasks[:3]) + (" …" if len(tasks) > 3 else "")


def _why(former: PlanRecord) -> str:
    if former.verdict is not None and former.verdict.verdict == "rejected":
        return f"you rejected the plan before: {former.verdict.feedback}"
    failed = former.of("failed")
    return "; ".join(f"{one.task.title} failed: {one.reason}" for one in failed)


def _message_id() -> str:
    return f"m-{uuid.uuid4().hex[:12]}"
