"""What panes and screens ask of each other, by messages; the app brings each to where it belongs."""

from __future__ import annotations

from textual.screen import Screen

from omni_tui.face.app_actions import AppActions
from omni_tui.face.messages import (
    AttachResource,
    CopyText,
    FocusCall,
    InsertText,
    OpenTool,
    RunAction,
    SelectServer,
    ShowServerLog,
)
from omni_tui.face.screens.main import PaneName
from omni_tui.protocol import SafeText


class MessageHandlers(AppActions):
    """The handlers of the messages in `face.messages`."""

    def on_run_action(self, message: RunAction) -> None:
        """A slash command, or a pane that asks for somebody else's action."""
        message.stop()
        self.run_named(message.name, message.argument.strip())

    def on_open_tool(self, message: OpenTool) -> None:
        """Open a tool's form."""
        from omni_tui.face.screens.tool import ToolScreen

        message.stop()
        history = getattr(self.main.pane("tools"), "history", None)
        self.push_screen(ToolScreen(message.server, message.tool, message.arguments_json, history=history))

    def on_focus_call(self, message: FocusCall) -> None:
        """Show a call where it can be dealt with."""
        message.stop()
        where: PaneName = "approvals" if message.call in self.overview.pending else "chat"
        self.go(where)
        getattr(self.main.pane(where), "focus_call", lambda _call: False)(message.call)

    def on_show_server_log(self, message: ShowServerLog) -> None:
        """Show what a server wrote."""
        from omni_tui.face.screens.server_log import ServerLogScreen

        message.stop()
        self.push_screen(ServerLogScreen(message.server))

    def on_select_server(self, message: SelectServer) -> None:
        """Put the cursor of the servers on one of them."""
        from omni_tui.face.panes.servers import ServersPane

        message.stop()
        pane = self.main.pane("servers")
        if isinstance(pane, ServersPane):
            pane.select_server(message.server)

    def on_insert_text(self, message: InsertText) -> None:
        """Put text into the composer."""
        message.stop()
        insert = getattr(self.main.pane("chat"), "insert_text", None)
        if insert is not None:
            insert(message.text)

    def on_attach_resource(self, message: AttachResource) -> None:
        """Attach a resource to the message that is being written, and go there."""
        message.stop()
        self.go("chat")
        attach = getattr(self.main.pane("chat"), "attach", None)
        if attach is not None:
            attach(message.server, message.uri, message.label)

    def on_open_result(self, message: object) -> None:
        """Show the whole result of a call."""
        from omni_tui.face.screens.reader import ReaderScreen
        from omni_tui.face.transcript import OpenResult

        assert isinstance(message, OpenResult)
        message.stop()
        screen: Screen[None] = ReaderScreen(message.call, title=message.title, parts=message.parts)
        self.push_screen(screen)

    def on_copy_text(self, message: CopyText) -> None:
        """Copy, and say where it went."""
        message.stop()
        self.run_worker(self._copy(message.text, message.what), group="copy", exit_on_error=False)

    async def _copy(self, text: str, what: str) -> None:
        from omni_tui.face import clipboard

        name = SafeText(what[:1].upper() + what[1:])
        sent = clipboard.terminal_accepts(text) and not self.is_headless
        if sent:
            self.copy_to_clipboard(text)
        tool = await clipboard.copy_locally(text)
        if tool:
            self.say(f"{name} is copied (with {tool}).", timeout=3.0)
        elif sent:
            self.say(f"{name} is copied (through the terminal).", timeout=3.0)
        else:
            try:
                self.say(f"{name} is {clipboard.copy_to_file(text, self.private_dir).how}.", timeout=10.0)
            except OSError as error:
                self.say(f"{name} could not be copied: {error.strerror}.", level="error")

    @property
    def private_dir(self) -> str:
        """A folder only this person can read, "" if none is known."""
        return ""
