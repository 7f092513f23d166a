"""The commands about plugins. Switching one on needs a person."""

from __future__ import annotations

from omni_tui.engine.handlers.base import Handlers
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.plugins import (
    CheckPlugin,
    DisablePlugin,
    EnablePlugin,
    ListPlugins,
    PluginChecked,
    PluginsListed,
)
from omni_tui.security.text import safe


class PluginHandlers(Handlers):
    """`/plugins`."""

    async def _list(self, command: ListPlugins) -> AnyEvent:
        plugins = self._engine.plugins
        return PluginsListed(plugins=await plugins.lines(), note=safe(plugins.note))

    async def _check(self, command: CheckPlugin) -> AnyEvent:
        line, report = await self._engine.plugins.check(command.name)
        return PluginChecked(plugin=line, problem=safe(report.problem, limit=2_000))

    async def _enable(self, command: EnablePlugin) -> AnyEvent:
        self._check_person()
        return CommandDone(text=safe(await self._engine.plugins.enable(command.name, command.version)))

    async def _disable(self, command: DisablePlugin) -> AnyEvent:
        self._check_person()
        return CommandDone(text=safe(await self._engine.plugins.disable(command.name)))
