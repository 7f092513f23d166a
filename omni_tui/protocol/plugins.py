"""The plugins of this installation: what they are and provide, and switching them on and off."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply, Event
from omni_tui.protocol.text import SafeText

PluginWord = Literal["on", "loading", "off", "faulty", "changed", "gone", "bad"]
"""`off`: never enabled, or disabled; `faulty`: switched off because of a fault; `changed`: enabled, but
another version is installed now; `gone`: enabled, but not installed; `bad`: it cannot be enabled."""


class PluginLine(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin, safe to show. `provides` has lines like "model tiny"; `reason` says why it is not on.

    `version`: the installed one. `summary`, `permissions` and `provides` are as the last check found them,
    empty if there was none.
    """

    name: str
    label: SafeText
    package: SafeText
    version: str
    word: PluginWord
    summary: SafeText = SafeText("")
    permissions: tuple[SafeText, ...] = ()
    provides: tuple[SafeText, ...] = ()
    reason: SafeText = SafeText("")


class ListPlugins(Command):
    """Ask for `PluginsListed`."""


class PluginsListed(CommandReply):
    """Every plugin that is installed, or was enabled. `note` says what is wrong as a whole."""

    plugins: tuple[PluginLine, ...]
    note: SafeText = SafeText("")


class CheckPlugin(Command):
    """Check a plugin in a process of its own and answer with `PluginChecked`. Changes nothing."""

    name: str


class PluginChecked(CommandReply):
    """A plugin as its check found it; `problem` is "" if it can be enabled."""

    plugin: PluginLine
    problem: SafeText = SafeText("")


class EnablePlugin(Command):
    """Check a plugin and load it. `version` is the one that was shown."""

    name: str
    version: str


class DisablePlugin(Command):
    """Take away what a plugin provides and do not load it again. Its code stays until the app ends."""

    name: str


class PluginsChanged(Event):
    """Plugins were loaded, or one was switched on or off: themes, models and servers may have changed."""
