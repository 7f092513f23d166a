"""The seal of the end of an audit file: the number and the hash of its last entry, in a file of its own.

It is replaced after each entry, so it may be one entry behind if the app was killed in between, and is
never ahead: a file that ends before its seal was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from omni_tui.memory.crypto import Vault
from omni_tui.memory.private_files import read_private, write_atomic


@dataclass(frozen=True, slots=True)
class AuditSeal:
    """The number of an entry, 0 for none, and its hash."""

    entry: int
    mac: str


class SealLost(Exception):
    """The seal is there and cannot be trusted; the text says why."""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    entry: int
    mac: str
    key: str
    seal: str


def read_seal(path: Path, vault: Vault) -> AuditSeal | None:
    """Return a seal, None if there is none. Raises `SealLost`, `OSError`."""
    try:
        found = msgspec.json.decode(read_private(path), type=_File)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SealLost("its seal cannot be read") from None
    if found.key not in vault.ids:
        raise SealLost("its seal was made with a key that is not here")
    if not vault.verify(_signed(found.entry, found.mac), found.seal, found.key):
        raise SealLost("its seal was altered")
    return AuditSeal(found.entry, found.mac)


def write_seal(path: Path, end: AuditSeal, vault: Vault) -> None:
    """Replace a seal; it is on disk when this returns. Raises `OSError`."""
    seal = vault.digest(_signed(end.entry, end.mac))
    write_atomic(path, msgspec.json.encode(_File(entry=end.entry, mac=end.mac, key=vault.id, seal=seal)))


def _signed(entry: int, mac: str) -> bytes:
    return f"end of the installation audit\n{entry} {mac}".encode()
