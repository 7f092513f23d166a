"""Read the server lists of other hosts: Claude Desktop, Cursor, VS Code, and those who write alike.

The usual form is `{"mcpServers": {NAME: {"command", "args", "env"} or {"url", "headers"}}}`; `foreign`
knows how an entry may look. One that cannot be used is listed with the reason and takes no other
along. What another host approved by itself is never taken over.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from omni_tui.config.foreign_entry import EntryError, ForeignEntry, read_entry
from omni_tui.config.layers import LARGEST_FILE
from omni_tui.config.problems import problem
from omni_tui.config.sections import Config, ServerSection
from omni_tui.config.servers import server_spec
from omni_tui.config.spec import ServerSource, ServerSpec
from omni_tui.protocol.events import Problem
from omni_tui.security.files import open_regular

_TABLES = ("mcpServers", "servers", "context_servers", "mcp.servers", "mcpServers.servers")
_JSONC = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)
_HASH_LINES = re.compile(r"\A(?:[ \t]*(?:#[^\n]*)?\n)+")
_HINT = 'it needs {"mcpServers": {NAME: {"command": …} or {"url": …}}}'


@dataclass(frozen=True, slots=True)
class ImportedServers:
    """What a file gave: `problems` where it cannot be read at all, `notes` on what of it is not used."""

    servers: tuple[ServerSpec, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


class _Table(dict[str, Any]):
    """A JSON object, and the keys that stand in it twice."""

    twice: frozenset[str] = frozenset()


def import_servers(
    file: FilePath, *, source: ServerSource, environ: Mapping[str, str], config: Config | None = None
) -> ImportedServers:
    """Read a JSON file of servers. Never raises for what stands in it.

    Servers from a file named on the command line (`source` "flag") may start; those of an imported
    one wait until the person allows them.
    """
    try:
        whole = _read(file)
        entries, notes = _entries(whole), list(_unread(whole, file))
    except EntryError as error:
        return ImportedServers(problems=(problem(str(file), str(error), _HINT),))
    servers: list[ServerSpec] = []
    for written, entry in entries.items():
        # JSON can hold half a surrogate pair; nothing that is sent or saved can.
        name = written.encode("utf-8", "backslashreplace").decode()
        where = f"{file}: {name}"
        read = ForeignEntry()
        try:
            if isinstance(entries, _Table) and written in entries.twice:
                raise EntryError("stands there twice")
            if isinstance(entry, _Table) and entry.twice:
                raise EntryError(f"has the key {min(entry.twice)!r} twice")
            read = read_entry(entry, file, environ)
            section = _section(read)
        except EntryError as error:
            why = read.unmet or str(error)
            servers.append(ServerSpec(name=name, source=source, allowed=source == "flag", problem=why))
            continue
        spec = server_spec(name, section, source, environ, folder=file.parent, config=config or Config())
        secrets = spec.secrets | read.secrets
        servers.append(replace(spec, problem=spec.problem or read.unmet, secrets=secrets))
        notes += [problem(where, said) for said in read.said]
        if read.left:
            notes.append(problem(where, f"not taken over: {', '.join(read.left)}"))
    return ImportedServers(tuple(servers), (), tuple(notes))


def _section(entry: ForeignEntry) -> ServerSection:
    """Return one entry as our own settings. Raises `EntryError`."""
    try:
        return ServerSection.model_validate(entry.values)
    except ValidationError as error:
        raise EntryError(
            "; ".join(_words(details["loc"], details["msg"]) for details in error.errors())
        ) from None


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
    """Return the table of servers, wherever the host keeps it."""
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
    for table in reversed(candidates):  # opencode keeps them right under `mcp`, plugins under nothing
        if isinstance(table, dict) and table and all(map(_is_entry, table.values())):
            return table
    raise EntryError("is empty" if whole is None else "holds no `mcpServers` table")


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and any(
        key in value for key in ("command", "url", "httpUrl", "serverUrl")
    )


def _unread(whole: Any, file: FilePath) -> Iterator[Problem]:
    """Name servers that stand where they are not looked for."""
    projects = whole.get("projects") if isinstance(whole, dict) else None
    held = projects.values() if isinstance(projects, dict) else ()
    count = sum(
        len(each["mcpServers"]) for each in held if isinstance(each, dict) and each.get("mcpServers")
    )
    if count:
        yield problem(str(file), f"not taken over: {count} servers of single projects, under `projects`")


def _words(loc: tuple[str | int, ...], message: str) -> str:
    return f"{'.'.join(map(str, loc))}: {message}" if loc else message
