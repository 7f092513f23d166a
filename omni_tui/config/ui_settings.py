"""The settings that the face needs before its first frame. Standard library only.

The engine validates the whole file (`config.load`); this module only reads the theme and the keys, as far
as it can, and never raises.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from omni_tui.security.files import open_regular

APP_NAME = "omni-tui"
CONFIG_NAME = "config.toml"
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class UiSettings:
    """`theme` is "" if not set; `keys` maps an action's name to its keys."""

    theme: str = ""
    keys: dict[str, str] = field(default_factory=dict)


def default_config_dir() -> Path:
    """Return the platform's folder for the person's config file."""
    import platformdirs

    return Path(platformdirs.user_config_path(APP_NAME, appauthor=False))


def default_config_file() -> Path:
    """Return the path of the person's config file."""
    return default_config_dir() / CONFIG_NAME


def default_state_dir() -> Path:
    """Return the platform's folder for sessions, keys and logs."""
    import platformdirs

    return Path(platformdirs.user_state_path(APP_NAME, appauthor=False))


def read_ui(config_path: str | os.PathLike[str]) -> UiSettings:
    """Read `[ui] theme` and `[keys]`; leave out what is missing or wrong. Never raises."""
    try:
        with open_regular(config_path) as file:
            text = file.read(_LARGEST).decode("utf-8", "replace")
    except (OSError, ValueError):
        return UiSettings()
    ui, keys = _tables(text)
    theme = ui.get("theme")
    return UiSettings(
        theme=theme if isinstance(theme, str) else "",
        keys={name: value for name, value in keys.items() if isinstance(value, str)},
    )


def _tables(text: str) -> tuple[dict[str, object], dict[str, object]]:
    """Return the tables `ui` and `keys`; from a file that is not TOML, line by line."""
    try:
        whole = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return _salvage(text, "ui"), _salvage(text, "keys")
    return _table(whole, "ui"), _table(whole, "keys")


def _table(whole: dict[str, object], name: str) -> dict[str, object]:
    value = whole.get(name)
    return value if isinstance(value, dict) else {}


def _salvage(text: str, table: str) -> dict[str, object]:
    """Return the valid `key = value` lines under `[table]`."""
    found: dict[str, object] = {}
    inside = False
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped.partition("#")[0].strip() == f"[{table}]"
        elif inside and "=" in stripped:
            try:
                found |= tomllib.loads(stripped)
            except (tomllib.TOMLDecodeError, RecursionError):
                continue
    return found
