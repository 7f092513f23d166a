"""How long a loop works without a pause, in processor time of its thread.

Unlike the time between two frames it does not grow when other processes want the processors: it is the
part of a gap that is the program's own.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from time import thread_time
from typing import Any


class Stretches:
    """The longest stretch of work by phase, in ms of processor time; `phase` says which it is now.

    A stretch goes from one look at what is ready to the next: everything that was due at the same time.
    """

    def __init__(self, phase: Callable[[], str]) -> None:
        self._phase = phase
        self.longest: dict[str, float] = defaultdict(float)
        self.total: dict[str, float] = defaultdict(float)
        """Work of a whole phase in ms."""

    def watch(self) -> None:
        """Begin to measure the running loop, until it ends."""
        selector: Any = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        select, begun = selector.select, thread_time()

        def measured(timeout: float | None = None) -> Any:
            nonlocal begun
            took, phase = (thread_time() - begun) * 1000, self._phase()
            self.longest[phase] = max(self.longest[phase], took)
            self.total[phase] += took
            found = select(timeout)
            begun = thread_time()
            return found

        selector.select = measured
