"""Themes: reading them, choosing one, and remembering it between starts.

They are TOML files, the built-in ones too; one loader reads them all.
A file has the fields of `textual.theme.Theme` at the top and any variables under `[variables]`.
The roles this program adds (`$waiting`, `$text-1`, …) fall back on the base colours, so that a
theme of a dozen lines is a whole one.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from textual.app import App
from textual.color import Color, ColorParseError
from textual.theme import Theme

from omni_tui.security.files import open_regular

DEFAULT_THEME = "omni-dark"
PLUGIN_THEMES = "plugin-themes"
"""The folder of the state folder with the themes of plugins, one folder for each."""
_SAVED = "face.json"
"""The file of the state folder that keeps the theme between starts."""
_LARGEST = 100_000
_COLOURS = (
    "primary", "secondary", "warning", "error", "success", "accent", "foreground", "background",
    "surface", "panel", "boost",
)  # fmt: skip
_KINDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "dark": bool,
    "ansi": bool,
    "luminosity_spread": (int, float),
    "text_alpha": (int, float),
    "variables": dict,
    **dict.fromkeys(_COLOURS, str),
}
_ROLES: dict[str, tuple[str, ...]] = {
    "waiting": ("warning", "primary"),
    "done": ("success", "primary"),
    "fail": ("error", "primary"),
    "mine": ("accent", "primary"),
    "running": ("secondary", "primary"),
    "text-1": ("foreground",),
    "text-2": ("foreground",),
    "text-3": ("foreground",),
    "on-colour": ("background",),
    "page": ("background",),
    "pane": ("surface", "background"),
    "bar": ("panel", "surface", "background"),
    "cursor": ("panel", "surface", "background"),
    "added": ("surface", "background"),
    "removed": ("surface", "background"),
}
"""What a role falls back on, first one that the file has."""
_FADED = {"text-2": 0.65, "text-3": 0.4}
_DEFAULTS = {"foreground": "#e0e0e0", "background": "#121212"}
_DEFAULTS_LIGHT = {"foreground": "#1e1e1e", "background": "#efefef"}

_log = logging.getLogger(__name__)


class ThemeChoice:
    """The themes of an app. Only the first is read at the start, the others when they are needed.

    Those of plugins stand in the state folder, where the engine writes them. Ours and those of the person
    go before them.
    """

    def __init__(self, app: App[Any], folder: str, state_dir: str) -> None:
        self._app = app
        self._own_folders = [built_in_dir(), *([Path(folder)] if folder else [])]
        self._state_dir = state_dir
        self.names: list[str] = []
        """The names of all themes that can be used, after `load`."""

    @property
    def _folders(self) -> list[Path]:
        """The folders, those that go before others last."""
        plugins = Path(self._state_dir, PLUGIN_THEMES) if self._state_dir else None
        return [*(sorted(plugins.glob("*/")) if plugins is not None else ()), *self._own_folders]

    def reload(self) -> None:
        """Read all themes again when they are needed next: plugins have come or gone."""
        self.names = []

    def begin(self, wanted: str) -> list[str]:
        """Use the wanted theme, else the saved one, else ours; return what is wrong."""
        name = wanted or load_saved_theme(self._state_dir) or DEFAULT_THEME
        problems: list[str] = []
        paths = (folder / f"{name}.toml" for folder in reversed(self._folders) if Path(name).name == name)
        for path in filter(Path.is_file, paths):
            try:
                theme = load_theme(path)
            except ThemeError as bad:
                problems.append(str(bad))
            else:
                self._app.register_theme(theme)
                self._app.theme = theme.name
                return problems
        problems += self.load()
        if name not in self.names:
            problems.append(self._unknown(name))
            name = DEFAULT_THEME
        self._app.theme = name
        return problems

    def load(self) -> list[str]:
        """Read all themes if that was not done yet; return what is wrong with those that cannot be used."""
        if self.names:
            return []
        loaded, failed = load_themes(self._folders)
        for theme in loaded:
            if theme.name != self._app.theme:
                self._app.register_theme(theme)
        self.names = [theme.name for theme in loaded]
        return [f"A theme could not be used. {bad}" for bad in failed]

    def change(self, name: str) -> list[str]:
        """Use a theme and save the choice; return what is wrong."""
        problems = self.load()
        if name in self.names:
            self._app.theme = name
            save_theme(self._state_dir, name)
            return problems
        return [*problems, self._unknown(name)]

    def _unknown(self, name: str) -> str:
        return f"There is no theme {name}. The themes: {', '.join(self.names)}."


class ThemeError(Exception):
    """A theme file that cannot be used: which file, which key ("" for the whole) and why."""

    def __init__(self, file: str, key: str, why: str) -> None:
        super().__init__(f"{file}: {key}: {why}" if key else f"{file}: {why}")
        self.file = file
        self.key = key
        self.why = why


def built_in_dir() -> Path:
    """Return the folder of the themes that come with the program."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "themes"
    return installed if installed.is_dir() else package.parent / "themes"


def fallback_variables() -> dict[str, str]:
    """Return a colour for every role, for themes that are not ours (Textual's own, before ours is set)."""
    ansi = dict.fromkeys(("ansi-background", "ansi-foreground"), "ansi_default")
    return {**dict.fromkeys(_ROLES, "#808080"), "page": "#121212", **ansi}


def load_themes(folders: Iterable[Path]) -> tuple[list[Theme], list[ThemeError]]:
    """Read every `*.toml` of the folders; a later theme replaces an earlier one of its name.

    One bad file costs only itself: it is in the second list with the key that is wrong and why.
    """
    loaded: dict[str, Theme] = {}
    failed: list[ThemeError] = []
    for folder in folders:
        for path in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
            try:
                theme = load_theme(path)
            except ThemeError as bad:
                failed.append(bad)
            else:
                loaded[theme.name] = theme
    return list(loaded.values()), failed


def load_theme(path: Path) -> Theme:
    """Read one theme file. Raises `ThemeError`."""
    file = path.name
    try:
        with open_regular(path) as stream:
            table = tomllib.loads(stream.read(_LARGEST).decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ThemeError(file, "", _reason(error)) from None
    table.setdefault("name", path.stem)
    for key, value in table.items():
        _check(file, key, value)
    if "primary" not in table:
        raise ThemeError(file, "primary", "is missing; it is the one colour every theme has to name")
    variables = {key: str(value) for key, value in table.pop("variables", {}).items()}
    base = {key: table[key] for key in table if key in {f.name for f in fields(Theme)}}
    return Theme(**base, variables={**_roles(table), **variables})


def _check(file: str, key: str, value: object) -> None:
    kind = _KINDS.get(key)
    if kind is None:
        near = get_close_matches(key, _KINDS, 1)
        hint = f"; did you mean {near[0]}?" if near else "; put variables under [variables]"
        raise ThemeError(file, key, f"is no key of a theme{hint}")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool,)):
        raise ThemeError(file, key, f"cannot be {value!r:.40}")
    if key in _COLOURS:
        _check_colour(file, key, str(value))
    if isinstance(value, dict):
        for name, text in value.items():
            if not isinstance(text, str):
                raise ThemeError(file, f"variables.{name}", "must be text in quotes")
            if name in _ROLES:
                _check_colour(file, f"variables.{name}", text)


def _check_colour(file: str, key: str, text: str) -> None:
    try:
        Color.parse(text)
    except ColorParseError:
        raise ThemeError(file, key, f"{text!r:.40} is not a colour; write it like #7aa2f7") from None


def _roles(table: dict[str, object]) -> dict[str, str]:
    defaults = _DEFAULTS if table.get("dark", True) else _DEFAULTS_LIGHT
    if table.get("ansi"):
        defaults = {"foreground": "ansi_default", "background": "ansi_default"}
    roles: dict[str, str] = {}
    for role, sources in _ROLES.items():
        named = next((str(table[source]) for source in sources if source in table), None)
        roles[role] = named or defaults.get(sources[-1]) or str(table["primary"])
        if role in _FADED and not table.get("ansi"):
            back = Color.parse(str(table.get("background", defaults["background"])))
            roles[role] = back.blend(Color.parse(roles[role]), _FADED[role]).hex
    return roles


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8 text"
    return f"is not TOML: {error}"


def load_saved_theme(state_dir: str) -> str:
    """Return the saved theme, "" if there is none. Never raises."""
    if not state_dir:
        return ""
    try:
        value = json.loads((Path(state_dir) / _SAVED).read_bytes()).get("theme", "")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


def save_theme(state_dir: str, theme: str) -> bool:
    """Save the theme's name, whole or not at all. Returns False, with a line in the log, if that failed."""
    if not state_dir:
        return False
    folder = Path(state_dir)
    temporary = ""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=_SAVED)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"theme": theme}, file)
        os.replace(temporary, folder / _SAVED)
    except OSError as error:
        _log.warning("the theme could not be saved: %s", error)
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        return False
    return True
