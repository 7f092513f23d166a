"""What the face asks of the engine. Every command carries a `request` number that replies echo."""

from __future__ import annotations

from typing import Literal

from omni_tui.protocol.base import Command as Command
from omni_tui.protocol.call_stats import ClearCache, ReadStats
from omni_tui.protocol.context import ReadSystem, SetSystem
from omni_tui.protocol.media import CheckPart, OpenPart
from omni_tui.protocol.models import FindModels, SetBudget
from omni_tui.protocol.plan import DecidePlan, EditPlan
from omni_tui.protocol.prompts_and_resources import (
    Attachment,
    CompleteArgument,
    GetPrompt,
    OpenResource,
    ReadResourcePart,
    SaveResourcePart,
    SubscribeResource,
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
from omni_tui.protocol.signin import CancelSignIn, FinishSignIn, OpenSignInPage, SignIn, SignOut
from omni_tui.protocol.text import JsonText
from omni_tui.protocol.values import Mode as Mode
from omni_tui.protocol.wire_log import ReadWire, ReadWireFrame, SaveWire, SetWireLog

Verdict = Literal["approve", "reject", "defer"]


class Hello(Command):
    """First frame of a face: asks for the state of everything, and for the journal after `cursor`."""

    client: str
    cursor: int = 0


class Goodbye(Command):
    """The face leaves on purpose: park what runs, end the servers, exit."""


class SendMessage(Command):
    """A message of the person to the agent; starts a turn, or is queued behind the running one.

    `attachments` are read now, at most `MAX_ATTACHMENTS`; if one cannot be, nothing is sent.
    """

    text: str
    attachments: tuple[Attachment, ...] = ()


class StopRun(Command):
    """Stop the running turn now: close the model's stream, cancel its calls, supersede its approvals."""


class SendNow(Command):
    """Send a message that waits for servers at once, with the tools that are there."""


class ContinueRun(Command):
    """Go on with a turn that was parked by a crash or by leaving."""


class SetMode(Command):
    """Change what happens to a proposed call when no rule matches (design section 5b)."""

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
    """Go another way from a message on: a session with all before it, and the message sent in it anew.

    `turn` is that of the message; `text` what is said in its place, "" for the same words, attachments
    included. The former session stays as it is, and so does what its calls did. `CommandDone.id` is
    the new session.
    """

    turn: str
    text: str = ""


class ListSessions(Command):
    """Ask for `SessionsListed`."""


class DecideCall(Command, tag="decide"):
    """The person's verdict on one pending call.

    `digest` is that of the item as it was painted; the engine refuses a verdict on anything else.
    """

    call: str
    digest: str
    verdict: Verdict
    feedback: str = ""
    stop: bool = False


class EditCall(Command):
    """Replace the arguments of a pending call. It stays pending, with a new digest."""

    call: str
    digest: str
    arguments_json: JsonText


class SettleCall(Command):
    """The person says what became of a call whose outcome is unknown."""

    call: str
    happened: bool


class CallTool(Command):
    """A call by hand, from the form. `confirmed` answers the second question for destructive tools."""

    server: str
    tool: str
    arguments_json: JsonText
    confirmed: bool = False


class CancelCall(Command):
    """Cancel one running or pending call."""

    call: str


class ReconnectServer(Command):
    """Connect (again) now, whatever the backoff says."""

    server: str


class DisconnectServer(Command):
    """End the connection and do not try again by itself."""

    server: str


class ReadLaunch(Command):
    """Ask for `LaunchRead`: what exactly would be started, before the person consents to it."""

    server: str


class AllowServer(Command):
    """Consent to starting a server of a project folder or an imported file.

    With a `digest` (from `LaunchRead`) only to exactly what that named.
    """

    server: str
    digest: str = ""


class RefreshServer(Command):
    """List tools, prompts and resources again, past every cache."""

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
    """End and forget a server; `save` removes it from the person's config file too."""

    server: str
    save: bool = False


class ImportServers(Command):
    """Read an `mcpServers` JSON file; its servers are listed as not yet allowed."""

    path: str


class ReadServerLog(Command):
    """Ask for `ServerLog`: what the server wrote on stderr, most recent lines."""

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
    """Write one part of a result to a file of the person's choice; answered by `FileSaved`."""

    call: str
    path: str
    part: int = 0
    overwrite: bool = False


class Replay(Command):
    """Send the journalled events after `after` again, then `ReplayDone`."""

    after: int


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
    | ImportServers
    | ReadServerLog
    | SignIn
    | FinishSignIn
    | CancelSignIn
    | OpenSignInPage
    | SignOut
    | DescribeTool
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
)
