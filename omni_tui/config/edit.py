"""Change the person's own config file: comments, order and spelling of the rest stay as they are."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omni_tui.config.servers import name_problem

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


class EditRefused(Exception):
    """The file was left as it is; the text says why and what to do."""


def add_server(
    path: Path,
    name: str,
    *,
    command: str = "",
    args: Sequence[str] = (),
    url: str = "",
    env: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Write `[servers.NAME]` into the file, which is made if it is not there.

    Raises `EditRefused` if the file is no TOML, has that server, or cannot be written.
    """
    import tomlkit

    if problem := name_problem(name):
        raise EditRefused(problem)
    if bool(command) == bool(url):
        raise EditRefused("a server needs a command or an address, one of the two")
    document = _parsed(path)
    servers = document.get("servers")
    if servers is None:
        servers = tomlkit.table(is_super_table=True)
        document["servers"] = servers
    if name in servers:
        raise EditRefused(
            f"{path} has a server named {name} already; choose another name, or remove it first"
        )
    table = tomlkit.table()
    for key, value in (("command", command), ("args", list(args)), ("url", url)):
        if value:
            table[key] = value
    for key, values in (("env", env), ("headers", headers)):
        if values:
            inline = tomlkit.inline_table()
            inline.update(values)
            table[key] = inline
    servers[name] = table
    _write(path, tomlkit.dumps(document))


def remove_server(path: Path, name: str) -> bool:
    """Take `[servers.NAME]` out of the file; False if it was not in there. Raises `EditRefused`."""
    import tomlkit

    document = _parsed(path)
    servers = document.get("servers")
    if servers is None or name not in servers:
        return False
    del servers[name]
    if not servers:
        del document["servers"]
    _write(path, tomlkit.dumps(document))
    return True


def _parsed(path: Path) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(path.read_bytes())
    except FileNotFoundError:
        return tomlkit.document()
    except OSError as error:
        raise EditRefused(f"{path} cannot be read: {error.strerror}; check the file's rights") from error
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise EditRefused(
            f"{path} is not TOML: {error}; correct it first (omni-tui config check)"
        ) from error


def _write(path: Path, text: str) -> None:
    """Replace the file in one step, keeping its rights; a link keeps pointing where it points."""
    target = path.resolve()
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".config-", suffix=".toml")
        with open(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise EditRefused(
            f"{path} cannot be written: {error.strerror}; check the folder's rights"
        ) from error
