"""`sessions restore --from`: the copy of a session that the memory of a plugin keeps."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from omni_tui.cli.output import CliError, ExitStatus, nearest
from omni_tui.plugins.check import check_plugin
from omni_tui.plugins.discovery import find_plugins
from omni_tui.plugins.loaded_plugin import PluginFailed, load_plugin
from omni_tui.plugins.plugin_states import PluginStates
from omni_tui.plugins.session_copies import fetch_copy

if TYPE_CHECKING:
    from omni_tui.plugins.api import PluginMemory


def fetched_backup(session: str, memory: str, state: Path) -> int:
    """Fetch a copy and return its number among the session's backups. Raises `CliError`."""
    return asyncio.run(_fetched(session, memory, state))


async def _fetched(session: str, memory: str, state: Path) -> int:
    provided = await _memory(memory, state)
    try:
        return (await fetch_copy(state, provided, session)).number
    except LookupError:
        raise CliError(f"the memory {memory} has no copy of session {session}") from None
    except TimeoutError:
        raise CliError(f"the memory {memory} does not answer") from None
    except Exception as error:  # a plugin may raise anything
        raise CliError(f"the memory {memory} failed", why=f"{type(error).__name__}: {error}") from error


async def _memory(memory: str, state: Path) -> PluginMemory:
    """Load the enabled plugin that provides a memory."""
    states = PluginStates(state).read()
    enabled = {name: each.provides.get("memory", ()) for name, each in states.items() if each.enabled}
    owners = {name: plugin for plugin, names in enabled.items() for name in names}
    if memory not in owners:
        todo = nearest(memory, owners) if owners else "See: omni-tui plugins list"
        what = f"no enabled plugin provides a memory {memory}"
        raise CliError(what, todo=todo, status=ExitStatus.USAGE)
    found = {plugin.name: plugin for plugin in find_plugins()}
    plugin, known = found.get(owners[memory]), states[owners[memory]]
    if plugin is None or (plugin.package, plugin.version) != (known.package, known.version):
        raise CliError(
            f"the plugin {owners[memory]} is another one than the one that was enabled, or is gone",
            todo=f"Look at it: omni-tui plugins show {owners[memory]}",
        )
    report = await check_plugin(plugin)
    if report.problem:
        raise CliError(f"the plugin {plugin.name} is not loaded", why=report.problem)
    try:
        loaded = await load_plugin(plugin)
    except PluginFailed as error:
        raise CliError(f"the plugin {plugin.name} is not loaded", why=str(error)) from None
    for each in loaded.provided.memory:
        if each.name == memory:
            return each
    raise CliError(f"the plugin {plugin.name} does not provide the memory {memory} any more")
