"""A theme in the colours of a sunset."""

from __future__ import annotations

from collections.abc import Sequence

from omni_tui.plugins.api import PluginInfo, PluginTheme, hookimpl

PLUGIN = PluginInfo(api=1, summary="A theme in the colours of a sunset")

THEME = """
dark = true
primary = "#ff9e64"
secondary = "#e0af68"
accent = "#f7768e"
warning = "#e0af68"
error = "#f7768e"
success = "#9ece6a"
foreground = "#e6d5c3"
background = "#1a1113"
surface = "#231719"
panel = "#2d1e21"
"""


@hookimpl
def omni_themes() -> Sequence[PluginTheme]:
    """Return the theme: `/theme sunset` chooses it."""
    return [PluginTheme(name="sunset", toml=THEME)]
