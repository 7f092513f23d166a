"""The welcome page: try the demo, import servers from a file, or add one by hand."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import Literal, cast

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from omni_tui.face.messages import InsertText, RunAction
from omni_tui.face.shell import request, shell_of
from omni_tui.protocol import AnyCommand
from omni_tui.protocol.commands import AddServer
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.host_files import FindHostFiles, HostFile, HostFilesFound, ImportServers
from omni_tui.security.text import safe_line

WelcomePage = Literal["start", "add", "import"]
_CHOICES = (
    ("demo", "Try the demo", "a small server and the offline model: no key, no network"),
    ("add", "Add a server by hand", "a command to run, or an address"),
    ("import", "Import servers", "from another program's file; nothing starts until you allow it"),
    ("model", "Choose a model", "from your API keys and this machine; none is used before you choose it"),
    ("later", "Continue without servers", "the offline model answers; /welcome opens this page again"),
)
_FIELDS = (
    ("name", "name, e.g. files"),
    ("target", "a command, e.g. mcp-server-filesystem ~/notes, or https://…"),
    ("path", "path of the file, e.g. ~/.config/claude/claude_desktop_config.json"),
)


class WelcomeScreen(Screen[None]):
    """Opened at the first run and by `/import` and `/welcome`."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = ""
    BINDINGS = [Binding("escape", "back", "back")]

    def __init__(self, page: WelcomePage = "start", path: str = "") -> None:
        super().__init__()
        self._page: WelcomePage = page
        self._path = path
        self._files: tuple[HostFile, ...] = ()

    def compose(self) -> ComposeResult:
        """Yield all three pages; one is shown."""
        with Vertical():
            head = Content.assemble(
                ("◆ ", "$mine"), ("omni", "bold $mine"), ("   connect a server", "$text-2")
            )
            yield Static(head, markup=False)
            options = [
                Option(Content.assemble((f"{title}\n", "$text-1"), (words, "$text-3")), id=name)
                for name, title, words in _CHOICES
            ]
            yield OptionList(*options, id="choices", markup=False)
            for name, words in _FIELDS:
                field = Input(placeholder=words, id=f"field-{name}", compact=True)
                field.cursor_blink = False
                yield field
            yield OptionList(id="found-files", markup=False)
            yield Static(id="welcome-state", markup=False)

    def on_mount(self) -> None:
        """Show the requested page."""
        if self._path:
            self._field("path").value = self._path
        self.show(self._page)

    def _field(self, name: str) -> Input:
        return self.query_one(f"#field-{name}", Input)

    def show(self, page: WelcomePage) -> None:
        """Go to a page."""
        self._page = page
        self.query_one("#choices").set_class(page != "start", "-hidden")
        for name, where in (("name", "add"), ("target", "add"), ("path", "import")):
            self._field(name).set_class(page != where, "-hidden")
        self.query_one("#found-files").set_class(page != "import" or not self._files, "-hidden")
        if page == "import" and not self._path:
            self._find_files()
        first = {"start": "#choices", "add": "#field-name", "import": "#field-path"}[page]
        self.query_one(first).focus()
        self._say(
            "↑ ↓ and enter choose · esc closes" if page == "start" else "enter continues · esc goes back"
        )

    def _say(self, words: str, style: str = "$text-3") -> None:
        self.query_one("#welcome-state", Static).update(Content.styled(safe_line(words, limit=600), style))

    @work(group="found-files", exclusive=True, exit_on_error=False)
    async def _find_files(self) -> None:
        """List the files of other programs on this machine."""
        found = await request(shell_of(self), FindHostFiles(), partial(self._say, style="$fail"))
        if not isinstance(found, HostFilesFound) or self._page != "import":
            return
        self._files = found.files
        options = self.query_one("#found-files", OptionList)
        options.clear_options()
        for number, file in enumerate(found.files):
            options.add_option(Option(_file_words(file), id=f"file-{number}", disabled=bool(file.problem)))
        options.set_class(not found.files, "-hidden")
        if found.files:
            self._say("↓ chooses a file found here · enter imports it · esc goes back")

    @on(OptionList.OptionSelected, "#found-files")
    def _file_chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._field("path").value = self._files[event.option_index].path
        self._send(ImportServers(path=self._files[event.option_index].path, save=True))

    @on(OptionList.OptionSelected, "#choices")
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        if event.option_id in ("add", "import"):
            self.show(cast("WelcomePage", event.option_id))
        elif event.option_id == "demo":
            shell_of(self).leave(for_demo=True)
        else:
            self.dismiss(None)
            if event.option_id == "model":
                self.app.post_message(RunAction("models", ""))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id != "field-name":
            command = self._import() if self._page == "import" else self._add()
            if command is not None:
                self._send(command)
        elif _is_a_target(event.value):
            self._take_for_target(event.value)
        else:
            self._field("target").focus()

    def _take_for_target(self, text: str) -> None:
        """Move a command or an address to its own field, and ask for a name."""
        target = self._field("target")
        if target.value.strip():
            self._say("A name is one word without spaces and slashes, e.g. files.", "$waiting")
            return
        target.value = text.strip()
        self._field("name").value = ""
        self._say("That is what to connect. Now give it a name, e.g. files.", "$waiting")

    def _add(self) -> AnyCommand | None:
        name, target = self._field("name").value.strip(), self._field("target").value.strip()
        if _is_a_target(name):
            self._take_for_target(name)
            self._field("name").focus()
            return None
        if not name or not target:
            self._say("A server needs a name and a command or an address.", "$waiting")
            return None
        if target.startswith(("http://", "https://")):
            return AddServer(name=name, url=target)
        try:
            command, *rest = shlex.split(target)
        except ValueError as error:
            self._say(f"The command cannot be read: {error}.", "$waiting")
            return None
        return AddServer(name=name, command=command, args=tuple(rest))

    def _import(self) -> AnyCommand | None:
        path = self._field("path").value.strip()
        if not path:
            self._say("Which file?", "$waiting")
            return None
        return ImportServers(path=str(Path(path).expanduser().absolute()), save=True)

    @work(group="welcome", exclusive=True, exit_on_error=False)
    async def _send(self, command: AnyCommand) -> None:
        self._say("…")
        reply = await request(shell_of(self), command, partial(self._say, style="$fail"))
        if reply is not None:
            words = reply.text if isinstance(reply, CommandDone) else ""
            servers = shell_of(self).key("show_servers")
            self.app.notify(words or f"Done; the list of servers ({servers}) has it.", markup=False)
            self.dismiss(None)

    def on_key(self, event: events.Key) -> None:
        """Go to the found files with ↓; on the start page, put a typed letter into the composer."""
        if self._page == "import" and event.key == "down" and self._field("path").has_focus and self._files:
            event.stop()
            found = self.query_one("#found-files", OptionList)
            found.focus()
            found.action_first()
        elif self._page == "start" and event.is_printable and event.character:
            event.stop()
            self.app.post_message(InsertText(event.character))
            self.dismiss(None)

    def action_back(self) -> None:
        """Go back to the start page, or close."""
        if self._page != "start" and not self._path:
            self.show("start")
        else:
            self.dismiss(None)


def _file_words(file: HostFile) -> Content:
    """Return the two lines of a file that was found."""
    more = f" and {file.count - len(file.servers)} more" if file.count > len(file.servers) else ""
    servers = str(file.problem) or (", ".join(file.servers) + more) or "no servers"
    return Content.assemble(
        (f"{file.program}: ", "$text-1"),
        (f"{servers}\n", "$fail" if file.problem else "$text-2"),
        (file.shown, "$text-3"),
    )


def _is_a_target(text: str) -> bool:
    """Return whether a command or an address was typed as the name."""
    return len(text.split()) > 1 or "/" in text
