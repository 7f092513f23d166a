"""The form for the settings of a server, new or known."""

from __future__ import annotations

import asyncio

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static, TextArea

from omni_tui.face.form.controls import ChoicePicked, MoreLinesNeeded
from omni_tui.face.form.server_fields import (
    FIELDS,
    FormRow,
    field_texts,
    problem_field,
    read_pairs,
    read_settings,
    replace_pair,
    split_line,
)
from omni_tui.face.input_order import EngineGone, FormScreen
from omni_tui.face.screens.base import key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.protocol.events import CommandDone, Problem
from omni_tui.protocol.server_settings import (
    KEPT,
    CheckServer,
    EditServer,
    KeepSecret,
    ReadServer,
    SecretPlace,
    ServerChecked,
    ServerRead,
    ServerSettings,
)
from omni_tui.security.text import safe

PAUSE_S = 0.2
"""Seconds without a change after which what is typed is checked."""


class ServerFormScreen(FormScreen[str]):
    """Checks while the person types; `server` is "" for a new one.

    Its result is the name of the saved server, "" if none was saved.
    """

    CSS_PATH = "../styles/manage.tcss"
    BINDINGS = [
        Binding("f9", "save", "save", priority=True),
        Binding("ctrl+s", "save", "save", show=False, priority=True),
        Binding("ctrl+k", "keep", "into the keyring", priority=True),
        Binding("escape", "back", "back"),
    ]

    def __init__(self, server: str) -> None:
        super().__init__()
        self._server = server
        self._revision = ""
        self._fixed = "reading the settings …" if server else ""
        self._unsaved = ""
        self._visited: set[str] = set()
        self._problems: tuple[Problem, ...] = ()
        self._first: dict[str, str] = {}
        self._command = ""
        self._leaving = False

    def compose(self) -> ComposeResult:
        """Yield title, fields, a message, keys."""
        words = f"EDIT · {safe(self._server, lines=False)}" if self._server else "NEW SERVER"
        yield Static(Content.styled(words, "bold $mine"), id="screen-title", markup=False)
        with VerticalScroll(id="server-form", can_focus=False):
            for field in FIELDS:
                yield FormRow(field)
        yield Static(id="server-said", markup=False)
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Fill the form."""
        self._foot()
        if self._server:
            self._read()
        else:
            ready = shell_of(self).overview.ready
            if ready is not None and ready.demo:
                self._unsaved = "the demo leaves your config file alone"
            self._fill(ServerSettings())
            self._row("name").control.focus()
            self.form_is_ready()

    def _row(self, name: str) -> FormRow:
        return self.query_one(f"#form-{name}", FormRow)

    @work(group="server-read", exit_on_error=False)
    async def _read(self) -> None:
        reply = await request(shell_of(self), ReadServer(server=self._server), self._say)
        if isinstance(reply, ServerRead):
            self._revision, self._unsaved = reply.revision, reply.unsaved
            self._fixed = reply.fixed or self._not_allowed()
            self._fill(reply.settings)
            self._row("command" if reply.settings.command else "url").control.focus()
            self._foot()
        self.form_is_ready()

    def _fill(self, settings: ServerSettings) -> None:
        texts = {"name": self._server, "save": "no" if self._unsaved else "yes", **field_texts(settings)}
        for field in FIELDS:
            self._row(field.name).fill(texts[field.name])
        self._row("name").control.disabled = bool(self._server)
        self._first = self._texts()
        self._command = self._first["command"]
        self._lay_out()
        if self._fixed:
            self._say(f"This server cannot be changed here: {self._fixed}", "$waiting")
            return
        done = "changed" if self._server else "added"
        lines = [f"It can be {done} for this session only: {self._unsaved}."] if self._unsaved else []
        if any(KEPT in text for text in self._first.values()):
            lines.append(f"{KEPT} stands for a value that is not shown and stays as it is.")
        self._say(" ".join(lines), "$waiting")

    def _not_allowed(self) -> str:
        """Return why a server that is not allowed cannot be changed: saving it would start it."""
        server = shell_of(self).overview.servers.get(self._server)
        if server is None or server.state != "not_allowed":
            return ""
        return "it is not allowed to start yet; y in the list of servers shows what it starts, to allow it"

    # --- what is typed

    def _texts(self) -> dict[str, str]:
        return {field.name: self._row(field.name).value for field in FIELDS}

    def _lay_out(self) -> None:
        """Show the fields that apply."""
        texts = self._texts()
        for field in FIELDS:
            hidden = bool(field.only) and field.only != texts["reach"]
            hidden = hidden or (field.name == "token" and texts["auth"] != "bearer")
            hidden = hidden or (field.name == "save" and bool(self._unsaved))
            self._row(field.name).set_class(hidden, "-hidden")

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(ChoicePicked)
    def _changed(self, event: Input.Changed | TextArea.Changed | ChoicePicked) -> None:
        event.stop()
        self._leaving = False
        if self._first and self._texts() != self._first:
            row = next((row for row in self.query(FormRow) if row.has_focus_within), None)
            if row is not None:
                self._visited.add(row.field.name)
            self._take_apart()
            self._lay_out()
            self._check()

    def _take_apart(self) -> None:
        """Put the words of a command line that was pasted into `command` where they belong."""
        row = self._row("command")
        before, self._command = self._command, row.value
        if before.strip() or len(row.value) < 2 or self._row("args").value.strip():
            return
        parts = split_line(row.value)
        if parts is None or (parts["env"] and self._row("env").value.strip()):
            return
        self._command = parts["command"]
        for name, text in parts.items():
            if text:
                self._row(name).fill(text)
        self._say("The command line was split into program, arguments and variables.", "$text-2")

    @on(MoreLinesNeeded)
    def _grown(self, event: MoreLinesNeeded) -> None:
        """Join several lines that were pasted into a one-line field."""
        event.stop()
        if isinstance(self.focused, Input):
            self.focused.value = " ".join(event.text.split("\n"))

    @work(group="server-check", exclusive=True, exit_on_error=False)
    async def _check(self) -> None:
        await asyncio.sleep(PAUSE_S)
        await self._judge()

    async def _judge(self) -> bool:
        """Show problems of the visited fields; return whether no field has any."""
        texts = self._texts()
        settings, wrong = read_settings(texts)
        command = CheckServer(name=texts["name"].strip(), settings=settings, new=not self._server)
        reply = await request(shell_of(self), command, self._say)
        if not isinstance(reply, ServerChecked):
            return False
        self._problems = reply.problems
        shown: dict[str, tuple[str, str]] = {}
        for style, found in (("$waiting", reply.warnings), ("$fail", reply.problems)):
            for each in found:
                shown[problem_field(each.where)] = (" · ".join(filter(None, (each.what, each.todo))), style)
        shown |= {name: (words, "$fail") for name, words in wrong.items()}
        for field in FIELDS:
            words, style = shown.get(field.name, ("", "")) if field.name in self._visited else ("", "")
            self._row(field.name).show_problem(words, style)
        self._foot()
        return not wrong and not reply.problems

    # --- what can be done

    @work(group="server-save", exclusive=True, exit_on_error=False)
    async def action_save(self) -> None:
        """Check all fields, then use the settings, and save them if chosen."""
        if self._fixed:
            return
        self._visited = {field.name for field in FIELDS}
        if not await self._judge():
            bad = next((row for row in self.query(FormRow) if row.bad and row.display), None)
            if bad is not None:
                bad.control.focus()
            self._say("Nothing was changed: correct what is marked.")
            return
        texts = self._texts()
        settings, _ = read_settings(texts)
        command = EditServer(
            name=texts["name"].strip(),
            settings=settings,
            new=not self._server,
            save=texts["save"] == "yes",
            revision=self._revision,
        )
        self._say("…", "$text-3")
        reply = await request(shell_of(self), command, self._say)
        if isinstance(reply, CommandDone):
            shell_of(self).say(reply.text)
            self.dismiss(command.name)

    def _secret(self) -> tuple[SecretPlace, str] | None:
        """Return the place of the first secret in plain text, None if there is none."""
        for each in self._problems:
            place, _, key = each.where.partition(".")
            match place:
                case "env" | "headers" if key:
                    return place, key
                case "token":
                    return place, ""
        return None

    @work(group="server-keep", exclusive=True, exit_on_error=False)
    async def action_keep(self) -> None:
        """Move the first plain-text secret to the keyring, and put a reference in its place."""
        await self._judge()
        found = self._secret()
        if found is None:
            self._say("No field holds a secret in plain text.", "$text-2")
            return
        place, key = found
        sign = ":" if place == "headers" else "="
        row = self._row(place)
        value = row.value.strip() if place == "token" else read_pairs(row.value, sign)[0].get(key, "")
        name = self._texts()["name"].strip() or "server"
        command = KeepSecret(server=name, place=place, key=key, value=value)
        reply = await request(shell_of(self), command, self._say)
        if isinstance(reply, CommandDone):
            text = reply.text if place == "token" else replace_pair(row.value, sign, key, reply.text)
            row.fill(text)
            self._say(f"It is in the keyring now; {reply.text} refers to it.", "$done")

    def action_back(self) -> None:
        """Close; with unsaved changes only at the second Escape."""
        if self._first and self._texts() != self._first and not self._leaving:
            self._leaving = True
            self._say("Your changes are not saved. esc again discards them, F9 saves them.", "$waiting")
        else:
            self.dismiss("")

    # --- words

    def on_engine_gone(self, event: EngineGone) -> None:
        """Show that nothing can be sent now; the fields stay."""
        event.stop()
        self._say("✗ the engine stopped; what you typed stays here")

    def _say(self, words: str, style: str = "$fail") -> None:
        self.query_one("#server-said", Static).update(Content.styled(safe(words, limit=600), style))

    def _foot(self) -> None:
        keys = [("F9", "save"), ("↑ ↓", "fields"), ("esc", "back")]
        if self._secret() is not None:
            keys.insert(1, ("ctrl+k", "move the secret to the keyring"))
        if self._fixed:
            keys = keys[-1:]
        self.query_one("#screen-foot", Static).update(key_line(*keys))
