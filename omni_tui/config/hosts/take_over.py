"""Write servers of another host into the person's config file, without a secret in clear.

A server that is taken over waits until the person allows it, as any other that they did not write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from omni_tui.config.config_file import ConfigEditError, update_server
from omni_tui.config.hosts.host import Host
from omni_tui.config.hosts.imports import ImportedServer
from omni_tui.config.server_check import looks_secret
from omni_tui.config.servers import name_problem
from omni_tui.security.redaction import Redactor

KeepSecret = Callable[[str, str, str], str]
"""Stores a secret by server, place (`env.NAME`) and value, and returns the reference to it."""


@dataclass(frozen=True, slots=True)
class TakenServer:
    """A server that was written. `kept`: the places of its secrets, which are stored elsewhere."""

    name: str
    values: Mapping[str, Any]
    kept: tuple[str, ...] = ()


class NotTaken(Exception):
    """A server was not written; the text says why and what to do."""


def take_over(server: ImportedServer, host: Host, path: FilePath, keep: KeepSecret) -> TakenServer:
    """Write one server to the config file at `path`. Raises `NotTaken`; then nothing was written.

    A secret may be stored already when the file turns out to be unwritable; it does no harm there.
    """
    name = server.spec.name
    if not server.values:
        raise NotTaken(server.spec.problem)
    if wrong := name_problem(name):
        raise NotTaken(wrong)
    if place := _secret_in_the_open(server):
        raise NotTaken(
            f"its {place} hold a secret, which is never written in clear; give it in env or headers, "
            "and import it again"
        )
    values, kept = _without_secrets(server, keep)
    if server.held:  # in the file nothing else would keep it from starting
        values["enabled"] = False
    values["imported_from"] = host.title
    try:
        update_server(path, name, values, revision="")
    except ConfigEditError as error:
        raise NotTaken(str(error)) from None
    return TakenServer(name, values, kept)


def secret_settings(server: ImportedServer) -> list[str]:
    """Return the places whose values would be stored as secrets."""
    return [f"{table}.{name}" for table, name, _ in _secrets(server)]


def _secrets(server: ImportedServer) -> list[tuple[str, str, str]]:
    shape = Redactor().redact
    return [
        (table, name, value)
        for table in ("env", "headers")
        for name, value in server.values.get(table, {}).items()
        if looks_secret(name, value, shape)
    ]


def _without_secrets(server: ImportedServer, keep: KeepSecret) -> tuple[dict[str, Any], tuple[str, ...]]:
    given = server.values
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in given.items()}
    if "cwd" in values:  # a relative one begins at the folder of the host's file
        values["cwd"] = server.spec.cwd
    kept = []
    for table, name, value in _secrets(server):
        values[table][name] = keep(server.spec.name, f"{table}.{name}", value)
        kept.append(f"{table}.{name}")
    return values, tuple(kept)


def _secret_in_the_open(server: ImportedServer) -> str:
    """Return the setting that holds a secret where no reference counts, "" if none does."""
    redactor = Redactor(server.spec.secrets)
    for key, what in (("args", "arguments"), ("command", "command"), ("url", "address"), ("cwd", "folder")):
        value = server.values.get(key, "")
        for text in value if isinstance(value, list) else [value]:
            if redactor.redact(text) != text:
                return what
    return ""
