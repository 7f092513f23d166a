"""Traces: what a turn, or a call by hand, spent its time on, as a tree of spans."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText

TraceKind = Literal["turn", "call"]
"""What a trace is of: a turn, or a call by hand."""
SpanKind = Literal[
    "queue",  # behind another turn or another call
    "connecting",  # for servers that connect
    "model",  # a request to a model
    "task",  # a task of a plan, with all that its sub-agent does
    "call",  # a tool call, from its proposal to its end
    "approval",  # a call or a plan waits for the person
    "input",  # a server request waits for the person
    "attempt",  # one sending of a call, from the journal's permission to its end on disk
    "server",  # the server works on it
    "pause",  # before a further attempt
    "away",  # the app was closed
]
TimeKind = Literal["server", "model", "person", "connecting", "pause", "away", "queue", "own"]
"""Where time goes. `person`: approvals and input. `own`: none of the others, so Omni TUI itself."""


class TraceSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time. `began` and `ended` are Unix seconds; `ended` is 0 while it lasts.

    `parent` is the id of the span that it belongs to, "" for the trace itself. `state` says how it ended,
    in the words of calls, turns and tasks.
    """

    id: str
    parent: str
    kind: SpanKind
    name: SafeText
    began: float
    ended: float = 0.0
    state: str = ""
    detail: SafeText = SafeText("")


class TimeSpent(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a trace that went to one kind of work, and the name that most of them have."""

    kind: TimeKind
    seconds: float
    name: SafeText = SafeText("")


class TraceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One trace: the beginning of its message, or its tool. `ended` is 0 while it runs.

    `partial`: its beginning is not known any more.
    """

    id: str
    kind: TraceKind
    name: SafeText
    began: float
    ended: float = 0.0
    state: str = ""
    partial: bool = False


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A whole trace. `spans` are in the order in which they began; `left_out` says how many are missing.

    `spent` adds up to its length, most first: each moment counts once, for the first of `TimeKind` in that
    order that was busy then.
    """

    summary: TraceSummary
    spans: tuple[TraceSpan, ...] = ()
    spent: tuple[TimeSpent, ...] = ()
    left_out: int = 0


class ReadTraces(Command):
    """Ask for `TracesRead`: the last traces of the session, and one of them whole, by default the last."""

    id: str = ""


class TracesRead(CommandReply):
    """The last traces, newest first, and the one that was asked for, None if there is none.

    `now` is the engine's time, up to which a running one lasts.
    """

    traces: tuple[TraceSummary, ...]
    shown: Trace | None = None
    now: float = 0.0
