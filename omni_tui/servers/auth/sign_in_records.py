"""What is kept of a sign-in, and the way it is kept: as bytes in a store that somebody else seals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.servers.auth.urls import SignInError

_log = logging.getLogger(__name__)

MARGIN = 30.0
"""Seconds before its end at which a token counts as used up (a tenth of its life, if that is less)."""


PATIENCE = 40.0
"""Seconds to wait for another process that is renewing the same sign-in: two exchanges, and a little."""


class ProcessLock(Protocol):
    """A lock between processes."""

    def acquire(self, wait: float) -> bool:
        """Take it, trying for `wait` seconds; False if somebody else has it. May raise `OSError`."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class SignInStore(Protocol):
    """Keeps bytes by server URL and issuer, encrypted. May block; may raise `OSError`."""

    def load(self, server: str) -> bytes | None:
        """Return what was saved last for a server."""
        ...

    def save(self, server: str, issuer: str, data: bytes) -> None:
        """Save what belongs to a server under an issuer."""
        ...

    def forget(self, server: str) -> None:
        """Remove everything of a server."""
        ...

    def renewal(self, server: str) -> ProcessLock:
        """Return the lock under which a server's refresh token is used."""
        ...


class SignInRecord(msgspec.Struct, kw_only=True):
    """Tokens, registration and metadata of one server. The three `*_json` are the SDK's own models.

    `ends` is in Unix seconds: the SDK knows only how long a token lives from now, which is of no use
    after a restart. `chosen` is the client of the config it was made with. `port` is that of the
    registered redirect address.
    """

    issuer: str = ""
    chosen: str = ""
    access_token: str = ""
    refresh_token: str = ""
    scope: str = ""
    ends: float | None = None
    margin: float = 0.0
    port: int = 0
    client_json: str = ""
    metadata_json: str = ""
    resource_json: str = ""

    def __repr__(self) -> str:
        return f"Record(issuer={self.issuer!r}, ends={self.ends!r})"

    def fresh(self, now: float) -> bool:
        """Whether the access token can be used."""
        return bool(self.access_token) and (self.ends is None or now < self.ends - self.margin)

    def take(self, access: str, refresh: str, scope: str, lifetime: float | None, now: float) -> None:
        """Note new tokens; `lifetime` is in seconds, None if the server did not say."""
        self.access_token, self.refresh_token, self.scope = access, refresh, scope
        self.ends = None if lifetime is None else now + lifetime
        self.margin = 0.0 if lifetime is None else min(MARGIN, max(0.0, lifetime) * 0.1)

    def drop_tokens(self) -> None:
        """Forget the tokens, keep the registration."""
        self.access_token = self.refresh_token = ""
        self.ends = None


def chosen_client(oauth: OAuthSpec) -> str:
    """Name the client that the config asks for: tokens of another one are not used."""
    return f"{oauth.grant} {oauth.client_id or oauth.client_metadata_url} {oauth.issuer}"


async def load_record(store: SignInStore | None, spec: ServerSpec) -> SignInRecord:
    """Return what is kept for a server, an empty record if that is nothing usable."""
    assert spec.oauth is not None
    fresh = SignInRecord(chosen=chosen_client(spec.oauth))
    if store is None:
        return fresh
    try:
        data = await asyncio.to_thread(store.load, spec.url)
        record = msgspec.json.decode(data, type=SignInRecord) if data else fresh
    except (OSError, msgspec.MsgspecError):
        _log.warning("the sign-in to %s cannot be read", spec.name, exc_info=True)
        return fresh
    return record if record.chosen == fresh.chosen else fresh


async def save_record(store: SignInStore | None, spec: ServerSpec, record: SignInRecord) -> None:
    """Keep a record. If the disk refuses, it holds until the app ends."""
    if store is None:
        return
    try:
        await asyncio.to_thread(store.save, spec.url, record.issuer, msgspec.json.encode(record))
    except OSError:
        _log.exception("the sign-in to %s cannot be saved", spec.name)


@asynccontextmanager
async def exclusive_renewal(store: SignInStore | None, spec: ServerSpec) -> AsyncIterator[None]:
    """Hold the right to use the refresh token, which no other process has meanwhile.

    Raises `SignInError` if another one does not let go of it. Where there is no lock to be had, as on a
    disk that cannot be written, it goes on without.
    """
    lock = await _taken(store, spec) if store is not None else None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


async def _taken(store: SignInStore, spec: ServerSpec) -> ProcessLock | None:
    try:
        lock = await asyncio.to_thread(store.renewal, spec.url)
        taking = asyncio.ensure_future(asyncio.to_thread(lock.acquire, PATIENCE))
        try:
            taken = await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(lambda _done: lock.release())
            raise
    except OSError:
        _log.warning("the sign-in to %s is renewed without a lock", spec.name, exc_info=True)
        return None
    if not taken:
        raise SignInError("another Omni TUI is renewing the sign-in, and does not finish", passing=True)
    return lock
