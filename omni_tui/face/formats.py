"""Sizes, durations and numbers in words."""

from __future__ import annotations


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


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 task`, `3 tasks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
