"""What exactly a server starts, before it may: program, arguments, variables, warnings."""

from __future__ import annotations

from typing import cast

from textual import work
from textual.binding import Binding
from textual.content import Content

from omni_tui.face.approval.argument_lines import argument_lines
from omni_tui.face.approval.arming import Painted
from omni_tui.face.approval.change import Change, change_lines, read_change
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
from omni_tui.face.screens.read_to_end import ReadToEndScreen
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import wrap
from omni_tui.protocol.commands import AllowServer, ReadLaunch
from omni_tui.protocol.server_settings import LaunchRead

_FROM = {
    "project": "this project's file names it; you did not write it into your own config",
    "imported": "it was read from another program's file",
    "bundle": "it was unpacked from a bundle; nobody checked it, nor whose it is",
    "registry": "it was found in the public registry, where anyone can publish; nobody checked it",
}


class TrustServerScreen(ReadToEndScreen[None]):
    """Allows a server to start, after all of it was seen."""

    BINDINGS = [Binding("A", "allow", "allow", id="approve"), Binding("escape,q", "back", "back")]

    def __init__(self, server: str, clock: Clock, stillness: Stillness) -> None:
        heading = Content.assemble(
            (f"Allow the server {visible_identifier(server)} to start?", "bold $text-1"),
            ("  From then on it starts by itself.", "$text-2"),
        )
        super().__init__(heading, clock, stillness)
        self.server = server
        self.launch: LaunchRead | None = None
        self.change: Change | None = None
        """How it differs from what was allowed before."""
        self._said = "asking …"

    def on_mount(self) -> None:
        """Ask the engine what it would start."""
        self._ask()

    @work(group="consent", exclusive=True, exit_on_error=False)
    async def _ask(self) -> None:
        launch = await request(shell_of(self), ReadLaunch(server=self.server), self._say)
        if not isinstance(launch, LaunchRead):
            return
        if launch.changed:
            self.change = await read_change(shell_of(self), self.server, "", self._say)
            if self.change is None:
                return
        self.launch = launch
        self.draw()
        self._say("")

    def _say(self, words: str) -> None:
        self._said = words
        self.look()

    def draw(self) -> None:
        """Draw what would be started."""
        if self.launch is not None:
            room = self.view.room
            lines = launch_lines(self.launch, room)
            if self.change is not None:
                lines = [*_changed_since(self.change, room), *lines]
            self.view.show(lines)

    def painted(self) -> Painted | None:
        """Return what would be started, and whether all of it was seen."""
        if self.launch is None:
            return None
        return Painted(self.launch.server, self.launch.digest, self.view.end_seen)

    def keys(self) -> Content:
        """Return the keys, and what is missing."""
        if self.launch is None:
            return Content.assemble(
                ("esc", "bold $text-2"), (" back   ", "$text-2"), (self._said, "$waiting")
            )
        whole = self.view.end_seen
        more = f"{self.accept_key} counts at the end: page down, or End"
        state = self._said or ("all of it seen" if whole else more)
        return Content.assemble(
            self.accept_keys("allow it"),
            ("esc", "bold $text-2"), (" not now   ", "$text-2"),
            (state, "$text-3" if whole and not self._said else "$waiting"),
        )  # fmt: skip

    def action_allow(self) -> None:
        """Allow it, if all of it was seen and nothing has happened for a moment."""
        self.hold(self._allow)

    @work(group="consent", exclusive=True, exit_on_error=False)
    async def _send(self, launch: LaunchRead) -> None:
        command = AllowServer(server=launch.server, digest=launch.digest)
        if await request(shell_of(self), command, self._say) is not None:
            self.dismiss(None)

    def _allow(self) -> None:
        if self.launch is not None:
            self._send(self.launch)


def launch_lines(launch: LaunchRead, width: int) -> list[Content]:
    """Draw the warnings, what would be started, and where its settings come from."""
    lines = [line for words in launch.dangers for line in _danger(words, width)]
    lines += [Content("")] if lines else []
    pairs = parse(launch.launch_json) or JsonObject()
    drawn = _rows(dict(pairs), launch)
    lines += argument_lines(drawn, width)
    source = _FROM.get(launch.source, "")
    verdict = "every argument and every variable is shown"
    if shows_differently(drawn):
        verdict += "; invisible characters are shown as <U+…>, and below as they are sent"
    return [
        *lines,
        Content(""),
        *(wrap(Content.styled(source, "$text-2"), width) if source else []),
        *wrap(Content.styled(verdict, "$text-2"), width),
    ]


def _changed_since(change: Change, width: int) -> list[Content]:
    """Draw how the launch differs from the one that was allowed before; all of it follows below."""
    lines, _ = change_lines(change, width)
    words = "You know this server, and what it starts has changed since you accepted it."
    return [*wrap(Content.styled(words, "bold $waiting"), width), Content(""), *lines, Content("")]


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
