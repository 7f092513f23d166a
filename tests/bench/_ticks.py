"""How long a screen stands still: the times between the writes of a ticker on a pseudo-terminal.

The ticker writes `<PHASE:NUMBER>` about every 50 ms, which is its own period. Beside it a thread here
does nothing but wait as long, again and again: how late it is, is the machine's own share.
"""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from tests.bench._terminal import on_terminal, read_within

TICK = re.compile(rb"<([a-zA-Z0-9]+):(\d+)")
PERIOD_S = 0.05


@dataclass
class Ticks:
    """Times between ticks in ms, by phase: of the screen, and of the thread that does nothing."""

    screen: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    control: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    phase: str = ""

    def _pulse(self) -> None:
        last = time.perf_counter()
        while self.phase != "done":
            time.sleep(PERIOD_S)
            now = time.perf_counter()
            self.control[self.phase].append((now - last) * 1000)
            last = now

    def watch(self, command: list[str], limit_s: float, **environ: str) -> None:
        """Run a ticking program until its phase is `done`."""
        last, end = time.perf_counter(), time.perf_counter() + limit_s
        pulse = threading.Thread(target=self._pulse)
        pulse.start()
        try:
            with on_terminal(command, **environ) as terminal:
                while self.phase != "done":
                    data = read_within(terminal, end)
                    if not data:
                        raise SystemExit(f"the ticker stopped in phase {self.phase or 'start'}")
                    now = time.perf_counter()
                    if ticks := TICK.findall(data):
                        self.phase = ticks[-1][0].decode()
                        self.screen[self.phase].append((now - last) * 1000)
                        last = now
        finally:
            self.phase = "done"
            pulse.join()


def watched(command: list[str], limit_s: float, **environ: str) -> Ticks:
    """Run a ticking program until its phase is `done`, and return its ticks."""
    ticks = Ticks()
    ticks.watch(command, limit_s, **environ)
    return ticks
