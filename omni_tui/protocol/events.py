"""What happens in the engine, as told to the face, the journal and `omni-tui run --json`.

Three families share one header:

- journalled events (`journalled = True`) have a `seq`, are on disk before anybody sees them, and
  make up the session: every pane is a fold over them;
- live events are true for the moment only (deltas, progress, server states); `seq` is 0;
- replies answer one command and carry its `request` number.

All text that came from outside is `SafeText` already; `*_json` fields are `JsonText`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from omni_tui.protocol.asks import AskClosed, ServerAsked
from omni_tui.protocol.attempts import AttemptAhead as AttemptAhead
from omni_tui.protocol.attempts import AttemptFailed as AttemptFailed
from omni_tui.protocol.attempts import AttemptRefused as AttemptRefused
from omni_tui.protocol.base import Event as Event
from omni_tui.protocol.base import Journalled as Journalled
from omni_tui.protocol.base import Reply as Reply
from omni_tui.protocol.commands import Mode
from omni_tui.protocol.context import (
    ContextChanged,
    ContextSummarised,
    MetaCalled,
    SystemChanged,
    SystemText,
)
from omni_tui.protocol.execution import StatsRead
from omni_tui.protocol.media import PartChecked, PartOpened
from omni_tui.protocol.models import ModelFellBack, ModelsFound, ModelStateChanged, Spending
from omni_tui.protocol.offers import (
    AttachedResource,
    Completions,
    OffersListed,
    PromptText,
    ResourceOpened,
    ResourceUpdated,
    SubscriptionsChanged,
)
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, TaskChanged
from omni_tui.protocol.report import RunReport, StepTaken
from omni_tui.protocol.signin import SignInChanged
from omni_tui.protocol.tasks import CallTask, TaskProgress
from omni_tui.protocol.text import JsonText, SafeText

ServerState = Literal[
    "not_allowed", "connecting", "active", "idle", "needs_sign_in", "degraded", "failed", "disabled"
]
Risk = Literal["read", "write", "destructive", "unknown"]
CallState = Literal[
    "pending",  # waits for the person
    "held",  # waits for the person because the server or the tool changed
    "approved",
    "dispatching",  # on disk before the first byte is sent
    "succeeded",
    "failed",  # the server answered with an error, or nothing was ever sent
    "result_rejected",  # the tool ran; its result breaks its own schema
    "rejected",
    "denied",  # by policy
    "withheld",  # nobody there to ask
    "expired",
    "cancelled",
    "uncertain",  # cut off: whether it ran is not known
    "cached",  # answered from the cache: nothing was sent (of the table of calls; told as `cached_s`)
]
TurnStatus = Literal["done", "stopped", "failed", "limit", "parked"]
PartKind = Literal["text", "image", "audio", "link", "resource", "structured"]


# --- values ---------------------------------------------------------------------------------


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and money of one or more model requests. `cost` is in US dollars, None if unknown."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float | None = None
    estimated: bool = False


class ToolSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the tool tree. `name` is the exact name; `label` the name made safe to show."""

    server: str
    name: str
    label: SafeText
    model_name: str
    title: SafeText
    description: SafeText
    risk: Risk
    trust: Literal["unchanged", "new", "changed"] = "unchanged"
    exposed: bool = True


class ContentPart(msgspec.Struct, frozen=True, kw_only=True):
    """A bounded preview of one part of a result. `size` is that of the whole, in bytes."""

    index: int
    kind: PartKind
    text: SafeText = SafeText("")
    mime: SafeText = SafeText("")
    uri: SafeText = SafeText("")
    size: int = 0
    truncated: bool = False


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: where (file and line, or JSON path), what, and what to do."""

    where: SafeText
    what: SafeText
    todo: SafeText = SafeText("")


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One saved session."""

    id: str
    title: SafeText
    created: float
    updated: float
    events: int
    open_calls: int = 0


# --- engine and session -----------------------------------------------------------------------


class EngineReady(Event):
    """Answer to `Hello`: who the engine is and what it is set to. Journalled events follow by replay."""

    public: ClassVar[bool] = False

    version: str
    pid: int
    head: int
    log_path: str
    state_dir: str
    config_path: str
    first_run: bool
    encryption: SafeText
    mode: Mode
    model: SafeText
    model_label: SafeText
    resumed: bool = False
    demo: bool = False


class SessionOpened(Journalled):
    """The first event of a session."""

    title: SafeText
    mode: Mode
    model: SafeText


class SessionTitled(Journalled):
    """The session got a (new) title."""

    title: SafeText


class SessionBranched(Journalled):
    """From here on the session goes another way than `origin` did from its message `turn` on."""

    origin: str
    turn: str


class ModeChanged(Journalled):
    """What happens to a call that no rule matches changed. `covers` says what the mode covers."""

    mode: Mode
    covers: SafeText = SafeText("")


class ModelChanged(Journalled):
    """Another model answers from now on. `label` is what must be said about it, "" for most."""

    name: SafeText
    label: SafeText = SafeText("")


class Notice(Event):
    """One thing the person should know: what happened, why, what to do."""

    level: Literal["info", "warning", "error"]
    what: SafeText
    why: SafeText = SafeText("")
    todo: SafeText = SafeText("")


class ConfigProblems(Event):
    """The configuration has mistakes; the engine runs on what it understood, asking for everything."""

    problems: tuple[Problem, ...]


class Lagged(Event):
    """The link dropped journalled events for a slow face; `Replay(after=...)` brings them."""

    public: ClassVar[bool] = False

    after: int


# --- servers and tools ------------------------------------------------------------------------


class ServerChanged(Event):
    """The whole state of one server, sent at every change. Times are Unix seconds.

    `wire`: what goes over its wire is noted.
    """

    name: str
    state: ServerState
    since: float
    label: SafeText
    transport: Literal["stdio", "http", "sse", "memory"]
    target: SafeText
    source: Literal["user", "project", "imported", "flag", "demo", "session"]
    reason: SafeText = SafeText("")
    todo: SafeText = SafeText("")
    protocol: str = ""
    server_version: SafeText = SafeText("")
    tools: int = 0
    prompts: int = 0
    resources: int = 0
    latency_ms: float | None = None
    attempt: int = 0
    next_try: float | None = None
    breaker: Literal["closed", "open", "half_open"] = "closed"
    trust: Literal["unchanged", "new", "changed"] = "unchanged"
    log_lines: int = 0
    calls: int = 0
    wire: bool = False


class ServerRemoved(Event):
    """A server is gone from the registry."""

    name: str


class ToolsListed(Event):
    """One page of a server's tools. A new `generation` replaces the former list once `last` is seen."""

    server: str
    generation: int
    last: bool
    tools: tuple[ToolSummary, ...]


# --- the conversation -------------------------------------------------------------------------


class UserMessage(Journalled):
    """What the person said. Always on disk before anything is done about it."""

    turn: str
    text: SafeText
    attachments: tuple[AttachedResource, ...] = ()


class Steered(Journalled):
    """A message sent while a turn ran is before the model now, in that turn; its own (`by`) is none."""

    turn: str
    by: str


class TurnStarted(Journalled):
    """The agent begins to work on a message."""

    turn: str
    mode: Mode
    model: SafeText
    agent: str = "root"


class ThoughtDelta(Event):
    """More of a thought that is being streamed."""

    turn: str
    message: str
    text: SafeText
    agent: str = "root"


class Thought(Journalled):
    """A whole thought; replaces its deltas."""

    turn: str
    message: str
    text: SafeText
    agent: str = "root"


class AnswerDelta(Event):
    """More of an answer that is being streamed."""

    turn: str
    message: str
    text: SafeText
    agent: str = "root"


class Answer(Journalled):
    """A whole answer in Markdown; replaces its deltas. `partial`: the stream broke or was stopped."""

    turn: str
    message: str
    text: SafeText
    partial: bool = False
    label: SafeText = SafeText("")
    agent: str = "root"


class Retrying(Event):
    """A model request failed and will be sent again."""

    turn: str
    attempt: int
    of: int
    delay_s: float
    reason: SafeText
    agent: str = "root"


class UsageChanged(Journalled):
    """What one model request used. Panes sum these. `context` is the share of the window in use, 0 to 1."""

    turn: str
    usage: Usage
    context: float | None = None
    agent: str = "root"


class TurnEnded(Journalled):
    """The turn is over (or parked)."""

    turn: str
    status: TurnStatus
    reason: SafeText = SafeText("")
    todo: SafeText = SafeText("")
    steps: int = 0


# --- calls and approvals ----------------------------------------------------------------------


class CallProposed(Journalled):
    """Somebody wants to call a tool. Nothing has been sent.

    `arguments` is a bounded, safe, pretty preview; `digest` names the exact arguments and tool
    definition, and `size` is the length of the exact canonical JSON in bytes. `fallback` says
    for what it stands in, where another server's tool should have answered.
    """

    call: str
    server: str
    tool: str
    label: SafeText
    arguments: SafeText
    size: int
    digest: str
    origin: Literal["agent", "hand"]
    turn: str = ""
    agent: str = "root"
    risk: Risk = "unknown"
    fallback: SafeText = SafeText("")


class ApprovalRequested(Journalled):
    """A call waits for the person. Sent again with a new digest after an edit or a restart.

    `arguments_json` is exact if `complete`, else only its beginning (fetch the rest with
    `ReadArguments`). `differs` says that what is shown is not, character for character, what is
    sent, because characters that do not show were made visible.
    """

    call: str
    server: str
    tool: str
    label: SafeText
    digest: str
    risk: Risk
    why: tuple[SafeText, ...]
    arguments: SafeText
    arguments_json: JsonText
    size: int
    complete: bool
    differs: bool
    held: bool
    description: SafeText
    title: SafeText
    target: SafeText
    transport: str
    trust: SafeText
    turn: str = ""
    agent: str = "root"
    origin: Literal["agent", "hand"] = "agent"
    edited: bool = False
    restored: bool = False


class CallChanged(Journalled):
    """A call moved to another state without a result: decided, dispatching, cancelled, uncertain, …

    `decider` is `user`, `user (by hand)`, `policy`, `mode`, `headless`, `restart` or `stop`.
    """

    call: str
    state: CallState
    decider: str = ""
    reason: SafeText = SafeText("")
    feedback: SafeText = SafeText("")
    attempt: int = 1


class CallProgress(Event):
    """Progress as the server reports it, at most ten a second."""

    call: str
    progress: float
    total: float | None = None
    message: SafeText = SafeText("")


class CallFinished(Journalled):
    """A call has an answer. `parts` are previews; the whole is read with `ReadResult`.

    `cached_s`: nothing was sent, the answer is one that came that many seconds ago.
    """

    call: str
    state: Literal["succeeded", "failed", "result_rejected"]
    parts: tuple[ContentPart, ...]
    elapsed_ms: float
    size: int
    reason: SafeText = SafeText("")
    attempt: int = 1
    cached_s: float | None = None


class CallRound(Journalled):
    """The server asked for input in the course of a call and got it: the same call goes on.

    On disk before the frame that carries the answers. `round` counts from 1; `asked` are the methods
    of what it asked for. Source: MCP 2026-07-28, multi-round-trip requests.
    """

    call: str
    round: int
    asked: tuple[SafeText, ...] = ()
    attempt: int = 1


class ModelMessage(Journalled):
    """One message of the model's history, exact, for the next request. Never leaves the engine.

    `role` is system, user, assistant or tool; `body_json` is the provider-neutral message.
    """

    public: ClassVar[bool] = False
    internal: ClassVar[bool] = True

    turn: str
    role: str
    body_json: JsonText
    call: str = ""
    agent: str = "root"


# --- replies ----------------------------------------------------------------------------------


class CommandDone(Reply):
    """The command was carried out; `text` says what, where that helps."""

    text: SafeText = SafeText("")
    id: str = ""


class CommandFailed(Reply):
    """The command was refused or went wrong; nothing was lost."""

    what: SafeText
    why: SafeText = SafeText("")
    todo: SafeText = SafeText("")


class ConfirmNeeded(Reply):
    """A call by hand to a destructive or changed tool: ask once more, then send `confirmed=True`."""

    server: str
    tool: str
    risk: Risk
    why: tuple[SafeText, ...]


class ToolDetails(Reply):
    """Everything about one tool. Schemas are exact; "" where the server gives none."""

    server: str
    tool: str
    label: SafeText
    title: SafeText
    description: SafeText
    risk: Risk
    annotations: tuple[SafeText, ...]
    input_schema_json: JsonText
    output_schema_json: JsonText = JsonText("")
    trust: Literal["unchanged", "new", "changed"] = "unchanged"
    model_name: str = ""


class ArgumentsChecked(Reply):
    """What is wrong with arguments; `where` is a JSON Pointer ("" is the whole). Empty: they fit."""

    problems: tuple[Problem, ...]


class TextPage(Reply):
    """A page of a long text, made safe. `total` and `offset` count characters of the safe text."""

    call: str
    part: int
    offset: int
    total: int
    text: SafeText
    kind: PartKind = "text"
    mime: SafeText = SafeText("")


class FileSaved(Reply):
    """A file was written."""

    path: str
    size: int


class ServerLog(Reply):
    """The last lines of a server's stderr and of the connection's own history."""

    server: str
    lines: tuple[SafeText, ...]
    dropped: int = 0


class SessionsListed(Reply):
    """All saved sessions, newest first."""

    sessions: tuple[SessionInfo, ...]


class ReplayDone(Reply):
    """All journalled events up to `head` have been sent."""

    head: int


# Below `Reply`, which these modules need.
from omni_tui.protocol import wire  # noqa: E402

AnyEvent = (
    EngineReady
    | SessionOpened
    | SessionTitled
    | SessionBranched
    | ModeChanged
    | ModelChanged
    | Notice
    | ConfigProblems
    | Lagged
    | ServerChanged
    | ServerRemoved
    | SignInChanged
    | ToolsListed
    | UserMessage
    | Steered
    | TurnStarted
    | ThoughtDelta
    | Thought
    | AnswerDelta
    | Answer
    | Retrying
    | UsageChanged
    | TurnEnded
    | CallProposed
    | ApprovalRequested
    | CallChanged
    | CallProgress
    | CallFinished
    | CallRound
    | CallTask
    | TaskProgress
    | AttemptRefused
    | AttemptFailed
    | AttemptAhead
    | ServerAsked
    | AskClosed
    | PlanProposed
    | PlanDecided
    | TaskChanged
    | PlanEnded
    | ContextChanged
    | ContextSummarised
    | MetaCalled
    | SystemChanged
    | SystemText
    | StepTaken
    | RunReport
    | ModelFellBack
    | ModelStateChanged
    | Spending
    | ModelsFound
    | ModelMessage
    | CommandDone
    | CommandFailed
    | ConfirmNeeded
    | ToolDetails
    | ArgumentsChecked
    | TextPage
    | FileSaved
    | ServerLog
    | SessionsListed
    | ReplayDone
    | wire.WireRead
    | wire.WireText
    | wire.ServerRead
    | wire.ServerChecked
    | OffersListed
    | SubscriptionsChanged
    | ResourceUpdated
    | PromptText
    | ResourceOpened
    | Completions
    | PartChecked
    | PartOpened
    | StatsRead
)
