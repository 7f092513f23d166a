"""Autonomous mode: the one loop with a goal in the place of a question, within limits of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from omni_tui.agents.chat import ChatPolicy
from omni_tui.agents.meter import TurnMeter
from omni_tui.agents.plan_host import PlanPolicy

GOAL = """\
You work by yourself in this mode: the person has given you a goal and may not be watching. Work towards \
it step by step without asking back; where something is unclear, choose what changes least and say so. \
Stop when the goal is reached, or when it cannot be reached with these tools.

End with a report in Markdown: what was done, by which calls; what failed or was refused; what is left."""


@contextlib.asynccontextmanager
async def autonomous(
    policy: ChatPolicy, limits: PlanPolicy, waits: Callable[[], bool]
) -> AsyncIterator[ChatPolicy]:
    """Give the policy of an autonomous turn, which lasts as long as the block.

    Requests and time of work are those of `limits`; each ends the turn as "limit", to be continued,
    the time also in the middle of a call or an answer. Time in which something waits for the person, which
    `waits` tells, is not counted.
    """
    meter = TurnMeter(limits.max_requests, limits.max_minutes, waits)
    seconds = limits.max_minutes * 60
    async with meter.watching():
        yield replace(policy, goal=GOAL, admit=meter.admit, late=meter.late, max_seconds=seconds)
