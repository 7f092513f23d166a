"""Commands about the files of other hosts: find them, import their servers."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import partial
from pathlib import Path

from omni_tui.config.hosts.found_files import FoundFile, find_host_files
from omni_tui.config.hosts.imports import ImportedServer, ImportedServers, import_servers
from omni_tui.config.hosts.take_over import NotTaken, take_over
from omni_tui.config.sections import ServerSection
from omni_tui.config.server_display import server_secrets
from omni_tui.config.servers import server_spec
from omni_tui.config.spec import ServerSpec
from omni_tui.engine.handlers.base import Handlers
from omni_tui.engine.handlers.server_settings import keep_secret
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.host_files import FindHostFiles, HostFile, HostFilesFound, ImportServers
from omni_tui.security.text import safe, safe_line

_NAMED = 5
"""How many servers, or notes, are named after an import."""


class HostFileHandlers(Handlers):
    """Finds the files of other hosts and imports their servers."""

    async def _find(self, command: FindHostFiles) -> AnyEvent:
        self._check_person()
        loaded = self._context.loaded
        here = loaded.paths.project_file.parent if loaded.paths.project_file else Path.cwd()
        home = Path(self._context.environ.get("HOME") or Path.home())
        found = await self._in_pool(find_host_files, home, here, self._context.environ, loaded.config)
        return HostFilesFound(files=tuple(map(_described, found)))

    async def _import(self, command: ImportServers) -> AnyEvent:
        if command.save:
            self._check_person()
        imported = await asyncio.to_thread(self._read_file, command.path)
        if imported.problems and not imported.servers:
            raise UserError("; ".join(f"{each.where}: {each.what}" for each in imported.problems[:3]))
        names = self._context.registry.names()
        fresh = [each for each in imported.entries if each.spec.name not in names]
        left_out: list[str] = []
        saved = 0
        async with self._context.unsaved.lock:
            for each in fresh:
                spec = each.spec
                if command.save and not self._context.options.demo:
                    try:
                        spec = await self._saved(each, imported)
                        saved += 1
                    except NotTaken as error:
                        left_out.append(f"{spec.name} is not in your config file: {error}")
                self._engine.sessions.server_allowed(spec.name)
                await self._engine.servers.add(spec)
        return CommandDone(text=safe(_told(imported, [each.spec for each in fresh], saved, left_out)))

    async def _saved(self, server: ImportedServer, imported: ImportedServers) -> ServerSpec:
        """Write a server to the config file and return it as it is there. Raises `NotTaken`."""
        context = self._context
        for secret in server_secrets(server.spec):
            context.redactor.add(secret)
        path = context.loaded.paths.config_file
        try:
            taken = await self._in_pool(
                take_over, server, imported.host, path, partial(keep_secret, context)
            )
        except UserError as error:
            raise NotTaken(str(error)) from None
        section = ServerSection.model_validate(taken.values)
        spec = server_spec(
            taken.name, section, "user", context.environ, folder=path.parent, config=context.loaded.config
        )
        return dataclasses.replace(spec, problem=spec.problem or server.spec.problem)

    def _read_file(self, path: str) -> ImportedServers:
        return import_servers(
            Path(path).expanduser(),
            source="imported",
            environ=self._context.environ,
            config=self._context.loaded.config,
        )


def _described(found: FoundFile) -> HostFile:
    imported = found.imported
    return HostFile(
        path=str(found.path),
        program=safe_line(found.host.title, limit=60),
        shown=safe_line(str(found.path), limit=400),
        servers=tuple(safe_line(spec.name, limit=64) for spec in imported.servers[:_NAMED]),
        count=len(imported.servers),
        problem=safe_line(imported.problems[0].what if imported.problems else "", limit=200),
    )


def _told(imported: ImportedServers, fresh: list[ServerSpec], saved: int, left_out: list[str]) -> str:
    many = f"{len(fresh)} servers" if len(fresh) != 1 else "1 server"
    words = f"{many} imported; allow each one before it starts"
    if saved:
        words += f"; {'all' if saved == len(fresh) else saved} in your config file"
    if stuck := [spec.name for spec in fresh if spec.problem]:
        words += f"; these cannot start, and their rows say why: {', '.join(stuck[:_NAMED])}"
        words += f" and {len(stuck) - _NAMED} more" if len(stuck) > _NAMED else ""
    if skipped := len(imported.servers) - len(fresh):
        words += f"; {skipped} left out because their names are taken"
    for line in left_out[:_NAMED]:
        words += f"\n{line}"
    for note in imported.notes[:_NAMED]:
        words += f"\n{note.where}: {note.what}"
    if len(imported.notes) > _NAMED:
        words += f"\nand {len(imported.notes) - _NAMED} more notes"
    return words
