"""The hooks of one plugin, each called on its own: one that fails costs only itself.

Each plugin has a manager of its own, and each call goes to the implementation itself: within one manager
the first exception ends the call for all plugins (pluggy 1.7).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import pluggy

from omni_tui.plugins.api import (
    API_VERSION,
    PROJECT,
    Permission,
    PluginHooks,
    PluginInfo,
    PluginMemory,
    PluginModel,
    PluginTheme,
    PluginToolServer,
    PluginTransport,
)

MOST = 50
"""The most of one kind that a plugin may provide."""


class PluginFault(Exception):
    """A plugin does what it may not, or fails; the text says what, for a person."""


@dataclass(frozen=True, slots=True)
class Provided:
    """What a plugin provides."""

    models: tuple[PluginModel, ...] = ()
    transports: tuple[PluginTransport, ...] = ()
    tool_servers: tuple[PluginToolServer, ...] = ()
    memory: tuple[PluginMemory, ...] = ()
    themes: tuple[PluginTheme, ...] = ()

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names of what there is, by kind."""
        found = {
            "models": tuple(each.name for each in self.models),
            "transports": tuple(each.scheme for each in self.transports),
            "tools": tuple(each.name for each in self.tool_servers),
            "memory": tuple(each.name for each in self.memory),
            "themes": tuple(each.name for each in self.themes),
        }
        return {kind: names for kind, names in found.items() if names}


class PluginCalls:
    """An imported plugin. Making it raises `PluginFault`, or whatever importing it raises."""

    def __init__(self, target: str) -> None:
        module, _, attributes = target.partition(":")
        found: Any = importlib.import_module(module)
        for name in filter(None, attributes.split(".")):
            if not hasattr(found, name):
                raise PluginFault(f"its entry point names {target}, which is not there")
            found = getattr(found, name)
        self.info = _checked_info(getattr(found, "PLUGIN", None))
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(PluginHooks)
        try:
            manager.register(found)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginFault(f"a hook of it is not one of the interface: {error}") from None
        self._hooks = manager.hook

    def call(self, hook: str) -> Any:
        """Call one hook of the plugin, None if it has none. Raises what the plugin raises."""
        for implementation in getattr(self._hooks, hook).get_hookimpls():
            return implementation.function()
        return None

    def provided(self) -> Provided:
        """Return what it provides. Raises `PluginFault`, or whatever the plugin raises."""
        return Provided(
            models=self._each("omni_models", PluginModel),
            transports=self._each("omni_transports", PluginTransport),
            tool_servers=self._each("omni_tool_servers", PluginToolServer),
            memory=self._each("omni_memory", PluginMemory),
            themes=self._each("omni_themes", PluginTheme),
        )

    def _each(self, hook: str, kind: type[Any]) -> tuple[Any, ...]:
        found = self.call(hook)
        if found is None:
            return ()
        if not isinstance(found, Sequence) or isinstance(found, str | bytes):
            raise PluginFault(f"{hook} must return a list of {kind.__name__}")
        if len(found) > MOST:
            raise PluginFault(f"{hook} returns {len(found)} things; at most {MOST} are taken")
        for each in found:
            if not isinstance(each, kind):
                raise PluginFault(
                    f"{hook} must return a list of {kind.__name__}, not {type(each).__name__}"
                )
        return tuple(found)


def _checked_info(info: object) -> PluginInfo:
    if not isinstance(info, PluginInfo):
        raise PluginFault("it has no PLUGIN that is a PluginInfo")
    if info.api != API_VERSION:
        raise PluginFault(
            f"it is for version {info.api!r:.20} of the plugin interface; this app has {API_VERSION}"
        )
    known = frozenset(get_args(Permission))
    if not isinstance(info.permissions, frozenset) or not info.permissions <= known:
        raise PluginFault(f"its permissions must be a frozenset of {', '.join(sorted(known))}")
    if not isinstance(info.summary, str) or not info.summary.strip():
        raise PluginFault("its PLUGIN has no summary")
    return info
