"""Unplanned ends of the face: a crash, or a terminal that is gone."""

from __future__ import annotations

import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

from omni_tui.security.files import open_own

LOG_FILE = "face.log"


def log_crash(state_dir: str) -> str:
    """Append the exception being handled to the face's log; return its path, "" if that fails.

    Only the person can read it. It has neither local variables nor the texts of exceptions: both may hold
    messages, arguments and secrets.
    """
    if not state_dir:
        return ""
    path = Path(state_dir) / "log" / LOG_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(open_own(path), "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{datetime.now(UTC).isoformat()}\n{_without_texts(sys.exc_info()[1])}\n")
    except OSError:
        return ""
    return str(path)


def _without_texts(error: BaseException | None) -> str:
    """Return a traceback that says where it broke and with which kind of error, not what about."""
    parts: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(
            f"Traceback (most recent call last):\n{frames}{type(error).__qualname__} (text left out)"
        )
        error = error.__cause__ or error.__context__
    return "\n\n".join(reversed(parts))


def crash_message(log: str) -> str:
    """Return what happened and what to do."""
    where = f" The error is in {log}." if log else ""
    return (
        "Omni TUI ran into an internal error and had to stop."
        f"{where} Your session is saved: start omni-tui again to continue."
    )


def terminal_is_gone() -> bool:
    """Return whether the terminal was closed without a hang-up signal."""
    import termios

    if sys.__stdin__ is None:
        return False
    try:
        termios.tcgetattr(sys.__stdin__.fileno())
    except termios.error as error:
        return bool(error.args and error.args[0] == 5)  # EIO: the other end was closed
    except (OSError, ValueError):
        return False
    return False
