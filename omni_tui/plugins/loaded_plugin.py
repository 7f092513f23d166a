"""A plugin that is loaded in this process; each of its hooks runs in a thread, with a time-out."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from omni_tui.plugins.discovery import InstalledPlugin
from omni_tui.plugins.own_thread import in_own_thread

if TYPE_CHECKING:
    from omni_tui.plugins.hook_calls import PluginCalls, Provided
    from omni_tui.servers.transports.server_thread import ThreadedServer

logger = logging.getLogger(__name__)

LOAD_S = 30.0
HOOK_S = 10.0
STOP_S = 1.0

_T = TypeVar("_T")


class PluginFailed(Exception):
    """A plugin failed here; the text says how, for a person."""


class LoadedPlugin:
    """One plugin in this process. Made by `load_plugin`."""

    def __init__(self, plugin: InstalledPlugin, calls: PluginCalls, provided: Provided) -> None:
        self.plugin = plugin
        self.provided = provided
        self._calls = calls

    async def started(self) -> None:
        """Tell the plugin that it begins. Raises `PluginFailed`."""
        await _safely(self.plugin, lambda: self._calls.call("omni_started"), HOOK_S, "omni_started")

    async def stopping(self) -> None:
        """Tell the plugin that it ends; a failure is only logged."""
        try:
            await _safely(self.plugin, lambda: self._calls.call("omni_stopping"), STOP_S, "omni_stopping")
        except PluginFailed:
            logger.warning("plugin %s did not end well", self.plugin.name, exc_info=True)


async def load_plugin(plugin: InstalledPlugin, *, timeout_s: float = LOAD_S) -> LoadedPlugin:
    """Import a plugin that passed its check. Raises `PluginFailed`."""

    def work() -> tuple[PluginCalls, Provided]:
        folder = str(plugin.folder.parent)
        if folder not in sys.path:
            sys.path.append(folder)
        importlib.invalidate_caches()  # it may have been installed a moment ago
        from omni_tui.plugins.hook_calls import PluginCalls

        calls = PluginCalls(plugin.target)
        return calls, calls.provided()

    calls, provided = await _safely(plugin, work, timeout_s, "loading it")
    return LoadedPlugin(plugin, calls, provided)


async def _safely(plugin: InstalledPlugin, work: Callable[[], _T], timeout_s: float, what: str) -> _T:
    try:
        return await in_own_thread(work, timeout_s, f"plugin {plugin.name}")
    except TimeoutError:
        raise PluginFailed(f"{what} did not end within {timeout_s:g} seconds") from None
    except Exception as error:
        logger.info("plugin %s failed", plugin.name, exc_info=True)
        raise PluginFailed(f"{what} failed: {type(error).__name__}: {error}") from error


async def make_server(plugin: InstalledPlugin, make: Callable[[], object]) -> ThreadedServer:
    """Make a server of a plugin, to run in a thread of its own. Raises `PluginFailed`."""
    from omni_tui.servers.transports.server_thread import ThreadedServer

    server = await _safely(plugin, make, HOOK_S, "making its server")
    return ThreadedServer(f"{plugin.package}: {getattr(server, 'name', '')}", server)  # type: ignore[arg-type]
