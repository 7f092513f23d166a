"""Key to matches in the tool filter, with ten thousand tools. Run: `python -m tests.bench.tools_filter`.

Prints milliseconds from a key to the screen: a key in a bare `Input` (the control), and the matches
of a key in the filter, for keys typed one by one and for keys that come so quickly that the filter
waits for the last of them (the wait is part of the figure). Budget: p95 ≤ 100 ms.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable

from rich.console import RenderableType
from textual import events
from textual.screen import Screen
from textual.widgets import Input

from omni_tui.face.panes.tools import DELAY, ToolsPane
from omni_tui.protocol.events import ToolsListed, ToolSummary
from omni_tui.security.text import safe, safe_line
from tests.face.tool_app import ToolApp

TOOLS = 10_000
SERVERS = 10
KEYS = 120
BUDGET = 100
WORDS = ("files", "delete", "mergeb", "pages", "zzz", "e", "update")
_VERBS = ("create", "delete", "list", "read", "search", "update", "archive", "send", "merge", "watch")
_THINGS = ("file", "issue", "branch", "message", "table", "record", "user", "build", "page", "event")


def make_tools(server: str, count: int, seed: int) -> tuple[ToolSummary, ...]:
    """Return believable tools: names of three words, descriptions of a line or two."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        verb, thing = chance.choice(_VERBS), chance.choice(_THINGS)
        name = f"{verb}_{thing}_{number}"
        about = f"{verb.title()} a {thing} " + " ".join(chance.choices(_THINGS + _VERBS, k=15))
        made.append(
            ToolSummary(
                server=server, name=name, label=safe_line(name), model_name=name, title=safe(""),
                description=safe(about), risk="write",
            )
        )  # fmt: skip
    return tuple(made)


class TimedApp(ToolApp):
    """Notes when a frame was written."""

    written = 0.0

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        super()._display(screen, renderable)
        self.written = time.perf_counter()


async def _press(app: TimedApp, keys: str, done: Callable[[], bool]) -> float:
    """Return milliseconds from the last of some keys to the frame in which `done` holds."""
    start = time.perf_counter()
    for key in keys:
        start = time.perf_counter()
        app.post_message(events.Key(key, key))
        await asyncio.sleep(0.01 if key is not keys[-1] else 0)
    while not done():  # noqa: ASYNC110  (there is nothing to wait on that would not change the figure)
        await asyncio.sleep(0)
    ready = time.perf_counter()
    while app.written < ready:  # noqa: ASYNC110
        await asyncio.sleep(0)
    return (app.written - start) * 1000


async def control() -> list[float]:
    """Time keys into an input with nothing else on the screen."""
    line = Input()
    app = TimedApp(line)
    times = []
    async with app.run_test(size=(120, 40)) as pilot:
        line.focus()
        await pilot.pause()
        for number in range(KEYS):
            before = line.value
            times.append(await _press(app, "abcde"[number % 5], lambda: line.value != before))  # noqa: B023
    return times


async def filtered(burst: int) -> list[float]:
    """Time keys in the filter until their matches are painted; `burst` keys come 10 ms apart."""
    pane = ToolsPane()
    app = TimedApp(pane)
    times: list[float] = []
    async with app.run_test(size=(120, 40)) as pilot:
        for number in range(SERVERS):
            name = f"server{number}"
            tools = make_tools(name, TOOLS // SERVERS, number)
            pane.apply(ToolsListed(server=name, generation=1, last=True, tools=tools))
        await pilot.pause()
        line = pane.query_one(Input)
        line.focus()
        while len(times) < KEYS:
            word = WORDS[len(times) % len(WORDS)]
            line.value = ""
            await pilot.pause(2 * DELAY)
            for start in range(0, len(word), burst):
                wanted = word[: start + burst]
                keys = word[start : start + burst]
                times.append(await _press(app, keys, lambda: pane._query == wanted))  # noqa: B023
                await asyncio.sleep(2 * DELAY)
    return times


def _row(name: str, times: list[float]) -> float:
    ordered = sorted(times)
    p95 = ordered[int(len(ordered) * 0.95) - 1]
    print(f"{name:<44} {statistics.median(times):7.1f} {p95:7.1f} {ordered[-1]:7.1f}")
    return p95


def main() -> int:
    """Print the table; 1 if the budget is broken."""
    print(f"{TOOLS:,} tools, {KEYS} keys, ms{'':<21} {'median':>7} {'p95':>7} {'max':>7}")
    _row("a key in a bare input (control)", asyncio.run(control()))
    single = _row("matches, keys one by one", asyncio.run(filtered(1)))
    quick = _row(f"matches, keys 10 ms apart (waits {DELAY * 1000:.0f} ms)", asyncio.run(filtered(3)))
    held = max(single, quick) <= BUDGET
    print(f"budget: p95 <= {BUDGET} ms: {'held' if held else 'BROKEN'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
