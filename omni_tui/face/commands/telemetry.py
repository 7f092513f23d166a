"""Commands that show how the work goes: traces, metrics, the debug view, the app's log."""

from __future__ import annotations

from omni_tui.face.shell import Shell


def show_trace(shell: Shell, _argument: str) -> None:
    """Show where the time of the last turns went."""
    from omni_tui.face.screens.trace import TraceScreen

    shell.show(TraceScreen())


def show_metrics(shell: Shell, _argument: str) -> None:
    """Show counts and times of everything since the engine started."""
    from omni_tui.face.screens.metrics import MetricsScreen

    shell.show(MetricsScreen())


def show_debug(shell: Shell, words: str) -> None:
    """Show live what passes through the engine, or only what has these words."""
    from omni_tui.face.screens.debug import DebugScreen

    shell.show(DebugScreen(words.strip()))


def show_app_log(shell: Shell, words: str) -> None:
    """Show the app's own log, or only the lines that have these words."""
    from omni_tui.face.screens.app_log import AppLogScreen

    shell.show(AppLogScreen(words.strip()))
