"""The app: panes over a link to an engine. It holds what they share and survives the engine's death."""

from __future__ import annotations

import gc
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face import actions, crash_log
from omni_tui.face.clock import Clock, Stillness, SystemClock
from omni_tui.face.event_pump import EventPump, FacePort
from omni_tui.face.garbage_collector import GarbageCollector
from omni_tui.face.input_order import EngineGone
from omni_tui.face.keys import check_keys
from omni_tui.face.message_handlers import MessageHandlers
from omni_tui.face.options import FaceOptions
from omni_tui.face.output_filter import SafeOutputFilter
from omni_tui.face.overview import Overview
from omni_tui.face.port import CommandError
from omni_tui.face.screens.main import MainScreen
from omni_tui.face.themes import ThemeError, built_in_dir, fallback_variables, load_theme, load_themes
from omni_tui.face.toasts import MAX_TOASTS, ToastMessage
from omni_tui.protocol import AnyCommand, AnyEvent, Link, LinkClosed
from omni_tui.protocol.events import CommandFailed, EngineReady, JournalFailed, Notice
from omni_tui.protocol.prompts_and_resources import ResourceUpdated
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe_line

if TYPE_CHECKING:
    from textual.app import App
    from textual.driver import Driver
    from textual.notifications import SeverityLevel

    from omni_tui.face.port import Port

Connect = Callable[[], Awaitable[Link]]
_log = logging.getLogger(__name__)
_STYLES = Path(__file__).parent / "styles"
_LIVE = ("connecting", "active", "idle", "degraded", "needs_sign_in")
"""States of a server that its engine keeps up."""
_LEVELS = {"info": "information", "warning": "warning", "error": "error"}


class _NoLink:
    """A link before there is one: what is sent is kept and goes out when the engine is there."""

    def __init__(self) -> None:
        self.kept: list[AnyCommand] = []

    def send(self, command: AnyCommand) -> None:
        self.kept.append(command)

    def events(self) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return


class OmniApp(MessageHandlers):
    """The face.

    `link` is a link, or a function that makes one: then the first frame is there before the engine.
    `wants_demo` says, after it has left, that the person chose the demo: whoever started it does.
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
        self._keymap_user: dict[str, str] = {}
        self.told: deque[ToastMessage] = deque(maxlen=MAX_TOASTS)
        super().__init__()
        self._filters.append(SafeOutputFilter())
        self.link: Link = _NoLink() if callable(link) else link
        self._connect = link if callable(link) else None
        self._restart = restart or self._connect
        self.pump = EventPump(self)
        self._own_port = FacePort(self.link, self)
        self.port: Port = self._own_port
        self._engine_gone = False
        self._greeted = False
        self._complaints: list[str] = []
        self._collector = GarbageCollector(monotonic())
        self._apply_settings()

    # --- before the first frame

    def _apply_settings(self) -> None:
        """Theme and keys: command line, config file, what was remembered."""
        from omni_tui.config.ui_settings import UiSettings, read_ui
        from omni_tui.face.saved_theme import load_saved_theme

        settings = read_ui(self.options.config_path) if self.options.config_path else UiSettings()
        keymap, problems = check_keys(settings.keys)
        self._complaints += [str(problem) for problem in problems]
        self._keymap_user = keymap
        if keymap:
            self.set_keymap(keymap)
        wanted = self.options.theme or settings.theme or load_saved_theme(self.options.state_dir)
        self._first_theme(wanted or "omni-dark")
        # Textual would read all styles with its own theme's colours first, and again with these.
        self.stylesheet.set_variables(self.get_css_variables())
        self._styled_for = self.theme

    def refresh_css(self, animate: bool = True) -> None:
        """Style everything anew, except for the theme that it begins with."""
        first, self._styled_for = self._styled_for, ""
        if first != self.theme:
            super().refresh_css(animate=animate)

    def _first_theme(self, name: str) -> None:
        """Load one theme; the others can wait until somebody asks for them."""
        for folder in (self._user_themes, built_in_dir()):
            path = folder / f"{name}.toml"
            if folder != Path() and Path(name).name == name and path.is_file():
                try:
                    theme = load_theme(path)
                except ThemeError as bad:
                    self._complaints.append(str(bad))
                else:
                    self.register_theme(theme)
                    self.theme = theme.name
                    return
        self._load_all_themes()
        if name not in self.theme_names:
            self._complaints.append(f"There is no theme {name}; the themes: {', '.join(self.theme_names)}.")
            name = "omni-dark"
        self.theme = name

    @property
    def _user_themes(self) -> Path:
        return Path(self.options.themes_dir) if self.options.themes_dir else Path()

    @property
    def theme_names(self) -> list[str]:
        """Names of all themes that can be used."""
        self._load_all_themes()
        return self._theme_names

    _theme_names: list[str] = []

    def _load_all_themes(self) -> None:
        if self._theme_names:
            return
        folders = [built_in_dir(), *([self._user_themes] if self.options.themes_dir else [])]
        loaded, failed = load_themes(folders)
        for theme in loaded:
            if theme.name != self.theme:
                self.register_theme(theme)
        self._theme_names = [theme.name for theme in loaded]
        for bad in failed:
            self.say(
                f"A theme could not be used. {bad}", level="warning", timeout=10.0
            ) if self.is_running else (self._complaints.append(str(bad)))

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Give every role of ours a colour, whatever the theme."""
        return fallback_variables()

    def get_driver_class(self) -> type[Driver]:
        """Use our own driver where Textual would use the one of a Unix terminal."""
        chosen = super().get_driver_class()
        if chosen.__module__ != "textual.drivers.linux_driver":
            return chosen
        from omni_tui.face.driver import TerminalDriver

        return TerminalDriver

    def get_default_screen(self) -> Screen[Any]:
        """Begin on the main screen."""
        return MainScreen()

    # --- life

    def on_mount(self) -> None:
        """The first frame comes first; the engine after it."""
        self._follow_the_screen()
        self.app_resume_signal.subscribe(self, self._resumed)
        self.call_after_refresh(self._begin)

    def _resumed(self, _app: App[Any]) -> None:
        """Back from the background or from an editor: draw it all. (Nothing is armed: see below.)"""
        self.refresh(layout=True)

    def on_app_focus(self) -> None:
        """The terminal got the focus back: whatever could be approved has to be looked at again."""
        self.stillness.disturb()

    def on_resize(self) -> None:
        """Another size: nothing on the screen stands where it stood, even before it is laid out anew."""
        self.stillness.disturb()

    def _follow_the_screen(self) -> None:
        """Whatever opens, closes or changes the look of everything starts the quiet time again."""
        for signal in (self.screen_change_signal, self.theme_changed_signal, self.app_resume_signal):
            signal.subscribe(self, lambda _what: self.stillness.disturb(), immediate=True)

    def _fatal_error(self) -> None:
        """Say one sentence; Textual would print a traceback with the values of variables in it."""
        from rich.segment import Segments

        words = crash_log.crash_message(crash_log.log_crash(self.options.state_dir))
        self._exit_renderables.append(Segments(self.console.render(words, self.console.options)))
        self._close_messages_no_wait()

    def _look_at_terminal(self) -> None:
        self._collector.tick(monotonic())
        if not self.is_headless and crash_log.terminal_is_gone():
            self.exit()

    async def _begin(self) -> None:
        self.set_interval(1.0, self._look_at_terminal, name="terminal")
        await self.main.furnish()
        if not gc.isenabled():  # see `cli.dispatch`; what is loaded by now stays
            gc.freeze()
            gc.enable()
            self._collector.begin()
        for complaint in self._complaints:
            self.say(complaint, level="warning", timeout=12.0)
        self._complaints.clear()
        self.run_worker(self._live(), group="engine", exclusive=True, exit_on_error=False)

    async def _live(self) -> None:
        """Connect if need be, then pump events until the engine is gone."""
        if isinstance(self.link, _NoLink) or self._engine_gone:
            connect = self._restart if self._engine_gone else self._connect
            if connect is None:
                return
            before = self.link
            try:
                self.link = await connect()
            except Exception as error:
                _log.exception("the engine did not start")
                if isinstance(before, _NoLink):
                    before.kept.clear()
                why = safe_line(str(error) or type(error).__name__)
                self._own_port.fail(LinkClosed(why))
                self.stopped(why)
                return
            port = FacePort(self.link, self)
            if isinstance(before, _NoLink):
                port.take_over(self._own_port, before.kept)
            self._own_port = self.port = port
            self._set_gone("")
        await self.pump.run(self.link, self.port)  # type: ignore[arg-type]

    async def run_async(self, **options: Any) -> None:
        """Run until the person leaves; then, with the terminal given back, say goodbye to the engine."""
        try:
            return await super().run_async(**options)
        finally:
            await self.link.close()

    def action_restart(self) -> None:
        """Start the engine again."""
        if self._engine_gone and self._restart is not None:
            self.query_one_stopped().update(Content("Starting the engine again …"))
            self.run_worker(self._live(), group="engine", exclusive=True, exit_on_error=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`restart` is there only when there is something to start."""
        return self._engine_gone if action == "restart" else True

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
        self.told.append(ToastMessage(self.clock.time(), severity, words))
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)

    # --- what the pump tells

    def deliver(self, event: AnyEvent) -> None:
        """Fold one event into everything that shows something of it."""
        known = len(self.overview.offers.changed)
        self.overview.apply(event)
        event_is_news = len(self.overview.offers.changed) > known
        for taker in self._takers():
            try:
                taker.apply(event)
            except Exception:
                _log.exception("%s could not take %s", type(taker).__name__, type(event).__name__)
        match event:
            case JournalFailed(what=what):
                self.notify(what, title="Not saved", severity="error", markup=False, timeout=30)
            case Notice(level="error" as level, what=what, why=why, todo=todo):
                # Warnings stand in the conversation; a toast over what is being read is for errors.
                text = "\n".join(
                    safe_line(line, limit=400, joined=True) for line in (what, why, todo) if line
                )
                self.notify(text, severity=_LEVELS[level], timeout=8.0, markup=False)  # type: ignore[arg-type]
            case EngineReady():
                self._greet(event)
            case ResourceUpdated() if event_is_news:
                self.say(f"{identifier(event.server)} › {event.label} has changed.")
            case _:
                pass

    def _takers(self) -> list[Any]:
        """Return the panes and those open screens that follow events."""
        screens = [screen for screen in self.screen_stack[1:] if hasattr(screen, "apply")]
        return [*self.main.panes, *screens]

    def _greet(self, ready: EngineReady) -> None:
        """Show the first page once, if there is nothing yet and nobody is writing."""
        if ready.first_run and not self._greeted and self.screen is self.main:
            self._greeted = True
            if not getattr(self.main.pane("chat"), "draft", ""):
                self.action_welcome()

    def flushed(self) -> None:
        """A batch is through: the bars, the terminal's title."""
        self._collector.stir(monotonic())
        if self.is_running and self.screen_stack:
            self.main.update_bars()
            self._name_terminal()

    _named = ""

    def _name_terminal(self) -> None:
        waiting = len(self.overview.pending)
        parts = ("omni", self.overview.title, f"{waiting} to approve" if waiting else "")
        name = safe_line(" · ".join(part for part in parts if part), limit=80, joined=True)
        if name != self._named:
            self._named = name
            if self._driver is not None and not self.is_headless and not self.is_web:
                self._driver.write(f"\x1b]2;{name}\x07")

    def clear_session(self) -> None:
        """Another session is about to be replayed."""
        self.overview.clear_session()
        for pane in self.main.panes:
            pane.clear_session()

    def change_session(self, command: AnyCommand, failed: Callable[[str], None] | None = None) -> None:
        """Ask the engine for another session and take it in when it is there."""
        work = self._change_session(command, failed)
        self.run_worker(work, group="session", exclusive=True, exit_on_error=False)

    async def _change_session(self, command: AnyCommand, failed: Callable[[str], None] | None) -> None:
        before = self.pump.session
        try:
            reply = await self.port.ask(command)
        except CommandError as refused:
            if failed is None:
                self.failed(refused.failure)
            else:
                told = refused.failure
                failed(" · ".join(filter(None, (told.what, told.why, told.todo))))
        except (TimeoutError, LinkClosed):
            if failed is None:
                self.say("The engine did not answer; the session is as it was.", level="error")
            else:
                failed("the engine did not answer; the session is as it was")
        else:
            session = getattr(reply, "id", "")
            if self.pump.session == before and session != before:
                self.pump.switch(session, self.port)  # type: ignore[arg-type]

    def failed(self, failure: CommandFailed) -> None:
        """A command came to nothing."""
        super().failed(failure)

    # --- the engine is gone

    def stopped(self, why: str) -> None:
        """Say so in a bar that stays, and how to go on."""
        if self._engine_gone:
            return
        log = self.overview.ready.log_path if self.overview.ready is not None else ""
        self._set_gone(why or "it ended", log)

    def _set_gone(self, why: str, log: str = "") -> None:
        self._engine_gone = bool(why)
        if not self.is_running or not self.screen_stack:
            return
        self.main.set_class(self._engine_gone, "-engine-stopped")
        if why:
            text = f"The engine stopped: {safe_line(why, limit=300)}"
            text += f" · log: {safe_line(log)}" if log else ""
            text += " · press ctrl+r to start it again" if self._restart is not None else " · ctrl+q leaves"
            self.query_one_stopped().update(Content(text))
            self.overview.engine_stopped()
            for pane in self.main.panes:
                pane.engine_stopped()
            self._servers_ended()
            for screen in self.screen_stack[1:]:
                screen.post_message(EngineGone())
        self.main.update_bars()

    def _servers_ended(self) -> None:
        """No server outlives its engine: no row may say otherwise."""
        for server in list(self.overview.servers.values()):
            if server.state in _LIVE:
                self.deliver(
                    msgspec.structs.replace(
                        server,
                        state="failed",
                        reason=safe_line("it ended with the engine"),
                        todo=safe_line("Start the engine again."),
                        next_try=None,
                        latency_ms=None,
                    )
                )

    def query_one_stopped(self) -> Static:
        """Return the bar."""
        return self.main.query_one("#stopped", Static)

    # --- what the verbs need

    @property
    def keymap(self) -> dict[str, str]:
        """Keys the person changed: action name to keys."""
        return self._keymap_user

    @property
    def private_dir(self) -> str:
        """The state folder."""
        return self.options.state_dir if Path(self.options.state_dir or "/nowhere").is_dir() else ""

    def change_theme(self, name: str) -> None:
        """Use a theme and remember it."""
        from omni_tui.face.saved_theme import save_theme

        if name not in self.theme_names:
            self.say(
                f"There is no theme {name}. The themes: {', '.join(self.theme_names)}.", level="warning"
            )
            return
        self.theme = name
        save_theme(self.options.state_dir, name)
