"""The texts behind the pins: what a server's launch, instructions and tools said when they were accepted.

They are only for showing what has changed: a pin is the hash in `memory.trust`. One sealed file for each
server, so that no definition and no argument of a launch is readable on the disk. What is lost, damaged or
too long to keep cannot be compared, and the person is told so.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.private_files import FileLock, private_dir, read_private, write_atomic

logger = logging.getLogger(__name__)

LONGEST = 800_000
"""Characters of one text, in ASCII; a longer one is not kept."""
_ALL = 16 * 1024 * 1024
"""Characters of all texts of one server; what comes after is not kept."""


class AcceptedText(msgspec.Struct, frozen=True):
    """A text in ASCII, and the hash of the pin that it belongs to."""

    hash: str
    text: str


class AcceptedTexts:
    """The accepted texts of all servers. Usable from any thread; calls access the disk."""

    def __init__(self, folder: Path, vault: Vault) -> None:
        self._folder = folder
        self._vault = vault
        self._kept: dict[str, dict[str, str]] = {}
        """The hashes that are known to be on disk, by server and name."""

    def missing(self, server: str, hashes: Mapping[str, str]) -> list[str]:
        """Return the names whose text is not kept for this hash."""
        if server not in self._kept:
            self._kept[server] = {name: each.hash for name, each in self._read(server).items()}
        kept = self._kept[server]
        return [name for name, value in hashes.items() if kept.get(name) != value]

    def find(self, server: str, name: str, value: str) -> str | None:
        """Return the text that was accepted with a hash, None if it was not kept."""
        found = self._read(server).get(name)
        return found.text if found is not None and found.hash == value else None

    def keep(self, server: str, texts: Mapping[str, AcceptedText]) -> None:
        """Keep these texts; others stay. A disk that fails is told in the log only."""
        if not texts:
            return
        try:
            private_dir(self._folder)
            with FileLock(self._path(server).with_suffix(".lock")):
                former = {name: each for name, each in self._read(server).items() if name not in texts}
                every = dict(_bounded({**texts, **former}))
                packed = zlib.compress(msgspec.json.encode(every), 1)
                write_atomic(self._path(server), self._vault.seal(packed, _context(server)))
        except OSError:
            logger.exception("the accepted definitions of %s cannot be kept", server)
            every = {}
        # What is too long is not tried again either.
        kept = {name: each.hash for name, each in {**every, **texts}.items()}
        self._kept[server] = {**self._kept.get(server, {}), **kept}

    def _read(self, server: str) -> dict[str, AcceptedText]:
        try:
            sealed = read_private(self._path(server))
            packed = self._vault.unseal(sealed, _context(server))
            return msgspec.json.decode(zlib.decompress(packed), type=dict[str, AcceptedText])
        except FileNotFoundError:
            return {}
        except (OSError, SealBroken, zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
            logger.warning("the accepted definitions of %s cannot be read: %s", server, error)
            return {}

    def _path(self, server: str) -> Path:
        name = hashlib.sha256(server.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._folder / f"{name}.bin"


def _context(server: str) -> str:
    return f"accepted:{server}"


def _bounded(texts: Mapping[str, AcceptedText]) -> Iterator[tuple[str, AcceptedText]]:
    room = _ALL
    for name, each in texts.items():
        if len(each.text) <= LONGEST and len(each.text) <= room:
            room -= len(each.text)
            yield name, each
