"""Find the master key: in the system keyring, from a passphrase, or in a file of mode 0600.

`vault.json` beside the sessions records which keys were used, never the keys: this tells a wrong
passphrase from a new one, and a missing key is named instead of replaced.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from omni_tui.memory.crypto import KEY_SIZE, FoundKey, Sealer, VaultRefused
from omni_tui.memory.private_files import read_private, write_atomic

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

logger = logging.getLogger(__name__)

PASSPHRASE = "OMNI_TUI_PASSPHRASE"
SCRYPT_N = 2**17
"""Cost of a passphrase: 128 MiB and some tenths of a second of CPU."""

_SERVICE = "omni-tui"
_ACCOUNT = "master key"
_KEYRING_WAIT = 10.0
# Stores that encrypt and belong to this user. Not: null, fail, plaintext files.
_GOOD_BACKENDS = {
    "keyring.backends.SecretService.Keyring",
    "keyring.backends.libsecret.Keyring",
    "keyring.backends.kwallet.DBusKeyring",
    "keyring.backends.macOS.Keyring",
    "keyring.backends.Windows.WinVaultKeyring",
}


class KeyRecord(msgspec.Struct, kw_only=True):
    """The record of one key. `salt` (hex) and `n` are for a passphrase."""

    id: str
    kind: str
    salt: str = ""
    n: int = 0


class _Record(msgspec.Struct, kw_only=True):
    """The content of `vault.json`: all keys ever used, and the ids of those that the last start had."""

    version: int = 1
    keys: list[KeyRecord] = []
    here: list[str] = []


class _NoKeyring(Exception):
    """The keyring cannot be used; the text says why."""


def known_ids(state_dir: Path) -> frozenset[str]:
    """Return the ids of the keys that the last start had, none if unknown."""
    try:
        return frozenset(_read(state_dir / "vault.json").here)
    except (OSError, VaultRefused):
        return frozenset()


@dataclass(frozen=True, slots=True)
class KeysFound:
    """The keys that were found, the one to use first.

    `advice` is about where the key is stored (shown once), `missing` about keys that are missing (shown at
    every start); "" if there is nothing to say.
    """

    keys: list[FoundKey]
    advice: str = ""
    missing: str = ""


def find_keys(state_dir: Path, environ: Mapping[str, str], *, make: bool = True) -> KeysFound:
    """Find the keys of a state folder; make one if there is none and none was used before.

    Without `make` nothing is made or written, and `keys` may be empty. Call it under the vault's lock.
    Raises `VaultRefused` for a wrong passphrase, a damaged key, or a missing key that saved data needs: a
    new one would only hide that.
    """
    records = _read(state_dir / "vault.json").keys
    key_path = state_dir / "vault.key"
    passphrase = environ.get(PASSPHRASE, "")
    recorded = next((each for each in records if each.kind == "passphrase"), None)
    begin = make and not (records and _anything_saved(state_dir))
    another = make and (key_path.exists() or bool(passphrase and recorded))
    found: list[FoundKey] = []
    why = ""
    try:
        if key := _bounded(lambda: _keyring_key(make=begin or another)):
            found.append(FoundKey("keyring", key))
        else:
            why = "the system keyring has no key of Omni TUI"
    except _NoKeyring as error:
        why = str(error)
    if passphrase and (recorded or (make and not found)):
        found.append(FoundKey("passphrase", _passphrase_key(passphrase, recorded, records)))
    file_key = _file_key(key_path, make=begin and not found)
    if file_key:
        found.append(FoundKey("key file", file_key))
    here = {Sealer(each.key).id for each in found}
    absent = sorted({each.kind for each in records if each.id not in here})
    lost, lack, remedy = _lack(absent, why)
    if not found and make:
        raise VaultRefused(
            f"what is saved in {state_dir} was encrypted with {lost}, and {lack}. {remedy} To start with "
            "nothing saved instead, name another folder with --state-dir."
        )
    if make:
        _remember(state_dir / "vault.json", records, found)
    advice = missing = ""
    if found and found[0].kind == "key file":
        advice = (
            f"What you save is encrypted, but the key lies beside it in {key_path}, because {why}. Set "
            f"{PASSPHRASE} or use a system keyring, so that a copy of the folder alone is of no use."
        )
    if absent:
        missing = (
            f"Sessions saved with {lost} cannot be read now, because {lack}. They are kept as they are. "
            f"{remedy}"
        )
    return KeysFound(found, advice, missing)


def _anything_saved(state_dir: Path) -> bool:
    """Whether the folder has data that was sealed with one of its keys."""
    names = ("trust.json", "credentials.json")
    return any((state_dir / name).exists() for name in names) or any((state_dir / "sessions").glob("*.db"))


def _lack(absent: list[str], why: str) -> tuple[str, str, str]:
    """Return in words which keys are missing, that and why they are, and what to do."""
    ways = {
        "keyring": "Unlock the system keyring, or log in where it runs",
        "passphrase": f"Set {PASSPHRASE} to the passphrase that was used",
        "key file": "Put the file vault.key back",
    }
    reason = f" ({why})" if why and "keyring" in absent else ""
    remedy = "; ".join(ways[kind] for kind in absent) + "."
    return f"the key from the {' and the '.join(absent)}", f"that key is not here{reason}", remedy


# --- the record -------------------------------------------------------------------------------------


def _read(path: Path) -> _Record:
    try:
        return msgspec.json.decode(read_private(path), type=_Record)
    except FileNotFoundError:
        return _Record()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        # It holds the salt of the passphrase: a new one would make every session unreadable.
        raise VaultRefused(
            f"{path} is damaged, and without it saved sessions cannot be read; "
            "restore it from a backup, or move it away to start anew"
        ) from error


def _remember(path: Path, records: list[KeyRecord], found: list[FoundKey]) -> None:
    here = [Sealer(each.key).id for each in found]
    known = {each.id for each in records}
    for key_id, each in zip(here, found, strict=True):
        if key_id not in known and each.kind != "passphrase":
            records.append(KeyRecord(id=key_id, kind=each.kind))
    new = msgspec.json.format(msgspec.json.encode(_Record(keys=records, here=here)), indent=1) + b"\n"
    try:
        if read_private(path) == new:
            return
    except FileNotFoundError:
        pass
    write_atomic(path, new)


# --- the three places -------------------------------------------------------------------------------


def _passphrase_key(passphrase: str, recorded: KeyRecord | None, records: list[KeyRecord]) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    salt = bytes.fromhex(recorded.salt) if recorded else os.urandom(16)
    cost = recorded.n if recorded else SCRYPT_N
    key = Scrypt(salt=salt, length=KEY_SIZE, n=cost, r=8, p=1).derive(
        passphrase.encode("utf-8", "surrogateescape")
    )
    key_id = Sealer(key).id
    if recorded is None:
        records.append(KeyRecord(id=key_id, kind="passphrase", salt=salt.hex(), n=cost))
    elif recorded.id != key_id:
        raise VaultRefused(
            f"the passphrase in {PASSPHRASE} is not the one that your sessions were saved with; "
            "correct it, or unset it to save with another key"
        )
    return key


def _file_key(path: Path, *, make: bool) -> bytes:
    """Return the key in the file, b"" if there is none and `make` is false."""
    try:
        key = read_private(path)
    except FileNotFoundError:
        if not make:
            return b""
        key = base64.b64encode(os.urandom(KEY_SIZE)) + b"\n"
        write_atomic(path, key)
    return _decoded(key, f"the key file {path}")


def _decoded(text: bytes | str, what: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_SIZE:
        raise VaultRefused(
            f"{what} is damaged; restore it from a backup, or remove it to start with a new key"
        )
    return key


def _keyring_key(*, make: bool) -> bytes:
    """Return the key in a trusted keyring, b"" if there is none and `make` is false."""
    backend = _good_backend()
    try:
        kept = backend.get_password(_SERVICE, _ACCOUNT)
        if not kept:
            if not make:
                return b""
            backend.set_password(_SERVICE, _ACCOUNT, base64.b64encode(os.urandom(KEY_SIZE)).decode())
            # Read it back: another process may have made one at the same moment, and a store may lie.
            kept = backend.get_password(_SERVICE, _ACCOUNT)
    except Exception as error:
        logger.warning("the keyring failed", exc_info=True)
        raise _NoKeyring(f"the system keyring refused ({error})") from error
    if not kept:
        raise _NoKeyring("the system keyring did not keep the key it was given")
    return _decoded(kept, f"the entry '{_SERVICE}, {_ACCOUNT}' of the system keyring")


def _good_backend() -> KeyringBackend:
    try:
        import keyring

        backend = keyring.get_keyring()
        candidates: list[KeyringBackend] = [backend, *getattr(backend, "backends", ())]
    except Exception as error:
        logger.warning("the keyring cannot be loaded", exc_info=True)
        raise _NoKeyring(f"the system keyring cannot be used ({error})") from error
    for each in candidates:
        if f"{type(each).__module__}.{type(each).__qualname__}" in _GOOD_BACKENDS:
            return each
    raise _NoKeyring("no system keyring was found")


def _bounded(work: Callable[[], bytes]) -> bytes:
    """Run `work` for at most ten seconds: it may wait for a prompt that nobody sees."""
    answers: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(work())
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=run, name="keyring", daemon=True).start()
    try:
        answer = answers.get(timeout=_KEYRING_WAIT)
    except queue.Empty:
        raise _NoKeyring("the system keyring did not answer; it may be waiting to be unlocked") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer
