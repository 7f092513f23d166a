"""Calls that go on as tasks at their server: begun now, asked after until they end.

Source: MCP extension `io.modelcontextprotocol/tasks` for protocol 2026-07-28 (SEP-2663), and the
experimental tasks of 2025-11-25.
"""

from __future__ import annotations

from typing import Literal

from omni_tui.protocol.base import Event, Journalled
from omni_tui.protocol.text import SafeText

TaskStatus = Literal["working", "input_required", "completed", "failed", "cancelled"]


class CallTask(Journalled):
    """A call goes on as a task: the server has it, and is asked after it until it ends.

    On disk, with the exact id of the task, before it is asked for the first time. `task` is that id
    made safe to show; `poll_ms` how often it will be asked, `ttl_s` how long the server promises to
    know the task (None: no limit is known).
    """

    call: str
    task: SafeText
    status: TaskStatus
    message: SafeText = SafeText("")
    poll_ms: int = 0
    ttl_s: float | None = None
    attempt: int = 1


class TaskProgress(Event):
    """What the server says of a running task. `away`: it cannot be asked now; the task may go on."""

    call: str
    status: TaskStatus
    message: SafeText = SafeText("")
    away: bool = False
