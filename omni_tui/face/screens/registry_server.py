"""One server of the public registry: what it is, exactly what it would run, and the values it needs."""

from __future__ import annotations

import asyncio
from typing import cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static, TextArea

from omni_tui.face.form.controls import ChoicePicked, MoreLinesNeeded, TextLine
from omni_tui.face.form.server_fields import FormRow, ServerField
from omni_tui.face.input_order import EngineGone, FormScreen
from omni_tui.face.screens.base import key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.public_registry import (
    HIDDEN,
    AddRegistryServer,
    ReadRegistryServer,
    RegistryQuestion,
    RegistryServerInfo,
    RegistryServerRead,
)
from omni_tui.security.text import safe

_PAUSE_S = 0.15
"""Seconds without a change after which the command is derived again."""
_LABEL = 16


class RegistryServerScreen(FormScreen[str]):
    """Its result is the name of the server that was added, "" if it was not."""

    CSS_PATH = "../styles/manage.tcss"
    BINDINGS = [
        Binding("f9", "add", "add", priority=True),
        Binding("ctrl+s", "add", "add", show=False, priority=True),
        Binding("escape", "back", "back"),
    ]

    def __init__(self, info: RegistryServerInfo) -> None:
        super().__init__()
        self._info = info
        self._read: RegistryServerRead | None = None
        self._rows: dict[str, tuple[RegistryQuestion, FormRow]] = {}
        self._launch = 0
        self._visited: set[str] = set()

    def compose(self) -> ComposeResult:
        """Yield the title, the facts, the fields, what would run, keys."""
        title = Content.assemble(
            ("ADD · ", "bold $mine"),
            (self._info.name, "bold $mine"),
            (f"  {self._info.version}", "$text-3"),
        )
        yield Static(title, id="screen-title", markup=False)
        with VerticalScroll(id="server-form", can_focus=False):
            yield Static(id="registry-facts", markup=False)
            yield Vertical(id="registry-fields")
            yield Static(id="registry-runs", markup=False)
        yield Static(id="server-said", markup=False)
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Ask for all of it."""
        self._say("asking …", "$text-3")
        self._foot()
        self._open()

    # --- reading

    @work(group="registry-open", exclusive=True, exit_on_error=False)
    async def _open(self) -> None:
        """Read the launch that is chosen, and lay out its fields."""
        reply = await self._ask({})
        if reply is None:
            self.form_is_ready()
            return
        if self._launch == 0 and reply.launches and reply.launches[0].refused:
            usable = (number for number, each in enumerate(reply.launches) if not each.refused)
            self._launch = next(usable, 0)
            if self._launch:
                reply = await self._ask({}) or reply
        await self._lay_out(reply)
        self._say("", "$text-3")
        self._draw(reply)
        self.form_is_ready()

    async def _ask(self, answers: dict[str, str]) -> RegistryServerRead | None:
        command = ReadRegistryServer(digest=self._info.digest, launch=self._launch, answers=answers)
        reply = await request(shell_of(self), command, self._say)
        return reply if isinstance(reply, RegistryServerRead) and self.is_attached else None

    async def _lay_out(self, reply: RegistryServerRead) -> None:
        fields = self.query_one("#registry-fields", Vertical)
        name = self._typed_name() or reply.name
        await fields.remove_children()
        rows: list[FormRow] = []
        if len(reply.launches) > 1:
            choices = tuple((str(number), each.kind) for number, each in enumerate(reply.launches))
            rows.append(FormRow(ServerField("launch", "run it from", "choice", choices=choices)))
        rows.append(FormRow(ServerField("name", "name here", "line", "e.g. files")))
        self._rows = {}
        for number, asked in enumerate(reply.questions):
            row = FormRow(_field(f"q{number}", asked))
            self._rows[asked.id] = (asked, row)
            rows.append(row)
        await fields.mount(*rows)
        if len(reply.launches) > 1:
            self._row("launch").fill(str(self._launch))
        self._row("name").fill(name)
        for asked, row in self._rows.values():
            if asked.secret:
                cast("TextLine", row.control).password = True
            elif asked.default:
                row.fill(asked.default)
        first = next((row for asked, row in self._rows.values() if asked.required), self._row("name"))
        first.control.focus()

    def _row(self, name: str) -> FormRow:
        return self.query_one(f"#form-{name}", FormRow)

    def _typed_name(self) -> str:
        found = self.query("#form-name").results(FormRow)
        return next((row.value.strip() for row in found), "")

    def _answers(self, *, secrets: bool) -> dict[str, str]:
        """Return what was typed; unless `secrets`, with a mark in the place of each secret."""
        answers = {}
        for name, (asked, row) in self._rows.items():
            if value := row.value.strip():
                plain = secrets or not asked.secret or value.startswith(("${", "keyring:"))
                answers[name] = value if plain else HIDDEN
        return answers

    # --- what is typed

    @on(ChoicePicked)
    def _picked(self, event: ChoicePicked) -> None:
        """Lay the form out anew for another package or address; other choices are values."""
        event.stop()
        chosen = [row for row in self.query("#form-launch").results(FormRow)]
        if chosen and int(chosen[0].value or 0) != self._launch:
            self._launch = int(chosen[0].value or 0)
            self._visited.clear()
            self._open()
        else:
            self._derive()

    @on(Input.Changed)
    @on(TextArea.Changed)
    def _changed(self, event: Input.Changed | TextArea.Changed) -> None:
        event.stop()
        for name, (_, row) in self._rows.items():
            if row in event.control.ancestors:
                self._visited.add(name)
        self._derive()

    @on(MoreLinesNeeded)
    def _grown(self, event: MoreLinesNeeded) -> None:
        event.stop()
        if isinstance(self.focused, Input):
            self.focused.value = " ".join(event.text.split("\n"))

    @work(group="registry-derive", exclusive=True, exit_on_error=False)
    async def _derive(self) -> None:
        await asyncio.sleep(_PAUSE_S)
        reply = await self._ask(self._answers(secrets=False))
        if reply is not None:
            self._draw(reply)

    # --- adding

    @work(group="registry-add", exclusive=True, exit_on_error=False)
    async def action_add(self) -> None:
        """Add the server as it is shown, not yet allowed to start."""
        if self._read is None or self._refused(self._read):
            return
        self._visited = set(self._rows)
        reply = await self._ask(self._answers(secrets=False))
        if reply is None:
            return
        self._draw(reply)
        bad = [row for name, (_, row) in self._rows.items() if name in reply.missing or name in reply.wrong]
        if bad:
            bad[0].control.focus()
            self._say("Nothing was added: fill in what is marked.")
            return
        command = AddRegistryServer(
            digest=self._info.digest,
            launch=self._launch,
            answers=self._answers(secrets=True),
            name=self._typed_name(),
        )
        self._say("…", "$text-3")
        done = await request(shell_of(self), command, self._say)
        if isinstance(done, CommandDone):
            shell_of(self).say(done.text, timeout=10.0)
            self.dismiss(command.name)

    def action_back(self) -> None:
        """Close without adding."""
        self.dismiss("")

    def on_engine_gone(self, event: EngineGone) -> None:
        """Show that nothing can be sent now; the fields stay."""
        event.stop()
        self._say("✗ the engine stopped; what you typed stays here")

    # --- the picture

    def _refused(self, reply: RegistryServerRead) -> str:
        """Return why the chosen launch cannot be added, "" if it can."""
        if self._info.status == "deleted":
            return "it was deleted from the registry; it cannot be added"
        if not reply.launches:
            return "it names no package and no address that can be read"
        chosen = reply.launches[min(self._launch, len(reply.launches) - 1)]
        return " · ".join(filter(None, (chosen.refused, chosen.todo)))

    def _draw(self, reply: RegistryServerRead) -> None:
        self._read = reply
        self.query_one("#registry-facts", Static).update(_facts(reply))
        refused = self._refused(reply)
        if refused:
            runs = Content.styled(f"It cannot be added this way: {refused}", "$fail")
        else:
            lines = [Content.assemble(("runs exactly  ", "$text-3"), (reply.command, "bold $text-1"))]
            lines += [Content.assemble(("with  ", "$text-3"), (each, "$text-1")) for each in reply.settings]
            lines += [Content.styled(reply.note, "$waiting")] if reply.note else []
            runs = Content("\n").join(lines)
        self.query_one("#registry-runs", Static).update(runs)
        for name, (asked, row) in self._rows.items():
            wrong = reply.wrong.get(name, "") or ("it is needed" if name in reply.missing else "")
            if wrong and name in self._visited:
                row.show_problem(wrong, "$fail")
            else:
                row.show_problem(_about(asked), "$text-3")
        self._foot()

    def _say(self, words: str, style: str = "$fail") -> None:
        self.query_one("#server-said", Static).update(Content.styled(safe(words, limit=600), style))

    def _foot(self) -> None:
        keys = [("F9", "add, not yet allowed"), ("↑ ↓", "fields"), ("esc", "back")]
        if self._read is None or self._refused(self._read):
            keys = keys[1:]
        self.query_one("#screen-foot", Static).update(key_line(*keys))


def _field(name: str, asked: RegistryQuestion) -> ServerField:
    label = asked.label if len(asked.label) <= _LABEL else asked.label[: _LABEL - 1] + "…"
    if asked.choices and not asked.secret:
        choices = (("", "none"), *((str(each), str(each)) for each in asked.choices))
        return ServerField(name, label, "choice", choices=choices)
    hint = asked.placeholder or ("a secret; it goes into the keyring" if asked.secret else "")
    return ServerField(name, label, "line", hint)


def _about(asked: RegistryQuestion) -> str:
    words = [str(asked.label)] if len(asked.label) > _LABEL else []
    words += ["needed"] if asked.required else []
    words += ["several values, as in a shell"] if asked.several else []
    return " · ".join(filter(None, [*words, str(asked.description)]))


def _facts(reply: RegistryServerRead) -> Content:
    info = reply.info
    lines = [Content.styled(info.description or "It does not say what it does.", "$text-1")]
    for word, value in (
        ("namespace", info.name.partition("/")[0] if "/" in info.name else ""),
        ("source", reply.repository or "not named"),
        ("website", reply.website),
        ("published", reply.published),
    ):
        if value:
            lines.append(Content.assemble((f"{word}  ", "$text-3"), (value, "$text-2")))
    if info.status != "active":
        words = f"{info.status}: {info.status_message or 'the registry gives no reason'}"
        lines.append(Content.styled(words, "bold $waiting"))
    lines += [Content.styled(each, "$waiting") for each in reply.problems[:3]]
    return Content("\n").join(lines)
