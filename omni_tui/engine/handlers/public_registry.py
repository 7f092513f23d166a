"""Commands about the public registry: search it, look at a server, add one as not yet allowed."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from omni_tui.config.config_file import ConfigEditError, update_server
from omni_tui.config.references import SERVICE, has_reference
from omni_tui.config.server_check import ServerCheck, check_server
from omni_tui.config.server_display import server_secrets
from omni_tui.config.spec import BUNDLE
from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.handlers.base import Handlers
from omni_tui.engine.handlers.server_settings import keep_secret
from omni_tui.memory.secret_store import entry_name
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import public_registry as m
from omni_tui.protocol.events import CommandDone
from omni_tui.public_registry import (
    AnyLaunch,
    BundleFile,
    Launch,
    LaunchQuestion,
    RegistryClient,
    RegistryError,
    RegistryPackage,
    RegistryServer,
    bundle_launch,
    derive_launch,
    free_name,
    launch_label,
    plain_name,
    questions,
    read_bundle,
    unpack_bundle,
)
from omni_tui.security.text import safe, safe_line
from omni_tui.security.urls import shown_url

_REMEMBERED = 2_000
"""How many entries that were found can be looked at; of more, the oldest must be searched again."""
_LARGEST_REPLY = 200_000
"""Bytes of a reply, which must fit a frame."""
_GONE = "that server is not among those found last; search again"


class PublicRegistryHandlers(Handlers):
    """Searches for one client. Only what was found can be looked at and added, exactly as it was."""

    def __init__(self, engine: Engine, client: Client) -> None:
        super().__init__(engine, client)
        self._registry = RegistryClient(self._context.loaded.config.registry.url)
        self._found: dict[str, _FoundServer] = {}

    async def _search(self, command: m.SearchRegistry) -> AnyEvent:
        if self._context.options.demo:
            raise UserError("the demo uses no network; start omni-tui without demo to search the registry")
        try:
            page = await self._registry.search(command.words, command.cursor)
        except RegistryError as error:
            raise UserError(" · ".join(filter(None, (error.what, error.todo)))) from None
        for server in page.servers:
            self._remember(_FoundServer(server, server.launches))
        return m.RegistryFound(
            servers=tuple(server_info(self._found[server.digest]) for server in page.servers),
            cursor=page.cursor,
            address=safe_line(shown_url(self._registry.address)),
            fetched=page.fetched,
            problems=tuple(safe_line(each) for each in page.problems[:5]),
        )

    async def _open_bundle(self, command: m.OpenBundle) -> AnyEvent:
        folders = self._context.loaded.paths.state_dir / "bundles"
        try:
            found = await self._in_pool(_found_bundle, command.path, folders)
        except RegistryError as error:
            raise UserError(" · ".join(filter(None, (error.what, error.todo)))) from None
        self._remember(found)
        return await self._read(m.ReadRegistryServer(digest=found.server.digest))

    def _remember(self, found: _FoundServer) -> None:
        self._found.pop(found.server.digest, None)
        self._found[found.server.digest] = found
        while len(self._found) > _REMEMBERED:
            del self._found[next(iter(self._found))]

    async def _read(self, command: m.ReadRegistryServer) -> AnyEvent:
        found = self._server(command.digest)
        server = found.server
        reply = m.RegistryServerRead(
            info=server_info(found),
            name=free_name(server.name, self._context.registry.names()),
            launches=tuple(map(_launch_info, found.launches)),
            launch=command.launch,
            repository=safe_line(server.repository),
            website=safe_line(server.website),
            published=safe_line(server.published, limit=40),
            problems=tuple(safe_line(each) for each in server.problems[:20]),
        )
        if 0 <= command.launch < len(found.launches):
            chosen = found.launches[command.launch]
            try:
                asked = questions(chosen)
                launch = derive_launch(chosen, command.answers)
            except RegistryError:
                return reply  # its row says why
            reply = msgspec.structs.replace(
                reply,
                command=safe_line(_shown(launch), limit=8_000),
                settings=_settings(launch),
                note=safe_line(launch.note),
                questions=tuple(map(_question, asked)),
                missing=launch.missing,
                wrong={name: safe_line(why) for name, why in launch.wrong.items()},
            )
        if len(msgspec.json.encode(reply)) > _LARGEST_REPLY:
            raise UserError(f"what {server.name} says of itself is too long to show; it cannot be added")
        return reply

    async def _add(self, command: m.AddRegistryServer) -> AnyEvent:
        self._check_person()
        found = self._server(command.digest)
        server = found.server
        if server.status == "deleted":
            raise UserError(f"{server.name} was deleted from the registry; it cannot be added")
        if not 0 <= command.launch < len(found.launches):
            raise UserError(_GONE)
        async with self._context.unsaved.lock:
            if command.name in self._context.registry.names():
                raise UserError(f"there is a server named {command.name} already; choose another name")
            chosen = found.launches[command.launch]
            try:
                asked = questions(chosen)
                answers, secrets = _with_references(command, asked)
                launch = derive_launch(chosen, answers)
            except RegistryError as error:
                raise UserError(" · ".join(filter(None, (error.what, error.todo)))) from None
            _must_be_ready(launch, asked)
            await self._checked(command.name, server_values(launch, found.server.name))
            await self._unpacked(found)
            answers |= await self._stored(command.name, secrets)
            values = server_values(derive_launch(chosen, answers), found.server.name)
            checked = await self._checked(command.name, values)
            assert checked.spec is not None
            for secret in server_secrets(checked.spec):
                self._context.redactor.add(secret)
            where = "for this session"
            if not self._context.options.demo:
                file = self._context.loaded.paths.config_file
                try:
                    await asyncio.to_thread(update_server, file, command.name, values, revision="")
                except ConfigEditError as error:
                    raise UserError(str(error)) from None
                where = f"and written to {file}"
            await self._engine.servers.add(checked.spec)
        return CommandDone(text=safe(f"{command.name} was added {where}; it starts when you allow it"))

    async def _stored(self, name: str, secrets: dict[str, str]) -> dict[str, str]:
        """Store the secrets of a server, and return a reference to each. Raises `UserError`."""
        references = {}
        for place, secret in secrets.items():
            self._context.redactor.add(secret)
            stored = await self._in_pool(keep_secret, self._context, name, place, secret)
            references[place] = stored if stored.startswith("${") else f"${{{stored}}}"
        return references

    async def _unpacked(self, found: _FoundServer) -> None:
        """Unpack a bundle. Raises `UserError`."""
        if found.bundle is None:
            return
        try:
            await self._in_pool(unpack_bundle, found.bundle, found.folder)
        except RegistryError as error:
            raise UserError(" · ".join(filter(None, (error.what, error.todo)))) from None

    async def _checked(self, name: str, values: dict[str, Any]) -> ServerCheck:
        """Check settings as the form does. Raises `UserError` for the first problem."""
        loaded = self._context.loaded
        checked = await asyncio.to_thread(
            check_server,
            name,
            values,
            self._context.environ,
            source="session" if self._context.options.demo else "user",
            folder=loaded.paths.config_file.parent,
            config=loaded.config,
            kept=frozenset(),
        )
        if checked.spec is None:
            first = checked.problems[0]
            raise UserError(" · ".join(filter(None, (first.what, first.todo))))
        return checked

    def _server(self, digest: str) -> _FoundServer:
        if digest not in self._found:
            raise UserError(_GONE)
        return self._found[digest]


@dataclass(frozen=True, slots=True)
class _FoundServer:
    """A server that was found, and the ways to run it. Of a bundle also its file and its folder."""

    server: RegistryServer
    launches: tuple[AnyLaunch, ...]
    bundle: BundleFile | None = None
    folder: Path = Path()


def _found_bundle(written: str, folders: Path) -> _FoundServer:
    """Read a bundle. Raises `RegistryError`."""
    path = Path(written).expanduser()
    bundle = read_bundle(path)
    manifest = bundle.manifest
    folder = folders / bundle.digest[:32]
    launch = bundle_launch(
        manifest, folder=str(folder), home=str(Path.home()), platform=sys.platform, separator=os.sep
    )
    signature = "it has a signature, which is not checked" if bundle.signed else "it is not signed"
    author, repository = manifest.get("author"), manifest.get("repository")
    server = RegistryServer(
        name=BUNDLE + plain_name(str(manifest.get("name") or path.stem)),
        version=str(manifest.get("version", "")),
        digest=bundle.digest,
        title=str(manifest.get("display_name") or manifest.get("name") or ""),
        description=str(manifest.get("description", "")),
        published=f"by {author['name']}, as it says"
        if isinstance(author, dict) and "name" in author
        else "",
        repository=str(repository.get("url", "")) if isinstance(repository, dict) else "",
        website=str(manifest.get("homepage") or ""),
        problems=(f"a bundle from {path}, to be unpacked into {folder}", signature),
    )
    return _FoundServer(server, (launch,), bundle, folder)


def _is_named(author: object) -> bool:
    return isinstance(author, dict) and bool(author.get("name"))


def server_info(found: _FoundServer) -> m.RegistryServerInfo:
    """Return a server as a list shows it, made safe."""
    server = found.server
    return m.RegistryServerInfo(
        digest=server.digest,
        name=safe_line(server.name, limit=320),
        version=safe_line(server.version, limit=60),
        title=safe_line(server.title, limit=100),
        description=safe_line(server.description, limit=400),
        status=server.status,
        status_message=safe_line(server.status_message),
        runs=safe_line(next(filter(None, map(launch_label, found.launches)), "")),
    )


def server_values(launch: Launch, registry_name: str) -> dict[str, Any]:
    """Return a launch as `[servers.NAME]` has it."""
    values: dict[str, Any] = {"registry": registry_name}
    if launch.url:
        values |= {"url": launch.url, "transport": launch.transport}
        return values | ({"headers": dict(launch.headers)} if launch.headers else {})
    values |= {"command": launch.command, "args": list(launch.args)}
    return values | ({"env": dict(launch.env)} if launch.env else {})


def _launch_info(launch: AnyLaunch) -> m.RegistryLaunchInfo:
    kind = safe_line(launch.kind, limit=40)
    package = launch.identifier if isinstance(launch, RegistryPackage) else ""
    label = safe_line(launch_label(launch) or package)
    try:
        questions(launch)
    except RegistryError as error:
        return m.RegistryLaunchInfo(
            kind=kind, label=label, refused=safe_line(error.what, limit=400), todo=safe_line(error.todo)
        )
    return m.RegistryLaunchInfo(kind=kind, label=label)


def _question(question: LaunchQuestion) -> m.RegistryQuestion:
    asked = question.asked
    return m.RegistryQuestion(
        id=question.id,
        label=safe_line(question.label, limit=80),
        description=safe_line(asked.description, limit=300),
        placeholder=safe_line(asked.placeholder, limit=100),
        default=safe_line(asked.default),
        choices=tuple(safe_line(each, limit=100) for each in asked.choices),
        required=asked.required,
        secret=asked.secret,
        several=question.repeated,
    )


def _shown(launch: Launch) -> str:
    return launch.url or shlex.join([launch.command, *launch.args])


def _settings(launch: Launch) -> tuple[Any, ...]:
    pairs = launch.headers.items() if launch.url else launch.env.items()
    between = ": " if launch.url else "="
    return tuple(safe_line(f"{name}{between}{value}", limit=600) for name, value in pairs)


def _with_references(
    command: m.AddRegistryServer, asked: tuple[LaunchQuestion, ...]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the answers, each secret hidden behind a reference that is not stored yet, and the secrets."""
    answers, secrets = dict(command.answers), {}
    for question in asked:
        value = (
            (answers.get(question.id, "").strip() or question.asked.default)
            if question.asked.secret
            else ""
        )
        if value and not has_reference(value):
            secrets[question.id] = value
            answers[question.id] = f"${{keyring:{SERVICE}/{entry_name(command.name, question.id)}}}"
    return answers, secrets


def _must_be_ready(launch: Launch, asked: tuple[LaunchQuestion, ...]) -> None:
    labels = {question.id: question.label for question in asked}
    if launch.missing:
        names = ", ".join(labels[each] for each in launch.missing)
        raise UserError(f"it needs a value for: {names}")
    for place, why in launch.wrong.items():
        raise UserError(f"{labels.get(place, place)}: {why}")
