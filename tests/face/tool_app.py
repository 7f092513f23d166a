"""A mini app for the tool side of the face: the real theme, a scripted port, one widget or screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget

from omni_tui.face.clock import Stillness
from omni_tui.face.keys import key_of
from omni_tui.face.messages import CopyText, OpenTool
from omni_tui.face.overview import Overview
from omni_tui.face.port import CommandError
from omni_tui.face.themes import DEFAULT_THEME, built_in_dir, load_themes
from omni_tui.protocol import AnyCommand, AnyEvent, SafeText
from omni_tui.protocol.commands import CheckArguments
from omni_tui.protocol.events import ArgumentsChecked, CommandDone, CommandFailed
from tests.face.fake import FakeClock

HOSTILE = '[/] [@click=app.quit]x[/] \x1b]52;c;aGk=\x07 \u202eevil\u2066 {"a":[true]} [/path]'
"""What a server may call anything: markup, a clipboard escape, direction marks, JSON."""


class ScriptedPort:
    """Records what is sent and asked; `answers[type]` makes the reply (an exception is raised)."""

    def __init__(self) -> None:
        self.sent: list[AnyCommand] = []
        self.asked: list[AnyCommand] = []
        self.answers: dict[type[Any], Callable[[Any], AnyEvent | Exception]] = {
            CheckArguments: lambda _command: ArgumentsChecked(problems=())
        }

    def send(self, command: AnyCommand) -> None:
        self.sent.append(command)

    async def ask(self, command: AnyCommand, *, timeout: float = 30.0) -> Any:
        self.asked.append(command)
        answer = self.answers.get(type(command))
        reply = answer(command) if answer else CommandDone()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def of(self, kind: type[Any]) -> list[Any]:
        return [command for command in [*self.sent, *self.asked] if isinstance(command, kind)]


def refused(what: str, why: str = "", todo: str = "") -> CommandError:
    return CommandError(CommandFailed(what=SafeText(what), why=SafeText(why), todo=SafeText(todo)))


def in_the_way(path: str) -> CommandError:
    """Return the engine's answer if a file of that name exists."""
    return CommandError(CommandFailed(what=SafeText(f"{path} exists already"), exists=True))


class ToolApp(App[None]):
    """Shows one widget in the default theme."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: $pane; }"

    def __init__(self, *widgets: Widget, port: ScriptedPort | None = None) -> None:
        super().__init__()
        self.port = port or ScriptedPort()
        self._widgets = widgets
        self.opened: list[tuple[str, str]] = []
        self.copied: list[str] = []
        self.clock = FakeClock(1_794_060_120.0)
        self.stillness = Stillness(self.clock)
        self.overview = Overview()
        self.keymap: dict[str, str] = {}
        self.private_dir = ""
        for theme in load_themes([built_in_dir()])[0]:
            self.register_theme(theme)
        self.theme = DEFAULT_THEME

    def input_since(self, stamp: float) -> bool:
        return True

    def key(self, action: str, *, spelled: bool = False) -> str:
        return key_of(action, self.keymap, spelled=spelled)

    def compose(self) -> ComposeResult:
        yield from self._widgets

    def on_open_tool(self, event: OpenTool) -> None:
        self.opened.append((event.server, event.tool))

    def on_copy_text(self, event: CopyText) -> None:
        self.copied.append(event.text)

    def seen(self) -> str:
        """The whole screen as text, one line per row."""
        strips = self.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)


async def until(pilot: Pilot[None], condition: Callable[[], object], what: str) -> None:
    """Let the app run until a condition holds; fail after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        await pilot.pause(0.01)


async def settled(pilot: Pilot[None]) -> None:
    """Let the app do all that it has to do for what was pressed: every message and the ones that follow."""
    for _ in range(3):
        await pilot.pause()


def assert_safe(app: ToolApp) -> None:
    """Nothing on the screen can move the cursor, hide, or turn round."""
    for character in app.seen():
        assert character == "\n" or (character.isprintable() and character not in "\u202e\u2066"), repr(
            character
        )
