"""Sizes, durations, numbers, money and states in words."""

from __future__ import annotations

import time

from omni_tui.protocol.calls import CallTask, TaskProgress

_TASK_STATUS = {"input_required": "waits for input"}


def format_size(count: int) -> str:
    """Return a number of bytes with its unit, in powers of 1000: `812 B`, `3.4 kB`, `52 MB`."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000 or unit == "GB":
            break
    return f"{size:.1f} {unit}" if size < 10 else f"{size:.0f} {unit}"


def format_duration(seconds: float) -> str:
    """Return a duration: `14 ms`, `3.2 s`, `2 m 05 s`. An integer gives whole seconds."""
    if isinstance(seconds, float) and seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{max(0, round(seconds * 1000))} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} m {int(seconds) % 60:02} s"


def local_time(moment: float, now: float) -> str:
    """Return a Unix time as the local hour, with the day if it is not that of `now`."""
    there, here = time.localtime(moment), time.localtime(now)
    return time.strftime("%H:%M:%S" if there[:3] == here[:3] else "%d %b %H:%M:%S", there)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 task`, `3 tasks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def short_number(value: int) -> str:
    """Return a count for a narrow place: 812, 12.4k, 3.1M."""
    if value < 1000:
        return str(value)
    return f"{value / 1000:.1f}k" if value < 1_000_000 else f"{value / 1_000_000:.1f}M"


def money(dollars: float, *, unpriced: bool = False) -> str:
    """Return what was paid in words. `unpriced`: the price of some of it is not known."""
    if unpriced and not dollars:
        return "price unknown"
    paid = f"${dollars:.4f}" if dollars else "$0"
    return f"at least {paid}" if unpriced else paid


def short_money(dollars: float, *, unpriced: bool = False) -> str:
    """Return what was paid for a narrow place, "" where no price is known at all."""
    if unpriced and not dollars:
        return ""
    paid = "<$0.01" if 0 < dollars < 0.01 else f"${dollars:.2f}"
    return f"≥{paid}" if unpriced else paid


def format_task_status(event: CallTask | TaskProgress) -> str:
    """Return how a call is doing that runs as a task: `runs as a task · working · page 3 of 9`."""
    status = _TASK_STATUS.get(event.status, event.status)
    if isinstance(event, TaskProgress) and event.away:
        status = "its server is away"
    return " · ".join(filter(None, ("runs as a task", status, event.message)))
