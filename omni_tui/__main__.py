"""The program `omni-tui`: parse the command line, then load only what the command needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    from omni_tui.cli.parser import parse

    arguments = parse(argv)
    from omni_tui.cli.command_table import run_command

    return run_command(arguments)


if __name__ == "__main__":
    sys.exit(main())
