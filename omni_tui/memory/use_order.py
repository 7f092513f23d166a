"""In which order sessions were used, whatever the clock says.

Each opening and closing of a session gets a number. It is the time in milliseconds while the clock runs
forward, and one more than the last while it does not.
"""

from __future__ import annotations

import time
from pathlib import Path

from omni_tui.memory.private_files import FileLock, private_dir, read_private, write_atomic

_MOST = 1 << 53
"""No time; a larger number comes from a damaged file."""


def next_use(state_dir: Path) -> int:
    """Return a number above all that were given before. If none can be kept, it is the time alone."""
    now = time.time_ns() // 1_000_000
    path = state_dir / "last-use"
    try:
        private_dir(state_dir)
        with FileLock(path.with_suffix(".lock")):
            try:
                last = int(read_private(path)[:20])
            except (FileNotFoundError, ValueError):
                last = 0
            last = last if last < _MOST else 0
            write_atomic(path, str(number := max(now, last + 1)).encode())
            return number
    except (OSError, TimeoutError):
        return now
