"""The chaos of fifty servers with the real app on a terminal, its engine in a process of its own.

No call to a healthy server fails, and nothing is left: no process, no descriptor, no lease. How long the
screen stood still is printed with the longest stretch of its own work; `tests.bench.fleet` judges it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from omni_tui.servers.reaper import start_time
from tests.bench._ticks import watched
from tests.chaos.fleet import BAD, GOOD, LIMIT_S, environment, running, write_config
from tests.lengths import LONG

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LONG, reason="a short run has the chaos without a screen: test_fleet.py"),
    pytest.mark.timeout(LIMIT_S + 30),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc"),
]


async def test_the_app_lives_through_it_and_leaves_nothing(tmp_path: Path) -> None:
    assert (len(GOOD), len(BAD)) == (30, 20)
    write_config(tmp_path)
    command = [sys.executable, "-m", "tests.chaos._fleet_app", str(tmp_path)]
    ticks = await asyncio.to_thread(lambda: watched(command, LIMIT_S, bare=True, **environment()))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["wrong"] == []
    for phase in ("idle", "chaos"):
        screen, control = max(ticks.screen[phase]), max(ticks.bare[phase])
        sys.stdout.write(
            f"{phase}: longest gap of the screen {screen:.0f} ms, of a bare app {control:.0f}; longest "
            f"stretch of own work {report['stretch_ms'][phase]:.0f} ms of processor time\n"
        )
    sys.stdout.write(f"{report['did']}\n")
    assert report["did"]["calls"] > len(GOOD)
    assert report["did"]["killed"]
    assert report["after"] == report["before"], "descriptors of the engine"
    assert not start_time(report["engine"])
    assert not running(str(tmp_path)), "processes that were left"
    assert not list(tmp_path.rglob("*.lease"))
