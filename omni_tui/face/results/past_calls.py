"""The calls to one tool in this session, newest first."""

from __future__ import annotations

from datetime import datetime

from textual.content import Content

from omni_tui.face.results.call_status import duration
from omni_tui.face.results.history import PastCall
from omni_tui.face.widgets.rows import RowList

_SIGNS = {
    "succeeded": ("✓", "$done"),
    "pending": ("◌", "$waiting"),
    "held": ("◌", "$waiting"),
    "approved": ("▶", "$running"),
    "dispatching": ("▶", "$running"),
    "uncertain": ("?", "$waiting"),
    "cancelled": ("◌", "$text-3"),
}


class PastCalls(RowList):
    """One row a call: when, how it went, how long it took, with which arguments."""

    DEFAULT_CSS = """
    PastCalls { max-height: 6; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[str, PastCall] = {}

    def show(self, calls: list[PastCall]) -> None:
        """Show these calls (oldest first)."""
        self._calls = {past.call: past for past in reversed(calls)}
        self.set_keys(list(self._calls))

    def get(self, call: str) -> PastCall:
        """Return the call of a row. Raises `KeyError`."""
        return self._calls[call]

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Draw one call."""
        past = self._calls[key]
        sign, style = _SIGNS.get(past.state, ("✗", "$fail"))
        when = datetime.fromtimestamp(past.started).strftime("%H:%M:%S") if past.started else ""
        state = "running" if past.state == "dispatching" else past.state
        took = duration(past.finished.elapsed_ms) if past.finished is not None else state
        row = Content.assemble(
            (f" {sign} ", style), (f"{when:<9}", "$text-3"), (f"{took:>9}  ", "$text-2"),
            (" ".join(past.arguments.split())[:500], "$text-2"),
        )  # fmt: skip
        return row.truncate(width, ellipsis=True)
