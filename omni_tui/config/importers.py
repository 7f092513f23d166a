"""Read the server lists of other hosts: Claude Desktop, Cursor, VS Code, and those who write alike.

The usual form is `{"mcpServers": {NAME: {"command", "args", "env"} or {"url", "headers"}}}`; VS Code
says `servers`, in a file with comments. What another host approved by itself is never taken over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from omni_tui.config.explain import problem
from omni_tui.config.layers import LARGEST_FILE
from omni_tui.config.models import Config, ServerSection
from omni_tui.config.servers import server_spec
from omni_tui.config.spec import ServerSpec, Source
from omni_tui.protocol.events import Problem
from omni_tui.security.files import open_regular

_TYPES = {
    "stdio": "stdio",
    "http": "http",
    "streamable-http": "http",
    "streamable_http": "http",
    "streamablehttp": "http",
    "sse": "sse",
}
_ADDRESSES = ("url", "serverUrl", "httpUrl")
_KNOWN = {"command", "args", "env", "cwd", "headers", "type", "transport", "transport_type", "disabled"}
_PROMPTED = re.compile(r"\$\{(?:input|workspaceFolder|userHome|command|config)\b[^}]*\}|\$\{\w+:-[^}]*\}")
_JSONC = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)
_HINT = 'it needs {"mcpServers": {NAME: {"command": …} or {"url": …}}}'


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file gave: `problems` where it cannot be read as meant, `notes` on what was left out."""

    servers: tuple[ServerSpec, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


class _NotUsable(Exception):
    """A file or an entry that cannot be understood; the text says why."""


def import_servers(
    file: FilePath, *, source: Source, environ: Mapping[str, str], config: Config | None = None
) -> Imported:
    """Read a JSON file of servers. Never raises for what stands in it.

    Servers from a file named on the command line (`source` "flag") may start; those of an imported
    one wait until the person allows them.
    """
    try:
        entries = _entries(_read(file))
    except _NotUsable as error:
        return Imported(problems=(problem(str(file), str(error), _HINT),))
    servers: list[ServerSpec] = []
    problems: list[Problem] = []
    notes: list[Problem] = []
    for written, entry in entries.items():
        # JSON can hold half a surrogate pair; nothing that is sent or saved can.
        name = written.encode("utf-8", "backslashreplace").decode()
        where = f"{file}: {name}"
        try:
            section = _section(entry)
        except _NotUsable as error:
            problems.append(problem(where, str(error), "correct the entry, or take it out"))
            servers.append(ServerSpec(name=name, source=source, allowed=False, problem=str(error)))
            continue
        spec = server_spec(name, section, source, environ, folder=file.parent, config=config or Config())
        servers.append(replace(spec, problem=spec.problem or _unmet(entry)))
        left = sorted(set(entry) - _KNOWN - set(_ADDRESSES))
        if left:
            notes.append(problem(where, f"not taken over: {', '.join(left)}"))
    return Imported(tuple(servers), tuple(problems), tuple(notes))


def _read(file: FilePath) -> Any:
    try:
        with open_regular(file) as opened:
            data = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _NotUsable(f"cannot be read: {error.strerror or type(error).__name__}") from error
    if len(data) > LARGEST_FILE:
        raise _NotUsable(f"is longer than {LARGEST_FILE} bytes")
    try:
        text = data.decode("utf-8-sig")
        plain = _JSONC.sub(lambda found: found[0] if found[0][0] == '"' else " " * len(found[0]), text)
        plain = _JSONC.sub(lambda found: found[0] if found[0][0] == '"' else " ", plain)
        return json.loads(plain, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise _NotUsable("is not text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise _NotUsable(f"is not JSON: line {error.lineno}, {error.msg.lower()}") from error
    except RecursionError as error:
        raise _NotUsable("is not JSON of any use: it is nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise _NotUsable(f"has the key {key!r} twice")
        table[key] = value
    return table


def _entries(whole: Any) -> dict[str, dict[str, Any]]:
    """Return the table of servers, wherever the host keeps it."""
    candidates = [whole, whole.get("mcp")] if isinstance(whole, dict) else []
    for table in candidates:
        for key in ("mcpServers", "servers"):
            entries = table.get(key) if isinstance(table, dict) else None
            if isinstance(entries, dict):
                return entries
    raise _NotUsable("holds no `mcpServers` table")


def _section(entry: Any) -> ServerSection:
    """Return one entry as our own settings. Raises `_NotUsable`."""
    if not isinstance(entry, dict):
        raise _NotUsable("is no table")
    wanted = str(entry.get("type") or entry.get("transport") or entry.get("transport_type") or "").lower()
    kind = _TYPES.get(wanted)
    if wanted and kind is None:
        raise _NotUsable(f"asks for the transport {wanted!r}, which is not known here")
    values = {key: entry[key] for key in ("command", "args", "env", "cwd", "headers") if entry.get(key)}
    address = next((entry[key] for key in _ADDRESSES if entry.get(key)), None)
    if address:
        values["url"] = address
    if kind in ("http", "sse"):
        values.pop("command", None)
    if "url" in values and "command" not in values:
        values = {key: values[key] for key in ("url", "headers") if key in values}
        if kind == "sse":
            values["transport"] = "sse"
    if isinstance(values.get("env"), dict):
        values["env"] = {key: _text(value) for key, value in values["env"].items()}
    if entry.get("disabled") is True:
        values["enabled"] = False
    try:
        return ServerSection.model_validate(values)
    except ValidationError as error:
        raise _NotUsable(
            "; ".join(_words(details["loc"], details["msg"]) for details in error.errors())
        ) from None


def _text(value: Any) -> Any:
    """Return numbers and truth values as other hosts pass them on: as text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _words(loc: tuple[str | int, ...], message: str) -> str:
    return f"{'.'.join(map(str, loc))}: {message}" if loc else message


def _unmet(entry: Mapping[str, Any]) -> str:
    """Say what the entry relies on that this host does not do; "" if nothing."""
    if entry.get("envFile"):
        return "it takes variables from a file (envFile), which is not read here; give them in `env`"
    for value in _strings(
        [entry.get(key) for key in ("command", "args", "env", "cwd", "headers", *_ADDRESSES)]
    ):
        found = _PROMPTED.search(value)
        if found:
            return f"it relies on {found[0]}, which only its own host fills in; put the value there"
    return ""


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return []
