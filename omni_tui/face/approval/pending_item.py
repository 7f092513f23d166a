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
from omni_tui.protocol import AnyCommand, AnyEvent, JsonText, SafeText
from omni_tui.protocol.commands import Verdict

if TYPE_CHECKING:
    from omni_tui.face.approval.pending_request import PendingRequestItem

VerdictOrCancel: TypeAlias = Verdict | Literal["cancel"]
"""A decision; `cancel` is for server requests only."""
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
    from_server: ClassVar[bool] = False
    """Whether a server asked for it."""
    accept_label: str = "approve"
    reject_label: ClassVar[str] = "reject"
    exact_label: ClassVar[str] = "exactly as it is sent"
    done: ClassVar[dict[VerdictOrCancel, str]] = {
        "approve": "approved",
        "reject": "rejected",
        "defer": "deferred",
    }
    """What the card says after a decision."""
    agent: str = ""
    """The task, or else the path, of the agent whose call it is; "" for the person and the root agent."""
    why_blocked: str = ""
    """Why it cannot be accepted now, "" if it can."""
    form: PendingRequestItem | None = None
    """Itself, where accepting only opens a form: the decision is made there."""

    def __init__(
        self,
        key: str,
        *,
        server: str,
        label: SafeText,
        digest: str,
        ts: float,
        arguments: SafeText,
        arguments_json: JsonText,
        complete: bool,
        edited: bool,
    ) -> None:
        self.key = key
        self.server = server
        self.label = label
        self.digest = digest
        self.ts = ts
        self.arguments = arguments
        self.arguments_json = arguments_json
        self.complete = complete
        self.edited = edited

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
    def decision(self, digest: str, verdict: VerdictOrCancel, feedback: str) -> AnyCommand | None:
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
