"""Commands about servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from omni_tui.approvals import fingerprint
from omni_tui.config.config_file import ConfigEditError, add_server, remove_server
from omni_tui.config.importers import ImportedServers, import_servers
from omni_tui.config.sections import ServerSection
from omni_tui.config.server_display import server_secrets
from omni_tui.config.servers import name_problem, server_spec
from omni_tui.config.spec import ServerSpec
from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.engine.launch_preview import describe_launch
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import CommandDone, ServerLogRead
from omni_tui.security.text import safe

_NAMED = 5
"""How many servers, or notes, are named after an import."""


class ServerHandlers(Handlers):
    """Connecting, adding, importing, removing."""

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {
            c.ReconnectServer: self._reconnect,
            c.DisconnectServer: self._disconnect,
            c.ReadLaunch: self._launch,
            c.AllowServer: self._allow,
            c.RefreshServer: self._refresh,
            c.AddServer: self._add,
            c.RemoveServer: self._remove,
            c.ImportServers: self._import,
            c.ReadServerLog: self._log,
        }

    async def _reconnect(self, command: c.ReconnectServer) -> AnyEvent:
        await self._context.connection(command.server).reconnect()
        return CommandDone()

    async def _disconnect(self, command: c.DisconnectServer) -> AnyEvent:
        await self._context.connection(command.server).disconnect()
        return CommandDone()

    async def _allow(self, command: c.AllowServer) -> AnyEvent:
        name = command.server
        spec = self._context.connection(name).spec
        if command.digest and command.digest != await asyncio.to_thread(fingerprint, spec):
            raise UserError(f"what {name} starts has changed since it was shown; look at it again")
        await self._context.catalogue.allow(spec)
        self._engine.sessions.server_allowed(name)
        await self._context.registry.allow(name)
        return CommandDone()

    async def _launch(self, command: c.ReadLaunch) -> AnyEvent:
        spec = self._context.connection(command.server).spec
        return await asyncio.to_thread(describe_launch, spec, self._context.loaded.paths.project_file)

    async def _refresh(self, command: c.RefreshServer) -> AnyEvent:
        await self._context.connection(command.server).refresh()
        return CommandDone()

    async def _add(self, command: c.AddServer) -> AnyEvent:
        spec = self._spec(command)
        if command.save:
            try:
                await asyncio.to_thread(
                    add_server,
                    self._context.loaded.paths.config_file,
                    command.name,
                    command=command.command,
                    args=command.args,
                    url=command.url,
                    env=command.env,
                    headers=command.headers,
                )
            except ConfigEditError as error:
                raise UserError(str(error)) from None
        for secret in server_secrets(spec):
            self._context.redactor.add(secret)
        self._context.registry.add(spec)
        self._engine.sessions.server_allowed(spec.name)
        await self._context.registry.reconnect(spec.name)
        where = "to your config file" if command.save else "for this session"
        return CommandDone(text=safe(f"{spec.name} was added {where}"))

    def _spec(self, command: c.AddServer) -> ServerSpec:
        if problem := name_problem(command.name):
            raise UserError(problem)
        if command.name in self._context.registry.names():
            raise UserError(f"there is a server named {command.name} already")
        given: dict[str, Any] = {"command": command.command, "url": command.url}
        given |= {"args": list(command.args)} if command.args else {}
        given |= {"env": dict(command.env)} if command.env else {}
        given |= {"headers": dict(command.headers)} if command.headers else {}
        try:
            section = ServerSection(**given)
        except ValueError as error:
            raise UserError(_first_words(error)) from None
        return server_spec(
            command.name,
            section,
            "user" if command.save else "session",
            self._context.environ,
            folder=Path.cwd(),
            config=self._context.loaded.config,
        )

    async def _remove(self, command: c.RemoveServer) -> AnyEvent:
        name = self._context.connection(command.server).spec.name
        if command.save:
            try:
                await asyncio.to_thread(remove_server, self._context.loaded.paths.config_file, name)
            except ConfigEditError as error:
                raise UserError(str(error)) from None
        await self._context.registry.remove(name)
        return CommandDone(text=safe(f"{name} was removed"))

    async def _import(self, command: c.ImportServers) -> AnyEvent:
        imported = await asyncio.to_thread(self._read_file, command.path)
        if imported.problems and not imported.servers:
            raise UserError("; ".join(f"{each.where}: {each.what}" for each in imported.problems[:3]))
        fresh = [spec for spec in imported.servers if spec.name not in self._context.registry.names()]
        for spec in fresh:
            self._engine.sessions.server_allowed(spec.name)
            await self._engine.servers.add(spec)
        skipped = len(imported.servers) - len(fresh)
        words = f"{len(fresh)} servers were read; allow each one before it is started"
        if stuck := [spec.name for spec in fresh if spec.problem]:
            words += f"; these cannot start, and say why: {', '.join(stuck[:_NAMED])}"
            words += f" and {len(stuck) - _NAMED} more" if len(stuck) > _NAMED else ""
        if skipped:
            words += f"; {skipped} with a name that is taken were left out"
        for note in imported.notes[:_NAMED]:
            words += f"\n{note.where}: {note.what}"
        if len(imported.notes) > _NAMED:
            words += f"\nand {len(imported.notes) - _NAMED} more notes"
        return CommandDone(text=safe(words))

    def _read_file(self, path: str) -> ImportedServers:
        return import_servers(
            Path(path).expanduser(),
            source="imported",
            environ=self._context.environ,
            config=self._context.loaded.config,
        )

    async def _log(self, command: c.ReadServerLog) -> AnyEvent:
        log = self._context.connection(command.server).log
        lines, dropped = log.lines(), log.dropped
        kept, size = [], 0
        for line in reversed(lines):
            size += len(line.encode()) + 8
            if size > 150_000:
                dropped += 1
                continue
            kept.append(line)
        return ServerLogRead(server=command.server, lines=tuple(reversed(kept)), dropped=dropped)


def _first_words(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    first = errors()[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
