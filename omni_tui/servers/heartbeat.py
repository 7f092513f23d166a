"""Heartbeats: requests that tell an idle connection from a dead one.

A program that dies closes its pipe; a host behind a URL that is cut off says nothing at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import mcp_types as types
from mcp.shared.exceptions import MCPError

if TYPE_CHECKING:
    from mcp.client.client import Client


class Ping:
    """Asks with what the server's protocol version has for it: `server/discover` or `ping`.

    Some programs never answer a `ping`, although they must. A `program` that has not answered the first
    one is asked for its tools from then on, which it is known to answer.
    """

    def __init__(self, client: Client, protocol: str, *, modern: bool, program: bool) -> None:
        self._client = client
        self._protocol = protocol
        self._modern = modern
        self._lists = program and client.server_capabilities.tools is not None
        self._pings = True
        self._proven = False

    async def ask(self) -> None:
        """Return once it has answered. Raises what the SDK raises; may be cancelled."""
        session = self._client.session
        if self._modern:
            await session.send_discover(self._protocol)
        elif self._pings:
            self._pings = self._proven or not self._lists
            try:
                await session.send_request(types.PingRequest(), types.EmptyResult)
            except MCPError:
                self._pings = self._proven = True  # a refusal is an answer, too
                raise
            self._pings = self._proven = True
        else:
            await session.send_request(types.ListToolsRequest(), types.ListToolsResult)


DEADLINE = 10.0
"""Most seconds that the answer to a heartbeat may take."""

PAUSE = 5.0
"""Most seconds between a missed heartbeat and the next."""

BUSY = 2
"""Intervals after which a server that is heard of all the time is asked nevertheless."""

MISSES = 2
"""Missed heartbeats in a row after which the connection counts as lost."""


class HeartbeatMissed(Exception):
    """A heartbeat that was not answered; the text says why."""


class Heartbeat:
    """Asks for a sign of life whenever the server was `quiet` for `interval` seconds.

    Also of one that is heard of all the time it is asked now and then, so that the time of an answer is
    that of now. `ask` sends the request that fits the protocol version and raises `HeartbeatMissed` if it
    surely
    got no answer. `quiet` gives the seconds since the server was last heard of, 0 while a call is under
    way: a server at work need not answer, and its calls have deadlines of their own. `told` gets "" and
    the milliseconds of the answer, or the words for a miss. `endless`: go on asking, whatever is missed.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[None]],
        quiet: Callable[[], float],
        told: Callable[[str, float], None],
        interval: float,
        *,
        endless: bool = False,
    ) -> None:
        self._ask = ask
        self._quiet = quiet
        self._told = told
        self._interval = interval
        self._deadline = min(DEADLINE, interval)
        self._endless = endless

    async def run(self) -> None:
        """Watch until too many heartbeats were missed in a row."""
        missed = 0
        while missed < MISSES or self._endless:
            if missed:
                await asyncio.sleep(min(PAUSE * missed, self._interval))
            else:
                await self._silence()
            begun = time.perf_counter()
            try:
                async with asyncio.timeout(self._deadline):
                    await self._ask()
            except (TimeoutError, HeartbeatMissed) as error:
                missed += 1
                self._told(str(error) or f"did not answer a heartbeat within {self._deadline:g} s", 0.0)
            else:
                missed = 0
                self._told("", (time.perf_counter() - begun) * 1000)

    async def _silence(self) -> None:
        """Wait until nothing was heard for the interval; if it is never quiet, for a pause after two."""
        waited, left = 0.0, self._interval
        while left > 0:
            await asyncio.sleep(left)
            waited += left
            quiet = self._quiet()
            left = self._interval - quiet
            if waited >= BUSY * self._interval and quiet > 0:
                return
