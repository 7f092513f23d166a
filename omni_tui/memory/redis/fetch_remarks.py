"""What the person must know of a session that was fetched, in words."""

from __future__ import annotations

from datetime import datetime

from omni_tui.memory.redis.fetch import FetchReport


def fetch_remarks(report: FetchReport, *, taken: bool) -> list[str]:
    """Return what is missing, uncertain or waiting. `taken`: it was taken over, not copied."""
    lines = []
    if report.trimmed:
        lines.append(
            f"{_count(report.trimmed, 'event')} before the rest were not in Redis any more: they are "
            "missing here"
        )
    if report.unreadable:
        numbers = ", ".join(map(str, report.unreadable[:20]))
        more = " …" if len(report.unreadable) > 20 else ""
        lines.append(f"events in the middle that could not be read are missing here: {numbers}{more}")
    if report.info.open and taken:
        at = datetime.fromtimestamp(report.info.updated).strftime("%Y-%m-%d %H:%M")
        lines.append(
            f"it was still open at {report.info.machine} (last heard of {at}); what it did there without "
            "reaching Redis is not here, and from now on it stays there"
        )
    if report.uncertain:
        lines.append(
            f"{_count(report.uncertain, 'call')} may or may not have happened there: now uncertain"
        )
    if report.waiting:
        lines.append(f"{_count(report.waiting, 'call')} waiting for you; nothing was sent from here")
    return lines


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
