"""Which plugins the person enabled, and what is known of them: a JSON file in the state folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from omni_tui.memory.state_file import StateFile

PLUGINS_FILE = "plugins.json"
THEMES_FOLDER = "plugin-themes"


class PluginState(msgspec.Struct, frozen=True):
    """One plugin. `package` and `version` are those it was enabled with.

    `fault` says why it was switched off, "" if it was not. `provides` has the names by kind, as the last
    check found them. A plugin without a state is not enabled.
    """

    enabled: bool = False
    package: str = ""
    version: str = ""
    fault: str = ""
    summary: str = ""
    permissions: tuple[str, ...] = ()
    provides: dict[str, tuple[str, ...]] = {}


class _File(msgspec.Struct):
    plugins: dict[str, PluginState] = {}


class PluginStates:
    """The states of all plugins. A damaged file enables none. Its methods use the disk."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / PLUGINS_FILE, _File)

    @property
    def lost(self) -> bool:
        """Whether the last reading found a file that cannot be used."""
        return bool(self._file.lost)

    def read(self) -> dict[str, PluginState]:
        """Return the states by the plugins' names."""
        with self._file.lock:
            return dict(self._file.read().plugins)

    def write(self, name: str, state: PluginState | None) -> None:
        """Replace the state of one plugin, or (None) forget it. Raises `OSError`."""
        with self._file.lock:
            known = dict(self._file.read().plugins)
            if state is None:
                known.pop(name, None)
            else:
                known[name] = state
            self._file.write(_File(known))
