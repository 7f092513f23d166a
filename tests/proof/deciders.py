"""Two who decide on one call at once: `python -m tests.proof.deciders [RACES] [SEED]`.

Two clients with a person at each follow one session. Both decide, at a moment of their own, while others
edit, cancel or stop, or the call's time is over: whatever the order, one decision counts, and the call is
sent once if that was an approval, never otherwise. What was sent is counted by the server.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from omni_tui.config.load import load_config
from omni_tui.engine.clients import EventBuffer
from omni_tui.engine.core import open_engine
from omni_tui.models.base import ToolCall
from omni_tui.protocol import AnyEvent, JsonText, LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.engine.rig import Rig, use_model
from tests.proof.arrivals import Tally, check_arrivals
from tests.proof.folders import short_lived
from tests.proof.random_model import RandomModel
from tests.proof.runs import SERVER
from tests.scripted_model import reply

RACES = 10_000
PART = 500
"""Races in one session."""


class OneCall(RandomModel):
    """A model that makes one call for each message."""

    def __init__(self) -> None:
        self._made = 0

    async def stream(self, request: Any) -> Any:
        """Make a call, then be done."""
        if request.messages[-1].role == "user":
            self._made += 1
            yield reply("", ToolCall(f"p{self._made}", "box__put", json.dumps({"n": f"race {self._made}"})))
        else:
            yield reply("done")


class Race:
    """One call, two clients, and what becomes of it, which is counted in `ends`."""

    def __init__(self, clients: tuple[Rig, Rig], chance: random.Random, ends: Counter[str]) -> None:
        self._clients = clients
        self._chance = chance
        self.ends = ends
        self._accepted = 0
        """Decisions that the engine says it has carried out."""

    async def run(self) -> str:
        """Let a call come, decide on it at once from two sides, and say what is wrong with the outcome."""
        one, other = self._clients
        before = len(one.seen)
        earlier = {event.call for event in one.of(e.ApprovalRequested)}
        await one.ask(c.SendMessage(text="go"))
        # An edited call of the race before may be shown once more.
        shown = await one.until(e.ApprovalRequested, lambda event: event.call not in earlier, after=before)
        same = (shown.call, shown.digest)  # the other may have had it already when this race began
        await other.until(e.ApprovalRequested, lambda event: (event.call, event.digest) == same)
        verdicts = [self._chance.choice(("approve", "reject")) for _ in range(2)]
        work: list[Coroutine[Any, Any, object]] = [
            self._decide(client, shown, verdict)
            for client, verdict in zip(self._clients, verdicts, strict=True)
        ]
        work += self._others(shown)
        self._chance.shuffle(work)
        await asyncio.gather(*work)
        if self._waits(before, shown.call):
            await one.ask(c.StopRun())
        await one.until(e.TurnEnded, after=before)
        return self._judge(shown.call, before)

    async def _decide(self, client: Rig, shown: e.ApprovalRequested, verdict: Any) -> AnyEvent:
        await self._moment()
        done = await client.ask(c.DecideCall(call=shown.call, digest=shown.digest, verdict=verdict))
        self._accepted += isinstance(done, e.CommandDone)
        return done

    def _others(self, shown: e.ApprovalRequested) -> list[Coroutine[Any, Any, object]]:
        """Return what else happens at that moment, in some of the races."""
        kind, client = self._chance.random(), self._chance.choice(self._clients)
        if kind < 0.1:
            text = JsonText('{"n":"edited"}')
            return [client.ask(c.EditCall(call=shown.call, digest=shown.digest, arguments_json=text))]
        if kind < 0.2:
            return [client.ask(c.CancelCall(call=shown.call))]
        if kind < 0.25:
            return [client.ask(c.StopRun())]
        if kind < 0.3:
            return [self._decide(client, shown, "approve") for _ in range(8)]
        if kind < 0.4:
            return [self._time_is_over(shown)]
        return []

    async def _time_is_over(self, shown: e.ApprovalRequested) -> None:
        await self._moment()
        await self._clients[0].session.gate.expire(shown.call)

    async def _moment(self) -> None:
        for _ in range(self._chance.choice((0, 0, 0, 1, 2, 5))):
            await asyncio.sleep(0)

    def _waits(self, before: int, call: str) -> bool:
        """Whether the call still waits, since both decided on what was not there any more."""
        seen = self._clients[0].seen[before:]
        return not any(isinstance(event, e.CallChanged) and event.call == call for event in seen)

    def _judge(self, call: str, before: int) -> str:
        changes = Counter(
            event.state
            for event in self._clients[0].seen[before:]
            if isinstance(event, e.CallChanged) and event.call == call
        )
        self.ends.update(changes.keys() - {"dispatching"})
        decisions = changes["approved"] + changes["rejected"]
        if decisions > 1 or self._accepted != decisions:
            return f"{call}: {self._accepted} decisions were accepted, {decisions} made: {dict(changes)}"
        if decisions and changes["expired"]:
            return f"{call} expired although it was decided on: {dict(changes)}"
        if changes["dispatching"] > changes["approved"]:
            return f"{call} was sent without its approval, or twice: {dict(changes)}"
        return ""


def main(races: int, seed: int) -> int:
    """Run the races and print the figures. Returns how many faults there are."""
    print(f"seed {seed}", flush=True)
    chance, tally, faults, started = random.Random(seed), Tally(), [], time.monotonic()
    ends: Counter[str] = Counter()
    for begun in range(0, races, PART):
        with short_lived("races") as name:
            folder = Path(name)
            faults += asyncio.run(_races(folder, min(PART, races - begun), chance, ends))
            found = check_arrivals(folder, random_runs=False)
            tally.add(found)
    faults += tally.faults
    print(
        f"{races:,} races of two deciders, {time.monotonic() - started:.0f} s\n"
        f"{', '.join(f'{count:,} {state}' for state, count in sorted(ends.items()))}\n"
        f"{tally.granted:,} sent, {tally.arrived:,} arrived\n"
        f"decided twice, sent twice, or sent without a grant: {len(faults)}",
        *faults[:20],
        sep="\n  ",
    )
    return len(faults)


async def _races(folder: Path, count: int, chance: random.Random, ends: Counter[str]) -> list[str]:
    args = json.dumps(["-I", "-S", str(SERVER), str(folder), "box"])
    file = folder / "config.toml"
    file.write_text(f"[servers.box]\ncommand = {json.dumps(sys.executable)}\nargs = {args}\n")
    launch = LaunchOptions(config=str(file), state_dir=str(folder / "state"))
    environ = {**os.environ, "OMNI_TUI_PASSPHRASE": ""}
    engine = await open_engine(launch, load_config(launch, environ), environ)
    use_model(engine, OneCall())
    one = Rig(engine, await engine.attach(EventBuffer()))
    same = msgspec.structs.replace(launch, resume=one.session.journal.session)
    clients = one, Rig(engine, await engine.attach(EventBuffer(), same))
    await engine.start_servers()
    for client in clients:
        client.link.send(c.Hello(client="proof", request=0))
        await client.connected("box")
    faults = []
    for _ in range(count):
        if wrong := await Race(clients, chance, ends).run():
            faults.append(wrong)
    for client in clients:
        await client.close()
    return faults


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else RACES
    sys.exit(min(1, main(number, int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9))))
