"""How long a screen stands still: the times between the writes of a ticker on a pseudo-terminal.

The ticker writes `<PHASE:NUMBER>` about every 50 ms, which is its own period. Beside it a thread here
does nothing but wait as long, again and again: how late it is, is the machine's own share. A second
ticker on a terminal of its own, a bare app, may tick under the same load: what an app cannot be without.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from tests.bench._terminal import on_terminal, read_within

BARE = [sys.executable, "-m", "tests.bench._bare_ticker"]
TICK = re.compile(rb"<([a-zA-Z0-9]+):(\d+)")
PERIOD_S = 0.05


@dataclass
class Ticks:
    """Times between ticks in ms, by phase: of the screen, the bare app, the thread that does nothing."""

    screen: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    bare: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    control: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    phase: str = ""

    def _pulse(self) -> None:
        last = time.perf_counter()
        while self.phase != "done":
            time.sleep(PERIOD_S)
            now = time.perf_counter()
            self.control[self.phase].append((now - last) * 1000)
            last = now

    def _beside(self, end: float) -> None:
        with on_terminal(BARE) as terminal:
            last = time.perf_counter()
            while self.phase != "done" and (data := read_within(terminal, end)):
                now = time.perf_counter()
                if TICK.search(data):
                    self.bare[self.phase].append((now - last) * 1000)
                    last = now

    def watch(self, command: list[str], limit_s: float, *, bare: bool = False, **environ: str) -> None:
        """Run a ticking program until its phase is `done`; with `bare` a bare app beside it."""
        last, end = time.perf_counter(), time.perf_counter() + limit_s
        others = [threading.Thread(target=self._pulse)]
        others += [threading.Thread(target=self._beside, args=(end,))] if bare else []
        for other in others:
            other.start()
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
            for other in others:
                other.join()


def watched(command: list[str], limit_s: float, *, bare: bool = False, **environ: str) -> Ticks:
    """Run a ticking program until its phase is `done`, and return its ticks."""
    ticks = Ticks()
    ticks.watch(command, limit_s, bare=bare, **environ)
    return ticks
