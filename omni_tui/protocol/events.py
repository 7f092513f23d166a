"""The events of the engine, for clients, the journal and `omni-tui run --json`.

- journalled events (`journalled = True`) have a `seq`, are on disk before anybody sees them, and make up
  the session: every pane is a fold over them;
- live events hold only for the moment (deltas, progress, server states); their `seq` is 0;
- replies answer one command and have its `request` number.

All text from outside is `SafeText`; `*_json` fields are `JsonText`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from omni_tui.protocol.app_log import AppLogRead
from omni_tui.protocol.audit import AuditRead
from omni_tui.protocol.base import CommandReply as CommandReply
from omni_tui.protocol.base import Event as Event
from omni_tui.protocol.base import Journalled as Journalled
from omni_tui.protocol.call_stats import StatsRead
from omni_tui.protocol.calls import ApprovalRequested as ApprovalRequested
from omni_tui.protocol.calls import AttemptFailed as AttemptFailed
from omni_tui.protocol.calls import AttemptRefused as AttemptRefused
from omni_tui.protocol.calls import AttemptScheduled as AttemptScheduled
from omni_tui.protocol.calls import CallChanged as CallChanged
from omni_tui.protocol.calls import CallDeferred, CallEdited, CallTask, TaskProgress
from omni_tui.protocol.calls import CallFinished as CallFinished
from omni_tui.protocol.calls import CallProgress as CallProgress
from omni_tui.protocol.calls import CallProposed as CallProposed
from omni_tui.protocol.calls import CallRound as CallRound
from omni_tui.protocol.context import (
    BuiltinToolCalled,
    ContextChanged,
    ContextSummarised,
    SystemChanged,
    SystemText,
)
from omni_tui.protocol.conversation import Answer as Answer
from omni_tui.protocol.conversation import AnswerDelta as AnswerDelta
from omni_tui.protocol.conversation import AwaitingTools as AwaitingTools
from omni_tui.protocol.conversation import ModelMessage as ModelMessage
from omni_tui.protocol.conversation import ModelRequestFailed as ModelRequestFailed
from omni_tui.protocol.conversation import Retrying as Retrying
from omni_tui.protocol.conversation import RunReport, StepTaken
from omni_tui.protocol.conversation import Steered as Steered
from omni_tui.protocol.conversation import Thought as Thought
from omni_tui.protocol.conversation import ThoughtDelta as ThoughtDelta
from omni_tui.protocol.conversation import TurnEnded as TurnEnded
from omni_tui.protocol.conversation import TurnStarted as TurnStarted
from omni_tui.protocol.conversation import UsageChanged as UsageChanged
from omni_tui.protocol.conversation import UserMessage as UserMessage
from omni_tui.protocol.debug import DebugRead
from omni_tui.protocol.goals import ActionsProposed, GoalStated, GoalTracked
from omni_tui.protocol.health import HealthRead
from omni_tui.protocol.host_files import HostFilesFound
from omni_tui.protocol.loaded import CallContentLoaded, CallLoaded, NoteLoaded, SessionLoaded
from omni_tui.protocol.media import PartChecked, PartOpened
from omni_tui.protocol.memory import MemoryChanged
from omni_tui.protocol.metrics import MetricsRead
from omni_tui.protocol.models import ModelFellBack, ModelsFound, ModelStateChanged, Spending
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTaskChanged
from omni_tui.protocol.plugins import PluginChecked, PluginsChanged, PluginsListed
from omni_tui.protocol.prompts_and_resources import (
    Completions,
    PromptsAndResourcesListed,
    PromptText,
    ResourceOpened,
    ResourceUpdated,
    SubscriptionsChanged,
)
from omni_tui.protocol.public_registry import RegistryFound, RegistryServerRead
from omni_tui.protocol.remote_sessions import RemoteSessionsListed, SessionFetched
from omni_tui.protocol.replies import ArgumentsChecked as ArgumentsChecked
from omni_tui.protocol.replies import CommandDone as CommandDone
from omni_tui.protocol.replies import CommandFailed as CommandFailed
from omni_tui.protocol.replies import ConfirmNeeded as ConfirmNeeded
from omni_tui.protocol.replies import FileSaved as FileSaved
from omni_tui.protocol.replies import ReplayDone as ReplayDone
from omni_tui.protocol.replies import ServerLogRead as ServerLogRead
from omni_tui.protocol.replies import SessionsListed as SessionsListed
from omni_tui.protocol.replies import TextPage as TextPage
from omni_tui.protocol.replies import ToolDetails as ToolDetails
from omni_tui.protocol.rules import (
    RuleAdded,
    RuleRead,
    RuleRevoked,
    RulesProposed,
    RulesRead,
    ToolRulesRead,
)
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened
from omni_tui.protocol.server_settings import LaunchRead, ServerChecked, ServerRead
from omni_tui.protocol.session_search import SessionPreviewed, SessionsFound
from omni_tui.protocol.settings import SettingsRead
from omni_tui.protocol.signin import SignInChanged
from omni_tui.protocol.text import SafeText
from omni_tui.protocol.traces import TracesRead
from omni_tui.protocol.trust import ChangeRead
from omni_tui.protocol.values import CallState as CallState
from omni_tui.protocol.values import ContentPart as ContentPart
from omni_tui.protocol.values import Mode
from omni_tui.protocol.values import PartKind as PartKind
from omni_tui.protocol.values import Problem as Problem
from omni_tui.protocol.values import Risk as Risk
from omni_tui.protocol.values import ServerState as ServerState
from omni_tui.protocol.values import SessionInfo as SessionInfo
from omni_tui.protocol.values import ToolSummary as ToolSummary
from omni_tui.protocol.values import TurnLimit as TurnLimit
from omni_tui.protocol.values import TurnStatus as TurnStatus
from omni_tui.protocol.values import Usage as Usage
from omni_tui.protocol.wire_log import WireRead, WireText

# --- engine and session -----------------------------------------------------------------------


class EngineReady(Event):
    """The answer to `Hello`: the engine and its settings. Journalled events follow by replay."""

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


class SessionTagged(Journalled):
    """The session has these tags now, and no others."""

    tags: tuple[SafeText, ...]


class SessionBranched(Journalled):
    """The session is a branch of `origin` before its message `turn`, or ("") a copy of all of it."""

    origin: str
    turn: str


class SessionRewound(Journalled):
    """The model knows the message `turn` no longer, nor what followed it. It all stays in the journal.

    `messages`: how many of the model's messages that are. Calls that were made stay made.
    """

    turn: str
    messages: int = 0


class ModeChanged(Journalled):
    """The mode changed. `covers` says what it covers."""

    mode: Mode
    covers: SafeText = SafeText("")


class ModelChanged(Journalled):
    """Another model answers from now on. `label` is a note shown with it, "" for most."""

    name: SafeText
    label: SafeText = SafeText("")


class Notice(Event):
    """A notice for the person: what happened, why, what to do."""

    level: Literal["info", "warning", "error"]
    what: SafeText
    why: SafeText = SafeText("")
    todo: SafeText = SafeText("")


class JournalFailed(Event):
    """The session can no longer be saved: nothing more is sent to servers, and running work ends."""

    what: SafeText
    todo: SafeText = SafeText("")


class ConfigProblems(Event):
    """The configuration has mistakes; the engine uses the valid part, and every call asks."""

    problems: tuple[Problem, ...]


class EventsDropped(Event, tag="lagged"):
    """The link dropped journalled events for a slow face; `Replay(after=...)` brings them."""

    public: ClassVar[bool] = False

    after: int


class EarlierLeftOut(Event):
    """A replay leaves out the events before number `begins`, except those that still count.

    Sent where they would come, and at the end of the replay once more. What was used is that of the whole
    session: tokens, and US dollars as in `Spending`, None where no price is known.
    """

    public: ClassVar[bool] = False

    begins: int
    tokens: int
    cost: float | None
    estimated: bool
    unpriced: bool


class JournalHead(Event):
    """The head of the session's journal: the number of its last public event.

    Sent soon after events were written. A client with another session, or that has not seen that event,
    asks for the rest with `Replay`.
    """

    public: ClassVar[bool] = False

    head: int


# --- servers and tools ------------------------------------------------------------------------


class ServerChanged(Event):
    """The whole state of one server, sent at every change. Times are in Unix seconds.

    `wire`: its wire log is on. `odd`: how many unreadable messages came from it since its start; they are
    in its log. `digest` names what the server is, without its state: `RemoveServer` sends it back.
    """

    name: str
    state: ServerState
    since: float
    label: SafeText
    transport: Literal["stdio", "http", "sse", "memory", "plugin"]
    target: SafeText
    source: Literal["user", "project", "imported", "flag", "demo", "session", "plugin"]
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
    odd: int = 0
    digest: str = ""


class ServerRemoved(Event):
    """A server was removed."""

    name: str


class ToolsListed(Event):
    """One page of a server's tools. A new `generation` replaces the former list once `last` is seen."""

    server: str
    generation: int
    last: bool
    tools: tuple[ToolSummary, ...]


AnyEvent = (
    EngineReady
    | SessionOpened
    | SessionTitled
    | SessionTagged
    | SessionBranched
    | SessionRewound
    | ModeChanged
    | ModelChanged
    | Notice
    | JournalFailed
    | ConfigProblems
    | EventsDropped
    | JournalHead
    | EarlierLeftOut
    | ServerChanged
    | ServerRemoved
    | SignInChanged
    | ToolsListed
    | UserMessage
    | Steered
    | TurnStarted
    | AwaitingTools
    | ThoughtDelta
    | Thought
    | AnswerDelta
    | Answer
    | Retrying
    | UsageChanged
    | ModelRequestFailed
    | TurnEnded
    | CallProposed
    | ApprovalRequested
    | CallChanged
    | CallEdited
    | CallDeferred
    | CallProgress
    | CallFinished
    | CallRound
    | CallTask
    | TaskProgress
    | AttemptRefused
    | AttemptFailed
    | AttemptScheduled
    | ServerRequestOpened
    | ServerRequestClosed
    | PlanProposed
    | PlanDecided
    | PlanTaskChanged
    | PlanEnded
    | ContextChanged
    | ContextSummarised
    | BuiltinToolCalled
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
    | HostFilesFound
    | SettingsRead
    | ServerLogRead
    | SessionsListed
    | ReplayDone
    | WireRead
    | WireText
    | ServerRead
    | ServerChecked
    | LaunchRead
    | PromptsAndResourcesListed
    | SubscriptionsChanged
    | ResourceUpdated
    | PromptText
    | ResourceOpened
    | Completions
    | PartChecked
    | PartOpened
    | StatsRead
    | HealthRead
    | AppLogRead
    | TracesRead
    | MetricsRead
    | DebugRead
    | AuditRead
    | SessionsFound
    | SessionPreviewed
    | ChangeRead
    | ToolRulesRead
    | RulesRead
    | RuleRead
    | RulesProposed
    | RuleAdded
    | RuleRevoked
    | MemoryChanged
    | RemoteSessionsListed
    | SessionFetched
    | SessionLoaded
    | CallLoaded
    | CallContentLoaded
    | NoteLoaded
    | ActionsProposed
    | GoalStated
    | GoalTracked
    | RegistryFound
    | RegistryServerRead
    | PluginsListed
    | PluginChecked
    | PluginsChanged
)
