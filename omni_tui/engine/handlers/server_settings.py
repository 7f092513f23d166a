"""Commands about a server's settings: read, check and change them, and write them to the config file."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from omni_tui.approvals.pins import fingerprint
from omni_tui.config.config_file import ConfigEditError, read_server, set_server_enabled, update_server
from omni_tui.config.references import has_reference, is_reference
from omni_tui.config.server_check import ServerCheck, check_server, looks_secret
from omni_tui.config.server_display import display_target, server_secrets
from omni_tui.config.spec import ServerSource, ServerSpec
from omni_tui.engine.context import EngineContext
from omni_tui.engine.handlers.base import Handlers
from omni_tui.memory.secret_store import SecretNotStored, entry_name, store_secret
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import server_settings as m
from omni_tui.protocol.commands import AddServer
from omni_tui.protocol.events import CommandDone, Problem
from omni_tui.protocol.server_settings import KEPT, ServerChecked, ServerRead, ServerSettings
from omni_tui.security.text import safe, safe_line

_T = TypeVar("_T")

_NOT_WRITTEN = {
    "project": "it comes from a project's file, which is never written",
    "imported": "it comes from another program's file, which is never written",
    "flag": "it comes from the file named by --mcp-config, which is never written",
}


class ServerSettingsHandlers(Handlers):
    """Reads and changes the settings of servers, one change at a time."""

    # --- reading and checking

    async def _read(self, command: m.ReadServer) -> AnyEvent:
        spec = self._spec(command.server)
        values, revision = await self._values(spec)
        return ServerRead(
            name=spec.name,
            settings=settings_for_form(values, self._context.redactor.redact, self._hidden(spec, values)),
            revision=revision,
            fixed=safe_line(self._fixed(spec, values)),
            unsaved=safe_line(self._unsavable(spec.source)),
        )

    async def _check(self, command: m.CheckServer) -> AnyEvent:
        if command.new and command.name in self._context.registry.names():
            taken = f"there is a server named {command.name} already"
            checked = ServerCheck(
                (Problem(where=safe_line("name"), what=safe_line(taken, limit=400)),), (), None
            )
        else:
            _, checked = await self._checked(command, None if command.new else self._spec(command.name))
        return ServerChecked(problems=checked.problems, warnings=checked.warnings)

    async def _checked(
        self,
        command: m.CheckServer | m.EditServer,
        former: ServerSpec | None,
        source: ServerSource | None = None,
    ) -> tuple[dict[str, Any], ServerCheck]:
        """Return the settings as a file has them, and what a check of them found."""
        engine = self._context
        old, _ = await self._values(former) if former else ({}, "")
        values, kept = values_of(command.settings, old, engine.redactor.redact)
        checked = await asyncio.to_thread(
            check_server,
            command.name,
            values,
            engine.environ,
            source=source or self._source(former, save=False),
            folder=self._folder(former, source),
            config=engine.loaded.config,
            kept=kept,
        )
        if former is not None and checked.spec is not None:
            checked = dataclasses.replace(checked, spec=_as_secret(checked.spec, kept))
        return values, checked

    async def _values(self, spec: ServerSpec) -> tuple[dict[str, Any], str]:
        """Return a server's settings as written, and the revision of the config file."""
        unsaved = self._context.unsaved.kept.get(spec.name)
        if spec.source != "user":
            if unsaved is not None and unsaved[0] == _bare(spec):
                return unsaved[1], ""
            section = self._context.loaded.config.servers.get(spec.name)
            if spec.source == "project" and section is not None:
                return section.model_dump(exclude_unset=True), ""
            return values_of_spec(spec), ""
        written, revision = await self._file(read_server, spec.name)
        if unsaved is not None and unsaved[0] == _bare(spec):
            return unsaved[1], revision
        return values_of_spec(spec) if written is None else written, revision

    @staticmethod
    def _hidden(spec: ServerSpec, values: dict[str, Any]) -> frozenset[str]:
        """Return the places of secret values that are not written as references."""
        hidden = set()
        for place in secret_places(spec):
            key, _, name = place.partition(".")
            value = values.get(key, {}).get(name, "") if isinstance(values.get(key), dict) else ""
            if not (isinstance(value, str) and has_reference(value)):
                hidden.add(place)
        return frozenset(hidden)

    # --- changing

    async def _add(self, command: AddServer) -> AnyEvent:
        settings = ServerSettings(
            command=command.command,
            args=command.args,
            url=command.url,
            env=command.env,
            headers=command.headers,
        )
        save = command.save and not self._context.options.demo
        return await self._edit(m.EditServer(name=command.name, settings=settings, new=True, save=save))

    async def _edit(self, command: m.EditServer) -> AnyEvent:
        self._check_person()
        async with self._context.unsaved.lock:
            engine, name = self._context, command.name
            if command.new and name in engine.registry.names():
                raise UserError(f"there is a server named {name} already")
            former = None if command.new else self._spec(name)
            if former is not None and (why := self._fixed(former, (await self._values(former))[0])):
                raise UserError(f"{name} cannot be changed: {why}")
            if command.save and (why := self._unsavable(former.source if former else "user")):
                raise UserError(f"{name} was not saved: {why}; it can be changed for this session")
            source = self._source(former, save=command.save)
            values, checked = await self._checked(command, former, source)
            if checked.spec is None:
                first = checked.problems[0]
                raise UserError(" · ".join(filter(None, (first.what, first.todo))))
            launch = await asyncio.to_thread(fingerprint, checked.spec)
            async with engine.consents.before(
                "server added" if former is None else "server changed",
                name,
                detail=launch,
                place=display_target(checked.spec),
                session=self._session.journal.session,
            ):
                if command.save:
                    await self._file(update_server, name, values, revision=command.revision)
                else:
                    await self._consent(checked.spec, launch)
            # Once it is written, the entry stands: the next start goes by the file.
            if command.save:
                await self._consent(checked.spec, launch)
            await self._start(checked.spec, new=former is None)
            self._context.unsaved.kept.pop(name, None)
            if not command.save:
                self._context.unsaved.kept[name] = (_bare(checked.spec), values)
        done = "added" if command.new else "changed"
        where = f"and written to {engine.loaded.paths.config_file}" if command.save else "for this session"
        return CommandDone(text=safe(f"{name} was {done} {where}"))

    async def _consent(self, spec: ServerSpec, launch: str) -> None:
        """Remember the person's consent to what they have just described. Raises `UserError`.

        Its tools are still compared with the pins: no other program can take their place unseen.
        """
        for secret in server_secrets(spec):
            self._context.redactor.add(secret)
        if not await self._context.catalogue.allow(spec, launch):
            raise UserError(f"what {spec.name} starts was changed on the disk just now; try again")

    async def _start(self, spec: ServerSpec, *, new: bool) -> None:
        """Connect a server to which the person has consented."""
        engine = self._context
        self._engine.sessions.server_allowed(spec.name)
        spec = dataclasses.replace(spec, allowed=True)
        if new:
            engine.registry.add(spec)
            if spec.enabled:
                await engine.registry.get(spec.name).reconnect()
        else:
            await engine.registry.replace(spec)
        engine.registry.get(spec.name).log.note("its settings were changed by you")

    async def _enable(self, command: m.EnableServer) -> AnyEvent:
        self._check_person()
        spec = self._spec(command.server)
        if not spec.allowed:
            raise UserError(f"{spec.name} is not allowed to start yet; allow it first")
        await self._switch(spec, on=True, save=command.save)
        self._engine.sessions.server_allowed(spec.name)
        await self._context.registry.get(spec.name).reconnect()
        return CommandDone(text=safe(f"{spec.name} is enabled{_also(command.save)}"))

    async def _disable(self, command: m.DisableServer) -> AnyEvent:
        spec = self._spec(command.server)
        await self._switch(spec, on=False, save=command.save)
        await self._context.registry.get(spec.name).disconnect()
        return CommandDone(text=safe(f"{spec.name} is disabled{_also(command.save)}"))

    async def _switch(self, spec: ServerSpec, *, on: bool, save: bool) -> None:
        if not save:
            return
        if why := self._unsavable(spec.source):
            raise UserError(
                f"{spec.name} was left as it is: {why}; it can be enabled or disabled for this session"
            )
        async with self._context.unsaved.lock:
            await self._file(set_server_enabled, spec.name, enabled=on)

    # --- secrets

    async def _keep(self, command: m.KeepSecret) -> AnyEvent:
        if not command.value.strip() or has_reference(command.value):
            raise UserError("nothing to store: the secret is empty, or already a reference")
        key = command.key if command.place != "token" else ""
        place = f"{command.place}.{key}" if key else command.place
        self._context.redactor.add(command.value)
        reference = await self._in_pool(keep_secret, self._context, command.server, place, command.value)
        return CommandDone(text=safe(reference))

    # --- what may be done

    def _spec(self, name: str) -> ServerSpec:
        return self._context.connection(name).spec

    @staticmethod
    def _fixed(spec: ServerSpec, values: dict[str, Any]) -> str:
        """Return why a server's settings cannot be changed from a form, "" if they can."""
        if spec.source == "plugin":
            return "a plugin provides it (/plugins)"
        return "it is the bundled one" if spec.source == "demo" else unshowable(values)

    def _unsavable(self, source: ServerSource) -> str:
        if self._context.options.demo:
            return "the demo leaves your config file alone"
        if source == "demo":
            return "it is the bundled one"
        if source == "plugin":
            return "a plugin provides it (/plugins)"
        return _NOT_WRITTEN.get(source, "")

    @staticmethod
    def _source(former: ServerSpec | None, *, save: bool) -> ServerSource:
        """Return the source of a changed server: what a person typed is theirs."""
        return "user" if save or (former is not None and former.source == "user") else "session"

    def _folder(self, former: ServerSpec | None, source: ServerSource | None) -> Path:
        """Return the folder that a relative `cwd` starts from."""
        paths = self._context.loaded.paths
        if former is not None and former.source == "project" and paths.project_file is not None:
            return paths.project_file.parent
        if source == "user" or (former is not None and former.source == "user"):
            return paths.config_file.parent
        return Path.cwd()

    async def _file(self, work: Callable[..., _T], *given: Any, **named: Any) -> _T:
        """Read or write the config file in a thread. Raises `UserError`."""
        try:
            return await asyncio.to_thread(work, self._context.loaded.paths.config_file, *given, **named)
        except ConfigEditError as error:
            raise UserError(str(error)) from None


def _also(saved: bool) -> str:
    return ", also in your config file" if saved else " for this session"


def _bare(spec: ServerSpec) -> ServerSpec:
    """Return a spec without what changes at run time."""
    return dataclasses.replace(spec, enabled=True, allowed=True)


def _as_secret(spec: ServerSpec, kept: frozenset[str]) -> ServerSpec:
    """Mark as secret what the form was not shown."""
    env = {name for name in spec.env if f"env.{name}" in kept}
    headers = {name for name in spec.headers if f"headers.{name}" in kept}
    return dataclasses.replace(
        spec, secret_env=spec.secret_env | env, secret_headers=spec.secret_headers | headers
    )


def keep_secret(context: EngineContext, server: str, place: str, value: str) -> str:
    """Store a server's secret and return its reference. Blocks. Raises `UserError`."""
    name = entry_name(server, place)
    try:
        reference = store_secret(context.loaded.paths.state_dir, name, value, context.vault)
    except SecretNotStored as error:
        way_out = "write ${NAME} instead, and set that variable before you start"
        raise UserError(f"{error}; {way_out}") from None
    if reference.startswith("${sealed:"):
        context.environ[f"sealed:{name}"] = value
    return reference


_DEFAULTS: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(ServerSettings()))
"""The keys of a form with their default values, which are not written."""

_STAY = ("mode", "connect_timeout", "enabled")
"""Keys that stay in a file even at their default value."""


def settings_for_form(
    values: Mapping[str, Any], redact: Callable[[str], str], secret: frozenset[str] = frozenset()
) -> ServerSettings:
    """Return settings for a form. `redact` removes secrets from a text; `secret` names further places."""
    given = {key: _shaped(values.get(key, default), default) for key, default in _DEFAULTS.items()}
    for key in ("env", "headers"):
        given[key] = {
            name: KEPT
            if f"{key}.{name}" in secret or looks_secret(name, value, redact) or _odd(value)
            else value
            for name, value in given[key].items()
        }
    for key in ("command", "cwd", "url"):
        given[key] = KEPT if redact(given[key]) != given[key] else given[key]
    given["token"] = given["token"] if not given["token"] or is_reference(given["token"]) else KEPT
    given["args"] = tuple(KEPT if redact(each) != each else each for each in given["args"])
    return ServerSettings(**given)


def _odd(value: str) -> bool:
    """Return whether a text has line breaks or characters that do not show."""
    return safe_line(value, limit=100_000) != value


def unshowable(values: Mapping[str, Any]) -> str:
    """Return why a form cannot show these settings, "" if it can."""
    texts = [_shaped(values.get(key, ""), "") for key in ("command", "cwd", "url", "auth", "mode")]
    texts += _shaped(values.get("args", []), [])
    for key in ("env", "headers"):
        texts += _shaped(values.get(key, {}), {})
    if any(_odd(text) for text in texts):
        return "its settings hold line breaks or characters that do not show; edit its file by hand"
    return ""


def _shaped(value: Any, default: Any) -> Any:
    """Return a value that a form can show: a file with mistakes may have anything anywhere."""
    if isinstance(default, dict):
        items = value.items() if isinstance(value, Mapping) else ()
        return {str(name): str(content) for name, content in items}
    if isinstance(default, list):
        return [str(each) for each in value] if isinstance(value, list) else []
    if isinstance(default, bool):
        return value if isinstance(value, bool) else default
    if isinstance(default, str):
        return str(value)
    return value if value is None or isinstance(value, int | float | str) else default


def values_of(
    settings: ServerSettings, former: Mapping[str, Any], redact: Callable[[str], str]
) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the settings of a form as a file has them, and the places where a hidden value was kept.

    Keys that no form has stay as they were. Raises `UserError` for a mark without a hidden value.
    """
    kept: set[str] = set()
    given = msgspec.structs.asdict(settings)
    values = {key: value for key, value in former.items() if key not in _DEFAULTS}
    for key, default in _DEFAULTS.items():
        value: Any = given[key]
        if key in ("env", "headers"):
            value = _table(key, value, _shaped(former.get(key), default), kept)
        elif key == "args":
            hidden = [each for each in _shaped(former.get(key), default) if redact(each) != each]
            value = _list(value, hidden, kept)
        elif value == KEPT:
            value = _former(key, former.get(key))
            kept.add(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value != default or (key in _STAY and key in former):
            values[key] = value
    return values, frozenset(kept)


def _table(key: str, new: Mapping[str, str], old: Mapping[str, str], kept: set[str]) -> dict[str, str]:
    table = {}
    for name, value in new.items():
        if value == KEPT:
            value = _former(f"{key}.{name}", old.get(name))
            kept.add(f"{key}.{name}")
        table[name] = value
    return table


def _list(new: Iterable[str], hidden: list[str], kept: set[str]) -> list[str]:
    values = []
    for value in new:
        if value == KEPT:
            value = _former("args", hidden.pop(0) if hidden else None)
            kept.add("args")
        values.append(value)
    return values


def _former(where: str, value: str | None) -> str:
    if value is None:
        raise UserError(f"{where} says {KEPT}, and there is nothing that could be kept; write it out")
    return value


def values_of_spec(spec: ServerSpec) -> dict[str, Any]:
    """Return settings from a spec, for a server that no file describes."""
    given = {
        field.name: getattr(spec, field.name)
        for field in dataclasses.fields(spec)
        if field.name in _DEFAULTS
    }
    values = {**given, "args": list(spec.args)}
    return {key: value for key, value in values.items() if value != _DEFAULTS[key]}


def secret_places(spec: ServerSpec) -> frozenset[str]:
    """Return the settings with secret values, as `env.NAME` and `headers.NAME`."""
    return frozenset(
        [*(f"env.{name}" for name in spec.secret_env), *(f"headers.{name}" for name in spec.secret_headers)]
    )
