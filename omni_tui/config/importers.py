"""Read the server lists of other hosts: Claude Desktop, Cursor, VS Code and others.

The usual form is `{"mcpServers": {NAME: {"command", "args", "env"} or {"url", "headers"}}}`. An entry is
refused (`EntryError`) only if its meaning is unclear or it needs a feature that is missing here; settings
without a meaning here are listed in `left`. A broken entry does not affect the others. What another host
approved automatically is never imported.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from omni_tui.config.layers import LARGEST_FILE
from omni_tui.config.problems import problem
from omni_tui.config.references import names_a_secret, not_set
from omni_tui.config.sections import Config, ServerSection
from omni_tui.config.servers import server_spec
from omni_tui.config.spec import ServerSource, ServerSpec
from omni_tui.protocol.events import Problem
from omni_tui.security.files import open_regular

_TYPES = {
    "stdio": "stdio",
    "local": "stdio",
    "command": "stdio",
    "http": "http",
    "remote": "http",
    "streamable-http": "http",
    "streamable_http": "http",
    "streamablehttp": "http",
    "http-stream": "http",
    "sse": "sse",
}
_KIND = ("type", "transport", "transport_type", "transportType")
_ADDRESSES = ("url", "serverUrl", "httpUrl", "uri")
_ENV = ("env", "environment", "envs")
_CWD = ("cwd", "workingDirectory", "working_directory")
_ON = ("enabled", "isActive", "isEnabled", "active")
_OFF = ("disabled", "isDisabled")
_HEADERS = ("headers", "http_headers")
_START = ("connect_timeout", "connectTimeout", "startup_timeout", "startup_timeout_sec", "initTimeout")
_CALL = ("call_timeout", "callTimeout", "tool_timeout", "tool_timeout_sec", "requestTimeout")
_BOTH = ("timeout", "timeout_ms", "timeoutMs", "timeout_sec")
_WORDS = {"name", "description", "envFile", "command", "cmd", "args", "arguments"}
_KNOWN = {
    *_WORDS, *_KIND, *_ADDRESSES, *_ENV, *_CWD, *_ON, *_OFF, *_HEADERS, *_START, *_CALL, *_BOTH,
    "requestInit", "requestOptions",
}  # fmt: skip
_SWITCHED = {"true": True, "1": True, "yes": True, "on": True}
_SWITCHED |= {"false": False, "0": False, "no": False, "off": False}
_SECONDS_TO = 3_600.0
"""A timeout up to this number is in seconds, as in Cline, Roo and Goose; above, in milliseconds."""
_LONGEST = 86_400.0
_USUAL_START = 30.0

_VARIABLE = re.compile(r"\$\{([^{}]*)\}|(?<!\$)\{env:(\w+)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_PROJECT_FOLDERS = {".vscode", ".cursor", ".gemini", ".kiro", ".roo"}


class EntryError(Exception):
    """A file or an entry cannot be used; the text says why."""


@dataclass(slots=True)
class ForeignEntry:
    """An entry in the shape of `ServerSection`.

    `left`: settings that are not used here. `notes`: settings that were read differently than written.
    `unmet`: why it cannot be started, "" if it can. `secrets`: values that were filled in and must not be
    shown.
    """

    values: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unmet: str = ""
    secrets: set[str] = field(default_factory=set)


def _unfolded(written: Any) -> dict[str, Any]:
    """Flatten what some hosts nest: `transport: {type, url}`, `command: {path, args}`."""
    if not isinstance(written, dict):
        raise EntryError("is no table")
    entry = {key: value for key, value in written.items() if value is not None}
    nested = entry.get("transport")
    if isinstance(nested, dict):
        entry = {**{key: value for key, value in entry.items() if key != "transport"}, **nested}
    command = entry.get("command")
    if isinstance(command, dict):
        rest = {key: value for key, value in command.items() if key not in ("path", "command")}
        entry = {**entry, **rest, "command": command.get("path") or command.get("command") or ""}
    return entry


class _Reader:
    def __init__(self, entry: dict[str, Any], file: FilePath, environ: Mapping[str, str]) -> None:
        self._entry = entry
        self._file = file
        self._environ = environ
        self._made = ForeignEntry()
        self._missing: dict[str, None] = {}

    def read(self) -> ForeignEntry:
        made, entry = self._made, self._entry
        kind = self._kind()
        address = self._first(_ADDRESSES)
        command = entry.get("command") or entry.get("cmd")
        if kind in ("http", "sse"):
            command = None
        elif kind == "stdio" and command:
            address = None
        if address and not command:
            self._web(address, kind)
        else:
            if address:
                made.values["url"] = self._fill(_text("url", address), "url")
            self._program(command)
        self._switch()
        self._times()
        made.left = sorted(str(key) for key in entry if key not in _KNOWN)
        if entry.get("envFile"):
            self._hold(
                "it takes variables from a file (envFile), which is not read here; give them in `env`"
            )
        if self._missing:
            self._hold(not_set(list(self._missing)))
        return made

    def _hold(self, why: str) -> None:
        self._made.unmet = self._made.unmet or why

    def _first(self, keys: Iterable[str]) -> Any:
        return next((self._entry[key] for key in keys if self._entry.get(key)), None)

    def _kind(self) -> str:
        wanted = str(self._first(_KIND) or "").strip().lower()
        if wanted and wanted not in _TYPES:
            raise EntryError(f"asks for the transport {wanted!r}, which is not known here")
        return _TYPES.get(wanted, "")

    # --- how it is reached -----------------------------------------------------------------------

    def _web(self, address: Any, kind: str) -> None:
        values = self._made.values
        values["url"] = self._fill(_text("url", address), "url")
        if kind == "sse":
            values["transport"] = "sse"
        headers = self._first(_HEADERS)
        for key in ("requestInit", "requestOptions"):
            inside = self._entry.get(key)
            headers = headers or (inside.get("headers") if isinstance(inside, dict) else None)
        if headers:
            values["headers"] = self._named("headers", headers)

    def _program(self, command: Any) -> None:
        values = self._made.values
        words = self._words("command", command) if isinstance(command, list) else []
        args = self._words("args", self._first(("args", "arguments")) or [])
        if command and not isinstance(command, list):
            words = self._split(_text("command", command), args)
        if words:
            values["command"] = self._fill(words[0], "command")
        if words[1:] or args:
            values["args"] = [self._fill(word, "args") for word in (*words[1:], *args)]
        if env := self._first(_ENV):
            values["env"] = self._named("env", env)
        if cwd := self._first(_CWD):
            values["cwd"] = self._fill(_text("cwd", cwd), "cwd")

    def _split(self, command: str, args: list[str]) -> list[str]:
        """Return the words of a command line in place of a program."""
        command = command.strip()
        if " " not in command or FilePath(os.path.expanduser(command)).exists() or shutil.which(command):
            return [command]
        try:
            words = shlex.split(command)
        except ValueError:
            return [command]
        if len(words) > 1:
            self._made.notes.append("`command` holds a whole command line and is read as one")
        return words

    def _words(self, key: str, value: Any) -> list[str]:
        if isinstance(value, str):
            try:
                return shlex.split(value)
            except ValueError as error:
                raise EntryError(f"its {key} cannot be split into words: {error}") from None
        if not isinstance(value, list):
            raise EntryError(f"its {key} must be a list of texts")
        return [_text(key, each) for each in value if each is not None]

    def _named(self, key: str, value: Any) -> dict[str, str]:
        """Return variables or headers, also from a list; references stay references."""
        if isinstance(value, list):
            value = dict(_pair(key, each) for each in value)
        if not isinstance(value, dict):
            raise EntryError(f"its {key} must be a table of texts")
        made: dict[str, str] = {}
        for name, each in value.items():
            if each is not None:
                made[str(name)] = self._reference(_text(f"{key}.{name}", each), bare=key == "env")
        return made

    # --- variables -------------------------------------------------------------------------------

    def _fill(self, text: str, key: str) -> str:
        """Return a text with its variables and `~` filled in."""

        def filled(found: re.Match[str]) -> str:
            name, default = self._variable(found)
            if name is None:
                return default if default is not None else found[0]
            value = self._environ.get(name) or default
            if value is None:
                self._missing[name] = None
                return found[0]
            if names_a_secret(name) and name in self._environ:
                self._made.secrets.add(value)
            return value

        text = _VARIABLE.sub(filled, text)
        return os.path.expanduser(text) if key != "url" and re.match(r"~(/|$)", text) else text

    def _reference(self, text: str, *, bare: bool) -> str:
        """Return a text with its variables written as references."""

        def written(found: re.Match[str]) -> str:
            name, default = self._variable(found)
            if name is None:
                return default if default is not None else found[0]
            return default if default is not None and not self._environ.get(name) else f"${{{name}}}"

        alone = _BARE.fullmatch(text) if bare else None
        if alone is not None and self._environ.get(alone[1]):
            return f"${{{alone[1]}}}"
        return _VARIABLE.sub(written, text)

    def _variable(self, found: re.Match[str]) -> tuple[str | None, str | None]:
        """Return the name and default of an environment variable; else None and its value."""
        body = found[2] or found[1].removeprefix("env:")
        name, sign, default = body.partition(":-")
        if _NAME.fullmatch(name) and body not in ("workspaceFolder", "userHome", "workspaceRoot"):
            return name, default if sign else None
        if body == "userHome":
            return None, os.path.expanduser("~")
        if body in ("/", "pathSeparator"):
            return None, os.sep
        if body in ("workspaceFolder", "workspaceRoot") and self._file.parent.name in _PROJECT_FOLDERS:
            return None, str(self._file.parent.parent.resolve())
        if not body.startswith("keyring:"):
            self._hold(f"it relies on {found[0]}, which only its own host fills in; put the value there")
        return None, None

    # --- switches and times ----------------------------------------------------------------------

    def _switch(self) -> None:
        """Read whether it is enabled; a value that is neither yes nor no disables it."""
        for keys, when in ((_ON, False), (_OFF, True)):
            for key in keys:
                if key not in self._entry:
                    continue
                value = _SWITCHED.get(str(self._entry[key]).strip().lower())
                if value is None:
                    self._made.notes.append(f"`{key}` is neither true nor false, so it is switched off")
                if value is None or value is when:
                    self._made.values["enabled"] = False

    def _times(self) -> None:
        values = self._made.values
        both = self._seconds(_BOTH)
        start, call = self._seconds(_START) or both, self._seconds(_CALL) or both
        if start is not None:
            values["connect_timeout"] = start if start != both else max(start, _USUAL_START)
        if call is not None:
            values["call_timeout"] = call

    def _seconds(self, keys: Iterable[str]) -> float | None:
        for key in keys:
            value = self._entry.get(key)
            if value is None or value == 0:
                continue
            try:
                number = float(value) if isinstance(value, int | float | str) else math.nan
            except ValueError:
                number = math.nan
            if isinstance(value, bool) or not 0 < number < math.inf:
                self._made.notes.append(f"`{key}` is no time and is not used")
                continue
            thousandths = key.lower().endswith("ms") or (number > _SECONDS_TO and "sec" not in key)
            return min(number / 1000 if thousandths else number, _LONGEST)
        return None


def _pair(key: str, each: Any) -> tuple[str, Any]:
    if isinstance(each, dict) and isinstance(each.get("name"), str):
        return each["name"], each.get("value")
    name, sign, value = each.partition("=") if isinstance(each, str) else ("", "", "")
    if not sign:
        raise EntryError(f"its {key} must be a table of texts")
    return name, value


def _text(key: str, value: Any) -> str:
    """Return numbers and booleans as text, as other hosts do."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise EntryError(f"its {key} must be text")
    return value


_TABLES = ("mcpServers", "servers", "context_servers", "mcp.servers", "mcpServers.servers")
_JSONC = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)
_HASH_LINES = re.compile(r"\A(?:[ \t]*(?:#[^\n]*)?\n)+")
_HINT = 'it needs {"mcpServers": {NAME: {"command": …} or {"url": …}}}'


@dataclass(frozen=True, slots=True)
class ImportedServers:
    """The servers of a file. `problems`: the file cannot be read. `notes`: settings that are not used."""

    servers: tuple[ServerSpec, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


class _Table(dict[str, Any]):
    """A JSON object, and its repeated keys."""

    twice: frozenset[str] = frozenset()


def import_servers(
    file: FilePath, *, source: ServerSource, environ: Mapping[str, str], config: Config | None = None
) -> ImportedServers:
    """Read a JSON file of servers. Never raises for its content.

    Servers of a file named on the command line (`source` "flag") may start; imported ones wait until the
    person allows them.
    """
    try:
        whole = _read(file)
        entries, notes = _entries(whole), list(_unread(whole, file))
    except EntryError as error:
        return ImportedServers(problems=(problem(str(file), str(error), _HINT),))
    servers: list[ServerSpec] = []
    for written, entry in entries.items():
        # JSON can hold a lone surrogate, which can be neither sent nor saved.
        name = written.encode("utf-8", "backslashreplace").decode()
        where = f"{file}: {name}"
        read = ForeignEntry()
        try:
            if isinstance(entries, _Table) and written in entries.twice:
                raise EntryError("stands there twice")
            if isinstance(entry, _Table) and entry.twice:
                raise EntryError(f"has the key {min(entry.twice)!r} twice")
            read = _Reader(_unfolded(entry), file, environ).read()
            section = _section(read)
        except EntryError as error:
            why = read.unmet or str(error)
            servers.append(ServerSpec(name=name, source=source, allowed=source == "flag", problem=why))
            continue
        spec = server_spec(name, section, source, environ, folder=file.parent, config=config or Config())
        secrets = spec.secrets | read.secrets
        servers.append(replace(spec, problem=spec.problem or read.unmet, secrets=secrets))
        notes += [problem(where, note) for note in read.notes]
        if read.left:
            notes.append(problem(where, f"not taken over: {', '.join(read.left)}"))
    return ImportedServers(tuple(servers), (), tuple(notes))


def _section(entry: ForeignEntry) -> ServerSection:
    """Return one entry as a `ServerSection`. Raises `EntryError`."""
    try:
        return ServerSection.model_validate(entry.values)
    except ValidationError as error:
        found = ((".".join(map(str, details["loc"])), details["msg"]) for details in error.errors())
        raise EntryError("; ".join(f"{key}: {why}" if key else why for key, why in found)) from None


def _read(file: FilePath) -> Any:
    try:
        with open_regular(file) as opened:
            data = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise EntryError(f"cannot be read: {error.strerror or type(error).__name__}") from error
    if len(data) > LARGEST_FILE:
        raise EntryError(f"is longer than {LARGEST_FILE} bytes")
    try:
        text = _HASH_LINES.sub(lambda found: "\n" * found[0].count("\n"), data.decode("utf-8-sig"))
        if not text.strip():
            return None
        plain = _JSONC.sub(lambda found: found[0] if found[0][0] == '"' else " " * len(found[0]), text)
        plain = _JSONC.sub(lambda found: found[0] if found[0][0] == '"' else " ", plain)
        return json.loads(plain, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise EntryError("is not text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise EntryError(f"is not JSON: line {error.lineno}, {error.msg.lower()}") from error
    except RecursionError as error:
        raise EntryError("is not JSON of any use: it is nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> _Table:
    table = _Table(pairs)
    if len(table) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        table.twice = frozenset(name for name, times in counted.items() if times > 1)
    return table


def _entries(whole: Any) -> dict[str, Any]:
    """Return the table of servers, wherever the host puts it."""
    candidates: list[Any] = [whole, whole.get("mcp")] if isinstance(whole, dict) else []
    for table in candidates:
        for key in _TABLES:
            entries = table.get(key) if isinstance(table, dict) else None
            if isinstance(entries, list):  # as Continue writes it
                entries = {
                    each["name"]: {key: value for key, value in each.items() if key != "name"}
                    for each in entries
                    if isinstance(each, dict) and isinstance(each.get("name"), str)
                }
            if isinstance(entries, dict) and (entries or table.get(key) == {}):
                return entries
    for table in reversed(candidates):  # opencode has them under `mcp`, plugins at the top
        if isinstance(table, dict) and table and all(map(_is_entry, table.values())):
            return table
    raise EntryError("is empty" if whole is None else "holds no `mcpServers` table")


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and not value.keys().isdisjoint(
        ("command", "url", "httpUrl", "serverUrl")
    )


def _unread(whole: Any, file: FilePath) -> Iterator[Problem]:
    """Report servers in places that are not read."""
    projects = whole.get("projects") if isinstance(whole, dict) else None
    held = projects.values() if isinstance(projects, dict) else ()
    count = sum(
        len(each["mcpServers"]) for each in held if isinstance(each, dict) and each.get("mcpServers")
    )
    if count:
        yield problem(str(file), f"not taken over: {count} servers of single projects, under `projects`")
