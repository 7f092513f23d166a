"""The commands of a client to the engine. Replies echo a command's `request` number."""

from __future__ import annotations

from typing import Literal

from omni_tui.protocol.app_log import ReadAppLog
from omni_tui.protocol.audit import ReadAudit
from omni_tui.protocol.base import Command as Command
from omni_tui.protocol.call_stats import ClearCache, ReadStats
from omni_tui.protocol.context import ReadSystem, SetSystem
from omni_tui.protocol.debug import ReadDebug
from omni_tui.protocol.health import ReadHealth, TryAgain
from omni_tui.protocol.host_files import FindHostFiles
from omni_tui.protocol.host_files import ImportServers as ImportServers
from omni_tui.protocol.loaded import LoadConversation, SaveConversation
from omni_tui.protocol.media import CheckPart, OpenPart
from omni_tui.protocol.memory import SetMemory
from omni_tui.protocol.metrics import ReadMetrics
from omni_tui.protocol.models import FindModels, SetBudget
from omni_tui.protocol.plan import DecidePlan, EditPlan
from omni_tui.protocol.plugins import CheckPlugin, DisablePlugin, EnablePlugin, ListPlugins
from omni_tui.protocol.prompts_and_resources import (
    Attachment,
    CompleteArgument,
    GetPrompt,
    OpenResource,
    ReadResourcePart,
    SaveResourcePart,
    SubscribeResource,
)
from omni_tui.protocol.public_registry import (
    AddRegistryServer,
    OpenBundle,
    ReadRegistryServer,
    SearchRegistry,
)
from omni_tui.protocol.remote_sessions import FetchSession, ListRemoteSessions
from omni_tui.protocol.rules import (
    AddRule,
    AdoptRule,
    ProposeRules,
    ReadRule,
    ReadRules,
    ReadToolRules,
    RevokeRule,
)
from omni_tui.protocol.server_requests import AnswerServerRequest, EditServerRequest, OpenServerRequestPage
from omni_tui.protocol.server_settings import (
    CheckServer,
    DisableServer,
    EditServer,
    EnableServer,
    KeepSecret,
    ReadServer,
)
from omni_tui.protocol.session_search import (
    DeleteSession,
    PreviewSession,
    RenameSession,
    SearchSessions,
    TagSession,
)
from omni_tui.protocol.settings import ReadSettings, WriteSetting
from omni_tui.protocol.signin import CancelSignIn, FinishSignIn, OpenSignInPage, SignIn, SignOut
from omni_tui.protocol.text import JsonText
from omni_tui.protocol.traces import ReadTraces
from omni_tui.protocol.trust import AcceptTool, ReadChange
from omni_tui.protocol.values import Mode as Mode
from omni_tui.protocol.wire_log import ReadWire, ReadWireFrame, SaveWire, SetWireLog

Verdict = Literal["approve", "reject", "defer"]


class Hello(Command):
    """The first command of a client: asks for the state of everything, and the journal after `cursor`.

    `tail` as in `Replay`.
    """

    client: str
    cursor: int = 0
    tail: int = 0


class Goodbye(Command):
    """The face leaves on purpose: park what runs, end the servers, exit."""


class SendMessage(Command):
    """Send a message to the agent. It starts a turn, or is queued behind the running one.

    `attachments`, at most `MAX_ATTACHMENTS`, are read now; if one cannot be read, nothing is sent.
    """

    text: str
    attachments: tuple[Attachment, ...] = ()


class StopRun(Command):
    """Stop the running turn: close the model's stream, cancel its calls and pending approvals."""


class SendNow(Command):
    """Wait no longer: send a message without the servers it waits for, and try again what failed."""


class ContinueRun(Command):
    """Continue a turn that was parked by a crash or by quitting."""


class SetMode(Command):
    """Change the mode: what happens to a proposed call."""

    mode: Mode


class SetModel(Command):
    """Use another model from the next message on (`offline`, or a LiteLLM name)."""

    name: str


class NewSession(Command):
    """Close the current session and begin an empty one."""


class OpenSession(Command):
    """Close the current session and open another by id."""

    session: str


class BranchSession(Command):
    """Edit and resend a message in a new session, a branch with everything before it.

    `turn` is that of the message; `text` its new text, "" to resend it unchanged, with attachments. The
    former session and the effects of its calls stay. `CommandDone.id` is the new session.
    """

    turn: str
    text: str = ""


class RewindSession(Command):
    """Have the model forget a message and what followed it, in this session.

    `turn` is that of the message. Nothing is deleted and nothing is sent: the journal keeps all of it, and
    calls that ran stay done. A call of that part which still waits is withdrawn. Refused while a turn runs.
    """

    turn: str


class ForkSession(Command):
    """Go on in a copy of this session, with all of it and no call that waits. The former one stays.

    `CommandDone.id` is the new session. Refused while a turn runs.
    """


class ListSessions(Command):
    """Ask for `SessionsListed`: a page of the saved sessions, those after number `after`."""

    after: int = 0


class DecideCall(Command, tag="decide"):
    """Decide on one pending call. `digest` is that of the shown item; the engine refuses any other.

    `batch`: how many calls are decided on together, 0 for this one alone.
    """

    call: str
    digest: str
    verdict: Verdict
    feedback: str = ""
    stop: bool = False
    batch: int = 0


class EditCall(Command):
    """Replace the arguments of a pending call. It stays pending, with a new digest."""

    call: str
    digest: str
    arguments_json: JsonText


class SettleCall(Command):
    """Set whether a call with an uncertain outcome happened."""

    call: str
    happened: bool


class CallTool(Command):
    """Call a tool by hand. `confirmed`: the person said yes to the `ConfirmNeeded` with this `digest`.

    A yes to anything else is asked again.
    """

    server: str
    tool: str
    arguments_json: JsonText
    confirmed: bool = False
    digest: str = ""


class CancelCall(Command):
    """Cancel one running or pending call."""

    call: str


class ReconnectServer(Command):
    """Connect now, without waiting for the backoff."""

    server: str


class DisconnectServer(Command):
    """End the connection and do not reconnect automatically."""

    server: str


class ReadLaunch(Command):
    """Ask for `LaunchRead`: exactly what would be started, before the person allows it."""

    server: str


class AllowServer(Command):
    """Allow a server of a project or an imported file to start, exactly as `LaunchRead` showed it.

    Without that digest nothing is allowed.
    """

    server: str
    digest: str = ""


class RefreshServer(Command):
    """List tools, prompts and resources again, without caches."""

    server: str


class AddServer(Command):
    """Add a server; `save` writes it to the person's config file."""

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    url: str = ""
    env: dict[str, str] = {}
    headers: dict[str, str] = {}
    save: bool = True


class RemoveServer(Command):
    """End and forget a server; `save` removes it from the person's config file too.

    `digest` is that of `ServerChanged` when the person was asked: another server of that name stays, and
    without it any.
    """

    server: str
    save: bool = False
    digest: str = ""


class ReadServerLog(Command):
    """Ask for `ServerLogRead`: the last lines of a server's log."""

    server: str


class DescribeTool(Command):
    """Ask for `ToolDetails`."""

    server: str
    tool: str


class CheckArguments(Command):
    """Ask for `ArgumentsChecked`."""

    server: str
    tool: str
    arguments_json: JsonText


class ReadArguments(Command):
    """Ask for a `TextPage` of a call's whole arguments (offset and limit in characters)."""

    call: str
    offset: int = 0
    limit: int = 60_000


class ReadResult(Command):
    """Ask for a `TextPage` of one part of a call's whole result.

    `part` is the index of a content block, -1 the structured content, -2 the raw result.
    """

    call: str
    part: int = 0
    offset: int = 0
    limit: int = 60_000


class SaveResult(Command):
    """Save one part of a result to a file; answered by `FileSaved`."""

    call: str
    path: str
    part: int = 0
    overwrite: bool = False


class Replay(Command):
    """Send the journalled events after `after` again, then `ReplayDone`.

    With `tail`, of many more events only about the last `tail` come, and of those before them what still
    counts; `EarlierLeftOut` says so.
    """

    after: int
    tail: int = 0


AnyCommand = (
    Hello
    | Goodbye
    | SendMessage
    | StopRun
    | ContinueRun
    | SendNow
    | SetMode
    | SetModel
    | FindModels
    | SetBudget
    | NewSession
    | OpenSession
    | BranchSession
    | RewindSession
    | ForkSession
    | ListSessions
    | DecideCall
    | EditCall
    | SettleCall
    | CallTool
    | CancelCall
    | ReconnectServer
    | DisconnectServer
    | ReadLaunch
    | AllowServer
    | RefreshServer
    | AddServer
    | RemoveServer
    | FindHostFiles
    | ReadSettings
    | WriteSetting
    | ImportServers
    | ReadServerLog
    | SignIn
    | FinishSignIn
    | CancelSignIn
    | OpenSignInPage
    | SignOut
    | DescribeTool
    | ReadChange
    | ReadToolRules
    | AcceptTool
    | CheckArguments
    | ReadArguments
    | ReadResult
    | SaveResult
    | Replay
    | ReadServer
    | CheckServer
    | EditServer
    | EnableServer
    | DisableServer
    | KeepSecret
    | SetWireLog
    | ReadWire
    | ReadWireFrame
    | SaveWire
    | GetPrompt
    | OpenResource
    | ReadResourcePart
    | SaveResourcePart
    | SubscribeResource
    | CompleteArgument
    | AnswerServerRequest
    | EditServerRequest
    | OpenServerRequestPage
    | DecidePlan
    | EditPlan
    | CheckPart
    | OpenPart
    | ReadSystem
    | SetSystem
    | ClearCache
    | ReadStats
    | ReadHealth
    | ReadAppLog
    | TryAgain
    | ReadTraces
    | ReadMetrics
    | ReadDebug
    | ReadAudit
    | SearchSessions
    | PreviewSession
    | RenameSession
    | TagSession
    | DeleteSession
    | ReadRules
    | ReadRule
    | ProposeRules
    | AddRule
    | RevokeRule
    | AdoptRule
    | SetMemory
    | ListRemoteSessions
    | FetchSession
    | SaveConversation
    | LoadConversation
    | SearchRegistry
    | OpenBundle
    | ReadRegistryServer
    | AddRegistryServer
    | ListPlugins
    | CheckPlugin
    | EnablePlugin
    | DisablePlugin
)
