"""Messages from panes and screens to the app. All of them bubble; a pane never touches another pane."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message


@dataclass
class OpenTool(Message):
    """Show a tool's form. `arguments_json` fills it in ("" leaves the defaults)."""

    server: str
    tool: str
    arguments_json: str = ""


@dataclass
class FocusCall(Message):
    """Show one call: in the approvals if it is pending, else in the transcript."""

    call: str


@dataclass
class CopyText(Message):
    """Copy a text. `what` names it for the toast that says where it went ("the last answer")."""

    text: str
    what: str


@dataclass
class SelectServer(Message):
    """Put the cursor of the servers on this one."""

    server: str


@dataclass
class ShowServerLog(Message):
    """Show what a server wrote on stderr."""

    server: str


@dataclass
class InsertText(Message):
    """Insert text at the composer's cursor."""

    text: str


@dataclass
class AttachResource(Message):
    """Attach a resource to the message that is being written. `label` is its safe name."""

    server: str
    uri: str
    label: str


@dataclass
class RunAction(Message):
    """Run an action of the registry. `argument` is what followed the slash command."""

    name: str
    argument: str = ""
