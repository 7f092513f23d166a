"""The approvals queue: the fold that says what waits for the person, and its rows."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from textual.content import Content

from omni_tui.face.approval.pending_call import PendingCallItem
from omni_tui.face.approval.pending_item import PendingItem
from omni_tui.face.approval.pending_plan import PendingPlanItem
from omni_tui.face.approval.pending_request import PendingRequestItem
from omni_tui.face.approval.visible import visible_identifier
from omni_tui.face.clock import Clock
from omni_tui.face.overview import plan_key, server_request_key
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import ApprovalRequested, CallChanged, CallFinished, CallProposed
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed
from omni_tui.protocol.rules import RuleAdded, RuleRevoked
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened
from omni_tui.security.text import safe_line

_AGENT = 24
BATCH_LIMIT = 20
"""Most calls that may be approved together."""


@dataclass(frozen=True, slots=True)
class RuleOffer:
    """Waiting calls that a new rule would allow. `marked` is what was marked before."""

    rule: str
    calls: tuple[str, ...]
    marked: frozenset[str]


@dataclass(frozen=True, slots=True)
class EndedItem:
    """An item that was decided on or no longer waits, and the word for how it ended.

    `accepted` is True once it was accepted here: a server request may come again with a further stage.
    """

    key: str
    noun: str
    how: str
    accepted: bool = False


class PendingQueue:
    """What waits for the person, in the order it came; deferred items come last.

    An item's key is the call's id, or one of its own for a server request or a plan.
    """

    def __init__(self) -> None:
        self._items: dict[str, PendingItem] = {}
        self._deferred: list[str] = []
        self._call_names: dict[str, str] = {}
        self._tasks: dict[tuple[str, str], str] = {}
        self.marked: set[str] = set()
        self.deciding: set[str] = set()
        """Items whose decision is on its way to the engine."""
        self.ended: EndedItem | None = None
        """The last item that was decided on or withdrawn, for the empty card."""
        self.offer: RuleOffer | None = None
        """What a rule that was just written would allow, until the person has seen it."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def keys(self) -> list[str]:
        """Keys in the order of the rows."""
        return [*(key for key in self._items if key not in self._deferred), *self._deferred]

    @property
    def server_requests(self) -> list[str]:
        """Keys of the server requests, in the order of the rows."""
        return [key for key in self.keys if self._items[key].from_server]

    def get(self, key: str | None) -> PendingItem | None:
        """Return one item, None if it does not wait."""
        return None if key is None else self._items.get(key)

    def marked_items(self) -> list[PendingItem]:
        """Return the marked items in the order of the rows."""
        return [self._items[key] for key in self.keys if key in self.marked]

    def apply(self, event: AnyEvent) -> bool:
        """Take one event into account; True if the rows changed."""
        match event:
            case ApprovalRequested():
                return self._put(self._call(event))
            case PlanProposed():
                return self._propose(event)
            case PlanDecided(plan=plan, verdict=verdict, decider=decider):
                return self._drop(plan_key(plan), _how(verdict, decider))
            case PlanEnded(plan=plan):
                return self._drop(plan_key(plan), "over")
            case ServerRequestOpened():
                return self._put(PendingRequestItem(event, self._call_names.get(event.call, "")))
            case CallProposed():
                name = f"{visible_identifier(event.server)} › {visible_identifier(event.label)}"
                self._call_names[event.call] = name
            case CallChanged(state="pending" | "held"):
                self.deciding.discard(event.call)
                return event.call in self._items
            case CallChanged() | CallFinished():
                return self._drop(event.call, event.state)
            case ServerRequestClosed():
                return self._drop(server_request_key(event.ask), _how(event.outcome, event.decider))
            case _:
                return self._follow_rules(event)
        return False

    # --- rules

    def _follow_rules(self, event: AnyEvent) -> bool:
        if isinstance(event, RuleAdded):
            return self._allow(event)
        return isinstance(event, RuleRevoked) and self._allow_no_more(event.id)

    @property
    def offered(self) -> list[str]:
        """The keys of the calls that the offered rule would allow and that still wait as they were."""
        offer = self.offer
        return [] if offer is None else [key for key in offer.calls if self._is_allowed_by(key, offer.rule)]

    def _is_allowed_by(self, key: str, rule: str) -> bool:
        item = self._items.get(key)
        return item is not None and item.allowed_by == rule

    def _allow(self, event: RuleAdded) -> bool:
        """Say on the calls that a new rule would allow that it does; mark all but the one at hand."""
        allowed = [key for key in event.allows if key in self._items]
        for key in allowed:
            self._say_allowed(key, event.id)
        others = [key for key in allowed if key != event.call]
        self.end_offer()
        if others:
            together = [key for key in others if not self._items[key].why_not_in_batch]
            self.offer = RuleOffer(event.id, tuple(others), frozenset(self.marked))
            self.marked = set(together[:BATCH_LIMIT])
        return bool(allowed)

    def _allow_no_more(self, rule: str) -> bool:
        """Take back what a revoked rule would have allowed."""
        if self.offer is not None and self.offer.rule == rule:
            self.end_offer()
        found = [key for key in self._items if self._is_allowed_by(key, rule)]
        for key in found:
            self._say_allowed(key, "")
        return bool(found)

    def _say_allowed(self, key: str, rule: str) -> None:
        self._items[key] = self._items[key].allowed(rule)

    def _check_offer(self) -> None:
        if self.offer is not None and not self.offered:
            self.end_offer()

    def end_offer(self) -> None:
        """Mark again what was marked before a rule's calls were offered."""
        if self.offer is not None:
            self.marked = set(self.offer.marked) & set(self._items)
            self.offer = None

    def defer(self, key: str) -> None:
        """Move an item to the end."""
        if key in self._items:
            self._deferred = [*(other for other in self._deferred if other != key), key]
            self.deciding.discard(key)

    def why_not_in_batch(self, key: str) -> str:
        """Return why an item may not be approved together with others, "" if it may."""
        why = self._items[key].why_not_in_batch
        if not why and len(self.marked) >= BATCH_LIMIT and key not in self.marked:
            return f"no more than {BATCH_LIMIT} calls are approved together"
        return why

    def _propose(self, event: PlanProposed) -> bool:
        """Add a plan if it waits, and the titles of its tasks in any case."""
        for task in (task for phase in event.phases for task in phase.tasks):
            name = f"{safe_line(task.id, limit=40)} {safe_line(task.title, limit=120)}"
            self._tasks[event.turn, task.agent] = name
        if event.asks:
            return self._put(PendingPlanItem(event))
        return self._drop(plan_key(event.plan), "approved")

    def _call(self, event: ApprovalRequested) -> PendingCallItem:
        """Return a call with the task of its agent, whose path alone says little."""
        if event.agent in ("", "root"):
            return PendingCallItem(event)
        task = self._tasks.get((event.turn, event.agent))
        if task:
            event = msgspec.structs.replace(event, agent=f"{task} ({event.agent})")
        return PendingCallItem(event, task or safe_line(event.agent, limit=120))

    def _put(self, item: PendingItem) -> bool:
        self._items[item.key] = item
        self.marked.discard(item.key)
        self.deciding.discard(item.key)
        self._check_offer()
        return True

    def _drop(self, key: str, how: str) -> bool:
        item = self._items.pop(key, None)
        if item is None:
            return False
        self.deciding.discard(key)
        self.marked.discard(key)
        self._check_offer()
        if key in self._deferred:
            self._deferred.remove(key)
        self.ended = EndedItem(key, item.noun, how)
        return True


class QueueRows(RowList):
    """One row an item: number, name, agent, headline, how long it waits."""

    DEFAULT_CSS = """
    QueueRows { max-height: 8; }
    """

    def __init__(self, queue: PendingQueue, clock: Clock) -> None:
        super().__init__(id="queue-rows")
        self.queue = queue
        self._clock = clock

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Draw one item."""
        item = self.queue.get(key)
        if item is None:
            return Content("")
        current = key == self.selected
        mark = "◉" if key in self.queue.marked else str(number)
        style = "bold $on-colour on $mine" if current else "$text-2"
        badge = Content.styled(f"{mark:^3}", style)
        name = Content.styled(item.name, "bold $text-1" if current else "$text-2")
        left = Content(" ") + badge + Content(" ") + name
        if item.agent:
            left += Content.styled(f"  {safe_line(item.agent, limit=_AGENT)}", "$mine")
        if key in self.queue.deciding:
            right = Content.styled("sending … ", "$text-3")
        else:
            limit = f" of {waiting_time(round(item.expires - item.ts))}" if item.expires else ""
            right = Content.styled(f"{waiting_time(self._clock.time() - item.ts)}{limit} ", "$text-2")
        room = width - left.cell_length - right.cell_length - 3
        headline = Content.styled(item.headline, "$text-1" if current else "$text-2")
        if room < 6:
            left = fit_content(left, width - right.cell_length - 1)
        else:
            left += Content("  ") + fit_content(headline, room)
        return left + " " * max(1, width - left.cell_length - right.cell_length) + right


def _how(verdict: str, decider: str) -> str:
    """Return the word for how an item ended: what nobody decided on in time is expired, of any kind."""
    return "expired" if decider == "timeout" else verdict


def waiting_time(seconds: float) -> str:
    """Return a waiting time as words: 0:07, 12:30, 3 h, 2 d."""
    whole = max(0, int(seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    if whole < 86_400:
        return f"{whole // 3600} h"
    return f"{whole // 86_400} d"
