"""The rows of the approvals queue, and the fold that says what waits: calls, questions, plans."""

from __future__ import annotations

import msgspec
from textual.content import Content

from omni_tui.face.approval.pending_items import PendingItem, headline, item_name, why_not_in_batch
from omni_tui.face.approval.plan_card import PendingPlanItem
from omni_tui.face.approval.server_request_card import PendingRequestItem
from omni_tui.face.approval.visible import visible_identifier
from omni_tui.face.clock import Clock
from omni_tui.face.overview import plan_key, server_request_key
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import ApprovalRequested, CallChanged, CallFinished, CallProposed
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened
from omni_tui.security.text import safe_line

_AGENT = 24
BATCH_LIMIT = 20
"""Most calls that may be approved together."""


class PendingQueue:
    """What waits for the person, in the order it came; what was put off comes last.

    An item is known by its `call`, which is the call's id, or a key of its own for a question or a plan.
    """

    def __init__(self) -> None:
        self._items: dict[str, PendingItem] = {}
        self._later: list[str] = []
        self._matters: dict[str, str] = {}
        self._courses: dict[str, str] = {}
        self._tasks: dict[tuple[str, str], str] = {}
        self._agents: dict[str, str] = {}
        self.marked: set[str] = set()
        self.deciding: dict[str, str] = {}
        """Items whose verdict is on its way to the engine: key to digest."""
        self.ended: dict[str, str] = {}
        """How items that no longer wait ended, for saying so."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def calls(self) -> list[str]:
        """Keys in the order of the rows."""
        return [*(call for call in self._items if call not in self._later), *self._later]

    @property
    def questions(self) -> list[str]:
        """Keys of what servers ask, in the order of the rows."""
        return [call for call in self.calls if isinstance(self._items[call], PendingRequestItem)]

    def get(self, call: str | None) -> PendingItem | None:
        """Return one item."""
        return None if call is None else self._items.get(call)

    def matters(self, call: str) -> str:
        """Return what says most about an item, on one line."""
        if call not in self._matters:
            self._matters[call] = headline(self._items[call])
        return self._matters[call]

    def agent(self, call: str) -> str:
        """Return the task, or else the path, of the agent a call is of; "" for the person and the root."""
        return self._agents.get(call, "")

    def apply(self, event: AnyEvent) -> bool:
        """Take one event into account; True if the rows changed."""
        match event:
            case ApprovalRequested():
                return self._put(self._with_task(event))
            case PlanProposed():
                return self._propose(event)
            case PlanDecided(plan=plan, verdict=verdict):
                return self._drop(plan_key(plan), verdict)
            case PlanEnded(plan=plan):
                return self._drop(plan_key(plan), "over")
            case ServerRequestOpened():
                return self._put(PendingRequestItem(event, self._courses.get(event.call, "")))
            case CallProposed():
                self._courses[event.call] = (
                    f"{visible_identifier(event.server)} › {visible_identifier(event.label)}"
                )
            case CallChanged(state="pending" | "held"):
                self.deciding.pop(event.call, None)
                return event.call in self._items
            case CallChanged() | CallFinished():
                return self._drop(event.call, event.state)
            case ServerRequestClosed():
                return self._drop(server_request_key(event.ask), event.outcome)
            case _:
                pass
        return False

    def put_off(self, call: str) -> None:
        """Move an item to the end."""
        if call in self._items:
            self._later = [*(other for other in self._later if other != call), call]
            self.deciding.pop(call, None)

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def may_batch(self, call: str) -> str:
        """Return why an item may not be approved together with others, "" if it may."""
        why = why_not_in_batch(self._items[call])
        if not why and len(self.marked) >= BATCH_LIMIT and call not in self.marked:
            return f"no more than {BATCH_LIMIT} calls are approved together"
        return why

    def _propose(self, event: PlanProposed) -> bool:
        """Take a plan in, if it waits, and the names of its agents in any case."""
        for task in (task for phase in event.phases for task in phase.tasks):
            name = f"{safe_line(task.id, limit=40)} {safe_line(task.title, limit=120)}"
            self._tasks[event.turn, task.agent] = name
        return (
            self._put(PendingPlanItem(event))
            if event.asks
            else self._drop(plan_key(event.plan), "approved")
        )

    def _with_task(self, event: ApprovalRequested) -> ApprovalRequested:
        """Say of an agent which task it works on; its path alone says little."""
        task = self._tasks.get((event.turn, event.agent))
        if event.agent not in ("", "root"):
            self._agents[event.call] = task or safe_line(event.agent, limit=120)
        return msgspec.structs.replace(event, agent=f"{task} ({event.agent})") if task else event

    def _put(self, item: PendingItem) -> bool:
        self._items[item.call] = item
        self._matters.pop(item.call, None)
        self.marked.discard(item.call)
        self.deciding.pop(item.call, None)
        return True

    def _drop(self, call: str, how: str) -> bool:
        if self._items.pop(call, None) is None:
            return False
        self._matters.pop(call, None)
        self.deciding.pop(call, None)
        self.marked.discard(call)
        if call in self._later:
            self._later.remove(call)
        self.ended = {call: how}
        return True


class QueueRows(RowList):
    """One row an item: number, server › what it is, what matters most of it, how long it waits."""

    DEFAULT_CSS = """
    QueueRows { max-height: 8; }
    """

    def __init__(self, queue: PendingQueue, clock: Clock) -> None:
        super().__init__(id="queue-rows")
        self._queue = queue
        self._clock = clock

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Draw one item."""
        item = self._queue.get(key)
        if item is None:
            return Content("")
        current = key == self.selected
        mark = "◉" if key in self._queue.marked else str(number)
        style = "bold $on-colour on $mine" if current else "$text-2"
        badge = Content.styled(f"{mark:^3}", style)
        name = item_name(item)
        left = (
            Content(" ")
            + badge
            + Content(" ")
            + Content.styled(name, "bold $text-1" if current else "$text-2")
        )
        if agent := self._queue.agent(key):
            left += Content.styled(f"  {safe_line(agent, limit=_AGENT)}", "$mine")
        if key in self._queue.deciding:
            right = Content.styled("sending … ", "$text-3")
        else:
            right = Content.styled(f"{waiting_time(self._clock.time() - item.ts)} ", "$text-2")
        room = width - left.cell_length - right.cell_length - 3
        matters = Content.styled(self._queue.matters(key), "$text-1" if current else "$text-2")
        if room < 6:
            left = left.truncate(width - right.cell_length - 1, ellipsis=True)
            return left + Content(" " * max(1, width - left.cell_length - right.cell_length)) + right
        matters = matters.truncate(room, ellipsis=True)
        gap = " " * max(1, width - left.cell_length - 2 - matters.cell_length - right.cell_length)
        return left + Content("  ") + matters + Content(gap) + right


def waiting_time(seconds: float) -> str:
    """Return how long something waits: 0:07, 12:30, 3 h, 2 d."""
    whole = max(0, int(seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    if whole < 86_400:
        return f"{whole // 3600} h"
    return f"{whole // 86_400} d"
