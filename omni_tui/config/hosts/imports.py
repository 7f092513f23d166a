"""Turn a file of another host into servers that can be started, each with what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from omni_tui.config.hosts.catalog import host_of
from omni_tui.config.hosts.entry_reader import FILTERS, ForeignEntry, read_entry, unfolded
from omni_tui.config.hosts.host import Host, HostContent, HostEntry
from omni_tui.config.hosts.host_file import HostFileError, NoServersFound, Table, read_document
from omni_tui.config.hosts.mcp_servers import PLAIN
from omni_tui.config.hosts.remote_bridge import reached_directly
from omni_tui.config.problems import problem
from omni_tui.config.sections import Config, ServerSection
from omni_tui.config.servers import server_spec
from omni_tui.config.spec import ServerSource, ServerSpec
from omni_tui.protocol.events import Problem

_HINT = 'it needs {"mcpServers": {NAME: {"command": …} or {"url": …}}}'
_NAMED = 12
"""How many keys are named in one note."""


@dataclass(frozen=True, slots=True)
class ImportedServer:
    """One server of a file. `values` are its settings as a config file has them, empty if it is unusable.

    `notes`: what was read differently or not taken over. `project`: the folder that it was meant for.
    `held`: why it must not start as it is, whatever the environment has.
    """

    spec: ServerSpec
    values: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    project: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True)
class ImportedServers:
    """What a file says. `problems`: it cannot be read. `notes`: what of it is not used, and where.

    `settings`: those of the app itself, in the shape of a config file (only MCPOmni Connect's has some).
    `empty`: its only problem is that it has no list of servers.
    """

    host: Host = PLAIN
    entries: tuple[ImportedServer, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    empty: bool = False

    @property
    def servers(self) -> tuple[ServerSpec, ...]:
        """The specs of the servers."""
        return tuple(each.spec for each in self.entries)


def import_servers(
    file: FilePath, *, source: ServerSource, environ: Mapping[str, str], config: Config | None = None
) -> ImportedServers:
    """Read a file of servers. Never raises for its content.

    Servers of a file named on the command line (`source` "flag") may start; imported ones wait until the
    person allows them. Only an import takes over servers that are meant for single projects.
    """
    host = PLAIN
    try:
        document = read_document(file)
        if document is None:
            raise NoServersFound("is empty")
        if not isinstance(document, dict):
            raise NoServersFound("holds no `mcpServers` table")
        host = host_of(file, document)
        content = host.read(document)
    except HostFileError as error:
        empty = isinstance(error, NoServersFound)
        found = problem(str(file), str(error), _HINT if empty and host is PLAIN else "")
        return ImportedServers(host=host, problems=(found,), empty=empty)
    entries = list(content.entries)
    notes = list(_notes_of_file(content, document, file))
    if source == "flag" and (of_projects := [each for each in entries if each.project]):
        entries = [each for each in entries if not each.project]
        what = f"not taken over: {len(of_projects)} servers of single projects, under `projects`"
        notes.append(problem(str(file), what))
    reader = _FileReader(file, source, environ, config or Config(), content)
    servers = [reader.server(each) for each in _with_own_names(entries)]
    for each in servers:
        notes += [problem(f"{file}: {each.spec.name}", note) for note in each.notes]
    return ImportedServers(host, tuple(servers), (), tuple(notes), content.settings)


def _notes_of_file(content: HostContent, document: Any, file: FilePath) -> Iterator[Problem]:
    if isinstance(document, Table) and document.twice:
        yield problem(str(file), f"the key {min(document.twice)!r} stands there twice; the last one counts")
    if content.left:
        yield problem(str(file), f"not taken over: {_listed(content.left)}")
    for note in content.notes:
        yield problem(str(file), note)


def _listed(keys: Iterable[str]) -> str:
    named = list(keys)
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return ", ".join(named[:_NAMED]) + more


def _with_own_names(entries: Iterable[HostEntry]) -> Iterator[HostEntry]:
    """Give servers of projects other names where several would have one; leave out what is the same."""
    seen: dict[str, Any] = {}
    for each in entries:
        name, number = each.name, 1
        if each.project and name in seen:
            if seen[name] == each.written:
                continue
            name = f"{each.name}-{FilePath(each.project).name or 'project'}"
            while name in seen:
                number += 1
                name = f"{each.name}-{number}"
            note = f"named {name} here: there is another {each.name}"
            each = replace(each, name=name, notes=(*each.notes, note))
        seen.setdefault(name, each.written)
        yield each


@dataclass(frozen=True, slots=True)
class _FileReader:
    """Reads the entries of one file."""

    file: FilePath
    source: ServerSource
    environ: Mapping[str, str]
    config: Config
    content: HostContent

    def server(self, entry: HostEntry) -> ImportedServer:
        """Return the server of an entry; what prevents its start is the `problem` of its spec."""
        # JSON can hold a lone surrogate, which can be neither sent nor saved.
        name = entry.name.encode("utf-8", "backslashreplace").decode()
        notes = list(entry.notes)
        if entry.project:
            notes.append(f"it was for the project {entry.project} only")
        read = ForeignEntry()
        try:
            if entry.unmet:
                raise HostFileError(entry.unmet)
            if isinstance(entry.written, Table) and entry.written.twice:
                raise HostFileError(f"has the key {min(entry.written.twice)!r} twice")
            written = unfolded(entry.written)
            if self.source == "imported" and (direct := reached_directly(written)) is not None:
                written = direct
                notes.append("it is reached at its address, not through mcp-remote")
            read = read_entry(written, self.file, self.environ, self.content.inputs)
            section = _section(read)
        except HostFileError as error:
            why = read.unmet or str(error)
            spec = ServerSpec(name=name, source=self.source, allowed=self.source == "flag", problem=why)
            return ImportedServer(spec, notes=tuple(notes), project=entry.project)
        spec = server_spec(
            name, section, self.source, self.environ, folder=self.file.parent, config=self.config
        )
        secrets = spec.secrets | read.secrets
        spec = replace(spec, problem=spec.problem or read.unmet, secrets=secrets)
        notes += [*read.notes, *_unused(read)]
        return ImportedServer(spec, read.values, tuple(notes), entry.project, read.unmet)


def _unused(read: ForeignEntry) -> Iterator[str]:
    left = [key for key in read.left if key not in FILTERS]
    if left:
        yield f"not taken over: {_listed(left)}"
    if filters := [key for key in read.left if key in FILTERS]:
        yield f"all its tools are listed ({_listed(filters)} is not taken over); a rule can deny some"
    if read.consent:
        yield f"never taken over, since you decide here: {_listed(read.consent)}"


def _section(entry: ForeignEntry) -> ServerSection:
    """Return one entry as a `ServerSection`. Raises `HostFileError`."""
    try:
        return ServerSection.model_validate(entry.values)
    except ValidationError as error:
        found = ((".".join(map(str, details["loc"])), details["msg"]) for details in error.errors())
        raise HostFileError("; ".join(f"{key}: {why}" if key else why for key, why in found)) from None
