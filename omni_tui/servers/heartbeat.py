"""Heartbeats: requests that tell an idle connection from a dead one.

A program that exits closes its pipe; a host behind a URL that is cut off is just silent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import mcp_types as types
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS


class Ping:
    """Sends the heartbeat of the server's protocol version: `server/discover` or `ping`.

    Some programs never answer a `ping`, although they must. A `program` that did not answer the first one
    gets `tools/list` from then on, which it does answer.
    """

    def __init__(self, client: Client, *, program: bool) -> None:
        self._client = client
        self._lists = program and client.server_capabilities.tools is not None
        self._pings = True
        self._proven = False

    async def send(self) -> None:
        """Return when the server has answered. Raises what the SDK raises; may be cancelled."""
        session, protocol = self._client.session, self._client.protocol_version
        if protocol in MODERN_PROTOCOL_VERSIONS:
            await session.send_discover(protocol)
        elif self._pings:
            self._pings = self._proven or not self._lists
            try:
                await session.send_request(types.PingRequest(), types.EmptyResult)
            except MCPError:
                self._pings = self._proven = True  # a refusal is an answer too
                raise
            self._pings = self._proven = True
        else:
            await session.send_request(types.ListToolsRequest(), types.ListToolsResult)


DEADLINE = 10.0
"""Longest time for the answer to a heartbeat, in seconds."""

PAUSE = 5.0
"""Longest time between a missed heartbeat and the next, in seconds."""

BUSY = 2
"""Intervals after which also a server that is never silent gets a heartbeat."""

MISSES = 2
"""So many missed heartbeats in a row mean that the connection is lost."""


class HeartbeatMissed(Exception):
    """An unanswered heartbeat; the text says why."""


class Heartbeat:
    """Sends a heartbeat whenever the server was silent for `interval` seconds.

    A server that is never silent gets one now and then too, to measure its latency. `send` sends the
    request and raises `HeartbeatMissed` if it got no answer. `quiet` returns the seconds since the last
    message, 0 during a call: a busy server need not answer, and calls have their own time-outs. `report`
    gets "" and the milliseconds of the answer, or why it was missed. `endless`: never give up.
    """

    def __init__(
        self,
        send: Callable[[], Awaitable[None]],
        quiet: Callable[[], float],
        report: Callable[[str, float], None],
        interval: float,
        *,
        endless: bool = False,
    ) -> None:
        self._send = send
        self._quiet = quiet
        self._report = report
        self._interval = interval
        self._deadline = min(DEADLINE, interval)
        self._endless = endless

    async def run(self) -> None:
        """Run until too many heartbeats were missed in a row."""
        missed = 0
        while missed < MISSES or self._endless:
            if missed:
                await asyncio.sleep(min(PAUSE * missed, self._interval))
            else:
                await self._silence()
            started = time.perf_counter()
            try:
                async with asyncio.timeout(self._deadline):
                    await self._send()
            except (TimeoutError, HeartbeatMissed) as error:
                missed += 1
                self._report(str(error) or f"did not answer a heartbeat within {self._deadline:g} s", 0.0)
            else:
                missed = 0
                self._report("", (time.perf_counter() - started) * 1000)

    async def _silence(self) -> None:
        """Wait for an interval of silence; after two intervals, for any silence."""
        waited, left = 0.0, self._interval
        while left > 0:
            await asyncio.sleep(left)
            waited += left
            quiet = self._quiet()
            left = self._interval - quiet
            if waited >= BUSY * self._interval and quiet > 0:
                return
