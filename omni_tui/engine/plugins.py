"""The plugins of an engine: checked, loaded in the background, switched on and off, and ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from omni_tui.config.spec import ServerSpec
from omni_tui.engine.background import BackgroundTasks, MeteredPool
from omni_tui.engine.clients import Clients
from omni_tui.engine.consents import Consents
from omni_tui.engine.servers import EngineServers
from omni_tui.memory import Vault
from omni_tui.plugins.check import CheckReport, check_plugin
from omni_tui.plugins.discovery import InstalledPlugin, find_plugins
from omni_tui.plugins.loaded_plugin import STOP_S, LoadedPlugin, PluginFailed, load_plugin
from omni_tui.plugins.plugin_models import PluginModels
from omni_tui.plugins.plugin_states import PluginState, PluginStates
from omni_tui.plugins.session_copies import SessionCopies
from omni_tui.plugins.theme_files import ThemeFiles
from omni_tui.protocol import UserError
from omni_tui.protocol.events import Notice
from omni_tui.protocol.plugins import PluginLine, PluginsChanged, PluginWord
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line
from omni_tui.servers.added_transports import AddedTransports, scheme_of

logger = logging.getLogger(__name__)

MOST_FAULTS = 3
"""Faults in a row after which a plugin is switched off."""
_AT_ONCE = 2
_T = TypeVar("_T")
_KINDS = {
    "models": "model",
    "transports": "transport",
    "tools": "server",
    "memory": "memory",
    "themes": "theme",
}


@dataclass(slots=True)
class _Added:
    """The names of what was added for one plugin, to be taken away again."""

    servers: list[str] = field(default_factory=list)
    transports: list[str] = field(default_factory=list)
    memory: list[str] = field(default_factory=list)


class EnginePlugins:
    """All plugins of one engine. Only those that the person enabled are ever imported.

    Where none is enabled, nothing is looked for and nothing is loaded.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        models: PluginModels,
        transports: AddedTransports,
        servers: EngineServers,
        clients: Clients,
        tasks: BackgroundTasks,
        pool: MeteredPool,
        consents: Consents,
        vault: Vault,
    ) -> None:
        self._states_file = PluginStates(state_dir)
        self._theme_files = ThemeFiles(state_dir)
        self._copies = SessionCopies(state_dir, vault, self._copy_failed)
        self._models = models
        self._transports = transports
        self._servers = servers
        self._clients = clients
        self._tasks = tasks
        self._pool = pool
        self._consents = consents
        self._states: dict[str, PluginState] = {}
        self._loaded: dict[str, LoadedPlugin] = {}
        self._added: dict[str, _Added] = {}
        self._versions: dict[str, str] = {}
        """The versions whose code is in this process, also of plugins that are off."""
        self._changing = asyncio.Lock()
        self._stopping = False
        self._loading: asyncio.Task[None] | None = None
        models.on_fault = self.fault

    # --- start and end --------------------------------------------------------------------------

    async def open(self) -> None:
        """Read which plugins are enabled; imports none."""
        self._states = await self._in_pool(self._states_file.read)
        for name, state in self._states.items():
            self._models.known |= dict.fromkeys(state.provides.get("models", ()), name)

    async def start(self, *, wait: bool) -> None:
        """Load the enabled plugins in the background, or `wait` until they are there."""
        if any(state.enabled for state in self._states.values()):
            if wait:
                await self._load_enabled()
            else:
                self._loading = asyncio.create_task(self._load_enabled(), name="plugins")
        else:
            self._tasks.spawn(self._tidy_themes(), "themes of plugins")
            self._complete()

    async def stop(self) -> None:
        """Tell every loaded plugin that it ends; at most a second."""
        self._stopping = True
        self._complete()
        if self._loading is not None:  # a check that is under way ends its process
            self._loading.cancel()
            await asyncio.wait([self._loading], timeout=STOP_S)
        await asyncio.gather(*(loaded.stopping() for loaded in self._loaded.values()))

    def _complete(self) -> None:
        self._models.complete.set()
        self._transports.complete.set()

    async def _load_enabled(self) -> None:
        try:
            async with self._changing:
                await self._tidy_themes()
                found = await self._installed()
                limit = asyncio.Semaphore(_AT_ONCE)
                wanted = [name for name, state in self._states.items() if state.enabled]
                await asyncio.gather(*(self._begin(name, found, limit) for name in wanted))
        except Exception:
            logger.exception("the plugins could not be loaded")
        finally:
            self._complete()
            self._clients.tell(PluginsChanged())
        self._tasks.spawn(self._copies.catch_up(), "copies of sessions")

    async def copy_session(self, session: str) -> None:
        """Copy a session that was closed to the memories of plugins. Never raises for what fails."""
        await self._copies.copy(session)

    def _copy_failed(self, memory: str, what: str) -> None:
        for name, loaded in self._loaded.items():
            if any(each.name == memory for each in loaded.provided.memory):
                self._models.fault(name, f"its memory {memory} failed: {what}")
                self._say(f"the memory {memory} of the plugin {name} failed: {what}", "see /plugins")

    async def _begin(self, name: str, found: dict[str, InstalledPlugin], limit: asyncio.Semaphore) -> None:
        """Load an enabled plugin; one that cannot be loaded is switched off, and that is said."""
        plugin, state = found.get(name), self._states[name]
        if plugin is None or _is_another(plugin, state):
            why = self._reason(name, plugin, state)
            self._say(f"the plugin {name} is not loaded: {why}", "see /plugins")
            return
        async with limit:
            report = await check_plugin(plugin)
            if report.problem:
                await self._switch_off(name, report.problem)
                return
            try:
                await self._load(plugin, report)
            except (PluginFailed, UserError) as error:
                await self._switch_off(name, str(error))
            except Exception as error:
                logger.exception("plugin %s could not be loaded", name)
                await self._switch_off(name, f"loading it failed: {type(error).__name__}")

    # --- what a person asks for -----------------------------------------------------------------

    async def lines(self) -> tuple[PluginLine, ...]:
        """Return every plugin that is installed or known."""
        found = await self._installed()
        names = sorted({*found, *(name for name, state in self._states.items() if state.enabled)})
        return tuple(self._line(name, found.get(name)) for name in names)

    @property
    def note(self) -> str:
        """What is wrong with the plugins as a whole, "" if nothing."""
        if self._states_file.lost:
            return "the file that tells which plugins are enabled was damaged; enable them again"
        return ""

    async def check(self, name: str) -> tuple[PluginLine, CheckReport]:
        """Check a plugin. Raises `UserError` if it is not installed."""
        plugin = await self._one(name)
        report = await check_plugin(plugin)
        return _with_facts(self._line(name, plugin), report), report

    async def enable(self, name: str, version: str) -> str:
        """Check and load a plugin; return what to say. Raises `UserError`; then it is not enabled."""
        async with self._changing:
            plugin = await self._one(name)
            if plugin.version != version:
                raise UserError(f"{name} is {plugin.version} now, not {version}; look at it again")
            if self._versions.get(name, version) != version:
                raise UserError(f"another version of {name} was loaded; restart the app to use this one")
            if name in self._loaded:
                raise UserError(f"{name} is enabled already")
            report = await check_plugin(plugin)
            if report.problem:
                raise UserError(f"{name} is not enabled: {report.problem}")
            async with self._consents.before("plugin enabled", name, detail=f"{plugin.package} {version}"):
                try:
                    await self._load(plugin, report)
                except PluginFailed as error:
                    raise UserError(f"{name} is not enabled: {error}") from error
        self._clients.tell(PluginsChanged())
        provides = ", ".join(_provided_words(report.provides))
        return f"the plugin {name} is enabled: {provides}"

    async def disable(self, name: str) -> str:
        """Switch a plugin off; return what to say. Raises `UserError`."""
        async with self._changing:
            state = self._states.get(name)
            if state is None or not (state.enabled or name in self._loaded):
                raise UserError(f"the plugin {name} is not enabled")
            await self._unload(name)
            await self._keep(name, msgspec.structs.replace(state, enabled=False, fault=""))
            await self._consents.note("plugin disabled", name, done=f"{name} is disabled")
        self._clients.tell(PluginsChanged())
        return f"the plugin {name} is disabled; its code stays in memory until the app ends"

    # --- faults ---------------------------------------------------------------------------------

    def fault(self, name: str, what: str, in_a_row: int) -> None:
        """Switch off a plugin that had too many faults in a row."""
        if in_a_row >= MOST_FAULTS and name in self._loaded and not self._stopping:
            self._tasks.spawn(self._switch_off_at_work(name, what), f"switching off plugin {name}")

    async def _switch_off_at_work(self, name: str, what: str) -> None:
        async with self._changing:
            if name in self._loaded:
                await self._unload(name)
                await self._switch_off(name, f"{what} ({MOST_FAULTS} faults)")
        self._clients.tell(PluginsChanged())

    async def _switch_off(self, name: str, why: str) -> None:
        self._models.worked(name)
        await self._remove_themes(name)
        state = self._states.get(name, PluginState())
        await self._keep(name, msgspec.structs.replace(state, enabled=False, fault=why))
        self._say(f"the plugin {name} was switched off: {why}", "enable it again in /plugins")

    # --- loading --------------------------------------------------------------------------------

    async def _load(self, plugin: InstalledPlugin, report: CheckReport) -> None:
        """Load a plugin that passed its check and add what it provides: all of it, or nothing."""
        name = plugin.name
        loaded = await load_plugin(plugin)
        self._versions[name] = plugin.version
        self._loaded[name] = loaded
        try:
            await loaded.started()
            await self._add(name, loaded)
            state = PluginState(
                enabled=True,
                package=plugin.package,
                version=plugin.version,
                summary=report.summary,
                permissions=report.permissions,
                provides=report.provides,
            )
            await self._in_pool(partial(self._states_file.write, name, state))
            self._states[name] = state
        except BaseException as error:
            await self._unload(name)
            if isinstance(error, ValueError | OSError):
                raise PluginFailed(str(error)) from error
            raise

    async def _add(self, name: str, loaded: LoadedPlugin) -> None:
        """Add what a plugin provides. Raises `ValueError` for a name that is taken, `OSError`."""
        provided, added = loaded.provided, self._added.setdefault(name, _Added())
        for model in provided.models:
            self._models.add(name, model)
        if provided.transports:
            from omni_tui.plugins.guarded_transport import GuardedTransport

            for transport in provided.transports:
                self._transports.add(transport.scheme, partial(GuardedTransport, name, transport))
                added.transports.append(transport.scheme)
                self._reconnect(transport.scheme)
        for server in provided.tool_servers:
            await self._add_server(loaded.plugin, server.name, server.make)
        for memory in provided.memory:
            try:
                await self._copies.add(memory)
                added.memory.append(memory.name)
            except ValueError:
                raise
            except Exception as error:
                raise PluginFailed(f"its memory {memory.name} cannot be opened: {error!r:.200}") from error
        if provided.themes:
            await self._in_pool(partial(self._theme_files.replace, name, provided.themes))

    async def _add_server(self, plugin: InstalledPlugin, server: str, make: Callable[[], object]) -> None:
        from omni_tui.plugins.loaded_plugin import make_server

        if server in self._servers.registry.names():
            raise ValueError(f"there is a server named {server} already")
        inside = await make_server(plugin, make)
        self._added[plugin.name].servers.append(server)
        await self._servers.add(ServerSpec(name=server, source="plugin", inside=inside))

    def _reconnect(self, scheme: str) -> None:
        """Connect again the servers that waited for a transport and gave up."""
        registry = self._servers.registry
        for name in registry.names():
            connection = registry.get(name)
            if scheme_of(connection.spec) == scheme and connection.state == "failed":
                self._tasks.spawn(connection.reconnect(), f"reconnect {name}")

    async def _unload(self, name: str) -> None:
        """Take away what a plugin provides, and tell it. Never raises for what the plugin does."""
        loaded, added = self._loaded.pop(name, None), self._added.pop(name, _Added())
        self._models.remove(name)
        for server in added.servers:
            if server in self._servers.registry.names():
                await self._servers.registry.remove(server)
        await self._remove_themes(name)
        for memory in added.memory:
            self._copies.remove(memory)
        for scheme in added.transports:
            self._transports.remove(scheme)
        if loaded is not None:
            await loaded.stopping()

    # --- inside ---------------------------------------------------------------------------------

    async def _installed(self) -> dict[str, InstalledPlugin]:
        found = await self._in_pool(find_plugins)
        return {plugin.name: plugin for plugin in found}

    async def _one(self, name: str) -> InstalledPlugin:
        found = await self._installed()
        if name not in found:
            known = ", ".join(found) or "none"
            raise UserError(f"there is no plugin {name}; installed are: {known}")
        return found[name]

    async def _keep(self, name: str, state: PluginState) -> None:
        self._states[name] = state
        try:
            await self._in_pool(partial(self._states_file.write, name, state))
        except OSError as error:
            why = f"{error.strerror or error}"
            self._say(f"that the plugin {name} is off could not be saved: {why}", "free space, then again")

    async def _remove_themes(self, name: str) -> None:
        try:
            await self._in_pool(partial(self._theme_files.replace, name, ()))
        except OSError:
            logger.warning("the themes of plugin %s could not be removed", name, exc_info=True)

    async def _tidy_themes(self) -> None:
        enabled = [name for name, state in self._states.items() if state.enabled]
        try:
            await self._in_pool(partial(self._theme_files.keep_only, enabled))
        except OSError:
            logger.warning("the themes of plugins could not be tidied", exc_info=True)

    async def _in_pool(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _say(self, what: str, todo: str) -> None:
        notice = Notice(
            level="warning", what=safe(what, limit=1_000), todo=safe(todo, limit=300), ts=time.time()
        )
        self._clients.tell(notice)

    def _line(self, name: str, plugin: InstalledPlugin | None) -> PluginLine:
        state = self._states.get(name, PluginState())
        if plugin is not None and plugin.problem:
            word: PluginWord = "bad"
        elif state.fault:
            word = "faulty"
        elif not state.enabled:
            word = "off"
        elif plugin is None:
            word = "gone"
        elif name in self._loaded:
            word = "on"
        else:
            word = "changed" if _is_another(plugin, state) else "loading"
        line = PluginLine(
            name=name,
            label=identifier(name),
            package=safe_line(plugin.package if plugin is not None else state.package, limit=100),
            version=plugin.version if plugin is not None else "",
            word=word,
            reason=safe(self._reason(name, plugin, state), limit=1_000),
        )
        return _with_facts(line, state)

    def _reason(self, name: str, plugin: InstalledPlugin | None, state: PluginState) -> str:
        """Return why an installed or enabled plugin is not on, "" if nothing is wrong with it."""
        if plugin is None:
            return "it is not installed any more"
        if plugin.problem:
            return plugin.problem
        if state.fault:
            return state.fault
        if state.enabled and name not in self._loaded and _is_another(plugin, state):
            now = f"{plugin.package} {plugin.version}"
            return f"it was enabled as {state.package} {state.version} and is {now} now"
        return ""


def _is_another(plugin: InstalledPlugin, state: PluginState) -> bool:
    return (plugin.package, plugin.version) != (state.package, state.version)


def _provided_words(provides: dict[str, tuple[str, ...]]) -> list[str]:
    return [f"{_KINDS.get(kind, kind)} {name}" for kind, names in provides.items() for name in names]


def _with_facts(line: PluginLine, known: PluginState | CheckReport) -> PluginLine:
    return msgspec.structs.replace(
        line,
        summary=safe_line(known.summary, limit=400),
        permissions=tuple(safe_line(each, limit=40) for each in known.permissions),
        provides=tuple(safe_line(each, limit=100) for each in _provided_words(known.provides)),
    )
