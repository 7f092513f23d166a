"""The tap: no `tools/call` frame reaches a server without its own open dispatch, over either transport."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from omni_tui.servers import Dispatch, DispatchRefused, Processes
from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.tap import GuardedReader, GuardedWriter, Slot, Tap, canonical, current_call
from omni_tui.servers.transports.base import TransportContext
from omni_tui.servers.transports.http import HttpTransport
from omni_tui.servers.transports.stdio import StdioTransport
from tests.engine.faults.harness import fault
from tests.engine.faults.web import serving

ARGUMENTS = {"path": "/tmp/x", "n": None, "f": 1.0, "big": 10**30, "deep": {"b": [1, {"a": "é"}], "a": ""}}
DISPATCH = Dispatch("c1", 1, "s", "echo", canonical(ARGUMENTS))


class Wire:
    """A tap on a live transport; `arrived` reads what the server has got of calls so far."""

    def __init__(
        self,
        tap: Tap,
        reader: GuardedReader,
        writer: GuardedWriter,
        arrived: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self.tap = tap
        self.reader = reader
        self.writer = writer
        self._arrived = arrived
        self._id = 100
        self._unanswered: set[int] = set()

    async def send(
        self, tool: str = "echo", arguments: Any = ARGUMENTS, method: str = "tools/call", **more: Any
    ) -> int:
        """Send a request; one that is let through is waited for in `calls`."""
        self._id += 1
        params = {"name": tool, "arguments": arguments, **more}
        request = JSONRPCRequest(jsonrpc="2.0", id=self._id, method=method, params=params)
        await self.writer.send(SessionMessage(request))
        self._unanswered.add(self._id)
        return self._id

    async def answer(self) -> SessionMessage:
        """Return the next message of the server."""
        item = await self.reader.__anext__()
        assert not isinstance(item, Exception)
        self._unanswered.discard(getattr(item.message, "id", 0))
        return item

    async def calls(self) -> list[dict[str, Any]]:
        """Return the calls that arrived, once all that was sent, and a ping after it, is answered."""
        await self.send(method="ping")
        while self._unanswered:
            await self.answer()
        return [frame for frame in self._arrived() if frame.get("method") == "tools/call"]


@asynccontextmanager
async def stdio(tap: Tap, folder: Path) -> AsyncIterator[Wire]:
    record = folder / "frames"
    processes = Processes(folder, f"tap-{uuid.uuid4().hex}")
    context = TransportContext(processes, ServerLogBuffer(), lambda: None)
    transport = StdioTransport(fault("record", str(record), name="s"), context)
    async with transport as (read, write):

        def arrived() -> list[dict[str, Any]]:
            return [json.loads(line) for line in record.read_text().splitlines()]

        yield Wire(tap, *tap.guard(read, write), arrived)
    processes.close()


@asynccontextmanager
async def http(tap: Tap, folder: Path) -> AsyncIterator[Wire]:
    with serving() as web:
        context = TransportContext(Processes(folder, "tap"), ServerLogBuffer(), lambda: None)
        transport = HttpTransport(fault(name="s", url=web.url), context)
        async with transport as (read, write):
            yield Wire(tap, *tap.guard(read, write), lambda: web.frames)


Wired = Callable[[], AbstractAsyncContextManager[Wire]]


@pytest.fixture(params=[stdio, http], ids=["stdio", "http"])
def wired(request: pytest.FixtureRequest, tmp_path: Path) -> Wired:
    """Return what opens a wire: to be entered and left in the test's own task, as the SDK demands."""
    tap = Tap("s", lambda dispatch: dispatch.call != "unknown")

    @asynccontextmanager
    async def open_wire() -> AsyncIterator[Wire]:
        async with asyncio.timeout(60), request.param(tap, tmp_path) as wire:
            yield wire

    return open_wire


async def test_dispatched_call_arrives_unchanged_and_its_answer_is_taken(wired: Wired) -> None:
    async with wired() as wire:
        with wire.tap.open(replace(DISPATCH)) as opening:
            sent = await wire.send()
            message = (await wire.answer()).message
            assert isinstance(message, JSONRPCResponse)
            assert message.id == sent
            assert message.result == {"content": [], "resultType": "complete"}
        assert opening.answer is not None
        assert opening.answer["structuredContent"] == {"arguments": ARGUMENTS}
        [call] = await wire.calls()
        assert canonical(call["params"]["arguments"]) == DISPATCH.arguments


async def test_unsolicited_call_is_refused(wired: Wired) -> None:
    async with wired() as wire:
        with pytest.raises(DispatchRefused, match="nobody dispatched"):
            await wire.send()
        assert await wire.calls() == []


async def test_call_from_another_task_is_refused_while_a_dispatch_is_open(wired: Wired) -> None:
    async with wired() as wire:
        outside = asyncio.Event()

        async def stray() -> int:
            await outside.wait()
            return await wire.send()

        task = asyncio.create_task(stray())
        with wire.tap.open(replace(DISPATCH)):
            outside.set()
            with pytest.raises(DispatchRefused, match="nobody dispatched"):
                await task
        assert await wire.calls() == []


@pytest.mark.parametrize(
    "altered",
    [
        {**ARGUMENTS, "path": "/tmp/y"},
        {**ARGUMENTS, "more": 1},
        {key: value for key, value in ARGUMENTS.items() if key != "n"},
        {**ARGUMENTS, "f": 1},
        {**ARGUMENTS, "f": float("nan")},
        {},
        None,
    ],
)
async def test_altered_call_is_refused(wired: Wired, altered: Any) -> None:
    async with wired() as wire:
        with wire.tap.open(replace(DISPATCH)), pytest.raises(DispatchRefused, match="other arguments"):
            await wire.send(arguments=altered)
        assert await wire.calls() == []


async def test_other_tool_is_refused(wired: Wired) -> None:
    async with wired() as wire:
        with wire.tap.open(replace(DISPATCH)), pytest.raises(DispatchRefused, match="another tool"):
            await wire.send(tool="die")
        assert await wire.calls() == []


async def test_dispatch_is_used_up_by_one_frame(wired: Wired) -> None:
    async with wired() as wire:
        with wire.tap.open(replace(DISPATCH)):
            await wire.send()
            with pytest.raises(DispatchRefused, match="twice"):
                await wire.send()
        assert len(await wire.calls()) == 1


async def test_a_dispatch_that_was_sent_is_refused_wherever_it_is_opened_again(wired: Wired) -> None:
    dispatch = replace(DISPATCH)
    async with wired() as wire:
        with wire.tap.open(dispatch):
            await wire.send()
        for tap in (wire.tap, Tap("s", lambda _dispatch: True)):
            wire.writer = GuardedWriter(wire.writer._inner, tap)
            with tap.open(dispatch), pytest.raises(DispatchRefused, match="twice"):
                await wire.send()
        assert len(await wire.calls()) == 1


async def test_closed_dispatch_is_refused(wired: Wired) -> None:
    async with wired() as wire:
        with wire.tap.open(replace(DISPATCH)) as opening:
            late = asyncio.create_task(_later(wire, opening_closed := asyncio.Event()))
            await asyncio.sleep(0)
        opening_closed.set()
        with pytest.raises(DispatchRefused, match="nobody dispatched"):
            await late
        assert not opening.passed
        assert await wire.calls() == []


async def _later(wire: Wire, go: asyncio.Event) -> int:
    """Send in the context of an open dispatch, but after it was closed."""
    await go.wait()
    return await wire.send()


async def test_dispatch_without_authority_is_refused(wired: Wired) -> None:
    async with wired() as wire:
        with (
            wire.tap.open(Dispatch("unknown", 1, "s", "echo", DISPATCH.arguments)),
            pytest.raises(DispatchRefused, match="journal"),
        ):
            await wire.send()
        assert await wire.calls() == []


async def test_dispatch_for_another_server_is_refused(wired: Wired) -> None:
    async with wired() as wire:
        other = Dispatch("c1", 1, "other", "echo", DISPATCH.arguments)
        with pytest.raises(DispatchRefused, match="met the connection"), wire.tap.open(other):
            await wire.send()
        assert await wire.calls() == []


async def test_call_as_a_notification_is_refused(wired: Wired) -> None:
    async with wired() as wire:
        note = JSONRPCNotification(
            jsonrpc="2.0", method="tools/call", params={"name": "echo", "arguments": ARGUMENTS}
        )
        with wire.tap.open(replace(DISPATCH)), pytest.raises(DispatchRefused, match="without an id"):
            await wire.writer.send(SessionMessage(note))
        assert await wire.calls() == []


async def test_a_context_that_outlives_its_call_or_its_list_keeps_nothing_of_the_answer() -> None:
    """A cancelled timer keeps its context until its time has come: an answer must not stay for so long."""
    tap = Tap("s", lambda _dispatch: True)
    with tap.open(replace(DISPATCH)) as call, tap.listing("tools") as page:
        call.answer = {"content": []}
        outliving = copy_context()
        held = [value for value in outliving.values() if isinstance(value, Slot)]
        assert [value.value for value in held if value.value in (call, page)] != []
        assert outliving.run(current_call) is call
    assert outliving.run(current_call) is None
    for value in outliving.values():
        assert value is not call
        assert value is not page
        assert not isinstance(value, Slot) or value.value is None
