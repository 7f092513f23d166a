"""Encryption of everything that is saved: AES-256-GCM, bound to the place of each body.

Each session has its own data key, wrapped by the master key (see `memory.keys`); without the wrapped key a
session's file cannot be decrypted. A sealed body opens only under the context it was sealed for: it
cannot be moved between rows, columns or sessions.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from omni_tui.memory.private_files import FileLock, private_dir

KEY_SIZE = 32
_FORMAT = b"\x01"
_ID_SIZE = 8
_NONCE_SIZE = 12
_HEAD = len(_FORMAT) + _ID_SIZE + _NONCE_SIZE
_TAG_SIZE = 16


class SealBroken(Exception):
    """A sealed body was changed, cut, moved, or sealed with a missing key."""


class VaultRefused(Exception):
    """There is no usable key; the text says why and what to do. Nothing is written without a key."""


def _derive(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, f"omni-tui {purpose}".encode(), "sha256")


class Sealer:
    """Seals and opens bodies with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"a key has {KEY_SIZE} bytes, not {len(key)}")
        self._cipher = AESGCM(_derive(key, "seal"))
        self._digest_key = _derive(key, "digest")
        self._id = _derive(key, "id")[:_ID_SIZE]

    @property
    def id(self) -> str:
        """The id of the key, which tells nothing about it."""
        return self._id.hex()

    def seal(self, data: bytes, context: str) -> bytes:
        """Return `data` encrypted; it opens only under the same `context`. Adds 37 bytes."""
        nonce = os.urandom(_NONCE_SIZE)
        return _FORMAT + self._id + nonce + self._cipher.encrypt(nonce, data, context.encode())

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Return what was sealed. Raises `SealBroken`."""
        if len(sealed) < _HEAD + _TAG_SIZE or sealed[:1] != _FORMAT:
            raise SealBroken("a saved body is cut off or was not written by this program")
        if sealed[1 : 1 + _ID_SIZE] != self._id:
            raise SealBroken("a saved body was written with another key")
        nonce = sealed[1 + _ID_SIZE : _HEAD]
        try:
            return self._cipher.decrypt(nonce, sealed[_HEAD:], context.encode())
        except InvalidTag:
            raise SealBroken("a saved body was altered, or moved from where it belongs") from None

    def digest(self, data: bytes) -> str:
        """Return the keyed HMAC-SHA-256 of `data` in hex; it tells nothing without the key."""
        return hmac.digest(self._digest_key, data, "sha256").hex()


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A master key and its kind: `keyring`, `passphrase` or `key file`."""

    kind: str
    key: bytes


class Vault:
    """The master keys of this installation. One seals new bodies; all open old ones.

    `warning` says why the key's place is weak, `missing` which keys used before are missing; "" if there is
    nothing to say.
    """

    def __init__(
        self, current: FoundKey, others: tuple[FoundKey, ...] = (), *, warning: str = "", missing: str = ""
    ) -> None:
        self.kind = current.kind
        self.warning = warning
        self.missing = missing
        self._current = Sealer(current.key)
        self._sealers = {sealer.id: sealer for sealer in (Sealer(each.key) for each in others)}
        self._sealers[self._current.id] = self._current

    @classmethod
    def open(cls, state_dir: Path, environ: Mapping[str, str] | None = None) -> Vault:
        """Find or make the master key of `state_dir`. May take seconds: do not call it on the loop.

        `environ` (by default this process's) may hold `OMNI_TUI_PASSPHRASE`. Raises `VaultRefused` for a
        wrong passphrase, a damaged key file or a missing key; `OSError` for an unusable folder.
        """
        from omni_tui.memory.keys import find_keys

        private_dir(state_dir)
        with FileLock(state_dir / "vault.lock"):
            found = find_keys(state_dir, os.environ if environ is None else environ)
        return cls(found.keys[0], tuple(found.keys[1:]), warning=found.advice, missing=found.missing)

    @property
    def id(self) -> str:
        """The id of the key that seals new bodies."""
        return self._current.id

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all keys."""
        return frozenset(self._sealers)

    def seal(self, data: bytes, context: str) -> bytes:
        """Return `data` encrypted; it opens only under the same `context`."""
        return self._current.seal(data, context)

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Return what was sealed with any of the keys. Raises `SealBroken`."""
        return self._sealers.get(sealed[1 : 1 + _ID_SIZE].hex(), self._current).unseal(sealed, context)

    def digest(self, data: bytes) -> str:
        """Return the keyed HMAC-SHA-256 of `data` in hex."""
        return self._current.digest(data)

    def verify(self, data: bytes, digest: str, key_id: str) -> bool:
        """Whether `digest` is that of `data` under the key of this id; False if the key is missing."""
        sealer = self._sealers.get(key_id)
        return sealer is not None and hmac.compare_digest(sealer.digest(data), digest)

    def new_key(self, context: str) -> tuple[Sealer, bytes]:
        """Make a data key; return its sealer and the wrapped key to store."""
        key = os.urandom(KEY_SIZE)
        return Sealer(key), self.seal(key, context)

    def unwrap(self, wrapped: bytes, context: str) -> Sealer:
        """Return the sealer of a wrapped data key. Raises `SealBroken`."""
        return Sealer(self.unseal(wrapped, context))
