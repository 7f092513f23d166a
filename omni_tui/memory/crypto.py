"""Encryption of everything that is saved: AES-256-GCM, bound to the place of each body.

Each session has its own data key, wrapped by the master key (see `memory.keys`); without the wrapped key a
session's file cannot be decrypted. A sealed body opens only under the context it was sealed for: it
cannot be moved between rows, columns or sessions.
"""

from __future__ import annotations

import hmac
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from omni_tui.memory.private_files import FileLock, close_to_others, private_dir

KEY_SIZE = 32
_PLAIN = b"\x01"
_PACKED = b"\x02"
"""The format of a body that was compressed before it was sealed."""
_PACKED_CONTEXT = b"\0packed"
"""Added to the context of a compressed body, so that no body passes for one of the other format."""
_PACK_FROM = 512
"""Bytes from which compressing pays: it takes longer than sealing and saves little of short ones."""
_MOST_UNPACKED = 256 << 20
"""Bytes of the longest body that is compressed, and of what one may unpack to."""
_ID_SIZE = 8
_NONCE_SIZE = 12
_HEAD = len(_PLAIN) + _ID_SIZE + _NONCE_SIZE
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

    @staticmethod
    def key_id(sealed: bytes) -> str:
        """Return the id of the key that something was sealed with."""
        return sealed[1 : 1 + _ID_SIZE].hex()

    def seal(self, data: bytes, context: str) -> bytes:
        """Return `data` encrypted; it opens only under the same `context`. Adds 37 bytes."""
        return self._sealed(_PLAIN, data, context.encode())

    def seal_packed(self, data: bytes, context: str) -> bytes:
        """Return `data` encrypted as `seal` does, and compressed first if that makes it shorter."""
        if _PACK_FROM <= len(data) <= _MOST_UNPACKED:
            packed = zlib.compress(data, 1)
            if len(packed) < len(data):
                return self._sealed(_PACKED, packed, context.encode() + _PACKED_CONTEXT)
        return self.seal(data, context)

    def _sealed(self, kind: bytes, data: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_SIZE)
        return kind + self._id + nonce + self._cipher.encrypt(nonce, data, context)

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Return what was sealed, compressed or not. Raises `SealBroken`."""
        kind = sealed[:1]
        if len(sealed) < _HEAD + _TAG_SIZE or kind not in (_PLAIN, _PACKED):
            raise SealBroken("a saved body is cut off or was not written by this program")
        if sealed[1 : 1 + _ID_SIZE] != self._id:
            raise SealBroken("a saved body was written with another key")
        nonce, place = sealed[1 + _ID_SIZE : _HEAD], context.encode()
        if kind == _PACKED:
            place += _PACKED_CONTEXT
        try:
            data = self._cipher.decrypt(nonce, sealed[_HEAD:], place)
        except InvalidTag:
            raise SealBroken("a saved body was altered, or moved from where it belongs") from None
        return _unpacked(data) if kind == _PACKED else data

    def digest(self, data: bytes) -> str:
        """Return the keyed HMAC-SHA-256 of `data` in hex; it tells nothing without the key."""
        return hmac.digest(self._digest_key, data, "sha256").hex()


def _unpacked(packed: bytes) -> bytes:
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(packed, _MOST_UNPACKED)
    except zlib.error:
        raise SealBroken("a saved body cannot be unpacked") from None
    if not reader.eof or reader.unused_data:
        raise SealBroken("a saved body cannot be unpacked, or is too long")
    return data


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
        close_to_others(state_dir)
        with FileLock(state_dir / "vault.lock"):
            found = find_keys(state_dir, os.environ if environ is None else environ)
        return cls(found.keys[0], tuple(found.keys[1:]), warning=found.advice, missing=found.missing)

    @classmethod
    def for_reading(cls, state_dir: Path, environ: Mapping[str, str] | None = None) -> Vault:
        """Find the keys of `state_dir`, and make and write nothing: it works on a read-only or full disk.

        Raises `VaultRefused`, also if there is no key; `OSError`.
        """
        from omni_tui.memory.keys import find_keys

        found = find_keys(state_dir, os.environ if environ is None else environ, make=False)
        if not found.keys:
            raise VaultRefused(found.missing or f"{state_dir} has no key, so nothing was saved there")
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
        return self._sealers.get(Sealer.key_id(sealed), self._current).unseal(sealed, context)

    def digest(self, data: bytes) -> str:
        """Return the keyed HMAC-SHA-256 of `data` in hex."""
        return self._current.digest(data)

    def verify(self, data: bytes, digest: str, key_id: str) -> bool:
        """Whether `digest` is that of `data` under the key of this id; False if the key is missing."""
        sealer = self._sealers.get(key_id)
        return sealer is not None and hmac.compare_digest(sealer.digest(data), digest)

    def has_key_of(self, sealed: bytes) -> bool:
        """Whether the key that something says it was sealed with is here."""
        return sealed[1 : 1 + _ID_SIZE].hex() in self._sealers

    def new_key(self, context: str) -> bytes:
        """Make a data key and return it wrapped, to store it."""
        return self.seal(os.urandom(KEY_SIZE), context)

    def unwrap(self, wrapped: bytes, context: str) -> Sealer:
        """Return the sealer of a wrapped data key. Raises `SealBroken`."""
        return Sealer(self.unseal(wrapped, context))
