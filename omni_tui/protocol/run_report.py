"""How far a turn that works by itself is, and what it did."""

from __future__ import annotations

import msgspec

from omni_tui.protocol.base import Event, Journalled
from omni_tui.protocol.text import SafeText


class StepTaken(Event):
    """An agent asks its model for the next step: how much of the turn's limits is used.

    Times are in seconds; `max_s` is 0 where time has no limit.
    """

    turn: str
    step: int
    max_steps: int
    elapsed_s: float
    max_s: float = 0.0
    agent: str = "root"


class ReportedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a turn and what became of it (a state of `CallChanged` or `CallFinished`)."""

    call: str
    server: str
    label: SafeText
    state: str


class RunReport(Journalled):
    """What an autonomous turn did, as the journal has it: every call, not what the model says of them.

    `states` counts all calls by their state; `calls` are at most 200 of them, those that did not succeed
    first. `elapsed_s` is of this stretch of the turn.
    """

    turn: str
    states: dict[str, int]
    calls: tuple[ReportedCall, ...]
    elapsed_s: float
    tokens: int = 0
    cost: float | None = None
