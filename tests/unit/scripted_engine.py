"""An engine that answers from a script, for the commands without a face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from omni_tui import links
from omni_tui.protocol import AnyCommand, AnyEvent, LaunchOptions, Link, LinkClosed
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.text import SafeText

S = SafeText
Answer = Callable[[AnyCommand], list[AnyEvent]]

READY = e.EngineReady(
    version="1", pid=1, head=0, log_path="", state_dir="", config_path="", first_run=False,
    encryption=S(""), mode="chat", model=S("m"), model_label=S(""),
)  # fmt: skip


def server(name: str, state: e.ServerState, **more: Any) -> e.ServerChanged:
    return e.ServerChanged(
        name=name,
        label=S(name),
        state=state,
        since=0,
        transport="stdio",
        target=S(""),
        source="user",
        **more,
    )


class FakeLink:
    """A link to a script: `answer` gives the events that follow a command."""

    def __init__(
        self, answer: Answer, state: list[AnyEvent], greeting: list[AnyEvent | None] | None = None
    ) -> None:
        self._answer = answer
        self._state = state
        self._greeting = greeting
        self._queue: asyncio.Queue[AnyEvent | None] = asyncio.Queue()
        self.sent: list[AnyCommand] = []
        self.closed = False

    def send(self, command: AnyCommand) -> None:
        self.sent.append(command)
        events: list[AnyEvent | None]
        if isinstance(command, c.Hello):
            events = self._greeting or [READY, *self._state, e.ReplayDone(head=0)]
        else:
            events = [*self._answer(command)]
        for event in events:
            if isinstance(event, e.CommandReply):
                event = msgspec.structs.replace(event, request=command.request)
            self._queue.put_nowait(event)

    async def events(self) -> AsyncIterator[AnyEvent]:
        while (event := await self._queue.get()) is not None:
            yield event
        if not self.closed:
            raise LinkClosed("the engine was ended by signal 9")

    def die(self) -> None:
        self._queue.put_nowait(None)

    async def close(self) -> None:
        self.closed = True
        self._queue.put_nowait(None)


def nothing(command: AnyCommand) -> list[AnyEvent]:
    return []


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeLink]:
    """Let every command that starts an engine get a scripted one."""

    def script(answer: Answer = nothing, *state: AnyEvent) -> FakeLink:
        link = FakeLink(answer, list(state))

        async def start(options: LaunchOptions) -> Link:
            return link

        monkeypatch.setattr(links, "start_engine", start)
        return link

    return script


Script = Callable[..., FakeLink]
