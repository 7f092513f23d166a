"""The themes of enabled plugins, as files in the state folder: the face reads files and knows no plugin."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omni_tui.memory.private_files import private_dir, write_atomic
from omni_tui.plugins.plugin_states import THEMES_FOLDER

if TYPE_CHECKING:
    from omni_tui.plugins.api import PluginTheme


class ThemeFiles:
    """One folder for each plugin. Its methods use the disk and may raise `OSError`."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / THEMES_FOLDER

    def keep_only(self, plugins: Collection[str]) -> None:
        """Remove the themes of all other plugins."""
        if self._folder.is_dir():
            for place in self._folder.iterdir():
                if place.name not in plugins:
                    shutil.rmtree(place, ignore_errors=True)

    def replace(self, plugin: str, themes: Sequence[PluginTheme]) -> None:
        """Write the themes of a plugin in the place of those it had."""
        place = self._folder / plugin
        names = {f"{theme.name}.toml" for theme in themes}
        if place.is_dir():
            for file in place.iterdir():
                if file.name not in names:
                    file.unlink(missing_ok=True)
        if not themes:
            shutil.rmtree(place, ignore_errors=True)
        for theme in themes:
            private_dir(place)
            write_atomic(place / f"{theme.name}.toml", theme.toml.encode())
