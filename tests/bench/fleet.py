"""Fifty servers, twenty of which misbehave, in chaos: `python -m tests.bench.fleet [SECONDS]`.

How long the engine's loop and the screen stand still meanwhile, each beside a control of the same time:
a loop in a process of its own that does nothing, and the screen while nothing happens. It fails if a
budget is missed and the control has not missed it too.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.bench._ticks import watched

LOOP_MS, SCREEN_MS = 250, 100
"""Budgets of the longest gaps."""

BARE_LOOP = """
import asyncio, sys, threading
from tests.bench.servers import longest_gap
print(asyncio.run(longest_gap(asyncio.to_thread(sys.stdin.read))))
"""


async def loop_gap(folder: Path) -> tuple[float, float]:
    """Return the longest gap of a loop that runs the fleet, and of one that does nothing, in ms."""
    from omni_tui.servers import health
    from omni_tui.servers.surroundings import load_session
    from tests.bench.servers import longest_gap
    from tests.chaos.fleet import SEED, rounds
    from tests.chaos.test_fleet import leaving_nothing, round_of_chaos

    health._FIRST_DELAY = 0.01  # as in the test: a server that was killed is tried again at once
    await load_session(asyncio.Lock())
    chance = random.Random(SEED)

    async def all_rounds() -> None:
        for _ in rounds():
            await round_of_chaos(fleet, chance)

    async with leaving_nothing(folder) as fleet:
        await fleet.until(lambda: all(fleet.listed[name] for name in fleet.good))
        bare = await asyncio.create_subprocess_exec(
            sys.executable, "-c", BARE_LOOP, stdin=PIPE, stdout=PIPE
        )
        own = await longest_gap(all_rounds())
        said, _ = await bare.communicate(b"")
    return own, float(said)


def screen_gaps(folder: Path) -> tuple[float, float, dict[str, int]]:
    """Return the longest gap of the screen in chaos and while nothing happens, in ms; what was done."""
    from tests.chaos.fleet import LIMIT_S, environment, write_config

    write_config(folder)
    ticks = watched([sys.executable, "-m", "tests.chaos._fleet_app", str(folder)], LIMIT_S, **environment())
    report = json.loads((folder / "report.json").read_text())
    if report["wrong"]:
        raise SystemExit("\n".join(report["wrong"]))
    return max(ticks.screen["chaos"]), max(ticks.screen["idle"]), report["did"]


def main(seconds: str) -> None:
    """Measure, print and judge."""
    os.environ["OMNI_TUI_CHAOS_SECONDS"] = seconds
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    missed = []
    with tempfile.TemporaryDirectory() as name:
        own, control = asyncio.run(loop_gap(Path(name)))
    print(
        f"the engine's loop, {seconds} s of chaos: longest gap {own:.0f} ms; a loop that does nothing "
        f"{control:.0f} ms; ratio {own / control:.1f}   (budget {LOOP_MS} ms)"
    )
    if own > LOOP_MS > control:
        missed.append("the loop")
    with tempfile.TemporaryDirectory() as name:
        own, control, did = screen_gaps(Path(name))
    print(
        f"the screen, {seconds} s of chaos: longest gap {own:.0f} ms; while nothing happens "
        f"{control:.0f} ms; ratio {own / control:.1f}   (budget {SCREEN_MS} ms)   {did}"
    )
    if own > SCREEN_MS > control:
        missed.append("the screen")
    if missed:
        raise SystemExit(f"over budget: {' and '.join(missed)}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "20")
