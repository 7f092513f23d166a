"""What is known of one host: where its files are, and how to read a document of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from omni_tui.config.hosts.host_file import NoServersFound, Table

_VARIABLE = re.compile(r"\$\{[^{}]+\}|\$[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class HostEntry:
    """One server as a file has it, in the usual form as far as its host writes another.

    `project`: the folder for which alone it was meant, "" for none. `notes`: what was read differently.
    `unmet`: why it cannot be started here, "" if it can.
    """

    name: str
    written: Any
    project: str = ""
    notes: tuple[str, ...] = ()
    unmet: str = ""


@dataclass(frozen=True, slots=True)
class HostContent:
    """What a document says.

    `inputs`: what its host asks the person for, by id, with its description. `settings`: the settings of
    the app itself, in the shape of a config file. `left`: keys of the document that are not used here,
    `notes` anything else to say.
    """

    entries: tuple[HostEntry, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """One program whose file can be imported.

    `places`: where its files are. `~` is the home folder, `.` the project's or the current one; a first
    part in capitals, as `APPDATA`, is a variable with a folder. `looks_like` recognises a document
    elsewhere. `read` is pure and raises `HostFileError`.
    """

    name: str
    title: str
    places: tuple[str, ...]
    looks_like: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], HostContent]

    def is_place(self, file: FilePath) -> bool:
        """Whether a file has the name and folder of one of its files."""
        path = file.as_posix()
        return any(path.endswith("/" + place.partition("/")[2]) for place in self.places)


def named_entries(table: Any, where: str) -> Iterator[HostEntry]:
    """Yield the entries of a table of servers. Raises `HostFileError` if it is none.

    A list of entries with a `name`, as Continue writes it, counts as one.
    """
    if isinstance(table, list):
        seen: set[str] = set()
        for number, each in enumerate(table, 1):
            name = each.get("name") if isinstance(each, dict) else None
            if not isinstance(name, str) or not name:
                yield HostEntry(f"number {number}", each, unmet="has no name")
                continue
            twice = "stands there twice" if name in seen else ""
            seen.add(name)
            rest = Table({key: value for key, value in each.items() if key != "name"})
            rest.twice = each.twice if isinstance(each, Table) else frozenset()
            yield HostEntry(name, rest, unmet=twice)
    elif isinstance(table, dict):
        repeated = table.twice if isinstance(table, Table) else frozenset()
        for name, entry in table.items():
            yield HostEntry(str(name), entry, unmet="stands there twice" if name in repeated else "")
    else:
        raise NoServersFound(f"holds no `{where}` table")


def table_at(document: Any, *path: str) -> Any:
    """Return the value at a path of tables, None if there is none."""
    for part in path:
        if not isinstance(document, Mapping):
            return None
        document = document.get(part)
    return document


def keys_besides(document: Mapping[str, Any], used: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of a document that are not used, without what editors put there."""
    ignored = {*used, "$schema", "version", "schema"}
    return tuple(sorted(str(key) for key in document if key not in ignored))


def other_settings(title: str, count: int) -> tuple[str, ...]:
    """Say that the other settings of a host's file are not used; nothing if there are none."""
    if count <= 0:
        return ()
    many = f"{count} other settings are" if count > 1 else "one other setting is"
    return (f"{many} {title}'s own and not used",)


def literal_notes(title: str, entry: Any) -> tuple[str, ...]:
    """Say which variables a host that fills in none would pass on as text."""
    found = dict.fromkeys(
        match[0] for text in _texts(entry) for match in _VARIABLE.finditer(text) if match[0][1] == "{"
    )
    return tuple(f"{title} passes {each} on as it is; here it stands for the variable" for each in found)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
