"""The saved sign-ins: one file of sealed entries by server and issuer.

Each entry is sealed with the vault's key and bound to its place. Servers and issuers are keyed digests:
the file does not tell which servers they are. Entries of a missing key stay in the file.
"""

from __future__ import annotations

import base64
import binascii
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.private_files import FileLock, private_dir, read_private, write_atomic

logger = logging.getLogger(__name__)

LIMIT = 4 * 1024 * 1024
"""The largest file to read, in bytes."""


class _Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    place: str
    issuer: str
    saved: float
    sealed: str


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: int = 1
    entries: list[_Entry] = []


class Credentials:
    """The credentials of one installation. Calls access the disk; usable from any thread.

    A damaged file is renamed and counts as empty: the person signs in again.
    """

    def __init__(self, path: Path, vault: Vault) -> None:
        self._path = path
        self._vault = vault

    def load(self, server: str) -> bytes | None:
        """Return the newest readable entry of a server (its URL), None if there is none."""
        place = self._vault.digest(server.encode())
        mine = [entry for entry in self._read().entries if entry.place == place]
        for entry in sorted(mine, key=lambda each: each.saved, reverse=True):
            try:
                sealed = base64.b64decode(entry.sealed, validate=True)
                return self._vault.unseal(sealed, _context(server, entry.issuer))
            except (SealBroken, binascii.Error):
                logger.warning("a saved sign-in cannot be opened and is skipped", exc_info=True)
        return None

    def save(self, server: str, issuer: str, data: bytes) -> None:
        """Save the entry of a server and issuer; it is on disk when this returns. Raises `OSError`."""
        place, of = self._vault.digest(server.encode()), self._vault.digest(issuer.encode())
        sealed = base64.b64encode(self._vault.seal(data, _context(server, of))).decode()
        entry = _Entry(place=place, issuer=of, saved=time.time(), sealed=sealed)
        self._change(lambda each: (each.place, each.issuer) != (place, of), entry)

    def forget(self, server: str) -> None:
        """Remove all entries of a server. Raises `OSError`."""
        place = self._vault.digest(server.encode())
        self._change(lambda each: each.place != place)

    def renewal(self, server: str) -> FileLock:
        """Return the lock for a server's refresh token, which can be used once.

        All processes of this installation share it; its name does not tell which server it is for.
        """
        private_dir(self._path.parent)
        place = self._vault.digest(f"renewal of {server}".encode())
        return FileLock(self._path.with_name(f"{self._path.stem}-{place[:16]}.lock"))

    def _change(self, keep: Callable[[_Entry], bool], *added: _Entry) -> None:
        private_dir(self._path.parent)
        with FileLock(self._path.with_suffix(".lock")):
            file = self._read()
            entries = [*filter(keep, file.entries), *added]
            if entries != file.entries:
                file.entries = entries
                write_atomic(self._path, msgspec.json.encode(file) + b"\n")

    def _read(self) -> _File:
        try:
            data = read_private(self._path)
        except FileNotFoundError:
            return _File()
        try:
            if len(data) > LIMIT:
                raise ValueError("it is too long")
            return msgspec.json.decode(data, type=_File)
        except (msgspec.MsgspecError, ValueError) as error:
            aside = self._path.with_name(f"{self._path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
            logger.warning("%s cannot be read (%s); it is kept as %s", self._path, error, aside.name)
            self._path.replace(aside)
            return _File()


def _context(server: str, issuer_digest: str) -> str:
    return f"credentials\n{server}\n{issuer_digest}"
