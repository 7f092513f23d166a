"""The rows of the approvals queue, and the fold that says which calls wait."""

from __future__ import annotations

from textual.content import Content

from omni_tui.face.approval.values import parse, what_matters
from omni_tui.face.clock import Clock
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import ApprovalRequested, CallChanged, CallFinished
from omni_tui.security.text import safe

BATCH_LIMIT = 20
"""Most calls that may be approved together."""


class Queue:
    """Calls that wait for the person, in the order they came; what was put off comes last."""

    def __init__(self) -> None:
        self._items: dict[str, ApprovalRequested] = {}
        self._later: list[str] = []
        self._matters: dict[str, str] = {}
        self.marked: set[str] = set()
        self.deciding: dict[str, str] = {}
        """Calls whose verdict is on its way to the engine: call id to digest."""
        self.ended: dict[str, str] = {}
        """How calls that no longer wait ended, for saying so."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def calls(self) -> list[str]:
        """Call ids in the order of the rows."""
        return [*(call for call in self._items if call not in self._later), *self._later]

    def get(self, call: str | None) -> ApprovalRequested | None:
        """Return one item."""
        return None if call is None else self._items.get(call)

    def matters(self, call: str) -> str:
        """Return the argument that says most about a call."""
        if call not in self._matters:
            item = self._items[call]
            self._matters[call] = what_matters(parse(item.arguments_json) if item.complete else None)
        return self._matters[call]

    def apply(self, event: AnyEvent) -> bool:
        """Take one event into account; True if the rows changed."""
        if isinstance(event, ApprovalRequested):
            self._items[event.call] = event
            self._matters.pop(event.call, None)
            self.marked.discard(event.call)
            self.deciding.pop(event.call, None)
            return True
        if isinstance(event, CallChanged) and event.state in ("pending", "held"):
            self.deciding.pop(event.call, None)
            return event.call in self._items
        if isinstance(event, CallChanged | CallFinished) and event.call in self._items:
            self._drop(event.call)
            self.ended = {event.call: event.state}
            return True
        return False

    def put_off(self, call: str) -> None:
        """Move a call to the end."""
        if call in self._items:
            self._later = [*(other for other in self._later if other != call), call]
            self.deciding.pop(call, None)

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def may_batch(self, call: str) -> str:
        """Return why a call may not be approved together with others, "" if it may."""
        item = self._items[call]
        if item.risk == "destructive":
            return "it destroys; such calls are approved one by one"
        if item.held:
            return "its server or tool changed; look at it by itself"
        if item.edited:
            return "it was edited; look at it by itself"
        if not item.complete:
            return "it is too long to be shown together with others"
        if len(self.marked) >= BATCH_LIMIT and call not in self.marked:
            return f"no more than {BATCH_LIMIT} calls are approved together"
        return ""

    def _drop(self, call: str) -> None:
        self._items.pop(call, None)
        self._matters.pop(call, None)
        self.deciding.pop(call, None)
        self.marked.discard(call)
        if call in self._later:
            self._later.remove(call)


class QueueRows(RowList):
    """One row a call: number, server › tool, the argument that matters, how long it waits."""

    DEFAULT_CSS = """
    QueueRows { max-height: 8; }
    """

    def __init__(self, queue: Queue, clock: Clock) -> None:
        super().__init__(id="queue-rows")
        self._queue = queue
        self._clock = clock

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Draw one call."""
        item = self._queue.get(key)
        if item is None:
            return Content("")
        current = key == self.selected
        mark = "◉" if key in self._queue.marked else str(number)
        style = "bold $on-colour on $mine" if current else "$text-2"
        badge = Content.styled(f"{mark:^3}", style)
        name = f"{safe(item.server, lines=False)} › {item.label}"
        left = (
            Content(" ")
            + badge
            + Content(" ")
            + Content.styled(name, "bold $text-1" if current else "$text-2")
        )
        if key in self._queue.deciding:
            right = Content.styled("sending … ", "$text-3")
        else:
            right = Content.styled(f"{age(self._clock.time() - item.ts)} ", "$text-2")
        room = width - left.cell_length - right.cell_length - 3
        matters = Content.styled(self._queue.matters(key), "$text-1" if current else "$text-2")
        if room < 6:
            left = left.truncate(width - right.cell_length - 1, ellipsis=True)
            return left + Content(" " * max(1, width - left.cell_length - right.cell_length)) + right
        matters = matters.truncate(room, ellipsis=True)
        gap = " " * max(1, width - left.cell_length - 2 - matters.cell_length - right.cell_length)
        return left + Content("  ") + matters + Content(gap) + right


def age(seconds: float) -> str:
    """Return how long something waits: 0:07, 12:30, 3 h, 2 d."""
    whole = max(0, int(seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    if whole < 86_400:
        return f"{whole // 3600} h"
    return f"{whole // 86_400} d"
