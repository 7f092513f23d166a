"""Where a setting was made, for whoever has to correct it: file and line, variable, or flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from omni_tui.config.problems import dotted
from omni_tui.config.toml_positions import KeyPath

ENVIRONMENT = "environment"
COMMAND_LINE = "command line"

VARIABLES: dict[KeyPath, str] = {("model", "name"): "OMNI_TUI_MODEL"}
"""Which environment variable sets a key."""
FLAGS: dict[KeyPath, str] = {
    ("model", "name"): "--model",
    ("model", "api_base"): "--api-base",
    ("agent", "mode"): "--mode",
}
"""Which flag sets a key."""


@dataclass(frozen=True, slots=True)
class SettingLocations:
    """The places of a configuration's settings. `origins` says by key which layer set it."""

    origins: Mapping[KeyPath, str]

    def of(self, path: KeyPath) -> str:
        """Return where a key was set; for one at its default, the key itself."""
        origin = self.origins.get(path)
        return location_text(origin, path) if origin else dotted(path)


def location_text(origin: str, path: KeyPath) -> str:
    """Name a place: an origin that is a file says it all, of the others the variable or flag is named."""
    if origin == ENVIRONMENT and path in VARIABLES:
        return f"{ENVIRONMENT}: {VARIABLES[path]}"
    if origin == COMMAND_LINE and path in FLAGS:
        return f"{COMMAND_LINE}: {FLAGS[path]}"
    return origin
