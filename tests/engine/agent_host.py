"""A host for the agent loop that keeps everything in memory, for tests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from omni_tui.agents import ToolOutcome, TurnSettings, run_turn
from omni_tui.agents.agent_host import EarlierResult
from omni_tui.models.base import Message, ToolCall, ToolSpec
from omni_tui.models.message_history import read_result, steps_since_user
from omni_tui.models.window import Window
from omni_tui.protocol.events import AnyEvent, Event, ModelMessage, TurnEnded
from omni_tui.protocol.values import CallOrigin
from omni_tui.resilience.retry import RetryPolicy
from tests.scripted_model import ScriptedModel

E = TypeVar("E", bound=Event)
Work = Callable[[ToolCall], Awaitable[ToolOutcome]]


def spec(name: str, *keys: str) -> ToolSpec:
    properties = {key: {"type": "number"} for key in keys}
    return ToolSpec(
        name, f"{name} it", {"type": "object", "properties": properties, "required": list(keys)}
    )


ADD = spec("demo__add", "a", "b")
WAIT = spec("demo__wait")


def call(ident: str, name: str = "demo__add", arguments: str = '{"a": 1, "b": 2}') -> ToolCall:
    return ToolCall(ident, name, arguments)


class FakeHost:
    """A journal in memory. `parked` refuses everything, as the engine does when the app is left."""

    def __init__(self, work: Work | None = None, *, slow: bool = False) -> None:
        self.events: list[Event] = []
        self.messages: list[Message] = [Message(role="user", text="do it")]
        self.calls: list[tuple[int, ToolCall]] = []
        self.cancelled: list[str] = []
        self.specs: tuple[ToolSpec, ...] = (ADD, WAIT)
        self.windows: dict[str, Window] = {}
        self.parked = False
        self.broken: Exception | None = None
        self._work = work
        self._slow = slow

    def tools(self) -> tuple[ToolSpec, ...]:
        return self.specs

    def window(self, agent: str) -> Window:
        return self.windows.setdefault(agent, Window())

    async def stored(self, call: str) -> EarlierResult | None:
        return None

    async def add_messages(self, turn: str) -> None:
        pass

    def steps(self, turn: str) -> int:
        return steps_since_user(self.messages)

    async def call(self, origin: CallOrigin, call: ToolCall) -> ToolOutcome:
        self.calls.append((origin.step, call))
        try:
            if self._work is not None:
                return await self._work(call)
            return ToolOutcome(f"result of {call.id}", "succeeded")
        except asyncio.CancelledError:
            self.cancelled.append(call.id)
            raise

    async def commit(self, *events: AnyEvent) -> None:
        if self.parked:
            raise asyncio.CancelledError
        if self.broken:
            raise self.broken
        if self._slow:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self.post(*events)

    def post(self, *events: AnyEvent) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, ModelMessage):
                self.messages.append(msgspec.json.decode(event.body_json, type=Message))

    def live(self, event: Event) -> None:
        self.events.append(event)

    def history(self) -> tuple[Message, ...]:
        return tuple(self.messages)

    def seen(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def results(self) -> dict[str, tuple[str, str]]:
        return {m.call_id: read_result(m.text) for m in self.messages if m.role == "tool"}


async def no_sleep(_: float) -> None:
    await asyncio.sleep(0)


QUICK = TurnSettings(retry=RetryPolicy(sleep=no_sleep, random=lambda: 0.5), stop_grace_s=0.2)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def assert_one_result_each(messages: list[Message]) -> None:
    asked = Counter(call.id for message in messages for call in message.calls)
    answered = Counter(message.call_id for message in messages if message.role == "tool")
    assert asked == answered


async def play(
    host: FakeHost, model: ScriptedModel, policy: TurnSettings = QUICK, *, resume: bool = False
) -> TurnEnded:
    return await run_turn(host, model, turn="t1", settings=policy, resume=resume)
