"""Commands that show how the work goes: traces."""

from __future__ import annotations

from omni_tui.face.shell import Shell


def show_trace(shell: Shell, _argument: str) -> None:
    """Show where the time of the last turns went."""
    from omni_tui.face.screens.trace import TraceScreen

    shell.show(TraceScreen())
