"""Change the person's config file without changing comments, order or spelling of the rest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_tui.config.servers import name_problem
from omni_tui.security.files import open_regular

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

KeyPath = tuple[str, ...]
"""The path of a key in the file: its tables, then its name."""
_TRIES = 5
"""How often a change is retried because the file has changed meanwhile."""
_LAID_OUT = (
    "{} is laid out in a way that cannot be changed from here; it was left as it is; edit it by hand"
)


class ConfigEditError(Exception):
    """The file was not changed; the text says why and what to do."""


def update_server(path: Path, name: str, values: Mapping[str, Any], *, revision: str) -> None:
    """Set `[servers.NAME]` to exactly `values`; unchanged values keep their spelling.

    `revision` is that of the table that `values` are based on, "" for a new server. Raises
    `ConfigEditError`, also if the table has changed since.
    """
    if problem := name_problem(name):
        raise ConfigEditError(problem)

    def change(document: TOMLDocument) -> None:
        import tomlkit

        found = _table(document, name)
        if found is not None and not revision:
            raise ConfigEditError(
                f"{path} has a server named {name} already; choose another name, or remove it first"
            )
        if _revision(found) != revision:
            raise ConfigEditError(
                f"{path} was changed meanwhile: [servers.{name}] is not what the form was filled from; "
                "close the form and open it again"
            )
        table = tomlkit.table() if found is None else found
        _update(table, values)
        if found is None:
            if "servers" not in document:
                document["servers"] = tomlkit.table(is_super_table=True)
            document["servers"][name] = table

    _change(path, change, _Only(("servers", name), values))


def set_server_enabled(path: Path, name: str, *, enabled: bool) -> None:
    """Enable or disable a server in the file. Raises `ConfigEditError`, also if it is not there."""

    def change(document: TOMLDocument) -> None:
        table = _table(document, name)
        if table is None:
            raise ConfigEditError(f"{path} has no server named {name}; nothing was written")
        if enabled:
            table.pop("enabled", None)
        else:
            table["enabled"] = False

    _change(path, change, _Only(("servers", name)))


def remove_server(path: Path, name: str) -> bool:
    """Remove `[servers.NAME]` from the file; return False if it is missing. Raises `ConfigEditError`."""
    found = False

    def change(document: TOMLDocument) -> None:
        nonlocal found
        found = _table(document, name) is not None
        if found:
            del document["servers"][name]
            if not document["servers"]:
                del document["servers"]

    _change(path, change, _Only(("servers", name)))
    return found


def set_settings(path: Path, values: Mapping[KeyPath, Any]) -> None:
    """Set `[SECTION] KEY` for each path of keys; None takes a key out. Raises `ConfigEditError`."""

    def change(document: TOMLDocument) -> None:
        for place, value in values.items():
            _set(document, place, value)

    _change(path, change, _Keys(values))


def _set(document: TOMLDocument, place: KeyPath, value: Any) -> None:
    import tomlkit

    *above, key = place
    table: Any = document
    tables = []
    for part in above:
        if part not in table:
            if value is None:
                return
            table[part] = tomlkit.table()
        tables.append((table, part))
        table = table[part]
    if value is not None:
        if key not in table or table[key].unwrap() != value:
            table[key] = value
        return
    table.pop(key, None)
    for parent, part in reversed(tables):  # a table with nothing in it says nothing
        if not parent[part]:
            del parent[part]


def remove_rule(path: Path, rule_id: str) -> bool:
    """Remove the rules with an id from the file; return False if there is none.

    Raises `ConfigEditError`.
    """
    found = False

    def change(document: TOMLDocument) -> None:
        nonlocal found
        rules = document.get("policy", {}).get("rule", [])
        places = [index for index, table in enumerate(rules) if table.get("id") == rule_id]
        found = bool(places)
        for index in reversed(places):
            del rules[index]
        if found and not rules:
            del document["policy"]["rule"]
            if not document["policy"]:
                del document["policy"]

    _change(path, change, _Rules(rule_id))
    return found


def read_server(path: Path, name: str) -> tuple[dict[str, Any] | None, str]:
    """Return `[servers.NAME]` of the file, None if it is missing, and its revision.

    Raises `ConfigEditError` if the file cannot be read.
    """
    document, _ = _parsed(path)
    table = _table(document, name)
    return (None if table is None else table.unwrap()), _revision(table)


def _table(document: TOMLDocument, name: str) -> Any:
    servers = document.get("servers")
    if servers is None or name not in servers:
        return None
    return servers[name]


def _revision(table: Any) -> str:
    if table is None:
        return ""
    text = json.dumps(table.unwrap(), sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _update(table: Any, values: Mapping[str, Any]) -> None:
    """Change only what differs, to keep comments and spelling of the rest."""
    import tomlkit

    for key in [key for key in table if key not in values]:
        del table[key]
    for key, value in values.items():
        old = table.get(key)
        if isinstance(value, Mapping) and isinstance(old, MutableMapping):
            _update(old, value)
        elif isinstance(value, Mapping):
            table[key] = tomlkit.inline_table()
            table[key].update(value)
        elif old is None or getattr(old, "unwrap", lambda same=old: same)() != value:
            table[key] = value


@dataclass(frozen=True, slots=True)
class _Only:
    """A change of one table, which must then be as expected (None: anything)."""

    place: tuple[str, str]
    expected: Mapping[str, Any] | None = None

    def take(self, values: dict[str, Any]) -> object:
        """Take what may change out of a file's values, and return it."""
        section, name = self.place
        taken = values.get(section, {}).pop(name, None)
        if not values.get(section, True):
            del values[section]
        return taken

    def fits(self, before: object, after: object) -> bool:
        """Whether what was taken has become what it should."""
        return self.expected is None or after == self.expected


@dataclass(frozen=True, slots=True)
class _Rules:
    """The removal of the rules with an id."""

    rule_id: str

    def take(self, values: dict[str, Any]) -> object:
        """Take the rules out of a file's values, and return them."""
        section = values.get("policy", {})
        rules = section.pop("rule", [])
        if not section:
            values.pop("policy", None)
        return rules

    def fits(self, before: object, after: object) -> bool:
        """Whether only the rules with the id are gone."""
        assert isinstance(before, list)
        return after == [rule for rule in before if rule.get("id") != self.rule_id]


@dataclass(frozen=True, slots=True)
class _Keys:
    """The change of single keys, which must then have these values (None: are gone)."""

    values: Mapping[KeyPath, Any]

    def take(self, values: dict[str, Any]) -> object:
        """Take the keys out of a file's values, and return them."""
        return {place: self._pop(values, place) for place in self.values}

    def _pop(self, values: dict[str, Any], place: KeyPath) -> object:
        table: Any = values
        tables = []
        for part in place[:-1]:
            if not isinstance(table, dict) or part not in table:
                return None
            tables.append((table, part))
            table = table[part]
        found = table.pop(place[-1], None)
        for parent, part in reversed(tables):
            if parent[part] == {}:
                del parent[part]
        return found

    def fits(self, before: object, after: object) -> bool:
        """Whether each key has its value."""
        return after == dict(self.values)


def _change(path: Path, change: Callable[[TOMLDocument], None], allowed: _Only | _Rules | _Keys) -> None:
    """Apply a change to the current file; nothing but what is allowed changes. Raises `ConfigEditError`."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    for _ in range(_TRIES):
        document, before = _parsed(path)
        try:
            change(document)
        except (TOMLKitError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigEditError(_LAID_OUT.format(path)) from error
        text = tomlkit.dumps(document)
        _check(path, before, text, allowed)
        if text.encode() == before:
            return
        if _write(path, text, before):
            return
    raise ConfigEditError(f"{path} is being changed by another program; try again when it is done")


def _check(path: Path, before: bytes, text: str, allowed: _Only | _Rules | _Keys) -> None:
    """Check that what may change is as expected, and everything else unchanged."""
    try:
        was, becomes = tomllib.loads(before.decode()), tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigEditError(_LAID_OUT.format(path)) from error
    fits = allowed.fits(allowed.take(was), allowed.take(becomes))
    if was != becomes or not fits:
        raise ConfigEditError(_LAID_OUT.format(path))


def _parsed(path: Path) -> tuple[TOMLDocument, bytes]:
    """Return the file's document and its bytes; both are empty if there is no file."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        with open_regular(path) as file:
            data = file.read()
        return tomlkit.parse(data), data
    except FileNotFoundError:
        return tomlkit.document(), b""
    except OSError as error:
        raise ConfigEditError(
            f"{path} cannot be read: {error.strerror}; check the file's rights"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigEditError(f"{path} is not UTF-8 text; save it as UTF-8 first") from error
    except TOMLKitError as error:
        raise ConfigEditError(
            f"{path} is not TOML: {error}; correct it first (omni-tui config check)"
        ) from error


def _write(path: Path, text: str, before: bytes) -> bool:
    """Replace the file atomically, with the same mode; a link stays a link.

    Returns False and changes nothing if the file does not hold `before` any more.
    """
    target = path.resolve()
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        if not mode & 0o222:
            raise ConfigEditError(
                f"{path} is read-only and was left as it is; chmod u+w lets it be changed"
            )
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".config-", suffix=".toml")
        with open(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        if (target.read_bytes() if target.exists() else b"") != before:
            os.unlink(temporary)
            return False
        os.replace(temporary, target)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise ConfigEditError(
            f"{path} cannot be written: {error.strerror}; check the folder's rights"
        ) from error
    return True
