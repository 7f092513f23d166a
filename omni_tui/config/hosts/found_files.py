"""Look for the files of other hosts on this machine. Only reads; starts nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from omni_tui.config.hosts.catalog import HOSTS
from omni_tui.config.hosts.host import Host
from omni_tui.config.hosts.imports import ImportedServers, import_servers
from omni_tui.config.sections import Config

_MOST = 50
"""How many files one pattern may find."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a host, and what it says."""

    host: Host
    path: FilePath
    imported: ImportedServers


def find_host_files(
    home: FilePath, here: FilePath, environ: Mapping[str, str], config: Config | None = None
) -> tuple[FoundFile, ...]:
    """Return the files of all hosts that have a list of servers, or cannot be read, by host.

    `home` is the person's folder, `here` that of the project or the current one.
    """
    found: dict[FilePath, FoundFile] = {}
    for host in HOSTS:
        for path in _existing(host, home, here, environ):
            real = FilePath(os.path.realpath(path))
            if real in found:
                continue
            imported = import_servers(path, source="imported", environ=environ, config=config)
            if not imported.empty:
                found[real] = FoundFile(host, path, imported)
    return tuple(found.values())


def _existing(host: Host, home: FilePath, here: FilePath, environ: Mapping[str, str]) -> Iterator[FilePath]:
    for place in host.places:
        first, _, rest = place.partition("/")
        folder = {"~": str(home), ".": str(here)}.get(first) or environ.get(first, "")
        if not folder:
            continue
        if rest.endswith("/*"):
            yield from _files_in(FilePath(folder) / rest.removesuffix("/*"))
        elif (path := FilePath(folder) / rest).is_file():
            yield path


def _files_in(folder: FilePath) -> list[FilePath]:
    try:
        names = sorted(os.listdir(folder))[:_MOST]
    except OSError:
        return []
    endings = (".json", ".yaml", ".yml")
    return [folder / name for name in names if name.endswith(endings) and (folder / name).is_file()]
