"""Between a server's settings and its form: what may be told is told, what must not is marked as kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from omni_tui.config.references import is_reference
from omni_tui.config.server_check import looks_secret
from omni_tui.config.spec import ServerSpec
from omni_tui.protocol import UserError
from omni_tui.protocol.server_settings import KEPT, ServerSettings
from omni_tui.security.text import safe_line

_DEFAULTS: dict[str, Any] = {
    "command": "",
    "args": [],
    "env": {},
    "cwd": "",
    "url": "",
    "headers": {},
    "auth": "none",
    "token": "",
    "mode": "auto",
    "connect_timeout": 30.0,
    "call_timeout": None,
    "enabled": True,
}
"""The keys of a form with the values that need not be written."""

_STAY = ("mode", "connect_timeout", "enabled")
"""Keys that stay in a file though they say what goes without saying."""


def settings_for_form(
    values: Mapping[str, Any], redact: Callable[[str], str], secret: frozenset[str] = frozenset()
) -> ServerSettings:
    """Return settings for a form. `redact` takes secrets out of a text; `secret` names further ones."""
    given = {key: _shaped(values.get(key, default), default) for key, default in _DEFAULTS.items()}
    for key in ("env", "headers"):
        given[key] = {
            name: KEPT
            if f"{key}.{name}" in secret or looks_secret(name, value, redact) or _odd(value)
            else value
            for name, value in given[key].items()
        }
    for key in ("command", "cwd", "url"):
        given[key] = KEPT if redact(given[key]) != given[key] else given[key]
    given["token"] = given["token"] if not given["token"] or is_reference(given["token"]) else KEPT
    given["args"] = tuple(KEPT if redact(each) != each else each for each in given["args"])
    return ServerSettings(**given)


def _odd(value: str) -> bool:
    """Whether a text holds characters that do not show, or line breaks."""
    return safe_line(value, limit=100_000) != value


def unshowable(values: Mapping[str, Any]) -> str:
    """Say why settings cannot be shown in a form as they are, "" if they can."""
    texts = [_shaped(values.get(key, ""), "") for key in ("command", "cwd", "url", "auth", "mode")]
    texts += _shaped(values.get("args", []), [])
    for key in ("env", "headers"):
        texts += _shaped(values.get(key, {}), {})
    if any(_odd(text) for text in texts):
        return "its settings hold line breaks or characters that do not show; edit its file by hand"
    return ""


def _shaped(value: Any, default: Any) -> Any:
    """Return a value that a form can hold: a mistaken file may have anything anywhere."""
    if isinstance(default, dict):
        items = value.items() if isinstance(value, Mapping) else ()
        return {str(name): str(content) for name, content in items}
    if isinstance(default, list):
        return [str(each) for each in value] if isinstance(value, list) else []
    if isinstance(default, bool):
        return value if isinstance(value, bool) else default
    if isinstance(default, str):
        return str(value)
    return value if value is None or isinstance(value, int | float | str) else default


def values_of(
    settings: ServerSettings, former: Mapping[str, Any], redact: Callable[[str], str]
) -> tuple[dict[str, Any], frozenset[str]]:
    """Return settings in the shape of a file, what is kept put back, and the places where it was.

    Keys that no form has stay as they were. Raises `UserError` for a mark with nothing behind it.
    """
    kept: set[str] = set()
    values = {key: value for key, value in former.items() if key not in _DEFAULTS}
    for key, default in _DEFAULTS.items():
        value: Any = getattr(settings, key)
        if key in ("env", "headers"):
            value = _table(key, value, _shaped(former.get(key), default), kept)
        elif key == "args":
            hidden = [each for each in _shaped(former.get(key), default) if redact(each) != each]
            value = _list(value, hidden, kept)
        elif value == KEPT:
            value = _former(key, former.get(key))
            kept.add(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value != default or (key in _STAY and key in former):
            values[key] = value
    return values, frozenset(kept)


def _table(key: str, new: Mapping[str, str], old: Mapping[str, str], kept: set[str]) -> dict[str, str]:
    table = {}
    for name, value in new.items():
        if value == KEPT:
            value = _former(f"{key}.{name}", old.get(name))
            kept.add(f"{key}.{name}")
        table[name] = value
    return table


def _list(new: Iterable[str], hidden: list[str], kept: set[str]) -> list[str]:
    values = []
    for value in new:
        if value == KEPT:
            value = _former("args", hidden.pop(0) if hidden else None)
            kept.add("args")
        values.append(value)
    return values


def _former(where: str, value: str | None) -> str:
    if value is None:
        raise UserError(f"{where} says {KEPT}, and there is nothing that could be kept; write it out")
    return value


def values_of_spec(spec: ServerSpec) -> dict[str, Any]:
    """Return settings from how a server is started, where nothing else tells them."""
    values: dict[str, Any] = {
        "command": spec.command,
        "args": list(spec.args),
        "env": dict(spec.env),
        "cwd": spec.cwd,
        "url": spec.url,
        "headers": dict(spec.headers),
        "mode": spec.mode,
        "connect_timeout": spec.connect_timeout,
        "call_timeout": spec.call_timeout,
        "enabled": spec.enabled,
    }
    return {key: value for key, value in values.items() if value != _DEFAULTS[key]}


def secret_places(spec: ServerSpec) -> frozenset[str]:
    """Name the settings whose values must not be told, as `env.NAME` and `headers.NAME`."""
    return frozenset(
        [*(f"env.{name}" for name in spec.secret_env), *(f"headers.{name}" for name in spec.secret_headers)]
    )
