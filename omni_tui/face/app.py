"""The app: panes over a link to an engine. It owns what they share and survives the engine's death."""

from __future__ import annotations

import gc
import logging
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from inspect import isawaitable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
from textual.content import Content
from textual.notifications import Notify
from textual.screen import Screen
from textual.widgets import Input, Static, TextArea

from omni_tui.face import actions, crash_log
from omni_tui.face.attention import Attention, TerminalWindow
from omni_tui.face.clock import Clock, Stillness, SystemClock
from omni_tui.face.event_pump import EventPump
from omni_tui.face.garbage_collector import GarbageCollector
from omni_tui.face.input_order import EngineGone, OrderedInputApp
from omni_tui.face.keys import check_keys, key_conflicts, key_of
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
from omni_tui.face.output_filter import SafeOutputFilter
from omni_tui.face.overview import Overview
from omni_tui.face.port import CommandError, LinkPort
from omni_tui.face.screens.main import MainScreen, PaneName
from omni_tui.face.shell import MAX_TOASTS, EventListener, Level, Result, ToastMessage
from omni_tui.face.themes import ThemeChoice, fallback_variables
from omni_tui.face.toasts import SteadyNotification
from omni_tui.protocol import AnyCommand, AnyEvent, Link, LinkClosed
from omni_tui.protocol.events import CommandDone, CommandFailed, EngineReady, JournalFailed, Notice
from omni_tui.protocol.plugins import PluginsChanged
from omni_tui.protocol.prompts_and_resources import ResourceUpdated
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import encodable, safe_line

if TYPE_CHECKING:
    from textual.app import App
    from textual.driver import Driver
    from textual.notifications import SeverityLevel

    from omni_tui.face.driver import TerminalDriver
    from omni_tui.face.transcript.view import OpenResult

Connect = Callable[[], Awaitable[Link]]
_log = logging.getLogger(__name__)
MOST_TYPED = 200
"""Characters that are typed into the palette when it is opened."""
_STYLES = Path(__file__).parent / "styles"
_UP = ("connecting", "active", "idle", "degraded", "needs_sign_in")
"""States of a server that its engine keeps up."""


class FaceOptions(msgspec.Struct, frozen=True):
    """Options of one start of the face. Empty means: not given.

    Paths are absolute. `theme` (from the command line) goes before the config file's, that before
    the one saved in `state_dir`. `config_path` is read for `[ui]` and `[keys]` only.
    """

    theme: str = ""
    config_path: str = ""
    state_dir: str = ""
    themes_dir: str = ""


class OmniApp(OrderedInputApp):
    """The face.

    `link` is a link, or a function that makes one: then the first frame does not wait for the engine.
    `wants_demo` tells, after it has left, that the person chose the demo.
    `restart` makes another link after the first has closed unasked; without it a function given as
    `link` is used. The app closes its link when it has left the screen.
    """

    TITLE = "omni"
    ENABLE_COMMAND_PALETTE = False
    CSS_PATH = [_STYLES / "shell.tcss"]
    BINDINGS = actions.bindings("app")

    def __init__(
        self,
        link: Link | Connect,
        options: FaceOptions | None = None,
        *,
        restart: Connect | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.options = options or FaceOptions()
        self.clock: Clock = clock or SystemClock()
        self.stillness = Stillness(self.clock)
        self.overview = Overview()
        self.wants_demo = False
        self.last_interrupt = float("-inf")
        self.keymap: dict[str, str] = {}
        self.toasts: deque[ToastMessage] = deque(maxlen=MAX_TOASTS)
        super().__init__()
        self._filters.append(SafeOutputFilter())
        self.link: Link | None = None if callable(link) else link
        self._connect = link if callable(link) else None
        self._restart = restart or self._connect
        self.pump = EventPump(self)
        self.port = LinkPort(self.link, self)
        self._engine_gone = False
        self._greeted = False
        self._furnished = False
        self._early_actions: list[tuple[str, str]] = []
        """Actions, with their arguments, that were started before all panes were there."""
        self._attention = Attention(self.clock)
        self._collector = GarbageCollector(monotonic())
        self._startup_problems = self._apply_settings()

    # --- before the first frame

    def _apply_settings(self) -> list[str]:
        """Set theme and keys from command line, config file and saved state; return what is wrong."""
        from omni_tui.config.ui_settings import UiSettings, read_ui

        settings = read_ui(self.options.config_path) if self.options.config_path else UiSettings()
        self._titled, self._rings = settings.title, settings.bell
        self.keymap, problems = check_keys(settings.keys)
        problems += key_conflicts(self.keymap)
        if self.keymap:
            self.set_keymap(self.keymap)
        self.themes = ThemeChoice(self, self.options.themes_dir, self.options.state_dir)
        wrong = self.themes.begin(self.options.theme or settings.theme)
        # Textual would read all styles with its own theme's colours first, and again with these.
        self.stylesheet.set_variables(self.get_css_variables())
        self._styled_for = self.theme
        return [*map(str, problems), *wrong]

    def refresh_css(self, animate: bool = True) -> None:
        """Style everything again, except for the theme that the app starts with."""
        first, self._styled_for = self._styled_for, ""
        if first != self.theme:
            super().refresh_css(animate=animate)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Give every role of ours a colour, whatever the theme."""
        return fallback_variables()

    def get_driver_class(self) -> type[Driver]:
        """Use our own driver in place of Textual's for a Unix terminal."""
        chosen = super().get_driver_class()
        if chosen.__module__ != "textual.drivers.linux_driver":
            return chosen
        from omni_tui.face.driver import TerminalDriver

        return TerminalDriver

    @property
    def _terminal_driver(self) -> TerminalDriver | None:
        """Our driver, None in tests, in a browser and where there is no Unix terminal."""
        if self._driver is None or self.is_headless or self.is_web or sys.platform == "win32":
            return None
        from omni_tui.face.driver import TerminalDriver

        return self._driver if isinstance(self._driver, TerminalDriver) else None

    @property
    def _window(self) -> TerminalWindow | None:
        """The window of the terminal, None where we have no terminal of our own."""
        driver = self._terminal_driver
        return driver.window if driver is not None else None

    def get_default_screen(self) -> Screen[Any]:
        """Start with the main screen."""
        return MainScreen()

    @property
    def main(self) -> MainScreen:
        """The main screen, whatever lies over it."""
        return next(screen for screen in self.screen_stack if isinstance(screen, MainScreen))

    # --- life

    def on_mount(self) -> None:
        """Draw the first frame, then start the engine."""
        for signal in (self.screen_change_signal, self.theme_changed_signal, self.app_resume_signal):
            signal.subscribe(self, lambda _what: self.stillness.disturb(), immediate=True)
        self.app_resume_signal.subscribe(self, self._resumed)
        self.call_after_refresh(self._begin)

    def _resumed(self, _app: App[Any]) -> None:
        self.refresh(layout=True)

    def on_app_focus(self) -> None:
        """The terminal got the focus back: what could be approved has to be looked at again."""
        self.stillness.disturb()
        self._tell_terminal()

    def on_resize(self) -> None:
        """Another size moves everything on the screen, even before it is laid out again."""
        self.stillness.disturb()

    def _fatal_error(self) -> None:
        """Print one sentence; Textual would print a traceback with the values of variables in it."""
        from rich.segment import Segments

        words = crash_log.crash_message(crash_log.log_crash(self.options.state_dir))
        self._exit_renderables.append(Segments(self.console.render(words, self.console.options)))
        self._close_messages_no_wait()

    def _check_terminal(self) -> None:
        self._collector.tick(monotonic())
        if not self.is_headless and crash_log.terminal_is_gone():
            self.exit()

    async def _begin(self) -> None:
        self.set_interval(1.0, self._check_terminal, name="terminal")
        await self.main.furnish()
        self._furnished = True
        if not gc.isenabled():  # the command line switched it off; what is loaded by now stays
            gc.freeze()
            gc.enable()
            self._collector.begin()
        early, self._early_actions = self._early_actions, []
        for name, argument in early:
            self.run_named(name, argument)
        for problem in self._startup_problems:
            self.say(problem, level="warning", timeout=12.0)
        self._startup_problems = []
        self.run_worker(self._live(), group="engine", exclusive=True, exit_on_error=False)

    async def _live(self) -> None:
        """Connect if need be, then pump events until the engine is gone."""
        if self.link is None or self._engine_gone:
            connect = self._restart if self._engine_gone else self._connect
            if connect is None:
                return
            if self._engine_gone:
                self.port = LinkPort(None, self)
            try:
                self.link = await connect()
            except Exception as error:
                _log.exception("the engine did not start")
                why = safe_line(str(error) or type(error).__name__)
                self.port.fail(LinkClosed(why))
                self.stopped(why)
                return
            self.port.connect(self.link)
            self._show_engine_state("")
        await self.pump.run(self.link, self.port)

    async def run_async(self, **options: Any) -> None:
        """Run until the person leaves; then, with the terminal restored, close the link."""
        try:
            return await super().run_async(**options)
        finally:
            if self.link is not None:
                await self.link.close()

    def restart_engine(self) -> None:
        """Start the engine again if it has stopped."""
        if self._engine_gone and self._restart is not None:
            self._stopped_bar.update(Content("Starting the engine again …"))
            self.run_worker(self._live(), group="engine", exclusive=True, exit_on_error=False)

    def leave(self, *, for_demo: bool = False) -> None:
        """Leave the app; with `for_demo` the demo starts next."""
        self.wants_demo = for_demo
        self.exit()

    def suspend_to_shell(self) -> None:
        """Give the shell its terminal back until `fg`."""
        from omni_tui.face.driver import has_job_control

        if self.is_headless or self.is_web or not has_job_control():
            why = "There is no shell behind this terminal that could bring Omni TUI back, so it stays."
            self.say(why, level="warning")
        else:
            self.action_suspend_process()

    # --- actions

    def action_run(self, name: str) -> None:
        """Run an action by its key."""
        self.run_named(name)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer `restart` only while the engine is gone."""
        return self._engine_gone if parameters == ("restart",) else True

    def run_named(self, name: str, argument: str = "") -> None:
        """Run an action of the registry; as soon as all panes are there."""
        if not self._furnished:
            self._early_actions.append((name, argument))
            return
        try:
            action = actions.get(name)
        except KeyError:
            self.say(f"There is no command {name}.", level="warning")
            return
        if action.run is not None:
            action.run(self, argument)
        elif action.where != "app":
            self.go("chat" if action.where == "composer" else action.where)
            done = getattr(self.main.widget_of(action.where), f"action_{name}")()
            if isawaitable(done):  # some of Textual's own actions are coroutines
                self.run_worker(done, group="action", exit_on_error=False)

    def on_run_action(self, message: RunAction) -> None:
        """Run a slash command, or an action that a pane asks for."""
        self.run_named(message.name, message.argument.strip())

    def selected_text(self) -> str:
        """Return what is selected with the mouse or in a field."""
        field = self.focused
        chosen = field.selected_text if isinstance(field, Input | TextArea) else ""
        return self.screen.get_selected_text() or chosen

    # --- screens and panes

    def go(self, name: PaneName) -> None:
        """Close every other screen and give the keys to a pane."""
        while len(self.screen_stack) > 1 and not isinstance(self.screen, MainScreen):
            self.pop_screen()
        self.main.focus_pane(name)

    def show(self, screen: Screen[Result], then: Callable[[Result | None], None] | None = None) -> None:
        """Open a screen; `then` gets its result."""
        self.push_screen(screen, then)

    def in_background(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Run a coroutine as a worker of the app."""
        self.run_worker(work, group=group, exit_on_error=False)

    def confirm(self, question: str, detail: str, yes: str, then: Callable[[bool | None], None]) -> None:
        """Ask a yes-or-no question; `then` gets the answer."""
        from omni_tui.face.screens.confirm import ConfirmScreen

        self.push_screen(ConfirmScreen(safe_line(question), safe_line(detail, limit=600), yes), then)

    def key(self, action: str, *, spelled: bool = False) -> str:
        """Return the first key of an action, as a person writes it; see `key_names.show_key`."""
        return key_of(action, self.keymap, spelled=spelled)

    def input_since(self, stamp: float) -> bool:
        """Return whether anything may have come from the terminal after a key with the time `stamp`."""
        if (driver := self._terminal_driver) is None:
            return True
        return driver.input_since(stamp)

    def show_help(self) -> None:
        """Show every key of the current pane and of the app."""
        from omni_tui.face.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            current = self.main.current
            self.show(HelpScreen(current, self.main.pane(current).HELP, self.keymap))

    def open_palette(self, text: str = "") -> None:
        """Open the command palette with `text` typed into it."""
        from textual.command import CommandPalette

        from omni_tui.face.palette import ActionProvider, ChoiceProvider

        if not isinstance(self.screen, CommandPalette):
            for problem in self.themes.load():
                self.say(problem, level="warning", timeout=10.0)
            providers = [ActionProvider, ChoiceProvider]
            self.push_screen(CommandPalette(providers=providers, placeholder="find a command …"))
            if text:
                self.call_after_refresh(self._type_into_palette, text[:MOST_TYPED])

    def _type_into_palette(self, text: str) -> None:
        for line in self.screen.query(Input):
            line.value = text
            line.cursor_position = len(text)

    def on_open_tool(self, message: OpenTool) -> None:
        """Open a tool's form."""
        from omni_tui.face.screens.tool import ToolScreen

        history = self.main.tools.history
        self.push_screen(ToolScreen(message.server, message.tool, message.arguments_json, history=history))

    def on_focus_call(self, message: FocusCall) -> None:
        """Show a call: in the approvals if it is pending, else in the chat."""
        if message.call in self.overview.pending:
            self.go("approvals")
            self.main.approvals.focus_call(message.call)
        else:
            self.go("chat")
            self.main.chat.transcript.focus_call(message.call)

    def on_show_server_log(self, message: ShowServerLog) -> None:
        """Show what a server wrote."""
        from omni_tui.face.screens.server_log import ServerLogScreen

        self.push_screen(ServerLogScreen(message.server))

    def on_select_server(self, message: SelectServer) -> None:
        """Put the cursor of the servers on one of them."""
        self.main.servers.select_server(message.server)

    def on_insert_text(self, message: InsertText) -> None:
        """Put text into the composer."""
        self.main.chat.composer.insert(message.text)

    def on_attach_resource(self, message: AttachResource) -> None:
        """Attach a resource to the message that is being written, and go there."""
        self.go("chat")
        self.main.chat.composer.attach(message.server, message.uri, message.label)

    def on_open_result(self, message: OpenResult) -> None:
        """Show the whole result of a call."""
        from omni_tui.face.screens.reader import ReaderScreen

        self.push_screen(ReaderScreen(message.call, title=message.title, parts=message.parts))

    # --- notifications

    def say(self, what: str, *, level: Level = "information", timeout: float = 5.0) -> None:
        """Show one line for `timeout` seconds."""
        self.notify(safe_line(what, limit=600), severity=level, timeout=timeout, markup=False)

    def failed(self, failure: CommandFailed) -> None:
        """Show why a command failed and what to do."""
        lines = (failure.what, failure.why, failure.todo)
        text = "\n".join(safe_line(line, limit=400) for line in lines if line)
        self.notify(text, severity="error", timeout=10.0, markup=False)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Show a toast, and keep its words for `/messages`."""
        words = "\n".join(filter(None, (title, message)))
        self.toasts.append(ToastMessage(self.clock.time(), severity, words))
        seconds = self.NOTIFICATION_TIMEOUT if timeout is None else timeout
        self.post_message(Notify(SteadyNotification(message, title, severity, seconds, markup=markup)))

    def on_notify(self) -> None:
        """A toast appears: what could be approved may be under it, and has to be looked at again."""
        self.stillness.disturb()

    def on_copy_text(self, message: CopyText) -> None:
        """Copy, and show where the copy went."""
        self.in_background(self._copy(message.text, message.what), "copy")

    async def _copy(self, text: str, what: str) -> None:
        from omni_tui.face import clipboard

        name = what[:1].upper() + what[1:]
        text = encodable(text)  # JSON can hold half a character, a clipboard cannot
        sent = clipboard.terminal_accepts(text) and not self.is_headless
        if sent:
            self.copy_to_clipboard(text)
        tool = await clipboard.copy_locally(text)
        if tool or sent:
            how = f"with {tool}" if tool else "through the terminal"
            self.say(f"{name} is copied ({how}).", timeout=3.0)
        else:
            try:
                file = clipboard.copy_to_file(text, self.private_dir)
                self.say(f"{name} is written to {file}.", timeout=10.0)
            except OSError as error:
                self.say(f"{name} could not be copied: {error.strerror}.", level="error")

    # --- events from the pump

    def deliver(self, event: AnyEvent) -> None:
        """Fold one event into everything that shows something of it."""
        unread = len(self.overview.prompts_resources.changed)
        self.overview.apply(event)
        is_unread = len(self.overview.prompts_resources.changed) > unread
        screens = [screen for screen in self.screen_stack[1:] if isinstance(screen, EventListener)]
        listeners: list[EventListener] = [*self.main.panes, *screens]
        for listener in listeners:
            try:
                listener.apply(event)
            except Exception:
                _log.exception("%s could not take %s", type(listener).__name__, type(event).__name__)
        match event:
            case JournalFailed(what=what):
                self.notify(what, title="Not saved", severity="error", markup=False, timeout=30)
            case Notice(level="error", what=what, why=why, todo=todo):
                # The transcript shows warnings; a toast that covers what is being read is for errors.
                lines = (safe_line(line, limit=400, joined=True) for line in (what, why, todo) if line)
                self.notify("\n".join(lines), severity="error", timeout=8.0, markup=False)
            case EngineReady():
                self._greet(event)
            case PluginsChanged():
                self.themes.reload()
            case ResourceUpdated() if is_unread:
                self.say(f"{identifier(event.server)} › {event.label} has changed.")
            case _:
                pass

    def _greet(self, ready: EngineReady) -> None:
        """Show the welcome page once, at a first run, unless the person is writing."""
        if ready.first_run and not self._greeted and self.screen is self.main:
            self._greeted = True
            if not self.main.chat.draft:
                self.run_named("welcome")

    def flushed(self) -> None:
        """Redraw the bars and the terminal's title after a batch of events."""
        self._collector.note_activity(monotonic())
        if self.is_running and self.screen_stack:
            self.main.update_bars()
            self._tell_terminal()

    def _tell_terminal(self) -> None:
        """Show in the terminal's title what waits, and ring for a person who looks elsewhere."""
        overview = self.overview
        ring = self._attention.look(overview.pending, overview.running, focus=self.app_focus)
        window = self._window
        if window is not None and self._titled:
            window.show(self._attention.title(overview.title))
        if window is not None and ring and self._rings:
            window.ring()

    def clear_session(self) -> None:
        """Make room for another session, which is replayed next."""
        self.overview.clear_session()
        for pane in self.main.panes:
            pane.clear_session()

    def change_session(self, command: AnyCommand, failed: Callable[[str], None] | None = None) -> None:
        """Send a command that opens another session, and show that session; `failed` gets why not."""
        work = self._change_session(command, failed)
        self.run_worker(work, group="session", exclusive=True, exit_on_error=False)

    async def _change_session(self, command: AnyCommand, failed: Callable[[str], None] | None) -> None:
        before = self.pump.session
        try:
            reply = await self.port.ask(command)
        except CommandError as refused:
            failure = refused.failure
            if failed is None:
                self.failed(failure)
            else:
                failed(" · ".join(filter(None, (failure.what, failure.why, failure.todo))))
        except (TimeoutError, LinkClosed):
            if failed is None:
                self.say("The engine did not answer; the session is as it was.", level="error")
            else:
                failed("the engine did not answer; the session is as it was")
        else:
            session = reply.id if isinstance(reply, CommandDone) else ""
            if self.pump.session == before and session != before:
                self.pump.switch(session, self.port)

    def show_whole_session(self) -> None:
        """Show the beginning of a long session too."""
        self.pump.show_whole(self.port)

    # --- the engine is gone

    def stopped(self, why: str) -> None:
        """Show in a bar that the engine is gone, and how to restart it."""
        if not self._engine_gone:
            log = self.overview.ready.log_path if self.overview.ready is not None else ""
            self._show_engine_state(why or "it ended", log)

    def _show_engine_state(self, why: str, log: str = "") -> None:
        """Show that the engine is gone and why; "" that it is there."""
        self._engine_gone = bool(why)
        if not self.is_running or not self.screen_stack:
            return
        self.main.set_class(self._engine_gone, "-engine-stopped")
        if why:
            text = f"The engine stopped: {safe_line(why, limit=300)}"
            text += f" · log: {safe_line(log)}" if log else ""
            restart = f" · press {self.key('restart', spelled=True)} to start it again"
            leave = f" · {self.key('quit', spelled=True)} leaves"
            text += restart if self._restart is not None else leave
            self._stopped_bar.update(Content(text))
            self.overview.engine_stopped()
            for pane in self.main.panes:
                pane.engine_stopped()
            self._servers_ended()
            for screen in self.screen_stack[1:]:
                screen.post_message(EngineGone())
        self.main.update_bars()

    def _servers_ended(self) -> None:
        """Show every server as ended: none outlives its engine."""
        for server in list(self.overview.servers.values()):
            if server.state in _UP:
                reason, todo = safe_line("it ended with the engine"), safe_line("Start the engine again.")
                ended = msgspec.structs.replace(server, state="failed", reason=reason, todo=todo)
                self.deliver(msgspec.structs.replace(ended, next_try=None, latency_ms=None))

    @property
    def _stopped_bar(self) -> Static:
        return self.main.query_one("#stopped", Static)

    # --- settings

    @property
    def private_dir(self) -> str:
        """The state folder, "" if there is none."""
        return self.options.state_dir if Path(self.options.state_dir or "/nowhere").is_dir() else ""

    @property
    def theme_names(self) -> Sequence[str]:
        """The names of the themes that can be used."""
        if not self.themes.names:
            self.themes.load()
        return self.themes.names

    def change_theme(self, name: str) -> None:
        """Use a theme and remember it."""
        for problem in self.themes.change(name):
            self.say(problem, level="warning", timeout=10.0)
