"""The configuration that counts now, read again when its files change.

A broken edit never replaces a working configuration: it is told, and what was loaded before still counts.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_tui.approvals.pins import fingerprint
from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.config.reload import ConfigChange, compare, in_force, without_waiting
from omni_tui.config.sections import Config
from omni_tui.config.server_display import server_secrets
from omni_tui.config.spec import ServerSpec
from omni_tui.memory.secret_store import environment_with_secrets
from omni_tui.protocol.events import Notice
from omni_tui.security.text import safe

if TYPE_CHECKING:
    from omni_tui.engine.context import EngineContext
    from omni_tui.engine.servers import EngineServers

logger = logging.getLogger(__name__)

SETTLE_MS = 150
"""Milliseconds without a change after which the files are read: editors write in several steps."""
_LOOK_MS = 5_000
"""Milliseconds after which the files are looked at anyway: a lost folder tells nothing."""
_NAMED = 6

Version = tuple[int, int, int] | None


class ConfigInForce:
    """Holds the loaded configuration, and changes what can change while the app runs."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self.loaded = loaded
        self.pending: tuple[str, ...] = ()
        """Settings of the files that count from the next start."""
        self._read = loaded
        self._versions = self._look()

    # --- reading again

    async def reload(self, context: EngineContext, servers: EngineServers) -> ConfigChange:
        """Read the files again and use what can be used now. Never raises for their content."""
        async with context.unsaved.lock:  # nobody changes a server meanwhile
            self._versions = self._look()
            environ = environment_with_secrets(context.options, dict(os.environ))
            now = await asyncio.get_running_loop().run_in_executor(
                context.pool, partial(load_config, context.options, environ)
            )
            now = without_waiting(now, self.loaded.config)
            change = compare(self._read, now)
            if change.mistake is not None:
                return change
            for secret in now.secrets:
                context.redactor.add(secret)
            context.environ.update(now.environ)
            self.loaded = in_force(self.loaded, now)
            self._read = now
            pending = dict.fromkeys((*self.pending, *change.restart))
            self.pending = tuple(name for name in pending if self._waits(name, now))
            used = [spec for spec in change.servers if await self._use(spec, context, servers)]
            gone = [name for name in change.removed if name in context.registry.names()]
            gone = [name for name in gone if name not in context.unsaved.kept]
            for name in gone:
                await context.registry.remove(name)
            # What the app wrote itself was used when it was written.
            return dataclasses.replace(change, servers=tuple(used), removed=tuple(gone))

    def _waits(self, name: str, now: LoadedConfig) -> bool:
        """Whether a setting of the files is another than the one in force."""
        section, _, key = name.partition(".")
        if name == "policy.rule" or section not in Config.model_fields:
            return True
        old, new = getattr(self.loaded.config, section), getattr(now.config, section)
        return bool(getattr(old, key) != getattr(new, key) if key else old != new)

    async def _use(self, spec: ServerSpec, context: EngineContext, servers: EngineServers) -> bool:
        """Use the new settings of a server; return False if it has them, or others for this session.

        What would start another program waits for the person.
        """
        for secret in server_secrets(spec):
            context.redactor.add(secret)
        if spec.name not in context.registry.names():
            await servers.add(dataclasses.replace(spec, allowed=False))
            return True
        former = context.registry.get(spec.name).spec
        if spec.name in context.unsaved.kept or _launch(former) == _launch(spec):
            return False
        same = await asyncio.to_thread(fingerprint, former) == await asyncio.to_thread(fingerprint, spec)
        allowed = former.allowed if same else await context.catalogue.allowed(spec)
        await context.registry.replace(dataclasses.replace(spec, allowed=allowed))
        return True

    # --- watching

    async def watch(self, context: EngineContext, servers: EngineServers) -> None:
        """Read the files again whenever they have changed, and tell the clients. Runs until cancelled."""
        watchfiles = await asyncio.to_thread(_import_watchfiles)
        while True:
            await self._if_changed(context, servers)
            folders = {str(path.parent) for path in self._files() if path.parent.is_dir()}
            if not folders:
                await asyncio.sleep(_LOOK_MS / 1000)
                continue
            try:
                async for _ in watchfiles.awatch(
                    *sorted(folders),
                    debounce=SETTLE_MS,
                    step=SETTLE_MS,
                    recursive=False,
                    watch_filter=None,
                    rust_timeout=_LOOK_MS,
                    yield_on_timeout=True,
                ):
                    await self._if_changed(context, servers)
                    if not all(map(os.path.isdir, folders)):
                        break
            except OSError as error:
                logger.warning("the config files cannot be watched: %s", error)
                await asyncio.sleep(_LOOK_MS / 1000)

    async def _if_changed(self, context: EngineContext, servers: EngineServers) -> None:
        if self._look() == self._versions:
            return
        try:
            change = await self.reload(context, servers)
        except Exception:
            logger.exception("the changed config could not be used")
            return
        if (notice := change_notice(change, self.loaded)) is not None:
            context.clients.tell(notice)

    def _files(self) -> list[Path]:
        """Return the files, and the targets of those that are links."""
        paths, env_file = self.loaded.paths, self.loaded.env_file.path
        found = [paths.config_file, paths.project_file, env_file or paths.config_dir / ".env"]
        named = [path for path in found if path is not None]
        return [*named, *(Path(os.path.realpath(path)) for path in named if path.is_symlink())]

    def _look(self) -> Mapping[str, Version]:
        return {str(path): _version(path) for path in self._files()}


def _import_watchfiles() -> Any:
    import watchfiles

    return watchfiles


def _version(path: Path) -> Version:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _launch(spec: ServerSpec) -> ServerSpec:
    """Return a spec without what a form adds: consent, and more values that are not shown."""
    return dataclasses.replace(
        spec, allowed=True, secret_env=frozenset(), secret_headers=frozenset(), secrets=frozenset()
    )


def change_notice(change: ConfigChange, loaded: LoadedConfig) -> Notice | None:
    """Say what a change of the files did, None if it did nothing."""
    if (mistake := change.mistake) is not None:
        return Notice(
            level="warning",
            what=safe("your config was changed and has a mistake; what counted before still counts"),
            why=safe(f"{mistake.where}: {mistake.what}", limit=800),
            todo=safe(mistake.todo or "correct it; omni-tui config check explains it", limit=400),
        )
    if change.is_nothing:
        return None
    parts = []
    if change.live:
        parts.append(f"now: {_listed(change.live)}")
    if change.servers:
        parts.append(f"servers: {_listed(spec.name for spec in change.servers)}")
    if change.removed:
        parts.append(f"removed: {_listed(change.removed)}")
    if change.restart:
        parts.append(f"from the next start: {_listed(change.restart)}")
    mistakes = [f"{each.where}: {each.what}" for each in change.broken]
    parts += ["a server with a mistake stays as it was"] if mistakes else []
    return Notice(
        level="warning" if mistakes else "info",
        what=safe(f"your config was changed; {'; '.join(parts)}", limit=800),
        why=safe("; ".join(mistakes), limit=800),
        todo=safe("allow a new or changed server in the servers pane" if change.servers else ""),
    )


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
