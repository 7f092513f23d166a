"""The items of a transcript."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from omni_tui.face.transcript.stream import StreamText
from omni_tui.protocol.events import CallState, ContentPart, TurnStatus
from omni_tui.protocol.prompts_and_resources import AttachedResource
from omni_tui.protocol.server_requests import ServerRequestOutcome, ServerRequestStage
from omni_tui.protocol.values import Risk

if TYPE_CHECKING:
    from omni_tui.face.transcript.sub_agents import SubAgent

CallStage = Literal["proposed"] | CallState
NoticeLevel = Literal["info", "warning", "error"]


class TranscriptItem(msgspec.Struct):
    """One item. `hidden` takes no rows; `folded` shows only its beginning."""

    ts: float = 0.0
    hidden: bool = False
    folded: bool = True
    agent: str = "root"


class UserItem(TranscriptItem):
    """A message of the user with its attached resources.

    `stage` is "queued" while it waits behind another turn, "parked" while that turn is parked, "untold"
    if no model gets it. `mode` is the mode it was sent in and will run under, "" if not known.
    """

    text: str = ""
    turn: str = ""
    stage: Literal["", "queued", "parked", "untold"] = ""
    attachments: tuple[AttachedResource, ...] = ()
    words: str = ""
    mode: str = ""


class TextItem(TranscriptItem):
    """A thought or an answer. It is still arriving while it has a `stream`.

    `streamed` is the former stream; its lines are shown until the whole text is laid out.
    """

    kind: Literal["thought", "answer"] = "answer"
    turn: str = ""
    text: str = ""
    partial: bool = False
    label: str = ""
    stream: StreamText | None = None
    streamed: StreamText | None = None

    @property
    def source(self) -> str:
        """The text so far."""
        return self.stream.text if self.stream is not None else self.text


class CallItem(TranscriptItem):
    """A call with its result. `arguments` is the engine's safe preview (indented JSON)."""

    call: str = ""
    turn: str = ""
    server: str = ""
    tool: str = ""
    arguments: str = ""
    origin: str = "agent"
    risk: Risk = "unknown"
    state: CallStage = "proposed"
    reason: str = ""
    feedback: str = ""
    decider: str = ""
    attempt: int = 1
    round: int = 0
    edited: bool = False
    started: float = 0.0
    elapsed_ms: float = 0.0
    progress: float | None = None
    total: float | None = None
    message: str = ""
    parts: tuple[ContentPart, ...] = ()
    result_size: int = 0
    cached_s: float | None = None
    """The age of a result from the cache."""
    fallback: str = ""

    @property
    def running(self) -> bool:
        """Whether it was sent and has no result yet."""
        return self.state == "dispatching"

    @property
    def waiting(self) -> bool:
        """Whether it waits for approval."""
        return self.state in ("pending", "held")

    @property
    def cut(self) -> bool:
        """Whether the engine sent only the beginning of the result."""
        return any(part.truncated for part in self.parts)


class NoticeItem(TranscriptItem):
    """A notice. Each text of `more` is a line below it."""

    level: NoticeLevel = "info"
    what: str = ""
    why: str = ""
    todo: str = ""
    more: tuple[str, ...] = ()


class EndItem(TranscriptItem):
    """The end of a turn that did not end normally."""

    status: TurnStatus = "done"
    reason: str = ""
    todo: str = ""


class RetryItem(TranscriptItem):
    """A retry notice: a model request will be sent again at `due`, in Unix time."""

    attempt: int = 0
    of: int = 0
    due: float = 0.0
    reason: str = ""


class ServerRequestItem(TranscriptItem):
    """A server request with its outcome, which is "" while it waits."""

    server: str = ""
    label: str = ""
    message: str = ""
    stage: ServerRequestStage = "asked"
    outcome: ServerRequestOutcome | Literal[""] = ""
    decider: str = ""
    reason: str = ""
    answer: str = ""


class TaskItem(TranscriptItem):
    """A task of a plan with its agent, or an agent that belongs to no plan.

    `state` is the engine's, "" for an agent without a plan. `started` and `ended` are Unix times of the
    last attempt, 0 if there was none.
    """

    plan: str = ""
    turn: str = ""
    task: str = ""
    title: str = ""
    goal: str = ""
    may_use: str = ""
    after: str = ""
    state: str = "waiting"
    attempt: int = 1
    summary: str = ""
    reason: str = ""
    started: float = 0.0
    ended: float = 0.0
    sub_agent: SubAgent | None = None


class PhaseItem(TranscriptItem):
    """A phase of a plan."""

    number: int = 1
    title: str = ""
    tasks: tuple[TaskItem, ...] = ()


class PlanItem(TranscriptItem):
    """A plan. `rows` are the indexes of its phases and tasks, which are hidden while it is folded."""

    plan: str = ""
    turn: str = ""
    analysis: str = ""
    why: str = ""
    stage: Literal["asked", "going", "refused", "over"] = "asked"
    edited: bool = False
    said: str = ""
    phases: int = 0
    tasks: list[TaskItem] = msgspec.field(default_factory=list)
    rows: range = range(0)
    counts: str = ""
    started: float = 0.0
    ended: float = 0.0


TreeItem = PlanItem | PhaseItem | TaskItem
AnyItem = UserItem | TextItem | CallItem | ServerRequestItem | NoticeItem | EndItem | RetryItem | TreeItem
