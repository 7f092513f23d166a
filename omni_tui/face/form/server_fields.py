"""The fields of a server's settings: how their texts become settings, and the row of each."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from omni_tui.face.form.controls import ChoiceBar, TextBox, TextLine
from omni_tui.protocol.server_settings import ServerSettings
from omni_tui.security.text import safe

ControlKind = Literal["line", "box", "choice"]
_ASSIGNED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@dataclass(frozen=True, slots=True)
class ServerField:
    """One field. `only` is the kind of server that has it ("" for both)."""

    name: str
    label: str
    kind: ControlKind
    hint: str = ""
    only: Literal["", "command", "url"] = ""
    choices: tuple[tuple[str, str], ...] = ()


FIELDS: tuple[ServerField, ...] = (
    ServerField("name", "name", "line", "e.g. files"),
    ServerField("reach", "reached by", "choice", choices=(("command", "a command"), ("url", "an address"))),
    ServerField("command", "command", "line", "the program, e.g. mcp-server-filesystem", "command"),
    ServerField("args", "arguments", "line", 'as in a shell, e.g. /srv/notes "two words"', "command"),
    ServerField(
        "env", "environment", "box", "a line each: NAME=value, a secret as NAME=${NAME}", "command"
    ),
    ServerField("cwd", "folder", "line", "where it runs", "command"),
    ServerField("url", "address", "line", "https://…", "url"),
    ServerField("headers", "headers", "box", "a line each: Name: value, a secret as ${NAME}", "url"),
    ServerField(
        "auth",
        "sign-in",
        "choice",
        "",
        "url",
        (("none", "none"), ("bearer", "bearer token"), ("oauth", "OAuth")),
    ),
    ServerField("token", "bearer token", "line", "${NAME} or keyring:SERVICE/NAME", "url"),
    ServerField("connect_timeout", "connect within", "line", "seconds, 30 if empty"),
    ServerField("call_timeout", "call within", "line", "seconds without progress, as in [tools] if empty"),
    ServerField("mode", "protocol", "choice", choices=(("auto", "find out"), ("legacy", "older one"))),
    ServerField("enabled", "switched", "choice", choices=(("yes", "on"), ("no", "off"))),
    ServerField(
        "save", "keep", "choice", choices=(("yes", "in your config file"), ("no", "for this session"))
    ),
)


def field_texts(settings: ServerSettings) -> dict[str, str]:
    """Return the text of each field for some settings."""
    return {
        "reach": "url" if settings.url else "command",
        "command": settings.command,
        "args": shlex.join(settings.args),
        "env": "\n".join(f"{name}={value}" for name, value in settings.env.items()),
        "cwd": settings.cwd,
        "url": settings.url,
        "headers": "\n".join(f"{name}: {value}" for name, value in settings.headers.items()),
        "auth": settings.auth,
        "token": settings.token,
        "connect_timeout": _number(settings.connect_timeout),
        "call_timeout": "" if settings.call_timeout is None else _number(settings.call_timeout),
        "mode": settings.mode,
        "enabled": "yes" if settings.enabled else "no",
    }


def read_settings(texts: Mapping[str, str]) -> tuple[ServerSettings, dict[str, str]]:
    """Return the settings in the fields, and what cannot be read, by field.

    Fields of the other kind of server are left out.
    """
    wrong: dict[str, str] = {}
    stdio = texts["reach"] == "command"

    def text(name: str) -> str:
        return texts[name].strip()

    def table(name: str, sign: str) -> dict[str, str]:
        values, complaint = read_pairs(texts[name], sign)
        if complaint:
            wrong[name] = complaint
        return values

    args: list[str] = []
    if stdio:
        try:
            args = shlex.split(texts["args"])
        except ValueError as error:
            wrong["args"] = f"the arguments cannot be read: {str(error).lower()}"
    settings = ServerSettings(
        command=text("command") if stdio else "",
        args=tuple(args),
        env=table("env", "=") if stdio else {},
        cwd=text("cwd") if stdio else "",
        url="" if stdio else text("url"),
        headers={} if stdio else table("headers", ":"),
        auth="none" if stdio else texts["auth"],
        token="" if stdio or texts["auth"] != "bearer" else text("token"),
        mode=texts["mode"],
        connect_timeout=_seconds(text("connect_timeout")) if text("connect_timeout") else 30.0,
        call_timeout=_seconds(text("call_timeout")) if text("call_timeout") else None,
        enabled=texts["enabled"] == "yes",
    )
    return settings, wrong


def read_pairs(text: str, sign: str) -> tuple[dict[str, str], str]:
    """Return the names and values of lines like `NAME=value`, and what is wrong ("" for nothing)."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, found, value = line.partition(sign)
        name = name.strip()
        if not found or not name:
            return values, f"line {number} is not NAME{sign}{' ' if sign == ':' else ''}value"
        if name in values:
            return values, f"line {number} names {name} a second time"
        values[name] = value.strip() if sign == ":" else value
    return values, ""


def replace_pair(text: str, sign: str, key: str, value: str) -> str:
    """Return the lines with another value for `key`."""
    lines = []
    for line in text.split("\n"):
        name, found, _ = line.partition(sign)
        if found and name.strip() == key:
            line = f"{name}{sign}{' ' if sign == ':' else ''}{value}"
        lines.append(line)
    return "\n".join(lines)


def split_line(text: str) -> dict[str, str] | None:
    """Return the fields of a command line that was typed as the program, None if it is a program.

    Variables before the program (`KEY=value npx …`) and the `$ ` of a prompt are recognised.
    """
    try:
        words = shlex.split(text.strip().removeprefix("$ "))
    except ValueError:
        return None
    env: list[str] = []
    while words and _ASSIGNED.match(words[0]):
        env.append(words.pop(0))
    if not words or (len(words) == 1 and not env) or os.path.exists(os.path.expanduser(text.strip())):
        return None
    return {"command": words[0], "args": shlex.join(words[1:]), "env": "\n".join(env)}


def problem_field(where: str) -> str:
    """Return the field of a problem's `where`; "reach" for settings without a field."""
    first = where.partition(".")[0]
    return first if any(field.name == first for field in FIELDS) else "reach"


def _seconds(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


class FormRow(Horizontal):
    """One field. `value` is its text or the value of the choice; `bad` is True if something is wrong."""

    def __init__(self, field: ServerField) -> None:
        super().__init__(id=f"form-{field.name}")
        self.field = field
        self.bad = False

    def compose(self) -> ComposeResult:
        """Name, control, problem."""
        yield Static(Content(self.field.label), classes="form-name", markup=False)
        with Vertical():
            yield self._control()
            yield Static(classes="form-problem", markup=False)

    def _control(self) -> Widget:
        if self.field.kind == "choice":
            return ChoiceBar([label for _, label in self.field.choices], 0, optional=False)
        if self.field.kind == "box":
            box = TextBox("")
            box.placeholder = Content(self.field.hint)
            return box
        line = TextLine("", lines=True)
        line.placeholder = self.field.hint
        return line

    @property
    def control(self) -> Widget:
        """The control."""
        return next(each for each in self.query("*") if isinstance(each, TextLine | TextBox | ChoiceBar))

    @property
    def value(self) -> str:
        """Its text, or the value of its choice."""
        control = self.control
        if isinstance(control, ChoiceBar):
            return self.field.choices[max(0, control.choice)][0]
        if isinstance(control, TextBox):
            return control.text
        assert isinstance(control, TextLine)
        return control.value

    def fill(self, value: str) -> None:
        """Set the value."""
        control = self.control
        if isinstance(control, ChoiceBar):
            known = [choice for choice, _ in self.field.choices]
            control.choice = known.index(value) if value in known else 0
        elif isinstance(control, TextBox):
            control.text = value
        elif isinstance(control, TextLine):
            control.value = value

    def show_problem(self, words: str, style: str) -> None:
        """Show a text below the control ("" for nothing); style `$fail` marks the field as bad."""
        self.bad = style == "$fail" and bool(words)
        self.set_class(bool(words), "-problem")
        problem = Content.styled(safe(words, limit=400), style)
        self.query_one(".form-problem", Static).update(problem)
