"""The only way bodies reach the disk: AES-256-GCM, bound to the place where they belong.

A master key comes from the system's keyring, else from a passphrase, else from a 0600 file. Each
session has a data key of its own, wrapped by the master key; without the wrapped key, what is left
of a session's file is noise. A sealed body opens only under the context it was sealed for, so bodies
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
    """A sealed body that was altered, cut, moved, or sealed with a key that is not here."""


class VaultRefused(Exception):
    """The key cannot be had; the text says why and what to do. Nothing is written without a key."""


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
        """A name for the key that tells nothing about it."""
        return self._id.hex()

    def seal(self, data: bytes, context: str) -> bytes:
        """Return `data` encrypted, to be opened under the same `context` only. Adds 37 bytes."""
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
        """Return the keyed HMAC-SHA-256 of `data` in hex; it tells nothing to whom lacks the key."""
        return hmac.digest(self._digest_key, data, "sha256").hex()


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A master key and where it came from: `keyring`, `passphrase` or `key file`."""

    kind: str
    key: bytes


class Vault:
    """The master keys of this installation. New bodies use one; old ones open with any that is here.

    `warning` says what is weak about where the key lies, `missing` which keys that were used before are
    not here; both "" where there is nothing to say.
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
        """Find or make the master key that belongs to `state_dir`; may take seconds, so not on the loop.

        `environ` (the process's own by default) may hold `OMNI_TUI_PASSPHRASE`. Raises
        `VaultRefused` for a wrong passphrase, a damaged key file, or a key that is needed and not
        here; `OSError` for a folder that cannot be used.
        """
        from omni_tui.memory.keys import find_keys

        private_dir(state_dir)
        with FileLock(state_dir / "vault.lock"):
            found = find_keys(state_dir, os.environ if environ is None else environ)
        return cls(found.keys[0], tuple(found.keys[1:]), warning=found.advice, missing=found.missing)

    @property
    def id(self) -> str:
        """The name of the key that new bodies are sealed with."""
        return self._current.id

    @property
    def ids(self) -> frozenset[str]:
        """The names of all keys that are here."""
        return frozenset(self._sealers)

    def seal(self, data: bytes, context: str) -> bytes:
        """Return `data` encrypted, to be opened under the same `context` only."""
        return self._current.seal(data, context)

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Return what was sealed, with whichever key it was. Raises `SealBroken`."""
        return self._sealers.get(sealed[1 : 1 + _ID_SIZE].hex(), self._current).unseal(sealed, context)

    def digest(self, data: bytes) -> str:
        """Return the keyed HMAC-SHA-256 of `data` in hex."""
        return self._current.digest(data)

    def verify(self, data: bytes, digest: str, key_id: str) -> bool:
        """Whether `digest` is that of `data` under the key of that name, if it is here."""
        sealer = self._sealers.get(key_id)
        return sealer is not None and hmac.compare_digest(sealer.digest(data), digest)

    def new_key(self, context: str) -> tuple[Sealer, bytes]:
        """Make a data key; returns its sealer and the wrapped key to be stored."""
        key = os.urandom(KEY_SIZE)
        return Sealer(key), self.seal(key, context)

    def unwrap(self, wrapped: bytes, context: str) -> Sealer:
        """Return the sealer of a wrapped data key. Raises `SealBroken`."""
        return Sealer(self.unseal(wrapped, context))
