"""Replies, each to one command, with its `request` number."""

from __future__ import annotations

from typing import Literal

from omni_tui.protocol.base import CommandReply
from omni_tui.protocol.text import JsonText, SafeText
from omni_tui.protocol.values import PartKind, Problem, Risk, SessionInfo


class CommandDone(CommandReply):
    """The command was carried out; `text` says what, where that helps."""

    text: SafeText = SafeText("")
    id: str = ""


class CommandFailed(CommandReply):
    """The command was refused or failed; nothing was lost."""

    what: SafeText
    why: SafeText = SafeText("")
    todo: SafeText = SafeText("")
    exists: bool = False
    """Whether a file of that name is in the way and could be replaced."""


class ConfirmNeeded(CommandReply):
    """A call by hand to a destructive or changed tool: ask, then send it `confirmed`, with this digest.

    `digest` names all that is asked and what would be called with what. `held`: the tool or its server
    has changed, and `ReadChange` tells how; a yes sends this call and does not accept the change.
    """

    server: str
    tool: str
    risk: Risk
    why: tuple[SafeText, ...]
    digest: str = ""
    held: bool = False


class ToolDetails(CommandReply):
    """Everything about one tool. Schemas are exact; "" where the server gives none.

    `not_checked` says what of the input schema cannot be checked here, `rules` which rules deny it or ask
    about it. `alike`, `imitation` and `server_trusted` as in `ToolSummary`.
    """

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
    not_checked: tuple[SafeText, ...] = ()
    server_changed: bool = False
    alike: SafeText = SafeText("")
    imitation: bool = False
    server_trusted: bool = False
    rules: tuple[SafeText, ...] = ()


class ArgumentsChecked(CommandReply):
    """The mistakes in arguments; `where` is a JSON Pointer ("" is the whole)."""

    problems: tuple[Problem, ...]


class TextPage(CommandReply):
    """A page of a long text, made safe. `total` and `offset` count characters of the safe text."""

    call: str
    part: int
    offset: int
    total: int
    text: SafeText
    kind: PartKind = "text"
    mime: SafeText = SafeText("")


class FileSaved(CommandReply):
    """A file was written."""

    path: str
    size: int


class ServerLogRead(CommandReply, tag="server_log"):
    """The last lines of a server's stderr and of the connection's own history."""

    server: str
    lines: tuple[SafeText, ...]
    dropped: int = 0


class SessionsListed(CommandReply):
    """A page of the saved sessions, last used first. `total` are all that can be read."""

    sessions: tuple[SessionInfo, ...]
    total: int = 0
    unreadable: int = 0
    """Saved sessions that cannot be read, because of their key or their file."""


class ReplayDone(CommandReply):
    """All journalled events up to `head` have been sent."""

    head: int
