"""Messages from panes and screens to the app. All of them bubble; a pane never touches another pane."""

from __future__ import annotations

from textual.message import Message


class OpenTool(Message):
    """Show a tool's form. `arguments_json` fills it in ("" leaves the defaults)."""

    def __init__(self, server: str, tool: str, arguments_json: str = "") -> None:
        super().__init__()
        self.server = server
        self.tool = tool
        self.arguments_json = arguments_json


class FocusCall(Message):
    """Show one call: in the approvals if it is pending, else in the transcript."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self.call = call


class CopyText(Message):
    """Copy a text. `what` names it for the toast that says where it went ("the last answer")."""

    def __init__(self, text: str, what: str) -> None:
        super().__init__()
        self.text = text
        self.what = what


class SelectServer(Message):
    """Put the cursor of the servers on this one."""

    def __init__(self, server: str) -> None:
        super().__init__()
        self.server = server


class ShowServerLog(Message):
    """Show what a server wrote on stderr."""

    def __init__(self, server: str) -> None:
        super().__init__()
        self.server = server


class InsertText(Message):
    """Insert text at the composer's cursor."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class AttachResource(Message):
    """Attach a resource to the message that is being written. `label` is its safe name."""

    def __init__(self, server: str, uri: str, label: str) -> None:
        super().__init__()
        self.server = server
        self.uri = uri
        self.label = label


class RunAction(Message):
    """Run an action of the registry. `argument` is what followed the slash command."""

    def __init__(self, name: str, argument: str = "") -> None:
        super().__init__()
        self.name = name
        self.argument = argument
