"""The agent loop: reason, act, observe. It ends with an answer, a limit, a failure, or Esc."""

from __future__ import annotations

import asyncio

from omni_tui.agents.agent_host import AgentHost
from omni_tui.agents.model_client import ModelClient
from omni_tui.agents.tool_call_runner import ToolCallRunner
from omni_tui.agents.turn_limits import TurnSettings
from omni_tui.agents.turn_writer import TurnStopped, TurnWriter, run_to_end, turn_ended
from omni_tui.models.base import Model, ModelError, Reply
from omni_tui.models.budget import GO_ON
from omni_tui.models.message_history import last_calls, missing_result, unanswered
from omni_tui.protocol.conversation import StepTaken
from omni_tui.protocol.events import TurnEnded


async def run_turn(
    host: AgentHost,
    model: Model,
    *,
    turn: str,
    settings: TurnSettings | None = None,
    resume: bool = False,
    agent: str = "root",
) -> TurnEnded:
    """Work on the last message of the history until it is answered; return how the turn ended.

    `resume`: first carry out the calls that have no result yet. `agent`: the path of the agent.
    Cancelling the task is the person's Esc: the stream is closed, running calls are cancelled, each
    call gets its one result, and the turn ends as "stopped". Only the `CancelledError` of a parked host
    is raised; nothing more was written then, and the turn can be continued.
    """
    work = _Turn(host, model, turn, settings or TurnSettings(), agent)
    over = await run_to_end(turn, work.loop(resume), work.stopped)
    return turn_ended(turn, work.client.asked, over)


class _Turn:
    def __init__(
        self, host: AgentHost, model: Model, turn: str, settings: TurnSettings, agent: str
    ) -> None:
        self._host = host
        self._turn = turn
        self._settings = settings
        self._began = asyncio.get_running_loop().time()
        self._writer = TurnWriter(host, turn, agent)
        self._calls = ToolCallRunner(self._writer, settings)
        self.client = ModelClient(self._writer, model, settings, self._calls.expect)

    async def loop(self, resume: bool) -> TurnStopped | None:
        """Work until the turn is over; return why, None if it is done."""
        try:
            return await self._steps(resume)
        except TurnStopped as over:
            return over
        except ModelError as error:
            await self._writer.commit(*self.client.last_words())
            return TurnStopped("failed", error.what, error.todo)

    async def _steps(self, resume: bool) -> TurnStopped | None:
        history = self._host.history()
        step = self._host.steps(self._turn)
        if resume and history and history[-1].role == "assistant" and not history[-1].calls:
            return None  # It was answered, only the end is missing.
        if resume and (calls := unanswered(history)):
            self._calls.expect(calls, answer=last_calls(history))
            await self._calls.run(step, None)
        while step < self._settings.max_steps:
            step += 1
            self._show_step(step)
            tools = self._host.tools()
            reply = await self.client.ask(tools)
            if not reply.message.calls:
                return _cut_off(reply)
            await self._calls.run(step, tools)
            await self._host.add_messages(self._turn)
        what = f"the agent used all {self._settings.max_steps} steps of this turn"
        return TurnStopped("limit", what, f"{GO_ON} to let it continue", "steps")

    def _show_step(self, step: int) -> None:
        event = StepTaken(
            turn=self._turn,
            step=step,
            max_steps=self._settings.max_steps,
            elapsed_s=asyncio.get_running_loop().time() - self._began,
            max_s=self._settings.max_seconds,
            agent=self._writer.agent,
        )
        self._host.live(event)

    async def stopped(self) -> TurnStopped:
        """Close what Esc left open; return why. Raises `CancelledError` if the host is parked."""
        calls = self._calls.last_words()
        results = [self._writer.message(missing_result(call, "cancelled")) for call in calls]
        await self._writer.commit(*self.client.last_words(), *results, last=True)
        late = self._settings.late() if self._settings.late is not None else None
        return late or TurnStopped("stopped", "stopped by you")


def _cut_off(reply: Reply) -> TurnStopped | None:
    """Return why a turn stops after an answer that is not finished, None if it is."""
    if reply.finish == "length":
        what = "the answer reached the model's output limit"
        return TurnStopped("limit", what, f"{GO_ON}, or raise max_tokens under [model]", "output")
    if reply.finish == "window":
        what = "the model's window was full before its answer was finished"
        todo = "begin a new session, or choose a model with a larger window"
        return TurnStopped("limit", what, todo, "output")
    if reply.finish == "filtered":
        return TurnStopped("failed", "the provider's content filter cut the answer", "ask in other words")
    return None
