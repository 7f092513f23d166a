"""A call that runs as a task, in words."""

from __future__ import annotations

from omni_tui.protocol.calls import CallTask, TaskProgress

_STATUS = {"input_required": "waits for input"}


def format_task_status(event: CallTask | TaskProgress) -> str:
    """Say how a task is doing: `runs as a task · working · page 3 of 9`."""
    status = _STATUS.get(event.status, event.status)
    if isinstance(event, TaskProgress) and event.away:
        status = "its server is away"
    return " · ".join(filter(None, ("runs as a task", status, event.message)))
