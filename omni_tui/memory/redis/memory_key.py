"""The key of the memory in Redis, which the person creates here and carries to other machines.

The state folder keeps it sealed with the vault's key, in `memory-key`. The newest key seals; older ones
still open what was sealed with them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from pathlib import Path

from omni_tui.memory.crypto import KEY_SIZE, SealBroken, Sealer, Vault
from omni_tui.memory.private_files import private_dir, read_private, write_atomic

FILE = "memory-key"
CREATE = "omni-tui sessions key create"
IMPORT = "omni-tui sessions key import"
_CONTEXT = "memory keys"
_PREFIX = "OMNI-KEY-1"
_CHECK = 4
_GROUP = 6


class KeyRefused(Exception):
    """There is no usable key; the text is one sentence with the reason and what to do."""


class MemoryKeys:
    """The keys in one state folder. Calls read the disk."""

    def __init__(self, state_dir: Path, vault: Vault) -> None:
        self._path = state_dir / FILE
        self._vault = vault

    def create(self) -> str:
        """Make the key and return its id. Raises `KeyRefused` if there is one, `OSError`."""
        if self._load():
            raise KeyRefused("there is a key already; `omni-tui sessions key export` prints it")
        key = os.urandom(KEY_SIZE)
        self._save([key])
        return Sealer(key).id

    def export(self) -> str:
        """Return the key as text to carry over. Raises `KeyRefused`."""
        return key_text(self._first())

    def take(self, text: str) -> str:
        """Use a key that was exported elsewhere from now on, keep the former ones, and return its id.

        Raises `KeyRefused` for a text that is not a whole key, `OSError`.
        """
        key = key_of_text(text)
        self._save([key, *(each for each in self._load() if each != key)])
        return Sealer(key).id

    def sealer(self) -> Sealer:
        """Return what seals. Raises `KeyRefused`."""
        return Sealer(self._first())

    def sealers(self) -> dict[str, Sealer]:
        """Return what opens, by the id of its key; the first one seals. Raises `KeyRefused`."""
        self._first()
        return {sealer.id: sealer for sealer in map(Sealer, self._load())}

    def _first(self) -> bytes:
        keys = self._load()
        if not keys:
            raise KeyRefused(
                f"there is no key for the memory in Redis; make one with `{CREATE}`, or bring that of "
                f"another machine with `{IMPORT}`"
            )
        return keys[0]

    def _load(self) -> list[bytes]:
        try:
            sealed = read_private(self._path)
            found = [bytes.fromhex(each) for each in json.loads(self._vault.unseal(sealed, _CONTEXT))]
        except FileNotFoundError:
            return []
        except (SealBroken, OSError, ValueError, TypeError) as error:
            raise KeyRefused(
                f"the key for the memory in Redis cannot be read from {self._path} ({error}); move that "
                f"file away, then bring the key with `{IMPORT}`"
            ) from error
        return [key for key in found if len(key) == KEY_SIZE]

    def _save(self, keys: list[bytes]) -> None:
        private_dir(self._path.parent)
        sealed = self._vault.seal(json.dumps([key.hex() for key in keys]).encode(), _CONTEXT)
        write_atomic(self._path, sealed)


def key_text(key: bytes) -> str:
    """Return a key as text with a check, in capital letters and digits."""
    letters = base64.b32encode(key + _check(key)).decode().rstrip("=")
    groups = [letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP)]
    return "-".join((_PREFIX, *groups))


def key_of_text(text: str) -> bytes:
    """Return the key of a text; case, spaces and hyphens do not matter. Raises `KeyRefused`."""
    letters = re.sub(r"[\s-]", "", text).upper()
    prefix = _PREFIX.replace("-", "")
    if not letters.startswith(prefix):
        raise KeyRefused(f"this is not a key: it begins with {_PREFIX}; export it again where it was made")
    letters = letters.removeprefix(prefix)
    try:
        data = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except binascii.Error:
        data = b""
    key, check = data[:KEY_SIZE], data[KEY_SIZE:]
    if len(key) != KEY_SIZE or check != _check(key):
        raise KeyRefused("this key is not whole: a character is missing or mistyped; copy it again")
    return key


def _check(key: bytes) -> bytes:
    return hashlib.sha256(b"omni-tui memory key " + key).digest()[:_CHECK]
