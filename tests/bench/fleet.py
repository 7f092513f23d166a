"""Fifty servers, twenty of which misbehave, in chaos: `python -m tests.bench.fleet [SECONDS]`.

How long the engine's loop and the screen stand still meanwhile, each beside a control of the same time:
a loop in a process of its own that does nothing, and a bare app on a terminal of its own. The screen's
part is also told without the load: the longest stretch of work of its loop, in processor time. It fails
if a budget is missed and the control has not missed it too.
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
from typing import Any

from tests.bench._ticks import Ticks, watched

LOOP_MS, SCREEN_MS = 250, 100
"""Budgets of the longest gaps."""

BARE_LOOP = """
import asyncio, sys, threading
from tests.bench.servers import longest_gap
print(asyncio.run(longest_gap(asyncio.to_thread(sys.stdin.read))))
"""


async def loop_gap(folder: Path) -> tuple[float, float]:
    """Return the longest gap of a loop that runs the fleet, and of one that does nothing, in ms."""
    from omni_tui.servers import reconnect
    from omni_tui.servers.connection import load_session
    from tests.bench.servers import longest_gap
    from tests.chaos.fleet import SEED, rounds
    from tests.chaos.test_fleet import leaving_nothing, round_of_chaos

    reconnect.FIRST_DELAY_S = 0.01  # as in the test: a server that was killed is tried again at once
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


def screen_gaps(folder: Path) -> tuple[Ticks, dict[str, Any]]:
    """Return the gaps of the screen and its controls by phase, and what the app reports."""
    from tests.chaos.fleet import LIMIT_S, environment, write_config

    write_config(folder)
    command = [sys.executable, "-m", "tests.chaos._fleet_app", str(folder)]
    ticks = watched(command, LIMIT_S, bare=True, **environment())
    report = json.loads((folder / "report.json").read_text())
    if report["wrong"]:
        raise SystemExit("\n".join(report["wrong"]))
    return ticks, report


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
        ticks, report = screen_gaps(Path(name))
    for phase in ("idle", "chaos"):
        own, control, gaps = max(ticks.screen[phase]), max(ticks.bare[phase]), sorted(ticks.screen[phase])
        print(
            f"the screen, {phase}: longest gap {own:.0f} ms, p99 {gaps[len(gaps) * 99 // 100]:.0f}, median "
            f"{gaps[len(gaps) // 2]:.0f}; a bare app {control:.0f} ms; ratio {own / control:.1f}   "
            f"(budget {SCREEN_MS} ms); longest stretch of own work {report['stretch_ms'][phase]:.0f} ms "
            f"of processor time, {report['work_ms'][phase] / sum(gaps):.0%} of one processor in all"
        )
    print(report["did"])
    if own > SCREEN_MS > control:
        missed.append("the screen")
    if missed:
        raise SystemExit(f"over budget: {' and '.join(missed)}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "20")
