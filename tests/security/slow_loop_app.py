"""The real app, whose loop stands still for a second at SIGUSR1 while its input is read on."""

from __future__ import annotations

import signal
import sys
import time

BLOCKED_S = 1.0


def block(_number: int, _frame: object) -> None:
    """Block the main thread, as a slow handler would."""
    time.sleep(BLOCKED_S)


if __name__ == "__main__":
    from omni_tui.cli.command_table import run_command
    from omni_tui.cli.parser import parse

    signal.signal(signal.SIGUSR1, block)
    sys.exit(run_command(parse(sys.argv[1:])))
