"""What the engine stores for its servers: the transport that worked last time, and sign-ins."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import msgspec

from omni_tui.approvals.pins import fingerprint
from omni_tui.config.spec import ServerSpec, TransportKind
from omni_tui.memory import Credentials, Vault
from omni_tui.memory.state_file import StateFile
from omni_tui.security.redaction import Redactor
from omni_tui.servers.auth.sign_in_records import SignInRecord
from omni_tui.servers.connect_strategy import Era, KnownTransport

MAX_AGE = 7 * 86_400.0
"""Seconds after which every transport is tried again: servers learn newer protocols."""
MOST = 500


class _Entry(msgspec.Struct, frozen=True):
    transport: TransportKind
    era: Era
    seen: float


class _File(msgspec.Struct):
    version: int = 1
    servers: dict[str, _Entry] = {}


class KnownTransportsFile:
    """Stores which transport worked with which server, so that the next start makes no detour.

    Servers are stored by the fingerprint of how they are reached, which tells nothing of their
    addresses. Usable from any thread; of two programs that write it, the last one wins.
    """

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, _File)

    def recall(self, spec: ServerSpec) -> KnownTransport | None:
        """Return what worked with exactly this server within the last week."""
        with self._file.lock:
            entry = self._file.read().servers.get(fingerprint(spec))
        if entry is None or not 0 <= time.time() - entry.seen < MAX_AGE:
            return None
        return KnownTransport(entry.transport, entry.era)

    def remember(self, spec: ServerSpec, known: KnownTransport) -> None:
        """Store what worked. Raises `OSError`."""
        key, now = fingerprint(spec), time.time()
        with self._file.lock:
            servers = self._file.read().servers
            old = servers.get(key)
            same = old is not None and (old.transport, old.era) == (known.transport, known.era)
            if old is not None and same and 0 <= now - old.seen < MAX_AGE:
                return  # it keeps its date, so that every transport is tried once a week all the same
            servers[key] = _Entry(known.transport, known.era, now)
            self._write(servers)

    def forget(self, spec: ServerSpec) -> None:
        """Forget a server. Raises `OSError`."""
        with self._file.lock:
            servers = self._file.read().servers
            if servers.pop(fingerprint(spec), None) is not None:
                self._write(servers)

    def _write(self, servers: dict[str, _Entry]) -> None:
        newest = sorted(servers.items(), key=lambda pair: pair[1].seen)[-MOST:]
        self._file.write(_File(1, dict(newest)))


class RedactedCredentials(Credentials):
    """Stores sign-ins and tells the redactor every token: no log may contain one."""

    def __init__(self, path: Path, vault: Vault, redactor: Redactor) -> None:
        super().__init__(path, vault)
        self._redactor = redactor

    def load(self, server: str) -> bytes | None:
        """Return what was saved last for a server, None if nothing that can be read."""
        data = super().load(server)
        if data is not None:
            self._redact_tokens(data)
        return data

    def save(self, server: str, issuer: str, data: bytes) -> None:
        """Save what belongs to a server under an issuer."""
        self._redact_tokens(data)
        super().save(server, issuer, data)

    def _redact_tokens(self, data: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            record = msgspec.json.decode(data, type=SignInRecord)
            for token in (record.access_token, record.refresh_token):
                self._redactor.add(token)
