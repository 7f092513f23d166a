"""The agent loop: reason, act, observe. It ends with an answer, a limit, a failure, or Esc."""

from __future__ import annotations

import asyncio
import logging

from omni_tui.agents.agent_host import AgentHost
from omni_tui.agents.model_client import ModelClient
from omni_tui.agents.tool_call_runner import ToolCallRunner, cancelled_results
from omni_tui.agents.turn_limits import ChatPolicy
from omni_tui.agents.turn_writer import TurnStopped, TurnWriter
from omni_tui.models.base import Model, ModelError, Reply
from omni_tui.models.budget import GO_ON
from omni_tui.models.message_history import last_calls, unanswered
from omni_tui.protocol.conversation import StepTaken
from omni_tui.protocol.events import TurnEnded, TurnLimit, TurnStatus
from omni_tui.security.text import safe

logger = logging.getLogger(__name__)


async def run_turn(
    host: AgentHost,
    model: Model,
    *,
    turn: str,
    policy: ChatPolicy | None = None,
    resume: bool = False,
    agent: str = "root",
) -> TurnEnded:
    """Work on the last message of the history until it is answered; return how the turn ended.

    `resume`: first carry out the calls that have no result yet. `agent`: the path of the agent.
    Cancelling the task is the person's Esc: the stream is closed, running calls are cancelled, each
    call gets its one result, and the turn ends as "stopped". Only the `CancelledError` of a parked host
    is raised; nothing more was written then, and the turn can be continued.
    """
    return await _Turn(host, model, turn, policy or ChatPolicy(), agent).run(resume)


class _Turn:
    def __init__(self, host: AgentHost, model: Model, turn: str, policy: ChatPolicy, agent: str) -> None:
        self._host = host
        self._turn = turn
        self._policy = policy
        self._began = asyncio.get_running_loop().time()
        self._writer = TurnWriter(host, turn, agent)
        self._calls = ToolCallRunner(self._writer, policy)
        self._client = ModelClient(self._writer, model, policy, self._calls.expect)

    async def run(self, resume: bool) -> TurnEnded:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            try:
                return await self._loop(resume)
            except TurnStopped as over:
                return self._ended(over.status, over.reason, over.todo, over.limit)
            except ModelError as error:
                await self._writer.commit(*self._client.last_words())
                return self._ended("failed", error.what, error.todo)
        except asyncio.CancelledError:
            await self._stopped()
            # The cancellation is done; the rest of this task is not cancelled.
            while task and task.cancelling() > before:
                task.uncancel()
            if self._policy.late is not None and (late := self._policy.late()) is not None:
                return self._ended(late.status, late.reason, late.todo, late.limit)
            return self._ended("stopped", "stopped by you")
        except Exception as error:
            logger.exception("turn %s broke", self._turn)
            return self._ended(
                "failed",
                f"something went wrong inside Omni TUI: {type(error).__name__}",
                "the log has the details",
            )

    async def _loop(self, resume: bool) -> TurnEnded:
        history = self._host.history()
        step = self._host.steps(self._turn)
        if resume and history and history[-1].role == "assistant" and not history[-1].calls:
            return self._ended("done")  # It was answered, only the end is missing.
        if resume and (calls := unanswered(history)):
            self._calls.expect(calls, answer=last_calls(history))
            await self._calls.run(step, None)
        while step < self._policy.max_steps:
            step += 1
            self._tell_step(step)
            tools = self._host.tools()
            reply = await self._client.ask(tools)
            if not reply.message.calls:
                return self._answered(reply)
            await self._calls.run(step, tools)
            await self._host.add_messages(self._turn)
        return self._ended(
            "limit",
            f"the agent used all {self._policy.max_steps} steps of this turn",
            f"{GO_ON} to let it continue",
            "steps",
        )

    def _tell_step(self, step: int) -> None:
        event = StepTaken(
            turn=self._turn,
            step=step,
            max_steps=self._policy.max_steps,
            elapsed_s=asyncio.get_running_loop().time() - self._began,
            max_s=self._policy.max_seconds,
            agent=self._writer.agent,
        )
        self._host.live(event)

    def _answered(self, reply: Reply) -> TurnEnded:
        if reply.finish == "length":
            reason = "the answer reached the model's output limit"
            return self._ended("limit", reason, f"{GO_ON}, or raise max_tokens under [model]", "output")
        if reply.finish == "window":
            return self._ended(
                "limit",
                "the model's window was full before its answer was finished",
                "begin a new session, or choose a model with a larger window",
                "output",
            )
        if reply.finish == "filtered":
            return self._ended(
                "failed", "the provider's content filter cut the answer", "ask in other words"
            )
        return self._ended("done")

    async def _stopped(self) -> None:
        """Close what Esc left open. Raises `CancelledError` if the host is parked."""
        calls = self._calls.last_words()
        events = [*self._client.last_words(), *cancelled_results(calls, self._writer)]
        await self._writer.commit(*events, last=True)

    def _ended(
        self, status: TurnStatus, reason: str = "", todo: str = "", limit: TurnLimit = ""
    ) -> TurnEnded:
        return TurnEnded(
            turn=self._turn,
            status=status,
            reason=safe(reason, limit=1_000),
            todo=safe(todo, limit=1_000),
            steps=self._client.asked,
            limit=limit,
        )
