"""What the actions of the registry do, for those whose target is the whole app."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, cast

from omni_tui.face import actions
from omni_tui.face.context.context_actions import ContextActions
from omni_tui.face.execution_actions import ExecutionActions
from omni_tui.face.messages import CopyText, ShowServerLog
from omni_tui.face.model_actions import ModelActions
from omni_tui.face.screens.main import PANES, MainScreen, PaneName
from omni_tui.face.server_actions import ServerActions
from omni_tui.protocol import AnyCommand, Mode
from omni_tui.protocol.commands import (
    ContinueRun,
    NewSession,
    RefreshServer,
    RemoveServer,
    SendNow,
    SetMode,
    StopRun,
)
from omni_tui.protocol.events import CommandFailed
from omni_tui.security.text import safe_line

if TYPE_CHECKING:
    from omni_tui.face.clock import Clock
    from omni_tui.face.overview import Overview
    from omni_tui.face.port import Port
    from omni_tui.face.toasts import ToastMessage

DOUBLE_PRESS_S = 2.0
_MODES: tuple[Mode, ...] = ("chat", "auto", "orchestrator")


class AppActions(ServerActions, ContextActions, ModelActions, ExecutionActions):
    """The `action_*` methods; `OmniApp` holds the state they work on."""

    port: Port
    clock: Clock
    overview: Overview
    told: Sequence[ToastMessage]
    _interrupted = float("-inf")

    @property
    def main(self) -> MainScreen:
        """The main screen, whatever lies over it."""
        return next(screen for screen in self.screen_stack if isinstance(screen, MainScreen))

    def say(self, what: str, *, level: str = "information", timeout: float = 5.0) -> None:
        """Show one line for a while."""
        severity = cast("object", level)
        self.notify(safe_line(what, limit=600), severity=severity, timeout=timeout, markup=False)  # type: ignore[arg-type]

    def _tell(self, words: str, level: str) -> None:
        self.say(words, level=level)

    def failed(self, failure: CommandFailed) -> None:
        """Tell what a command came to: what, why, what to do."""
        lines = [text for text in (failure.what, failure.why, failure.todo) if text]
        text = "\n".join(safe_line(line, limit=400) for line in lines)
        self.notify(text, severity="error", timeout=10.0, markup=False)

    # --- going places

    def go(self, name: PaneName) -> None:
        """Back to the main screen and into one of its panes."""
        while len(self.screen_stack) > 1 and not isinstance(self.screen, MainScreen):
            self.pop_screen()
        self.main.focus_pane(name)

    def action_show_servers(self) -> None:
        """Go to the servers."""
        self.go("servers")

    def action_show_tools(self) -> None:
        """Go to the tools."""
        self.go("tools")

    def action_show_chat(self) -> None:
        """Go to the chat."""
        self.go("chat")

    def action_show_approvals(self) -> None:
        """Go to the approvals."""
        self.go("approvals")

    def action_questions(self) -> None:
        """Go to the oldest question of a server."""
        if getattr(self.main.pane("approvals"), "focus_server_request", lambda: False)():
            self.go("approvals")
        else:
            self.say("No server asks anything of you.")

    def action_zoom(self) -> None:
        """Give the window to the current pane, or give it back."""
        self.main.toggle_zoom()

    def action_close(self) -> None:
        """Close the innermost thing, else stop the run."""
        main = self.main
        if self.screen is not main:
            self.screen.dismiss(None)
        elif getattr(main.pane(main.current), "close_innermost", lambda: False)():
            pass
        elif main.zoomed:
            main.toggle_zoom()
        elif main.folded and main.current != "chat":
            main.focus_pane("chat")
        elif self.overview.running:
            self.action_stop()

    def action_interrupt(self) -> None:
        """Copy what is selected, else stop the run; twice within two seconds asks whether to leave."""
        text = self._selection()
        if text:
            self.post_message(CopyText(text, "the selection"))
            return
        now, before = self.clock.monotonic(), self._interrupted
        self._interrupted = now
        if now - before <= DOUBLE_PRESS_S:
            self._interrupted = float("-inf")
            self._ask_to_leave()
        elif self.overview.running:
            self.action_stop()
        else:
            self.say("ctrl+q leaves. Pressing ctrl+c once more asks first.", timeout=DOUBLE_PRESS_S)

    def _selection(self) -> str:
        chosen = self.screen.get_selected_text() or getattr(self.focused, "selected_text", "")
        return chosen if isinstance(chosen, str) else ""

    def action_suspend(self) -> None:
        """Give the shell its terminal back until `fg`."""
        from omni_tui.face.driver import has_job_control

        if self.is_headless or self.is_web or not has_job_control():
            self.say(
                "There is no shell behind this terminal that could bring Omni TUI back, so it stays.",
                level="warning",
            )
        else:
            self.action_suspend_process()

    def action_messages(self) -> None:
        """Show every message of this start again."""
        from omni_tui.face.screens.messages import MessagesScreen

        self.push_screen(MessagesScreen(self.told))

    def action_quit(self) -> None:  # type: ignore[override]
        """Leave; Textual's own is a coroutine, and nothing here would wait for it."""
        self.exit()

    def _ask_to_leave(self) -> None:
        what = "A run is going; it is parked and can be continued." if self.overview.running else ""
        self.confirm("Leave Omni TUI?", what or "The session is saved.", "leave", self._leave)

    def _leave(self, yes: bool | None) -> None:
        if yes:
            self.exit()

    def confirm(self, question: str, detail: str, yes: str, then: Callable[[bool | None], None]) -> None:
        """Ask one question; `then` gets True or False."""
        from omni_tui.face.screens.confirm import ConfirmScreen

        screen = ConfirmScreen(safe_line(question), safe_line(detail, limit=600), yes)
        self.push_screen(screen, then)

    # --- the run, the mode, the model

    def action_stop(self) -> None:
        """Stop the running turn."""
        self.port.send(StopRun())

    def action_send_now(self) -> None:
        """Let a message go out without the servers it waits for."""
        if self.overview.awaits:
            self.port.send(SendNow())
        else:
            self.say("No message waits for servers.")

    def action_continue(self) -> None:
        """Go on with a parked turn."""
        self.port.send(ContinueRun())

    def action_mode(self, mode: str = "") -> None:
        """Change the mode; without a name the palette offers them."""
        if mode in _MODES:
            self.port.send(SetMode(mode=mode))
        elif mode:
            self.say(f"There is no mode {mode}. The modes are {', '.join(_MODES)}.", level="warning")
        else:
            self.open_palette("mode ")

    def action_new_session(self) -> None:
        """Begin an empty session."""
        self.change_session(NewSession())

    def action_sessions(self, session: str = "") -> None:
        """List saved sessions, or open one."""
        from omni_tui.face.screens.sessions import SessionsScreen
        from omni_tui.protocol.commands import OpenSession

        if session:
            self.change_session(OpenSession(session=session))
        else:
            self.push_screen(SessionsScreen(), self._open_session)

    def _open_session(self, session: str | None) -> None:
        if session:
            self.action_sessions(session)

    def change_session(self, command: AnyCommand, failed: Callable[[str], None] | None = None) -> None:
        """Ask for another session; `OmniApp` clears the panes when it comes; `failed` gets why not."""
        raise NotImplementedError

    # --- servers

    def action_import_servers(self, path: str = "") -> None:
        """Read servers from another program's file."""
        self._welcome("import", path)

    def action_welcome(self) -> None:
        """Open the first page."""
        self._welcome("start")

    def _welcome(self, page: str, path: str = "") -> None:
        from omni_tui.face.screens.welcome import WelcomePage, WelcomeScreen

        self.push_screen(WelcomeScreen(cast("WelcomePage", page), path))

    def action_remove_server(self, server: str = "") -> None:
        """Ask whether to forget a server."""
        if server not in self.overview.servers:
            self._no_server(server, "remove")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                saved = (
                    self.overview.servers[server].source == "user"
                    if server in self.overview.servers
                    else False
                )
                self.port.send(RemoveServer(server=server, save=saved))

        own = self._in_config(server)
        detail = "Its connection ends, and it is " + (
            "taken out of your config file." if own else "gone until the next start."
        )
        self.confirm(f"Forget the server {server}?", detail, "forget it", answered)

    def action_refresh(self, server: str = "") -> None:
        """List tools again, of one server or of all."""
        if server and server not in self.overview.servers:
            self._no_server(server, "refresh")
            return
        for name in [server] if server else list(self.overview.servers):
            self.port.send(RefreshServer(server=name))

    def action_log(self, server: str = "") -> None:
        """Show a server's log."""
        if server in self.overview.servers:
            self.post_message(ShowServerLog(server))
        else:
            self._no_server(server, "log")

    def _no_server(self, server: str, command: str) -> None:
        names = ", ".join(self.overview.servers) or "none so far"
        what = f"There is no server {server}." if server else f"Which server? Write /{command} NAME."
        self.say(f"{what} The servers: {names}.", level="warning")

    def action_prompts(self, query: str = "") -> None:
        """Browse the prompts of all servers."""
        self._browse("prompts", query)

    def action_resources(self, query: str = "") -> None:
        """Browse the resources of all servers."""
        self._browse("resources", query)

    def _browse(self, kind: str, query: str) -> None:
        from omni_tui.face.prompts_resources.browser import ListKind, PromptResourceBrowser

        self.push_screen(PromptResourceBrowser(cast("ListKind", kind), query))

    def action_connections(self) -> None:
        """Say how every server is doing."""
        self.go("servers")

    def action_status(self) -> None:
        """Say what the engine is set to."""
        ready = self.overview.ready
        if ready is None:
            self.say("The engine is starting.")
            return
        opened = (
            time.strftime("%H:%M", time.localtime(self.overview.opened)) if self.overview.opened else "now"
        )
        self.say(
            f"Omni TUI {ready.version}, mode {self.overview.mode}, model {self.overview.model}, "
            f"session {self.overview.title or 'untitled'} since {opened}, "
            f"encryption {ready.encryption}, config {ready.config_path}, log {ready.log_path}",
            timeout=15.0,
        )

    # --- help, palette, theme

    def action_help(self) -> None:
        """Show every key of the pane that has the keys."""
        from omni_tui.face.screens.help import HelpScreen, help_rows

        if isinstance(self.screen, HelpScreen):
            return
        main = self.main
        pane = main.pane(main.current)
        keymap = self.keymap
        sections = [
            ("here", help_rows(actions.for_target(main.current), keymap)),
            *(
                [("writing", help_rows(actions.for_target("composer"), keymap))]
                if main.current == "chat"
                else []
            ),
            ("from anywhere", help_rows(actions.for_target("app"), keymap)),
        ]
        self.push_screen(HelpScreen(main.current, getattr(pane, "HELP", "") or "", sections))

    @property
    def keymap(self) -> dict[str, str]:
        """Keys the person changed: action name to keys."""
        raise NotImplementedError

    def open_palette(self, text: str = "") -> None:
        """Open the command palette, with something typed into it already."""
        from textual.command import CommandPalette

        from omni_tui.face.palette import providers

        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(providers=providers(), placeholder="find a command …"))
            if text:
                self.call_after_refresh(self._type_into_palette, text)

    def _type_into_palette(self, text: str) -> None:
        from textual.widgets import Input

        for line in self.screen.query(Input):
            line.value = text
            line.cursor_position = len(text)

    def action_palette(self) -> None:
        """Open the command palette."""
        self.open_palette()

    def action_theme(self, name: str = "") -> None:
        """Change the theme."""
        if name:
            self.change_theme(name)
        else:
            self.open_palette("theme ")

    def change_theme(self, name: str) -> None:
        """Use a theme and remember it."""
        raise NotImplementedError

    # --- by name

    def run_named(self, name: str, argument: str = "") -> None:
        """Do what the registry has under a name: the app itself, or the pane it belongs to."""
        try:
            action = actions.get(name)
        except KeyError:
            self.say(f"There is no command {name}.", level="warning")
            return
        if action.target in PANES:
            self.go(action.target)
        elif action.target == "composer":
            self.go("chat")
        method = getattr(self.owner_of(action), f"action_{name}", None)
        if method is None:
            self.say(f"{action.description}: not here.", level="warning")
        else:
            done = method(argument) if argument and action.argument else method()
            if isawaitable(done):  # Textual's own actions are coroutines in part
                self.run_worker(_finish(done), group="action", exit_on_error=False)

    def owner_of(self, action: actions.Action) -> object | None:
        """Return what has the method for an action: the app, its pane, or a widget of that pane."""
        method = f"action_{action.name}"
        if action.target not in (*PANES, "composer"):
            return self if hasattr(self, method) else None
        pane = self.main.pane(action.target if action.target in PANES else "chat")
        return next((widget for widget in (pane, *pane.query("*")) if hasattr(widget, method)), None)


async def _finish(action: Awaitable[object]) -> None:
    await action
