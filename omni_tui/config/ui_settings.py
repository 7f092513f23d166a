"""The settings that the face needs before its first frame. Standard library only.

The engine validates the whole file (`config.load`); this module only reads what the face needs, as far
as it can, and never raises.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from omni_tui.security.files import open_regular

APP_NAME = "omni-tui"
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class UiSettings:
    """`theme` is "" if not set; `keys` maps an action's name to its keys.

    `title` and `bell`: whether the terminal's title shows what waits, and whether its bell rings for it.
    """

    theme: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    title: bool = True
    bell: bool = True


def default_config_file() -> Path:
    """Return the path of the person's config file in the platform's folder."""
    import platformdirs

    return Path(platformdirs.user_config_path(APP_NAME, appauthor=False)) / "config.toml"


def default_state_dir() -> Path:
    """Return the platform's folder for sessions, keys and logs."""
    import platformdirs

    return Path(platformdirs.user_state_path(APP_NAME, appauthor=False))


def read_ui(config_path: str | os.PathLike[str]) -> UiSettings:
    """Read `[ui]` and `[keys]`; leave out what is missing or wrong. Never raises."""
    try:
        with open_regular(config_path) as file:
            text = file.read(_LARGEST).decode("utf-8", "replace")
    except (OSError, ValueError):
        return UiSettings()
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        tables = {"ui": _salvage(text, "ui"), "keys": _salvage(text, "keys")}
    table = tables.get("ui")
    ui = table if isinstance(table, dict) else {}
    title, bell = (ui.get(name) is not False for name in ("title", "bell"))
    theme = _texts(ui).get("theme", "")
    return UiSettings(theme=theme, keys=_texts(tables.get("keys")), title=title, bell=bell)


def _texts(table: object) -> dict[str, str]:
    pairs = table.items() if isinstance(table, dict) else ()
    return {name: value for name, value in pairs if isinstance(value, str)}


def _salvage(text: str, table: str) -> dict[str, object]:
    """Return the valid `key = value` lines under `[table]` of a text that is not TOML."""
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
