"""A small file of what worked with which server, so that the next start needs no detour.

It is only a memory: losing it costs a failed attempt. Servers stand in it by the fingerprint of how
they are reached, in which no secret value enters; nothing of their addresses can be read from it.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import msgspec

from omni_tui.approvals import fingerprint
from omni_tui.config.spec import ServerSpec, TransportKind
from omni_tui.memory.private_files import private_dir, read_private, write_atomic
from omni_tui.servers.connect_strategy import Era, KnownTransport

_log = logging.getLogger(__name__)

MAX_AGE = 7 * 86_400.0
"""Seconds after which the full way is gone again: servers learn newer protocols."""

LARGEST = 256 * 1024
MOST = 500


class _Entry(msgspec.Struct, frozen=True):
    transport: TransportKind
    era: Era
    seen: float


class _File(msgspec.Struct):
    version: int = 1
    servers: dict[str, _Entry] = {}


class KnownTransportsFile:
    """The memory of ways in one file; usable from any thread. Two programs may write it, the last wins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def recall(self, spec: ServerSpec) -> KnownTransport | None:
        """Return what worked with exactly this server within the last week."""
        with self._lock:
            entry = self._read().servers.get(fingerprint(spec))
        if entry is None or not 0 <= time.time() - entry.seen < MAX_AGE:
            return None
        return KnownTransport(entry.transport, entry.era)

    def remember(self, spec: ServerSpec, known: KnownTransport) -> None:
        """Note what worked. Raises `OSError`."""
        key, now = fingerprint(spec), time.time()
        with self._lock:
            file = self._read()
            old = file.servers.get(key)
            same = old is not None and (old.transport, old.era) == (known.transport, known.era)
            if old is not None and same and 0 <= now - old.seen < MAX_AGE:
                # A true entry keeps its date, so that the full way is gone once a week all the same.
                return
            file.servers[key] = _Entry(known.transport, known.era, now)
            self._write(file)

    def forget(self, spec: ServerSpec) -> None:
        """Forget a server. Raises `OSError`."""
        with self._lock:
            file = self._read()
            if file.servers.pop(fingerprint(spec), None) is not None:
                self._write(file)

    def _read(self) -> _File:
        try:
            data = read_private(self._path)
            if len(data) > LARGEST:
                return _File()
            return msgspec.json.decode(data, type=_File)
        except FileNotFoundError:
            return _File()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.info("%s is not usable and is begun anew: %s", self._path.name, error)
            return _File()

    def _write(self, file: _File) -> None:
        newest = sorted(file.servers.items(), key=lambda pair: pair[1].seen)[-MOST:]
        private_dir(self._path.parent)
        write_atomic(self._path, msgspec.json.format(msgspec.json.encode(_File(1, dict(newest)))))
