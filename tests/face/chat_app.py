"""A mini app that holds a chat pane and nothing else; `python -m tests.face.chat_app` shows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from textual.app import App, ComposeResult

from omni_tui.face.keys import key_of
from omni_tui.face.messages import CopyText, RunAction
from omni_tui.face.overview import Overview
from omni_tui.face.panes.chat import ChatPane
from omni_tui.face.screens.reader import ReaderScreen
from omni_tui.face.themes import built_in_dir, load_themes
from omni_tui.face.transcript import OpenResult, TranscriptView
from omni_tui.face.widgets.composer import Composer
from omni_tui.protocol import AnyCommand, AnyEvent
from omni_tui.protocol.commands import ReadResult
from omni_tui.protocol.events import CommandDone
from tests.face.fake import FakeClock
from tests.face.scenario import NOW

_ROLES = "waiting done fail mine running text-1 text-2 text-3 on-colour page pane bar cursor added removed"
Reply = Callable[[AnyCommand], AnyEvent]


class FakePort:
    """Keeps what was sent; `reply` answers what is asked, by raising too."""

    def __init__(self) -> None:
        self.sent: list[AnyCommand] = []
        self.reply: Reply = lambda _command: CommandDone()

    def send(self, command: AnyCommand) -> None:
        self.sent.append(command)

    async def ask(self, command: AnyCommand, *, timeout: float = 30.0) -> Any:
        self.sent.append(command)
        return self.reply(command)


class ChatApp(App[None]):
    """A chat pane over a script of events."""

    CSS = "Screen { background: $page; color: $text-1; }"

    def __init__(self, events: Iterable[AnyEvent] = (), theme: str = "omni-dark") -> None:
        super().__init__()
        self.port = FakePort()
        self.clock = FakeClock(NOW)
        self.overview = Overview()
        self.keymap: dict[str, str] = {}
        self.script = list(events)
        self.copied: list[tuple[str, str]] = []
        self.ran: list[tuple[str, str]] = []
        for found in load_themes([built_in_dir()])[0]:
            self.register_theme(found)
        self.theme = theme

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Textual's own themes, current while the app is made, lack our roles."""
        ansi = {"ansi-background": "ansi_default", "ansi-foreground": "ansi_default"}
        return {**dict.fromkeys(_ROLES.split(), "#808080"), **ansi}

    @property
    def theme_names(self) -> list[str]:
        return list(self.available_themes)

    def input_since(self, stamp: float) -> bool:
        return True

    def key(self, action: str, *, spelled: bool = False) -> str:
        return key_of(action, self.keymap, spelled=spelled)

    def compose(self) -> ComposeResult:
        yield ChatPane(id="chat")

    def on_mount(self) -> None:
        self.play(self.script)
        self.chat.entrance.focus()

    @property
    def chat(self) -> ChatPane:
        return self.query_one(ChatPane)

    @property
    def view(self) -> TranscriptView:
        return self.chat.transcript

    @property
    def composer(self) -> Composer:
        return self.chat.composer

    def play(self, events: Iterable[AnyEvent]) -> None:
        """Fold events and draw them."""
        for event in events:
            self.chat.apply(event)
        self.view.flush()

    def rows(self) -> list[str]:
        """What the transcript's window shows, row by row, without trailing space."""
        height = self.view.window.height
        return [self.view.render_line(y).text.rstrip() for y in range(height)]

    def on_copy_text(self, message: CopyText) -> None:
        self.copied.append((message.text, message.what))

    def on_run_action(self, message: RunAction) -> None:
        self.ran.append((message.name, message.argument))

    def on_open_result(self, message: OpenResult) -> None:
        self.push_screen(ReaderScreen(message.call, title=message.title, parts=message.parts))


def main() -> None:
    """Show the believable session in this terminal."""
    from tests.face import page

    app = ChatApp(page.everything(), os.environ.get("THEME", sys.argv[1] if sys.argv[1:] else "omni-dark"))
    app.port.reply = lambda command: (
        page.result(command) if isinstance(command, ReadResult) else CommandDone()
    )
    app.run()


if __name__ == "__main__":
    main()
