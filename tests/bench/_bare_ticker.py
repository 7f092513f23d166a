"""A Textual app that does nothing but tick: the control of one that works. See `tests.bench._ticks`."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static

from tests.bench._ticks import PERIOD_S


class BareTicker(App[None]):
    """One line, written anew every 50 ms."""

    CSS = "#ticker { height: 1; width: 30; }"
    ticks = 0

    def compose(self) -> ComposeResult:
        """The line."""
        yield Static("", id="ticker", markup=False)

    def on_mount(self) -> None:
        """Begin."""
        self.set_interval(PERIOD_S, self._tick)

    def _tick(self) -> None:
        self.ticks += 1
        self.query_one("#ticker", Static).update(f"<bare:{self.ticks}>", layout=False)


if __name__ == "__main__":
    BareTicker().run()
