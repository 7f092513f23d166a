"""The calls of this session, by tool: a fold over the journal's events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from omni_tui.security.text import safe, safe_line

if TYPE_CHECKING:
    from omni_tui.face.port import Port

CALLS_KEPT = 50
"""Calls kept for each tool."""
END_STATES: frozenset[str] = frozenset(
    ("succeeded", "failed", "result_rejected", "rejected", "denied", "withheld", "expired", "cancelled")
) | {"uncertain"}
"""States after which nothing more happens to a call."""
_NO_JSON = JsonText("")
_NO_TEXT = SafeText("")


@dataclass(slots=True)
class PastCall:
    """One call. `arguments_json` is exact, and "" where only the preview is known."""

    call: str
    server: str
    tool: str
    arguments: SafeText
    origin: str
    started: float
    arguments_json: JsonText = _NO_JSON
    state: CallState = "pending"
    reason: SafeText = _NO_TEXT
    finished: CallFinished | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in END_STATES


class CallHistory:
    """Folds events into the last calls of each tool, newest last."""

    def __init__(self) -> None:
        self._calls: dict[str, PastCall] = {}
        self._by_tool: dict[tuple[str, str], list[PastCall]] = {}

    def apply(self, event: AnyEvent) -> PastCall | None:
        """Take an event into account; return the call it is about, None if it is about none known here."""
        if isinstance(event, CallProposed):
            return self._propose(event)
        if not isinstance(event, (ApprovalRequested, CallChanged, CallFinished)):
            return None
        past = self._calls.get(event.call)
        if past is None:
            return None
        if isinstance(event, ApprovalRequested):
            past.state = "held" if event.held else "pending"
            past.arguments, past.arguments_json = event.arguments, _NO_JSON
            if event.complete:
                past.arguments_json = event.arguments_json
        elif isinstance(event, CallChanged):
            past.state, past.reason = event.state, event.reason
        else:
            past.state, past.reason, past.finished = event.state, event.reason, event
        return past

    def of(self, server: str, tool: str) -> list[PastCall]:
        """Return the last calls to a tool, oldest first."""
        return list(self._by_tool.get((server, tool), ()))

    def get(self, call: str) -> PastCall | None:
        """Return a call by its id, None if it is not (or no longer) known."""
        return self._calls.get(call)

    def clear(self) -> None:
        """Forget everything: another session begins."""
        self._calls.clear()
        self._by_tool.clear()

    def began(self, call: str, server: str, tool: str, arguments: JsonText, now: float) -> PastCall:
        """Take a call by hand into account whose exact arguments are known here."""
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

    The engine shows arguments with what does not show made visible; only those of calls by hand and
    of approvals that fitted into one event are known exactly here.
    """
    if past.arguments_json:
        return past.arguments_json, True
    read = ""
    while True:
        page: TextPage = await port.ask(ReadArguments(call=past.call, offset=len(read)))
        read += page.text
        if not page.text or len(read) >= page.total:
            return read, "<U+" not in read
