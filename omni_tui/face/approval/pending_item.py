"""What waits for a decision of the person: a call, a plan or a server request.

The queue, the card, the full view and the batch work on `PendingItem` alone. What differs between
the three kinds is in `pending_call`, `pending_plan` and `pending_request`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from textual.content import Content

from omni_tui.face.approval.card_body import CardBody
from omni_tui.face.approval.visible import visible, visible_identifier
from omni_tui.face.formats import local_time
from omni_tui.face.widgets.lines_view import wrap
from omni_tui.protocol import AnyCommand, AnyEvent, JsonText, SafeText
from omni_tui.protocol.commands import Verdict
from omni_tui.protocol.events import ApprovalRequested
from omni_tui.protocol.plan import PlanProposed
from omni_tui.protocol.server_requests import ServerRequestOpened

if TYPE_CHECKING:
    from omni_tui.face.approval.pending_request import PendingRequestItem

PersonVerdict: TypeAlias = Verdict | Literal["stop", "cancel"]
"""A decision; `stop` rejects a call and stops its turn, `cancel` is for server requests only."""
DecisionKey: TypeAlias = tuple[str, str, str]
"""An action, its label ("" for the registry's), and a style ("" for that of accepting)."""
KeyRows: TypeAlias = tuple[tuple[DecisionKey, ...], ...]
PLAIN = "$text-1"
DECISION_KEYS: KeyRows = (
    (("approve", "", ""), ("reject", "", "$fail"), ("reject_why", "", PLAIN)),
    (("edit_call", "", PLAIN), ("later", "", PLAIN), ("view_call", "", PLAIN)),
)
"""The keys of calls and plans."""


class PendingItem(ABC):
    """One item of the queue. A changed item is a new object.

    `digest` names exactly what is shown. `arguments_json` is what would be sent (of a request: what the
    server sent with its words) if `complete`; `arguments` is the same made safe. `ts` is Unix time.
    """

    noun: ClassVar[str]
    """What it is called in a sentence."""
    unanswered: ClassVar[str]
    """What happens to it if nobody decides in time."""
    from_server: ClassVar[bool] = False
    """Whether a server asked for it."""
    accept_label: str = "approve"
    reject_label: ClassVar[str] = "reject"
    exact_label: ClassVar[str] = "exactly as it is sent"
    done: ClassVar[dict[PersonVerdict, str]] = {
        "approve": "approved", "reject": "rejected", "defer": "deferred",
        "stop": "rejected",
    }  # fmt: skip
    """What the card says after a decision."""
    agent: str = ""
    """The task, or else the path, of the agent whose call it is; "" for the person and the root agent."""
    allowed_by: str = ""
    """The rule that would let a call pass now, "" if none."""
    tool: str = ""
    """The exact name of the tool of a call."""
    why_blocked: str = ""
    """Why it cannot be accepted now, "" if it can."""
    form: PendingRequestItem | None = None
    """Itself, where accepting only opens a form: the decision is made there."""

    server: str
    label: SafeText
    arguments: SafeText
    arguments_json: JsonText
    complete: bool

    def __init__(self, key: str, event: ApprovalRequested | PlanProposed | ServerRequestOpened) -> None:
        self.key = key
        self.digest, self.ts, self.edited = event.digest, event.ts, event.edited
        self.expires = event.expires
        """When it ends by itself, unapproved, as Unix time; 0 for never."""

    def allowed(self, rule: str) -> PendingItem:
        """Return the item as it is once a rule would let it pass ("" for none); only calls do."""
        return self

    @property
    def name(self) -> str:
        """Server and label."""
        return f"{visible_identifier(self.server)} › {visible(self.label)}"

    @property
    def edit_title(self) -> str:
        """What the editor says it edits."""
        return f"edit the {self.noun} {self.name}"

    @property
    @abstractmethod
    def headline(self) -> SafeText:
        """What says most about it, on one line."""

    @property
    @abstractmethod
    def why_not_in_batch(self) -> str:
        """Why it may not be approved together with others, "" if it may."""

    @property
    @abstractmethod
    def copy_text(self) -> tuple[str, str]:
        """The text that copying copies, and what it is called."""

    @property
    @abstractmethod
    def keys(self) -> KeyRows:
        """The keys of the card, by rows."""

    @property
    def actions(self) -> frozenset[str]:
        """The actions it takes, those without a label on the card too.

        Accepting is always among them: where it cannot be done, the card says why.
        """
        return frozenset({"approve", "copy_call", "mark", *(name for row in self.keys for name, *_ in row)})

    @property
    def deadline(self) -> str:
        """When it ends by itself, and what that means; "" if it waits as long as it takes."""
        when = local_time(self.expires, self.ts)
        return f"expires at {when}: {self.unanswered}" if self.expires else ""

    def deadline_lines(self, width: int) -> list[Content]:
        """Draw the deadline, if there is one."""
        return wrap(Content.styled(self.deadline, "$waiting"), width) if self.expires else []

    @abstractmethod
    def chip(self) -> Content:
        """Draw its kind as a filled word, with what else must be known at a glance."""

    @abstractmethod
    def body(self, width: int) -> CardBody:
        """Draw the parts of its card."""

    def full_view(self, width: int) -> list[Content]:
        """Draw all of it: as the card does, and below that the very text that is sent."""
        body = self.body(width)
        lines = [*body.arguments, Content(""), *body.verdict]
        if self.complete:
            exact = Content.styled(self.arguments_json, "$text-3")
            lines += [Content(""), Content.styled(self.exact_label, "$text-2"), exact]
        return lines

    @abstractmethod
    def changed_by(self, event: AnyEvent) -> bool:
        """Whether after this event it is not what it was, or no longer waits."""

    @abstractmethod
    def decision(self, digest: str, verdict: PersonVerdict, feedback: str) -> AnyCommand | None:
        """Return the command of a decision on what `digest` names; None if only the queue changes."""

    @abstractmethod
    def edit(self, content: JsonText) -> AnyCommand:
        """Return the command that puts something else in its place."""

    def check(self, content: JsonText) -> AnyCommand | None:
        """Return the command that checks an edit first, None if the engine checks it when it takes it."""
        return None

    def page(self, offset: int, limit: int) -> AnyCommand | None:
        """Return the command that reads more of `arguments_json`, None if there is no more to read."""
        return None

    def open_page(self) -> AnyCommand | None:
        """Return the command that opens its web page, None if it has none."""
        return None
