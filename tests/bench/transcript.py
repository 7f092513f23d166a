"""What the transcript costs: `python -m tests.bench.transcript`.

Prints processor time, so that other work on the machine changes it little. Budgets: design section 6.
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator

from textual.pilot import Pilot

from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    CallChanged,
    CallFinished,
    ContentPart,
    Thought,
    TurnEnded,
    TurnStarted,
    UserMessage,
)
from tests.face.chat_app import ChatApp
from tests.face.page import ANSWER
from tests.face.scenario import proposed

SIZE = (120, 40)
_TEXT = "the engine says what it did and the face shows line by line with `code` and **weight** here"
_WORDS = _TEXT.split()


def script(items: int, seed: int = 1) -> Iterator[AnyEvent]:
    """Yield the events of a session with about this many items: five to a turn, journalled."""
    rng = random.Random(seed)
    model = SafeText("m")
    for number in range(max(1, items // 5)):
        turn, call = f"t{number}", f"c{number}"
        words = SafeText(" ".join(rng.choices(_WORDS, k=rng.randint(5, 60))))
        text = SafeText(ContentPart(index=0, kind="text", text=words).text)
        yield from (
            UserMessage(turn=turn, text=words),
            TurnStarted(turn=turn, mode="chat", model=model),
            Thought(turn=turn, message=f"a{number}", text=words),
            proposed(call, "files", "read_text_file", {"path": f"notes/{number}.md", "head": 20}, "read"),
            CallChanged(call=call, state="approved", decider="mode"),
            CallChanged(call=call, state="dispatching"),
            CallFinished(call=call, state="succeeded", elapsed_ms=3.0, size=len(text),
                         parts=(ContentPart(index=0, kind="text", text=text, size=len(text)),)),
            Thought(turn=turn, message=f"b{number}", text=words),
            Answer(turn=turn, message=f"b{number}", text=ANSWER if number % 10 == 0 else words),
            TurnEnded(turn=turn, status="done"),
        )  # fmt: skip


def say(line: str) -> None:
    """Write one line."""
    sys.stdout.write(line + "\n")


async def frame(app: ChatApp, pilot: Pilot[None], act: Callable[[], object]) -> float:
    """Do something, paint, and return the processor time of both in milliseconds."""
    begun = time.process_time()
    act()
    app.view.flush()
    app.screen._on_timer_update()
    return 1000 * (time.process_time() - begun)


async def appending(count: int, rounds: int = 60) -> tuple[float, float, float]:
    """Return milliseconds per added message and per scrolled frame, and seconds of the replay before."""
    app = ChatApp()
    async with app.run_test(size=SIZE) as pilot:
        events = list(script(count))
        begun = time.process_time()
        app.play(events)
        await pilot.pause()
        replay = time.process_time() - begun
        gc.collect()
        gc.disable()  # its pauses are in the longest hold above; here they would hit one count or the other
        adds, scrolls = [], []
        for number in range(rounds):
            message = Answer(turn="x", message=f"x{number}", text=ANSWER)
            adds.append(await frame(app, pilot, lambda m=message: app.chat.apply(m)))  # type: ignore[misc]
            await asyncio.sleep(0)
        for _ in range(rounds):
            up = lambda: app.view.scroll_to(y=app.view.scroll_y - 3, animate=False)  # noqa: E731
            scrolls.append(await frame(app, pilot, up))
            await asyncio.sleep(0)
        gc.enable()
        return statistics.median(adds), statistics.median(scrolls), replay


async def streaming(above: int, seconds: float = 8.0, rate: int = 200) -> tuple[float, float, int]:
    """Return the share of a core, the longest hold of the loop in ms, and drawings a second."""
    app = ChatApp()
    async with app.run_test(size=SIZE) as pilot:
        app.play(script(above))
        await pilot.pause()
        words = (ANSWER * 50).split(" ")
        frames = 0
        flush = app.view.flush

        def counted() -> None:
            nonlocal frames
            frames += 1
            flush()

        app.view.flush = counted  # type: ignore[method-assign]
        begun, cpu, hold, last = time.perf_counter(), time.process_time(), 0.0, time.thread_time()
        for number in range(int(seconds * rate)):
            app.chat.apply(
                AnswerDelta(turn="s", message="s", text=SafeText(words[number % len(words)] + " "))
            )
            due = begun + (number + 1) / rate
            while (now := time.perf_counter()) < due:
                await asyncio.sleep(min(0.005, due - now))
                hold, last = max(hold, time.thread_time() - last), time.thread_time()
        wall = time.perf_counter() - begun
        return (time.process_time() - cpu) / wall, 1000 * hold, round(frames / wall)


async def main() -> None:
    """Print the figures and their ratios."""
    share, hold, frames = await streaming(1_000)
    say(f"200 tokens/s: {share:.0%} of a core, {frames} drawings/s, longest hold of the loop {hold:.0f} ms")
    rounds: dict[int, list[tuple[float, float, float]]] = {100: [], 10_000: []}
    for _ in range(3):  # in turns, and the best of each: other work comes and goes
        for count, figures in rounds.items():
            gc.collect()
            figures.append(await appending(count))
    small, large = ([min(column) for column in zip(*figures, strict=True)] for figures in rounds.values())
    say(f"replay of 10,000 items: {large[2]:.2f} s of processor time")
    for name, index in (("append one answer", 0), ("scroll a frame", 1)):
        ratio = large[index] / small[index]
        say(f"{name}: {small[index]:.1f} ms at 100 items, {large[index]:.1f} ms at 10,000: {ratio:.2f}×")


if __name__ == "__main__":
    asyncio.run(main())
