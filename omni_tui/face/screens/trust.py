"""What exactly a server starts, before it may: the program, every argument, every variable, what is odd."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.approval.argument_lines import argument_lines
from omni_tui.face.approval.arming import Arming, Painted
from omni_tui.face.approval.held_decision import HeldDecision
from omni_tui.face.approval.values import (
    JsonLiteral,
    JsonObject,
    JsonValue,
    OwnLabel,
    parse,
    shows_differently,
)
from omni_tui.face.approval.visible import visible, visible_identifier
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import LinesView, wrap
from omni_tui.face.widgets.next_frame import NextFrameCall
from omni_tui.protocol.commands import AllowServer, ReadLaunch
from omni_tui.protocol.consent import LaunchRead

if TYPE_CHECKING:
    from omni_tui.face.port import Port

_FROM = {
    "project": "this project's file names it; you did not write it into your own config",
    "imported": "it was read from another program's file",
}


class TrustServerScreen(Screen[None]):
    """Allows a server to start, with the safeguards of an approval: A, after all of it was seen."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "LinesView"
    BINDINGS = [Binding("A", "allow", "allow"), Binding("escape,q", "back", "back")]

    def __init__(self, server: str, clock: Clock, stillness: Stillness) -> None:
        super().__init__()
        self.server = server
        self.launch: LaunchRead | None = None
        self.arming = Arming(clock, stillness)
        self._decision = HeldDecision(self.arming, self.set_timer)
        self._drawing = NextFrameCall(self, self._draw)
        self._said = "asking …"

    def compose(self) -> ComposeResult:
        """Whose consent is asked for, what would run, the keys."""
        title = Content.assemble(
            (f"Allow the server {visible_identifier(self.server)} to start?", "bold $text-1"),
            ("  From then on it starts by itself.", "$text-2"),
        )
        yield Static(title, id="screen-title", markup=False)
        yield LinesView(id="whole")
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Ask the engine what it would start."""
        self.set_interval(0.1, self._look)
        self._ask()

    @property
    def view(self) -> LinesView:
        """What would be started."""
        return self.query_one(LinesView)

    @property
    def _port(self) -> Port:
        return shell_of(self).port

    @work(group="consent", exclusive=True, exit_on_error=False)
    async def _ask(self) -> None:
        try:
            launch = await self._port.ask(ReadLaunch(server=self.server))
        except REQUEST_ERRORS as error:
            self._said = error_text(error)
        else:
            if isinstance(launch, LaunchRead):
                self.launch, self._said = launch, ""
                self._draw()
        self._look()

    def _draw(self) -> None:
        if self.launch is not None:
            self.view.show(launch_lines(self.launch, self.view.room))

    def _look(self) -> None:
        """Arm once all of it was on the screen, and say where one is."""
        launch, foot = self.launch, self.query_one("#screen-foot", Static)
        if launch is None:
            foot.update(
                Content.assemble(("esc", "bold $text-2"), (" back   ", "$text-2"), (self._said, "$waiting"))
            )
            return
        whole = self.view.end_seen
        self.arming.paint(Painted(launch.server, launch.digest, whole))
        ready = "$done" if self.arming.armed else "$text-3"
        state = self._said or ("all of it seen" if whole else "A counts at the end: page down, or End")
        line = Content.assemble(
            ("A", f"bold {ready}"), (" allow it   ", "$text-2"),
            ("esc", "bold $text-2"), (" not now   ", "$text-2"),
            (state, "$text-3" if whole and not self._said else "$waiting"),
        )  # fmt: skip
        foot.update(line)

    # --- the safeguards of an approval

    def on_key(self, event: events.Key) -> None:
        """Every key is weighed before any binding sees it."""
        self._decision.key(event.key, event.time)

    def on_paste(self) -> None:
        """A paste decides nothing."""
        self._decision.disturb()

    def on_resize(self) -> None:
        """Another size, another picture."""
        self._decision.disturb()
        self._drawing.ask()

    def on_screen_resume(self) -> None:
        """Back from elsewhere."""
        self._decision.disturb()

    def action_allow(self) -> None:
        """Allow it, if all of it was seen and nothing has happened for a moment."""
        why = self._decision.why_not("not yet: see the end of it first, then wait a moment")
        if why:
            self.app.notify(why[:1].upper() + why[1:] + ".", markup=False, timeout=2.0)
        else:
            self._decision.hold(self._allow)

    @work(group="consent", exclusive=True, exit_on_error=False)
    async def _send(self, launch: LaunchRead) -> None:
        try:
            await self._port.ask(AllowServer(server=launch.server, digest=launch.digest))
        except REQUEST_ERRORS as error:
            self._said = error_text(error)
            self._look()
        else:
            self.dismiss(None)

    def _allow(self) -> None:
        if self.launch is not None:
            self._send(self.launch)

    def action_back(self) -> None:
        """Not now; nothing is allowed."""
        self.dismiss(None)


def launch_lines(launch: LaunchRead, width: int) -> list[Content]:
    """Draw what would be started, and what is to be thought of."""
    lines = [line for words in launch.dangers for line in _danger(words, width)]
    lines += [Content("")] if lines else []
    pairs = parse(launch.launch_json) or JsonObject()
    drawn = _rows(dict(pairs), launch)
    lines += argument_lines(drawn, width)
    come = _FROM.get(launch.source, "")
    verdict = "every argument and every variable of it is shown"
    if shows_differently(drawn):
        verdict += "; characters that do not show stand as <U+…>, and as sent below"
    return [
        *lines,
        Content(""),
        *(wrap(Content.styled(come, "$text-2"), width) if come else []),
        *wrap(Content.styled(verdict, "$text-2"), width),
    ]


def _danger(words: str, width: int) -> list[Content]:
    first, *rest = wrap(Content.styled(visible(words), "$waiting"), width - 2)
    mark = Content.styled("! ", "bold $waiting")
    return [mark + first, *(Content("  ") + piece for piece in rest)]


def _rows(table: dict[str, JsonValue], launch: LaunchRead) -> JsonObject:
    """Return what is started as names and values, none left out."""
    rows = JsonObject()
    if "url" in table:
        rows.append((OwnLabel("address"), table["url"]))
    else:
        rows.append((OwnLabel("runs"), launch.program or JsonLiteral("(no such program is found)")))
        if launch.real:
            rows.append((OwnLabel("that is"), launch.real))
        rows.append((OwnLabel("written"), table.get("command", "")))
    args = table.get("args", [])
    for number, argument in enumerate(args if isinstance(args, list) else [], 1):
        rows.append((OwnLabel(f"argument {number}"), cast("JsonValue", argument)))
    if table.get("cwd"):
        rows.append((OwnLabel("in folder"), table["cwd"]))
    for kind, word, between in (("env", "variable", "="), ("headers", "header", ": ")):
        given = table.get(kind)
        for name, value in given if isinstance(given, JsonObject) else []:
            secret = not isinstance(value, str) or isinstance(value, JsonLiteral)
            shown = JsonLiteral(f"{name}, its value is secret") if secret else f"{name}{between}{value}"
            rows.append((OwnLabel(word), shown))
    inherited = table.get("inherit", [])
    for each in inherited if isinstance(inherited, list) else []:
        rows.append((OwnLabel("of yours"), JsonLiteral(f"{each}, as your environment has it")))
    return rows
