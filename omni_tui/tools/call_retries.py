"""When a failed call is sent again: if it surely did not run, or if the tool may be repeated.

Never after an answer that says the tool ran.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from omni_tui.approvals.policy import Origin
from omni_tui.servers.base import CallError
from omni_tui.tools.catalogue import Tool

UNSENT = 2
"""Further attempts of an agent's call of which surely nothing ran."""
CUT = 1
"""Further attempts of an agent's call that was cut off, of a tool that may be repeated."""


@dataclass(frozen=True, slots=True)
class RetryBackoff:
    """The pauses before further attempts in seconds, give or take a quarter."""

    delays: tuple[float, ...] = (0.5, 2.0, 5.0)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    def delay(self, number: int) -> float:
        """Return the wait before the further attempt of this number, counted from 1."""
        return self.delays[min(number, len(self.delays)) - 1] * (0.75 + self.random() / 2)


@dataclass(slots=True)
class CallRetries:
    """The further attempts of one call. `tell` is called before each: attempt, of how many, delay, why."""

    unsent: int = 0
    cut: int = 0
    tell: Callable[[int, int, float, str], None] = lambda *_: None
    backoff: RetryBackoff = field(default_factory=RetryBackoff)
    made: int = 0

    def after(self, error: CallError) -> int:
        """Return how many further attempts are allowed in all after this failure, 0 if none is left."""
        if error.did_not_run:
            most = self.unsent
        elif error.answered:
            most = 0
        else:
            most = self.cut
        return most if self.made < most else 0

    async def wait(self, attempt: int, most: int, why: str) -> None:
        """Count a further attempt, tell about it, and wait for its time."""
        self.made += 1
        delay = self.backoff.delay(self.made)
        self.tell(attempt + 1, attempt + 1 + most - self.made, delay, why)
        await self.backoff.sleep(delay)


def repeatable(tool: Tool, *, allowed: bool) -> bool:
    """Whether a call may be repeated although it ran, by the annotations of a trusted server."""
    if not allowed or tool.held or tool.trust != "unchanged":
        return False
    idempotent = tool.definition.annotations.get("idempotentHint") is True and tool.risk == "write"
    return tool.risk == "read" or idempotent


def retry_limits(
    configured: int | None, tool: Tool | None, origin: Origin, *, allowed: bool, elsewhere: bool
) -> tuple[int, int]:
    """Return how many further attempts a call may have: if it did not run, and if it was cut off.

    `configured`, the person's own `[tools.retry]`, counts first. A call by hand is repeated by hand. If
    another server can answer (`elsewhere`), no time is lost on one that is away.
    """
    if tool is None:
        return 0, 0
    if configured is not None:
        return configured, configured
    if origin == "hand":
        return 0, 0
    return 0 if elsewhere else UNSENT, CUT if repeatable(tool, allowed=allowed) else 0
