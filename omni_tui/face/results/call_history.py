"""The calls of this session, by tool: made from events, and listed on the tool screen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from omni_tui.face.formats import format_duration
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyEvent, JsonText, SafeText
from omni_tui.protocol.commands import ReadArguments
from omni_tui.protocol.events import (
    ApprovalRequested,
    CallChanged,
    CallFinished,
    CallProposed,
    CallState,
    TextPage,
)
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened
from omni_tui.security.text import safe, safe_line

if TYPE_CHECKING:
    from omni_tui.face.port import Port

CALLS_KEPT = 50
"""Calls kept for each tool."""
END_STATES: frozenset[str] = frozenset(
    ("succeeded", "failed", "result_rejected", "rejected", "denied", "withheld", "expired", "cancelled")
) | {"uncertain"}
"""States in which a call is over."""
_NO_JSON, _NO_TEXT = JsonText(""), SafeText("")


@dataclass(slots=True)
class PastCall:
    """One call. `arguments_json` is exact, or "" if only the preview is known."""

    call: str
    server: str
    tool: str
    arguments: SafeText
    origin: str
    started: float
    arguments_json: JsonText = _NO_JSON
    state: CallState = "pending"
    reason: SafeText = _NO_TEXT
    decider: str = ""
    finished: CallFinished | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in END_STATES


class CallHistory:
    """Keeps the last calls of each tool, made from events."""

    def __init__(self) -> None:
        self._calls: dict[str, PastCall] = {}
        self._by_tool: dict[tuple[str, str], list[PastCall]] = {}

    def apply(self, event: AnyEvent) -> PastCall | None:
        """Apply an event; return its call, None if that is not known here."""
        if isinstance(event, CallProposed):
            return self._propose(event)
        if not isinstance(event, (ApprovalRequested, CallChanged, CallFinished)):
            return None
        past = self._calls.get(event.call)
        if past is None:
            return None
        if isinstance(event, ApprovalRequested):
            past.state = "held" if event.held else "pending"
            past.arguments = event.arguments
            past.arguments_json = event.arguments_json if event.complete else JsonText("")
        elif isinstance(event, CallChanged):
            past.state, past.reason, past.decider = event.state, event.reason, event.decider
        else:
            past.state, past.reason, past.finished = event.state, event.reason, event
        return past

    def of(self, server: str, tool: str) -> list[PastCall]:
        """Return the last calls to a tool, oldest first."""
        return list(self._by_tool.get((server, tool), ()))

    def get(self, call: str) -> PastCall | None:
        """Return a call by its id, None if it is not known."""
        return self._calls.get(call)

    def clear(self) -> None:
        """Remove all calls, for another session."""
        self._calls.clear()
        self._by_tool.clear()

    def add(self, call: str, server: str, tool: str, arguments: JsonText, now: float) -> PastCall:
        """Add a call by hand with its exact arguments."""
        shown = safe(arguments, limit=2000)
        proposed = CallProposed(
            call=call, server=server, tool=tool, label=safe_line(tool), arguments=shown, origin="hand",
            size=len(arguments), digest="", ts=now,
        )  # fmt: skip
        past = self._propose(proposed)
        past.arguments_json = arguments
        return past

    def _propose(self, event: CallProposed) -> PastCall:
        past = self._calls.get(event.call)
        if past is None:
            past = PastCall(event.call, event.server, event.tool, event.arguments, event.origin, event.ts)
            self._calls[event.call] = past
            row = self._by_tool.setdefault((event.server, event.tool), [])
            row.append(past)
            if len(row) > CALLS_KEPT:
                del self._calls[row.pop(0).call]
        return past


async def fetch_arguments(port: Port, past: PastCall) -> tuple[str, bool]:
    """Return a call's arguments, and whether they are exact. Raises what `Port.ask` raises.

    Exact are those of calls by hand and of approvals that fit into one event. The engine sends others
    with invisible characters written out.
    """
    if past.arguments_json:
        return past.arguments_json, True
    read = ""
    while True:
        page: TextPage = await port.ask(ReadArguments(call=past.call, offset=len(read)))
        read += page.text
        if not page.text or len(read) >= page.total:
            return read, "<U+" not in read


class OpenServerRequests:
    """The server requests that wait for the user."""

    def __init__(self) -> None:
        self._open: dict[str, ServerRequestOpened] = {}

    def apply(self, event: AnyEvent) -> bool:
        """Apply an event; return whether it was about a server request."""
        if isinstance(event, ServerRequestOpened):
            self._open[event.ask] = event
        elif isinstance(event, ServerRequestClosed):
            self._open.pop(event.ask, None)
        else:
            return False
        return True

    def holds(self, call: str, server: str) -> bool:
        """Return whether a running call waits for an answer of the user.

        A request that names no call may be about any call of its server.
        """
        return any(
            ask.call == call if ask.call else ask.server == server
            for ask in self._open.values()
            if ask.stage != "answering"
        )


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
    """The calls to one tool, newest first: time, state, duration and arguments."""

    DEFAULT_CSS = """
    PastCalls { max-height: 6; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[str, PastCall] = {}

    def show(self, calls: list[PastCall]) -> None:
        """Show these calls, given oldest first."""
        self._calls = {past.call: past for past in reversed(calls)}
        self.set_keys(list(self._calls))

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Draw one call."""
        past = self._calls[key]
        sign, style = _SIGNS.get(past.state, ("✗", "$fail"))
        when = datetime.fromtimestamp(past.started).strftime("%H:%M:%S") if past.started else ""
        state = "running" if past.state == "dispatching" else past.state
        took = format_duration(past.finished.elapsed_ms / 1000) if past.finished is not None else state
        return Content.assemble(
            (f" {sign} ", style), (f"{when:<9}", "$text-3"), (f"{took:>9}  ", "$text-2"),
            (" ".join(past.arguments.split())[:500], "$text-2"),
        )  # fmt: skip
