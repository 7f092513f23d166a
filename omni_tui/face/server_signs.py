"""The signs of the states of servers, and what is wrong with servers that are out of sight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from omni_tui.face.widgets.footer import Trouble
from omni_tui.protocol.events import ServerChanged
from omni_tui.protocol.values import ServerState

SERVER_SIGNS = {
    "active": ("●", "$done"),
    "idle": ("●", "$done"),
    "connecting": ("◌", "$running"),
    "needs_sign_in": ("◐", "$waiting"),
    "not_allowed": ("○", "$waiting"),
    "degraded": ("◐", "$waiting"),
    "failed": ("✗", "$fail"),
    "disabled": ("○", "$text-3"),
}
"""The sign of each state and its colour."""
_NEEDS_YOU: tuple[ServerState, ...] = ("failed", "needs_sign_in", "not_allowed")
"""States that last until somebody does something, the worst first."""


def server_trouble(servers: Iterable[ServerChanged]) -> Trouble | None:
    """Return the worst state in which servers need a person and how many are in it, or None."""
    counts = Counter(server.state for server in servers)
    worst = next((state for state in _NEEDS_YOU if counts[state]), None)
    if worst is None:
        return None
    sign, colour = SERVER_SIGNS[worst]
    return Trouble(sign, counts[worst], colour)
