"""`config import`: show what another program's file would bring, and write what the person chose."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omni_tui.cli.options import load_configuration
from omni_tui.cli.output import CliError, ExitStatus, nearest, print_json, print_note, print_result, table
from omni_tui.config.config_file import ConfigEditError, KeyPath, set_settings
from omni_tui.config.hosts.catalog import HOSTS
from omni_tui.config.hosts.found_files import FoundFile, find_host_files
from omni_tui.config.hosts.imports import ImportedServer, ImportedServers
from omni_tui.config.hosts.imports import import_servers as read_servers
from omni_tui.config.hosts.take_over import NotTaken, secret_settings, take_over
from omni_tui.config.load import LoadedConfig
from omni_tui.config.server_display import display_target
from omni_tui.memory import Vault, VaultRefused
from omni_tui.memory.secret_store import SecretNotStored, entry_name, store_secret


def import_servers(arguments: argparse.Namespace) -> int:
    """List the files of other programs, show one, or take over what was chosen of it."""
    loaded = load_configuration(arguments)
    wanted = arguments.only or arguments.all
    if arguments.list or not arguments.file:
        if wanted:
            raise CliError(
                "nothing was imported", why="no file was named", todo="Name one.", status=ExitStatus.USAGE
            )
        return _list(_found(loaded), as_json=arguments.json)
    path, imported = _read(arguments.file, loaded)
    if imported.problems:
        first = imported.problems[0]
        raise CliError(first.where, why=first.what, todo=first.todo, status=ExitStatus.USAGE)
    if not wanted:
        return _show(path, imported, loaded, as_json=arguments.json)
    return _take(imported, loaded, arguments)


def _found(loaded: LoadedConfig) -> tuple[FoundFile, ...]:
    here = loaded.paths.project_file.parent if loaded.paths.project_file else Path.cwd()
    return find_host_files(Path.home(), here, loaded.environ, loaded.config)


def _list(found: Iterable[FoundFile], *, as_json: bool) -> int:
    if as_json:
        print_json(
            [
                {
                    "program": each.host.name,
                    "file": str(each.path),
                    "servers": [spec.name for spec in each.imported.servers],
                    "problem": each.imported.problems[0].what if each.imported.problems else "",
                }
                for each in found
            ]
        )
        return ExitStatus.DONE
    rows = [(each.host.name, _names(each.imported), str(each.path)) for each in found]
    if not rows:
        print_result("no file of another program was found; name one: omni-tui config import FILE")
        return ExitStatus.DONE
    print_result(table(("PROGRAM", "SERVERS", "FILE"), rows))
    print_note("to see what a file would bring: omni-tui config import FILE (or PROGRAM)")
    return ExitStatus.DONE


def _names(imported: ImportedServers) -> str:
    if imported.problems:
        return imported.problems[0].what
    names = [spec.name for spec in imported.servers]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") or "none"


def _read(name: str, loaded: LoadedConfig) -> tuple[Path, ImportedServers]:
    """Return the servers of a file or of a program's only file. Raises `CliError`."""
    path = Path(name).expanduser()
    if path.exists() or "/" in name or name not in [host.name for host in HOSTS]:
        if not path.exists():
            hint = nearest(name, [host.name for host in HOSTS])
            raise CliError(
                f"there is no file {name}", todo=f"As a program: {hint}.", status=ExitStatus.USAGE
            )
        imported = read_servers(
            path.absolute(), source="imported", environ=loaded.environ, config=loaded.config
        )
        return path.absolute(), imported
    found = [each for each in _found(loaded) if each.host.name == name]
    if len(found) != 1:
        what = f"{name} has {len(found)} files here" if found else f"no file of {name} was found here"
        todo = "Name one of them:\n" + "\n".join(str(each.path) for each in found) if found else "Name it."
        raise CliError(what, todo=todo, status=ExitStatus.USAGE)
    return found[0].path, found[0].imported


def _show(path: Path, imported: ImportedServers, loaded: LoadedConfig, *, as_json: bool) -> int:
    taken = {spec.name for spec in loaded.servers}
    settings = _new_settings(imported, loaded)
    if as_json:
        print_json(
            {
                "program": imported.host.name,
                "file": str(path),
                "servers": [_described(each, taken) for each in imported.entries],
                "settings": {".".join(place): value for place, value in settings.items()},
                "notes": [{"where": note.where, "what": note.what} for note in imported.notes],
            }
        )
        return ExitStatus.DONE
    print_result(f"{path} ({imported.host.title})")
    for each in imported.entries:
        print_result("\n" + "\n    ".join(_lines(_described(each, taken))))
    own = imported.notes[: len(imported.notes) - sum(len(each.notes) for each in imported.entries)]
    if own or settings:
        print_result()
    for note in own:
        print_result(note.what)
    for place, value in settings.items():
        print_result(f"setting {'.'.join(place)} = {value!r}")
    print_note("\nnothing was written; add --all, or --only NAME, to write to your config file")
    return ExitStatus.DONE


def _lines(facts: Mapping[str, Any]) -> list[str]:
    """Return what is said of one server, its name first."""
    lines = [facts["name"], facts["target"] or "cannot be reached"]
    for what, key in (("variables", "env"), ("headers", "headers"), ("stored as secrets", "secrets")):
        if facts[key]:
            lines.append(f"{what}: {', '.join(facts[key])}")
    if facts["problem"]:
        lines.append(f"cannot start: {facts['problem']}")
    if facts["exists"]:
        lines.append("your config has a server of that name, so this one is left out")
    return [*lines, *facts["notes"]]


def _described(each: ImportedServer, taken: set[str]) -> dict[str, Any]:
    spec = each.spec
    return {
        "name": spec.name,
        "target": display_target(spec) if spec.url or spec.command else "",
        "env": sorted(each.values.get("env", {})),
        "headers": sorted(each.values.get("headers", {})),
        "secrets": secret_settings(each),
        "project": each.project,
        "problem": spec.problem,
        "exists": spec.name in taken,
        "notes": list(each.notes),
    }


def _new_settings(imported: ImportedServers, loaded: LoadedConfig) -> Mapping[KeyPath, Any]:
    """Return the settings of a file that the person's config does not have."""
    origins = loaded.origins or {}
    return {
        (section, key): value
        for section, values in imported.settings.items()
        for key, value in values.items()
        if (section, key) not in origins
    }


def _take(imported: ImportedServers, loaded: LoadedConfig, arguments: argparse.Namespace) -> int:
    if loaded.serious:
        first = loaded.serious[0]
        raise CliError(
            "nothing was imported",
            why=f"your config has a mistake ({first.where}: {first.what})",
            todo="Correct it first; omni-tui config check explains it.",
            status=ExitStatus.USAGE,
        )
    known = [each.spec.name for each in imported.entries]
    if unknown := [name for name in arguments.only if name not in known]:
        hint = nearest(unknown[0], known)
        raise CliError(f"the file has no server {unknown[0]}", todo=hint, status=ExitStatus.USAGE)
    keeper = _SecretKeeper(loaded.paths.state_dir)
    chosen = [each for each in imported.entries if arguments.all or each.spec.name in arguments.only]
    written = [_take_one(each, imported, loaded, keeper) for each in chosen]
    if arguments.all and (settings := _new_settings(imported, loaded)):
        path = loaded.paths.config_file
        try:
            set_settings(path, settings)
        except ConfigEditError as error:
            raise CliError("the settings were not written", why=str(error)) from None
        print_result(f"settings written to {path}: {', '.join('.'.join(place) for place in settings)}")
    if any(written):
        print_note("each server waits until you allow it in the app")
    return ExitStatus.DONE if all(written) else ExitStatus.FAILED


def _take_one(
    server: ImportedServer, imported: ImportedServers, loaded: LoadedConfig, keeper: _SecretKeeper
) -> bool:
    """Write one server and say so, or why not; return whether it was written."""
    name, path = server.spec.name, loaded.paths.config_file
    try:
        if name in {spec.name for spec in loaded.servers}:
            raise NotTaken("your config has a server of that name")
        done = take_over(server, imported.host, path, keeper.keep)
    except NotTaken as error:
        print_note(f"{name} was left out: {error}")
        return False
    stored = f"; {', '.join(done.kept)} stored {keeper.where}" if done.kept else ""
    print_result(f"{name} was written to {path}{stored}")
    for note in server.notes:
        print_note(f"    {note}")
    if server.spec.problem:
        print_note(f"    it cannot start yet: {server.spec.problem}")
    return True


class _SecretKeeper:
    """Stores the secrets of one import; opens the vault for the first."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._vault: Vault | None = None
        self.where = ""

    def keep(self, server: str, place: str, value: str) -> str:
        """Store one secret and return its reference. Raises `NotTaken`."""
        try:
            self._vault = self._vault or Vault.open(self._state_dir, os.environ)
            reference = store_secret(self._state_dir, entry_name(server, place), value, self._vault)
        except (SecretNotStored, VaultRefused, OSError) as error:
            raise NotTaken(f"its secrets could not be stored: {error}") from None
        self.where = "sealed in the state folder" if reference.startswith("${sealed:") else "in the keyring"
        return reference
