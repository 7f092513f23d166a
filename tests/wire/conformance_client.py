"""The client that the official conformance suite starts: `python conformance_client.py SERVER_URL`.

The suite plays the server and judges by what it saw; this program only decides what to do there,
as a person would, and leaves the doing to Omni TUI's own connections: registry, transports, tap.
Each call goes out under a dispatch of its own, and nothing else is let through. The suite names its
scenario in `MCP_CONFORMANCE_SCENARIO` and adds what it needs in `MCP_CONFORMANCE_CONTEXT` (JSON).
A scenario that is not known here gets the default play: list the tools, call each.

Exits with 0 when the play is over, also when the server was turned away: whether that was right is
the suite's to say. Exits with 1 only if the play itself broke or took too long.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from omni_tui.config.spec import ServerSpec
from omni_tui.servers import (
    CallError,
    Dispatch,
    DispatchRefused,
    RawResult,
    TokenRenewed,
    ToolDefinition,
)
from tests.engine.faults.harness import Harness, canonical, connected
from tests.wire.conformance_person import Person, account, answer, told_issuer
from tests.wire.schema_values import required_values

NAME = "suite"
LIMIT = float(os.environ.get("OMNI_TUI_PLAY_SECONDS") or 25.0)
"""Seconds for a whole play: the suite gives up after 30 and would say less about why."""
CALL_LIMIT = 10.0

Play = Callable[["Stage"], Awaitable[None]]


def say(text: str) -> None:
    """Note something for whoever reads the suite's `stdout.txt`."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass
class Approvals:
    """Stands for the gate: a frame passes only for the dispatch that is open, once."""

    open: list[Dispatch] = field(default_factory=list)

    def stands(self, dispatch: Dispatch) -> bool:
        """Return whether the dispatch was made here and has not been used."""
        if dispatch not in self.open:
            return False
        self.open.remove(dispatch)
        return True


class Stage:
    """A connected server and what the suite said about it."""

    def __init__(self, servers: Harness, approvals: Approvals, context: dict[str, Any]) -> None:
        self.context = context
        self._person = Person(servers, NAME)
        self._servers = servers
        self._approvals = approvals
        self._calls = 0

    @property
    def tools(self) -> list[ToolDefinition]:
        """The tools that the server lists."""
        return self._servers.tools.get(NAME, [])

    def tool(self, name: str) -> ToolDefinition | None:
        """Return a tool by its name."""
        return next((tool for tool in self.tools if tool.name == name), None)

    async def arrive(self) -> bool:
        """Wait for the connection, sign in where that is asked for; return whether calls are possible."""
        state = await self._person.settled()
        say(f"{state.state}: {state.protocol or state.reason}, {state.tools} tools")
        return state.state in ("idle", "active", "degraded")

    async def call(self, tool: str, arguments: dict[str, Any]) -> None:
        """Call a tool, whatever comes of it; after a refusal that a sign-in mends, once more."""
        if not await self._call(tool, arguments) and await self._person.signed_in_for_more():
            await self._call(tool, arguments)

    async def _call(self, tool: str, arguments: dict[str, Any]) -> bool:
        """Make one call, twice if the first met a used-up token; return whether it was answered."""
        self._calls += 1
        try:
            try:
                result = await self._attempt(1, tool, arguments)
            except TokenRenewed:
                result = await self._attempt(2, tool, arguments)
        except (CallError, DispatchRefused) as error:
            say(f"{tool}: {error}")
            return False
        say(f"{tool}: {'failed' if result.is_error else 'done'}, {len(result.content)} blocks")
        return True

    async def _attempt(self, attempt: int, tool: str, arguments: dict[str, Any]) -> RawResult:
        dispatch = Dispatch(f"call-{self._calls}", attempt, NAME, tool, canonical(arguments))
        self._approvals.open.append(dispatch)
        return await self._servers.registry.get(NAME).call_tool(dispatch, timeout=CALL_LIMIT)


async def call_each(stage: Stage) -> None:
    """Call every tool with the least that its schema asks for."""
    for tool in stage.tools:
        await stage.call(tool.name, required_values(tool.input_schema))


async def only_list(stage: Stage) -> None:
    """Connect and list, which is done by now."""


async def call_as_told(stage: Stage) -> None:
    """Make the calls that the context names, then no others; without any, the default play."""
    told = stage.context.get("toolCalls")
    if not isinstance(told, list) or not told:
        return await call_each(stage)
    for call in told:
        await stage.call(str(call["name"]), dict(call.get("arguments") or {}))
    return None


async def echo_schemas(stage: Stage) -> None:
    """Send the schema of each other tool back, exactly as it was listed."""
    echo = "json_schema_echo"
    for tool in stage.tools:
        if tool.name != echo and stage.tool(echo) is not None:
            await stage.call(echo, {"schema": tool.input_schema})


PLAYS: dict[str, Play] = {
    "initialize": only_list,
    "http-custom-headers": call_as_told,
    "json-schema-2020-12-preservation": echo_schemas,
}


async def play(url: str, scenario: str, context: dict[str, Any]) -> None:
    """Connect to the suite's server as the person's configuration would have it, and do the scenario."""
    approvals = Approvals()
    issuer = await told_issuer(url) if "idp_id_token" in context else ""
    spec = ServerSpec(name=NAME, url=url, oauth=account(scenario, context, issuer))
    with tempfile.TemporaryDirectory() as folder:
        async with connected(Path(folder), spec, authority=approvals.stands, asker=answer) as servers:
            stage = Stage(servers, approvals, context)
            if await stage.arrive():
                await PLAYS.get(scenario, call_each)(stage)


async def main(url: str) -> int:
    """Run one scenario within its time; return the exit status."""
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    try:
        async with asyncio.timeout(LIMIT):
            await play(url, os.environ.get("MCP_CONFORMANCE_SCENARIO", ""), context)
    except TimeoutError:
        say(f"the play was not over after {LIMIT:g} s")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[-1])))
