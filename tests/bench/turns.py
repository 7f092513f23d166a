"""What a turn and a streamed chunk cost on top of bare LiteLLM: `python -m tests.bench.turns [ROUNDS]`.

The same request, over real HTTP to a provider's double in a process of its own, once through
`litellm.acompletion(stream=True)` alone and once from the person's command to the end of the turn at
the face: engine with its journal on disk, LiteLLM in its thread, every event through the codec. What
LiteLLM gets is equal to the letter: it is what the engine asked with the time before.

- a turn: an answer of one chunk, after a history of 0 to 1,000 messages (negative where what is spared
  LiteLLM is more than what is added);
- a chunk: a long answer less a turn, in processor time of the whole process, once where all of it comes at
  once and once at 200 chunks a second, where every chunk wakes whoever waits for it;
- a history: the whole turn with a model that answers at once, after 10 to 1,000 messages, beside the
  same after none.

The two ways alternate, and which comes first does too; printed are medians, and of overheads the median
of the differences of neighbours. It fails if a budget is missed where the control was steady: a turn
where bare LiteLLM's own quartiles are not further apart than the budget, a history where another
engine without one is within the same ratio.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omni_tui.config.model_settings import ModelSpec
from omni_tui.models._worker import ensure_litellm, the_worker
from omni_tui.models.base import ModelEvent, ModelRequest, TextPart
from omni_tui.models.litellm import LiteLLMModel
from omni_tui.models.message_history import estimate
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.bench._chunk_double import word
from tests.bench.calls import flush
from tests.bench.context import talk
from tests.engine.rig import Rig, rig
from tests.scripted_model import reply

TURN_MS = 3.0
"""Own milliseconds a turn may take on top of LiteLLM, and the flushes that are needed, see `FLUSHES`."""
FLUSHES = 4
"""The person's words, the turn's beginning, the answer, the end: each is on disk before it is shown."""
CHUNK_SHARE = 0.25
"""What a chunk may cost on top, as a share of what LiteLLM takes for it."""
HISTORY_RATIO = 1.25
"""A turn after 1,000 messages, against one after none."""
CHUNKS = 400
EVERY_MS = 5
PACED = 200
SIZES = (0, 10, 100, 1_000)
BLOCK = 5
SETTLE_S = 0.02
Clock = Callable[[], float]


@dataclass
class Pairs:
    """What two ways took, pair by pair. The control comes second."""

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    @property
    def more(self) -> float:
        """The median of the differences."""
        return statistics.median(ours - bare for ours, bare in zip(self.ours, self.bare, strict=True))

    @property
    def spread(self) -> float:
        """How far the control's quartiles are apart."""
        low, _, high = statistics.quantiles(self.bare, n=4)
        return high - low

    def medians(self) -> tuple[float, float]:
        """Return both medians."""
        return statistics.median(self.ours), statistics.median(self.bare)


# --- over HTTP ----------------------------------------------------------------------------------


class Asked(LiteLLMModel):
    """The real model, which keeps what it gave to LiteLLM. `answer` is what the double is to stream."""

    def __init__(self, base: str) -> None:
        super().__init__(ModelSpec("openai/gpt-4o", api_base=base, key="sk-bench-0123456789"), environ={})
        self._base = base
        self.answer = (1, 0)
        self.last: dict[str, Any] = {}

    @property
    def address(self) -> str:
        """Where that answer comes from."""
        chunks, every = self.answer
        return f"{self._base}/{chunks}/{every}/v1"

    def _arguments(self, request: ModelRequest, provider: str) -> dict[str, Any]:
        self.last = {**super()._arguments(request, provider), "api_base": self.address}
        return self.last


@contextlib.contextmanager
def provider() -> Iterator[str]:
    """Run the double; yields its URL."""
    command = [sys.executable, "-m", "tests.bench._chunk_double"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def bare(model: Asked) -> None:
    """Ask LiteLLM alone, with what the engine asked it last."""
    text = []
    stream = await ensure_litellm().acompletion(**{**model.last, "api_base": model.address})
    try:
        async for chunk in stream:
            if chunk.choices and (piece := chunk.choices[0].delta.content):
                text.append(piece)
    finally:
        await stream.aclose()
    assert text == [word(number) for number in range(model.answer[0])]


async def turn(running: Rig) -> None:
    """Send a message, and wait until the face has seen the end of the turn."""
    seen = len(running.seen)
    running.link.send(c.SendMessage(text="And what about the next one?", request=0))
    ended = await running.until(e.TurnEnded, after=seen)
    assert ended.status == "done", ended


async def milliseconds(work: Awaitable[None], clock: Clock) -> float:
    """Return what something took by a clock."""
    begun = clock()
    await work
    return (clock() - begun) * 1000


async def compare(running: Rig, model: Asked, answer: tuple[int, int], clock: Clock, found: Pairs) -> None:
    """Measure a turn beside LiteLLM alone."""
    model.answer = answer
    ways: list[tuple[list[float], Callable[[], Awaitable[None]]]] = [
        (found.ours, lambda: turn(running)),
        (found.bare, lambda: bare(model)),
    ]
    for times, way in ways if len(found.ours) % 2 else reversed(ways):
        times.append(await milliseconds(way(), clock))
        # LiteLLM writes its logs when the answer is over.
        await asyncio.sleep(SETTLE_S)


async def talked(running: Rig, size: int) -> None:
    """Let a conversation of about that many messages stand in the journal."""
    runner = running.session.runner
    messages = talk(size) if size else []
    await runner.commit(*(runner.model_message("t-before", message) for message in messages))


@contextlib.asynccontextmanager
async def engine(folder: Path, model: Any, size: int) -> AsyncIterator[Rig]:
    """Run an engine without servers that has talked already, and has had its first turn."""
    async with rig(folder, model=model, demo=False, mode="chat") as running:
        await talked(running, size)
        await turn(running)
        yield running


async def turns_over_http(folder: Path, base: str, rounds: int) -> list[str]:
    """Print what a turn costs on top of LiteLLM, by its history; return what is over its budget."""
    missed, flushes = [], []
    found = {size: Pairs() for size in SIZES}
    descriptor = os.open(folder / "flush", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for block in range(rounds // BLOCK):
        # Few turns each, since each turn makes the history longer.
        for size, pairs in found.items():
            model = Asked(base)
            async with engine(folder / f"turn-{block}-{size}", model, size) as running:
                await bare(model)
                for _ in range(BLOCK):
                    await compare(running, model, (1, 0), time.perf_counter, pairs)
                    flushes.append(flush(descriptor))
    os.close(descriptor)
    disk = statistics.median(flushes)
    budget = TURN_MS + FLUSHES * disk
    print(
        f"an answer of one chunk over HTTP, budget {budget:.1f} ms on top (a flush of this disk {disk:.2f})"
    )
    for size, pairs in found.items():
        ours, control = pairs.medians()
        print(
            f"  after {size:>5,} messages  engine {ours:6.1f} ms  bare LiteLLM {control:6.1f} ms, "
            f"quartiles {pairs.spread:4.1f}  own overhead {pairs.more:+6.1f}  ratio {ours / control:.2f}"
        )
        if pairs.more > budget > pairs.spread:
            missed.append(f"a turn after {size:,} messages")
    return missed


async def chunks_over_http(folder: Path, base: str, rounds: int) -> list[str]:
    """Print what a chunk costs on top of LiteLLM; return what is over its budget."""
    missed, model = [], Asked(base)
    paced = max(rounds // 4, 5)
    ways: dict[str, tuple[tuple[int, int], int]] = {
        "all at once": ((CHUNKS, 0), rounds),
        f"{1000 // EVERY_MS} a second": ((PACED, EVERY_MS), paced),
    }
    async with engine(folder / "chunks", model, 0) as running:
        await bare(model)
        for title, (answer, times) in ways.items():
            short, long = Pairs(), Pairs()
            for _ in range(times):
                await compare(running, model, (1, 0), time.process_time, short)
                await compare(running, model, answer, time.process_time, long)
            more = answer[0] - 1
            own = (long.more - short.more) / more * 1000
            control = (long.medians()[1] - short.medians()[1]) / more * 1000
            print(
                f"{answer[0]} chunks, {title:12} own overhead {own:+6.1f} µs a chunk   bare LiteLLM "
                f"{control:6.1f} µs   {own / control:+.2f} of it   (budget {CHUNK_SHARE})"
            )
            if own > CHUNK_SHARE * control > long.spread / more * 1000:
                missed.append(f"a chunk, {title}")
    return missed


# --- without a network --------------------------------------------------------------------------


class Instant:
    """A model that answers at once."""

    name = "instant"
    label = ""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Say a word."""
        yield TextPart("word ")
        yield reply("word ")

    def context_window(self) -> int | None:
        """Everything fits."""
        return 10_000_000

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens."""
        return estimate(request.messages)


async def histories(folder: Path, rounds: int) -> list[str]:
    """Print what a turn costs by its history; return what is over its budget."""
    sizes = {"no history": 0, "no history, again": 0, **{f"{size:,} messages": size for size in SIZES[1:]}}
    wall: dict[str, list[float]] = {title: [] for title in sizes}
    # Few turns each, since each turn makes the history longer.
    for block in range(rounds // BLOCK):
        async with contextlib.AsyncExitStack() as stack:
            engines = [
                (
                    title,
                    await stack.enter_async_context(engine(folder / f"{title}-{block}", Instant(), size)),
                )
                for title, size in sizes.items()
            ]
            for _ in range(BLOCK):
                for title, running in engines:
                    wall[title].append(await milliseconds(turn(running), time.perf_counter))
                # Who comes first after a pause finds cold caches.
                engines = [*engines[1:], engines[0]]
    medians = {title: statistics.median(times) for title, times in wall.items()}
    print("a whole turn with a model that answers at once")
    control = medians["no history"]
    for title, took in medians.items():
        print(f"  after {title:17} {took:6.2f} ms, {took / control:.2f} × no history")
    print(f"  (budget after 1,000 messages: {HISTORY_RATIO} ×)")
    most = medians["1,000 messages"] / control
    steady = max(medians["no history, again"] / control, control / medians["no history, again"])
    return ["a turn after 1,000 messages, prepared"] if most > HISTORY_RATIO > steady else []


async def main(rounds: int) -> None:
    """Measure, print and judge."""
    ensure_litellm()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            missed = await histories(folder, 3 * rounds)
            with provider() as base:
                missed += await turns_over_http(folder, base, 2 * rounds)
                missed += await chunks_over_http(folder, base, rounds)
        finally:
            the_worker().stop()
    if missed:
        raise SystemExit(f"over budget: {'; '.join(missed)}")


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    asyncio.run(main(max(int(sys.argv[1]), BLOCK) if len(sys.argv) > 1 else 20))
