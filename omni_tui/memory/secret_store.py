"""Where single secrets are stored: the system's keyring or, without one, a sealed file of the app.

The file, `secrets.json` in the state folder, holds each value sealed with the vault's key. A setting refers
to one as `${sealed:NAME}`; `sealed_values` reads all of them for `config.references`.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec

from omni_tui.config.paths import find_paths
from omni_tui.config.references import SERVICE
from omni_tui.memory.crypto import SealBroken, Vault, VaultRefused
from omni_tui.memory.private_files import FileLock, private_dir
from omni_tui.memory.state_file import StateFile
from omni_tui.protocol import LaunchOptions

logger = logging.getLogger(__name__)

SECRETS_FILE = "secrets.json"
"""Its name in the state folder."""


class _Secrets(msgspec.Struct):
    version: int = 1
    sealed: dict[str, str] = {}


class SecretNotStored(Exception):
    """A secret was not stored; the text says why."""


def entry_name(server: str, place: str) -> str:
    """Return the name under which a server's secret is stored; `place` is `env.NAME` or the like."""
    return quote(f"{server}.{place}", safe=".")


def store_secret(state_dir: Path, name: str, value: str, vault: Vault) -> str:
    """Store a secret and return the reference to it. Blocks. Raises `SecretNotStored`."""
    if _in_keyring(name, value):
        return f"keyring:{SERVICE}/{name}"
    try:
        _seal(state_dir, name, value, vault)
    except (OSError, VaultRefused) as error:
        raise SecretNotStored(f"neither the keyring nor {state_dir} keeps it: {error}") from error
    return f"${{sealed:{name}}}"


def sealed_values(state_dir: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return every sealed secret as `sealed:NAME`. Never raises: what cannot be opened is left out.

    `environ` may hold `OMNI_TUI_PASSPHRASE`.
    """
    path = state_dir / SECRETS_FILE
    if not path.exists():
        return {}
    try:
        vault = Vault.for_reading(state_dir, environ)
    except (VaultRefused, OSError) as error:
        logger.warning("the sealed secrets cannot be opened: %s", error)
        return {}
    values = {}
    for name, sealed in StateFile(path, _Secrets).read().sealed.items():
        try:
            data = vault.unseal(base64.b64decode(sealed, validate=True), _context(name))
            values[f"sealed:{name}"] = data.decode()
        except (SealBroken, binascii.Error, ValueError):
            logger.warning("the sealed secret %s cannot be opened", name)
    return values


def environment_with_secrets(options: LaunchOptions, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return an environment with the sealed secrets of a start's state folder; the demo gets none."""
    if options.demo:
        return environ
    return {**sealed_values(find_paths(state_dir=options.state_dir).state_dir), **environ}


def _context(name: str) -> str:
    return f"secret {name}"


def _seal(state_dir: Path, name: str, value: str, vault: Vault) -> None:
    private_dir(state_dir)
    file = StateFile(state_dir / SECRETS_FILE, _Secrets)
    with FileLock(state_dir / "secrets.lock"):
        known = file.read()
        if file.lost == "unreadable":
            raise OSError(f"{file.path} cannot be read")
        known.sealed[name] = base64.b64encode(vault.seal(value.encode(), _context(name))).decode()
        file.write(known)


def _in_keyring(name: str, value: str) -> bool:
    """Store a secret in the keyring; return whether it is there."""
    try:
        import keyring

        keyring.set_password(SERVICE, name, value)
        return keyring.get_password(SERVICE, name) == value
    except Exception as error:  # keyring's backends raise what they like
        logger.warning("storing %s in the keyring failed: %s", name, type(error).__name__)
        return False
