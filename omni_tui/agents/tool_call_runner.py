"""Carries out the calls of one answer together: each gets exactly one result, and loops are stopped."""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from omni_tui.agents.agent_host import ToolOutcome
from omni_tui.agents.builtin_tools import call_builtin
from omni_tui.agents.turn_limits import TurnSettings
from omni_tui.agents.turn_writer import TurnStopped, TurnWriter
from omni_tui.models.base import ToolCall, ToolSpec
from omni_tui.models.builtin_tool_specs import BUILTIN_TOOL_NAMES, BUILTIN_TOOLS
from omni_tui.models.message_history import arguments_of, tool_message
from omni_tui.protocol.values import CallOrigin
from omni_tui.security.text_digest import text_digest

logger = logging.getLogger(__name__)

_SCHEMA_EXCERPT = 1_500
_REPEATED = (
    "Not sent: this answer makes the very same call before, and that was sent. Look at the results first; "
    "if you need the same call again, make it in your next answer."
)


class ToolCallRunner:
    """The calls of one turn. `waiting` are those of the last answer that have no result yet."""

    def __init__(self, writer: TurnWriter, settings: TurnSettings) -> None:
        self._writer = writer
        self._settings = settings
        self._seen: Counter[str] = Counter()
        self._malformed = 0
        self._rejected = 0
        self._over: TurnStopped | None = None
        self._most_equal: Counter[str] = Counter()
        self._surplus: frozenset[str] = frozenset()
        self.waiting: dict[str, ToolCall] = {}

    def expect(self, calls: Sequence[ToolCall], answer: Sequence[ToolCall] | None = None) -> None:
        """Note calls before they are written down, so that none is left without a result.

        `answer`: all calls of the answer, if some of them have results already.
        """
        whole = calls if answer is None else answer
        taken = {call.id for call in whole[: self._settings.max_calls]}
        self._surplus = frozenset(call.id for call in calls if call.id not in taken)
        self.waiting = {call.id: call for call in calls}

    async def run(self, step: int, tools: Sequence[ToolSpec] | None) -> None:
        """Carry out the waiting calls. All results are on disk when this returns.

        Without `tools` the calls are not checked here: the host knows them from before a restart.
        Raises `TurnStopped` if the turn must end.
        """
        calls = list(self.waiting.values())
        wrong: dict[str, str] = {}
        if tools is not None:
            known = (*tools, *BUILTIN_TOOLS)
            wrong = {call.id: _wrong_with(call, known, self._settings.scope) for call in calls}
        refused = {call: words for call, words in wrong.items() if words}
        most = self._settings.max_calls
        surplus = (
            f"Not carried out: an answer may make at most {most} calls, and this one comes after the first "
            f"{most}. Nothing was sent for it. Look at the results of the first {most}, then make those "
            "calls that are still needed."
        )
        refused |= dict.fromkeys(self._surplus, surplus)
        fresh = [call for call in calls if call.id not in refused] if tools is not None else []
        repeated = self._repeated(fresh)
        refused |= dict.fromkeys(repeated, _REPEATED)
        await self._collect(step, calls, refused, self._surplus.union(repeated))
        self._judge_repeats(calls, repeated, refused)
        self._malformed = self._malformed + 1 if any(wrong.values()) else 0
        if self._over is not None:
            raise self._over
        if self._malformed > self._settings.malformed_tries:
            raise TurnStopped(
                "failed",
                f"the model wrote calls that cannot be made, {self._malformed} times in a row",
                "ask in another way, or choose another model",
            )

    def last_words(self) -> list[ToolCall]:
        """Return the calls that never got a result, and forget them."""
        calls = list(self.waiting.values())
        self.waiting = {}
        return calls

    # --- waiting --------------------------------------------------------------------------------

    async def _collect(
        self,
        step: int,
        calls: Sequence[ToolCall],
        wrong: Mapping[str, str],
        uncounted: frozenset[str],
    ) -> None:
        running = {
            asyncio.ensure_future(self._carry(step, call)): call for call in calls if call.id not in wrong
        }
        try:
            for call in calls:
                if call.id in wrong:
                    counted = call.id not in uncounted
                    await self._result(call, ToolOutcome(wrong[call.id], "invalid"), counted=counted)
            pending = set(running)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task in done]:
                    await self._result(running[task], _outcome(task))
        except BaseException:
            await self._withdraw(running)
            raise

    async def _carry(self, step: int, call: ToolCall) -> ToolOutcome:
        if call.name in BUILTIN_TOOL_NAMES:
            return await call_builtin(call, self._writer, self._settings)
        origin = CallOrigin(self._writer.turn, self._writer.agent, step, call.id)
        return await self._writer.host.call(origin, call)

    async def _withdraw(self, running: dict[asyncio.Task[ToolOutcome], ToolCall]) -> None:
        """Cancel the running calls, and keep the outcomes that still arrive."""
        for task in running:
            task.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.stop_grace_s
        while (left := {task for task in running if not task.done()}) and loop.time() < deadline:
            try:
                await asyncio.wait(left, timeout=deadline - loop.time())
            except asyncio.CancelledError:
                continue  # Another Esc changes nothing: the turn is being stopped.
        for task, call in running.items():
            ended = call.id in self.waiting and task.done() and not task.cancelled()
            if ended and task.exception() is None:
                await self._result(call, task.result(), last=True)

    async def _result(
        self, call: ToolCall, outcome: ToolOutcome, *, last: bool = False, counted: bool = True
    ) -> None:
        message = tool_message(
            call,
            outcome.text,
            outcome.status,
            limit=self._settings.result_limit,
            note=outcome.note + (self._count(call, outcome) if counted else ""),
            ref=outcome.call,
            images=outcome.images,
        )
        self.waiting.pop(call.id, None)
        await self._writer.commit(self._writer.message(message), last=last)

    # --- guards ---------------------------------------------------------------------------------

    def _count(self, call: ToolCall, outcome: ToolOutcome) -> str:
        """Count a call and its outcome. Return what the model is told if it repeats itself."""
        if outcome.stop:
            self._over = TurnStopped("stopped", "you rejected the call and stopped the run")
        self._rejected += outcome.status == "rejected"
        if self._rejected >= self._settings.max_rejections:
            self._end(f"{self._rejected} calls were rejected in this turn", "say how to continue")
        same = _identity(call)
        key = text_digest(same, outcome.status, outcome.text)
        self._seen[key] += 1
        times = self._seen[key]
        self._most_equal[same] = max(self._most_equal[same], times)
        if times > self._settings.same_calls:
            self._end(
                f"the model made the same call of {self._shown(call)} {times} times, with the same result",
                "say how to continue, or ask in another way",
            )
        if times == self._settings.same_calls:
            return (
                f"\n[Omni TUI: this is call number {times} with the same arguments and the same "
                "result. Do not make it again: try something else, or answer with what you have.]"
            )
        return ""

    def _repeated(self, calls: Sequence[ToolCall]) -> dict[str, str]:
        """Return the calls of one answer that repeat others too often, with the key that they share."""
        found: dict[str, str] = {}
        seen: Counter[str] = Counter()
        for call in calls:
            key = _identity(call)
            seen[key] += 1
            if seen[key] > max(1, self._settings.same_calls - self._most_equal[key]):
                found[call.id] = key
        return found

    def _judge_repeats(
        self, calls: Sequence[ToolCall], repeated: Mapping[str, str], refused: Mapping[str, str]
    ) -> None:
        """End the turn if the equal calls of one answer that were sent all had the same result."""
        for key in dict.fromkeys(repeated.values()):
            if self._most_equal[key] < self._settings.same_calls:
                continue
            same = [call for call in calls if _identity(call) == key]
            sent = sum(call.id not in refused for call in same)
            if self._over is not None and self._over.status == "limit":
                self._over = None
            self._end(
                f"the model made the same call of {self._shown(same[0])} {len(same)} times in one answer: "
                f"{sent} went out, with the same result as before, and {len(same) - sent} did not",
                "say how to continue, or ask in another way",
            )

    def _shown(self, call: ToolCall) -> str:
        tools = self._writer.host.tools()
        return next((tool.shown for tool in tools if tool.name == call.name), call.name)

    def _end(self, reason: str, todo: str) -> None:
        self._over = self._over or TurnStopped("limit", reason, todo, "repeats")


def _outcome(task: asyncio.Task[ToolOutcome]) -> ToolOutcome:
    """Return the outcome of a task. Raises `CancelledError` if the host is parked."""
    try:
        return task.result()
    except Exception as error:
        logger.error("a call broke inside the engine", exc_info=error)
        return ToolOutcome(
            f"Error inside Omni TUI: {type(error).__name__}. It may or may not have run.", "uncertain"
        )


def _identity(call: ToolCall) -> str:
    """Return a key that is equal for calls with the same tool and arguments."""
    return f"{call.name}\0{json.dumps(arguments_of(call), sort_keys=True)}"


def _wrong_with(call: ToolCall, tools: Sequence[ToolSpec], scope: str) -> str:
    """Return why a call cannot be proposed, for the model; "" if it can."""
    if call.problem:
        return call.problem
    tool = next((tool for tool in tools if tool.name == call.name), None)
    if tool is None:
        near = difflib.get_close_matches(call.name[:200], [tool.name for tool in tools], n=3, cutoff=0.0)
        hint = f" The nearest names are: {', '.join(near)}." if near else " There are no tools now."
        name = json.dumps(call.name)
        what = f"{name} was not called: {scope}." if scope else f"There is no tool named {name}."
        return what + hint
    arguments = arguments_of(call)
    required = tool.parameters.get("required")
    if arguments is None:
        what = "The arguments are not a JSON object, so nothing was sent."
    elif isinstance(required, list) and (missing := [key for key in required if key not in arguments]):
        what = f"Required arguments are missing: {', '.join(map(str, missing))}. Nothing was sent."
    else:
        return ""
    schema = json.dumps(tool.parameters, ensure_ascii=False, separators=(",", ":"))
    return f"{what} The schema of {tool.name}: {schema[:_SCHEMA_EXCERPT]}"
