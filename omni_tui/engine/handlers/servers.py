"""Commands about servers: connect, allow, import, remove, sign in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from omni_tui.approvals.pins import fingerprint
from omni_tui.config.config_file import ConfigEditError, remove_server
from omni_tui.config.launch_warnings import launch_warnings
from omni_tui.config.server_display import display_target
from omni_tui.config.server_program import resolved_program
from omni_tui.config.spec import BUNDLE, ServerSpec
from omni_tui.engine.handlers.base import Handlers
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import CommandDone, ServerLogRead
from omni_tui.protocol.server_settings import LaunchRead
from omni_tui.protocol.signin import CancelSignIn, FinishSignIn, OpenSignInPage, SignIn, SignOut
from omni_tui.security.text import exact_json, safe


class ServerHandlers(Handlers):
    """Connects, allows, imports and removes servers; signs in to them."""

    async def _reconnect(self, command: c.ReconnectServer) -> AnyEvent:
        await self._context.connection(command.server).reconnect()
        return CommandDone()

    async def _disconnect(self, command: c.DisconnectServer) -> AnyEvent:
        await self._context.connection(command.server).disconnect()
        return CommandDone()

    async def _allow(self, command: c.AllowServer) -> AnyEvent:
        self._check_person()
        name = command.server
        spec = self._context.connection(name).spec
        changed = UserError(f"what {name} starts has changed since it was shown; look at it again")
        if command.digest != await asyncio.to_thread(fingerprint, spec):
            raise changed
        session = self._session.journal.session
        async with self._context.consents.before(
            "server allowed", name, detail=command.digest, place=display_target(spec), session=session
        ):
            if not await self._context.catalogue.allow(spec, command.digest):
                raise changed
        self._context.tell_unsaved()
        self._engine.sessions.server_allowed(name)
        await self._context.registry.get(name).allow()
        return CommandDone()

    async def _launch(self, command: c.ReadLaunch) -> AnyEvent:
        spec = self._context.connection(command.server).spec
        project = self._context.loaded.paths.project_file
        launch = await asyncio.to_thread(describe_launch, spec, project)
        changed = bool(await self._context.catalogue.changes(spec))
        return msgspec.structs.replace(launch, changed=changed)

    async def _refresh(self, command: c.RefreshServer) -> AnyEvent:
        await self._context.connection(command.server).refresh()
        return CommandDone()

    async def _remove(self, command: c.RemoveServer) -> AnyEvent:
        async with self._context.unsaved.lock:  # nobody changes its settings meanwhile
            connection = self._context.connection(command.server)
            name = connection.spec.name
            if command.digest != connection.digest:
                raise UserError(f"{name} has changed since you were asked; look at it again")
            if command.save:
                try:
                    await asyncio.to_thread(remove_server, self._context.loaded.paths.config_file, name)
                except ConfigEditError as error:
                    raise UserError(str(error)) from None
            await self._context.registry.remove(name)
        return CommandDone(text=safe(f"{name} was removed"))

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

    # --- sign in and out ------------------------------------------------------------------------

    async def _sign_in(self, command: SignIn) -> AnyEvent:
        spec = self._context.connection(command.server).spec
        if self._client.headless:
            raise UserError("nobody is there to sign in; do it in the app, then run this again")
        await self._context.registry.sign_ins.begin(spec)
        return CommandDone()

    async def _finish_sign_in(self, command: FinishSignIn) -> AnyEvent:
        self._check_person()
        self._context.connection(command.server)
        self._context.registry.sign_ins.finish(command.server, command.url)
        return CommandDone()

    async def _cancel_sign_in(self, command: CancelSignIn) -> AnyEvent:
        self._context.connection(command.server)
        await self._context.registry.sign_ins.cancel(command.server)
        return CommandDone(text=safe("the sign-in was cancelled"))

    async def _open_sign_in_page(self, command: OpenSignInPage) -> AnyEvent:
        self._check_person()
        self._context.connection(command.server)
        await self._context.registry.sign_ins.open_page(command.server, command.url)
        return CommandDone(text=safe("opened in your browser"))

    async def _sign_out(self, command: SignOut) -> AnyEvent:
        self._context.connection(command.server)
        return CommandDone(text=safe(await self._context.registry.sign_out(command.server)))


_LONGEST = 100_000
"""Characters of a launch that are shown; nobody reads more."""


def describe_launch(spec: ServerSpec, project_file: Path | None) -> LaunchRead:
    """Return what a server would start, for the person to allow it. Reads the disk.

    Raises `UserError` if it is too long to show.
    """
    launch = exact_json(_launch(spec))
    if len(launch) > _LONGEST:
        raise UserError(
            f"what {spec.name} starts takes {len(launch):,} characters, too many to review; "
            "it cannot be allowed here: shorten its arguments or variables"
        )
    folders = [Path(), *([project_file.parent] if project_file else [])]
    program, real = resolved_program(spec)
    return LaunchRead(
        server=spec.name,
        digest=fingerprint(spec),
        program=safe(program, limit=8_000),
        real=safe(real, limit=8_000),
        launch_json=launch,
        source=_source(spec),
        dangers=tuple(safe(words, limit=1_000) for words in launch_warnings(spec, folders)),
    )


def _source(spec: ServerSpec) -> str:
    if not spec.registry:
        return spec.source
    return "bundle" if spec.registry.startswith(BUNDLE) else "registry"


def _launch(spec: ServerSpec) -> dict[str, Any]:
    """Return everything that decides what is started; a secret value is None."""
    if spec.url:
        headers = {name: None if name in spec.secret_headers else v for name, v in spec.headers.items()}
        return {"url": spec.url, "headers": headers}
    env = {name: None if name in spec.secret_env else value for name, value in spec.env.items()}
    launch = {"command": spec.command, "args": list(spec.args), "cwd": spec.cwd, "env": env}
    return {**launch, "inherit": list(spec.inherit)} if spec.inherit else launch
