"""Sixteen agents streaming at once: `python -m tests.bench.agents [AGENTS] [CHUNKS]`.

Each agent is the loop that works on a task of a plan, in a real engine with its journal on disk and a
face that reads; the model is a double without a network. Printed are the chunks a second that come
through and the longest gap of the engine's loop, once as fast as they can and once paced at 100
chunks a second each (a fast provider), beside the loop alone with the same double (the control).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from omni_tui.agents import run_turn
from omni_tui.agents.agent_host import AgentScope
from omni_tui.agents.turn_writer import TurnWriter
from omni_tui.models.base import Message, ModelEvent, ModelRequest, Reply, TextPart
from omni_tui.models.message_history import estimate
from omni_tui.protocol import events as e
from tests.engine.orchestra import Box, Stage, stage
from tests.scripted_model import reply

CHUNK = "four words of text "
BUDGET_MS = 250


class Streamer:
    """A model that streams `chunks` pieces; with `every`, one each so many seconds."""

    name = "streamer"
    label = ""

    def __init__(self, chunks: int, every: float) -> None:
        self.chunks = chunks
        self.every = every

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Stream one answer."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number in range(self.chunks):
            yield TextPart(CHUNK)
            await asyncio.sleep(max(0.0, begun + number * self.every - loop.time()) if self.every else 0)
        yield reply(CHUNK * self.chunks)

    def context_window(self) -> int | None:
        """No limit."""
        return None

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens."""
        return estimate(request.messages)


async def gaps(stop: asyncio.Event) -> float:
    """Return the longest time the loop did not come round, in milliseconds, until `stop`."""
    longest, last = 0.0, time.perf_counter()
    while not stop.is_set():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest * 1000


async def measured(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Return the seconds of some work, and the loop's longest gap during it in milliseconds."""
    stop = asyncio.Event()
    watch = asyncio.create_task(gaps(stop))
    begun = time.perf_counter()
    await work()
    seconds = time.perf_counter() - begun
    stop.set()
    return seconds, await watch


async def bare(model: Streamer, agents: int) -> None:
    """Read the model's streams with nothing around them."""

    async def one() -> None:
        async for event in model.stream(ModelRequest(())):
            assert isinstance(event, TextPart | Reply)

    await asyncio.gather(*(one() for _ in range(agents)))


async def ours(running: Stage, model: Streamer, agents: int, turn: str) -> None:
    """Run that many agents of a plan."""
    runner = running.session.runner
    running.session.plans.begin(turn)
    policy = replace(running.session.policy(), system="You carry out a task.")

    async def one(number: int) -> None:
        path = f"root/p1/t{number}"
        lane = AgentScope(runner, path, lambda: running.session.plans.progress.histories.get(path, ()))
        await runner.commit(TurnWriter(lane, turn, path).message(Message(role="user", text="go")))
        ended = await run_turn(lane, model, turn=turn, settings=policy, agent=path)
        assert ended.status == "done", ended

    await asyncio.gather(*(one(number) for number in range(agents)))


async def main(agents: int, chunks: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        model = Streamer(chunks, 0.0)
        async with stage(Path(name), model, Box()) as running:
            await ours(running, Streamer(50, 0.0), agents, "t-warm")
            for title, every in (("as fast as they can", 0.0), ("100 chunks a second each", 0.01)):
                model = Streamer(chunks, every)
                alone = await measured(lambda model=model: bare(model, agents))  # type: ignore[misc]
                turn = f"t-{every}"
                before = len(running.of(e.AnswerDelta))
                whole = await measured(lambda m=model, t=turn: ours(running, m, agents, t))  # type: ignore[misc]
                deltas = len(running.of(e.AnswerDelta)) - before
                for who, (seconds, gap) in (("double alone", alone), ("through the engine", whole)):
                    print(
                        f"{agents} agents, {title:25} {who:19} {agents * chunks / seconds:9.0f} chunks/s   "
                        f"longest gap {gap:5.1f} ms"
                    )
                cost = (whole[0] - alone[0]) / (agents * chunks) * 1e6
                extra = f"{cost:.1f} µs a chunk" if not every else "paced"
                print(f"    {deltas} deltas told to the face; {extra}; budget of the gap {BUDGET_MS} ms")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    asyncio.run(main(*(numbers + [16, 2_000][len(numbers) :])))
