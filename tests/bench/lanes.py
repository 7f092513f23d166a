"""How long the screen stands still while sixteen agents stream: `python -m tests.bench.lanes`.

A 20 Hz ticker in the real app on a pty. Printed is the longest gap between two of its writes while
nothing happens (the control), and while sixteen agents stream thirty deltas a second each: into folded
lanes, into unfolded ones, and with one of them shown alone. The ticker's own period is 50 ms.
"""

from __future__ import annotations

import os
import sys

from tests.bench._ticks import watched

LIMIT_S = 120.0
BUDGET_MS = 100
NAMES = {
    "idle": "nothing happens (control)",
    "folded": "16 streams into 16 folded lanes",
    "unfolded": "the same, all unfolded",
    "alone": "the same, one shown alone",
}


def main() -> None:
    """Measure and print."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    ticks = watched([sys.executable, "-m", "tests.bench._lanes_app"], LIMIT_S)
    for phase, title in NAMES.items():
        screen, control = sorted(ticks.screen.get(phase, [0.0])), sorted(ticks.control.get(phase, [0.0]))
        print(
            f"{title:34} longest gap {screen[-1]:6.0f} ms   median {screen[len(screen) // 2]:4.0f} ms   "
            f"{len(screen)} ticks   a waiting thread {control[-1]:4.0f} ms   (budget {BUDGET_MS} ms)"
        )


if __name__ == "__main__":
    main()
