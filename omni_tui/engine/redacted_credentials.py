"""The store of sign-ins, with the redactor told of every token that passes: no log is to hold one."""

from __future__ import annotations

import contextlib

import msgspec

from omni_tui.memory import Credentials
from omni_tui.security.redaction import Redactor
from omni_tui.servers.auth.sign_in_records import ProcessLock, SignInRecord


class RedactedCredentials:
    """A `Store` over `Credentials`; see there. Calls touch the disk; usable from any thread."""

    def __init__(self, inner: Credentials, redactor: Redactor) -> None:
        self._inner = inner
        self._redactor = redactor

    def load(self, server: str) -> bytes | None:
        """Return what was saved last for a server, None if nothing that can be read."""
        data = self._inner.load(server)
        if data is not None:
            self._learn(data)
        return data

    def save(self, server: str, issuer: str, data: bytes) -> None:
        """Save what belongs to a server under an issuer."""
        self._learn(data)
        self._inner.save(server, issuer, data)

    def forget(self, server: str) -> None:
        """Remove everything of a server."""
        self._inner.forget(server)

    def renewal(self, server: str) -> ProcessLock:
        """Return the lock under which a server's refresh token is used."""
        return self._inner.renewal(server)

    def _learn(self, data: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            record = msgspec.json.decode(data, type=SignInRecord)
            for token in (record.access_token, record.refresh_token):
                self._redactor.add(token)
