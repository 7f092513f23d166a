"""The stored part of a sign-in, as bytes in a store that encrypts them."""

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
"""A token counts as expired so many seconds early (a tenth of its lifetime, if that is less)."""


PATIENCE = 40.0
"""Seconds to wait for another process that renews the same sign-in: two exchanges and a reserve."""


class ProcessLock(Protocol):
    """A lock between processes."""

    def acquire(self, wait: float) -> bool:
        """Try for `wait` seconds to take it; return whether that worked. May raise `OSError`."""

    def release(self) -> None:
        """Release it."""


class SignInStore(Protocol):
    """Stores bytes by server URL and issuer, encrypted. May block; may raise `OSError`."""

    def load(self, server: str) -> bytes | None:
        """Return what was saved last for a server."""

    def save(self, server: str, issuer: str, data: bytes) -> None:
        """Save what belongs to a server under an issuer."""

    def forget(self, server: str) -> None:
        """Remove everything of a server."""

    def renewal(self, server: str) -> ProcessLock:
        """Return the lock for using a server's refresh token."""


class SignInRecord(msgspec.Struct, kw_only=True):
    """Tokens, registration and metadata of one server. The three `*_json` are the SDK's own models.

    `ends` is in Unix seconds; the SDK has only the lifetime from now, which is useless after a restart.
    `chosen` is the configured client it was made with, `port` that of the registered redirect address.
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
        """Return whether the access token can be used."""
        return bool(self.access_token) and (self.ends is None or now < self.ends - self.margin)

    def take(self, access: str, refresh: str, scope: str, lifetime: float | None, now: float) -> None:
        """Set new tokens; `lifetime` is in seconds, None if the server did not say."""
        self.access_token, self.refresh_token, self.scope = access, refresh, scope
        self.ends = None if lifetime is None else now + lifetime
        self.margin = 0.0 if lifetime is None else min(MARGIN, max(0.0, lifetime) * 0.1)

    def drop_tokens(self) -> None:
        """Forget the tokens, keep the registration."""
        self.access_token = self.refresh_token = ""
        self.ends = None


def chosen_client(oauth: OAuthSpec) -> str:
    """Return a name for the configured client; tokens of another one are not used."""
    return f"{oauth.grant} {oauth.client_id or oauth.client_metadata_url} {oauth.issuer}"


async def load_record(store: SignInStore | None, spec: ServerSpec) -> SignInRecord:
    """Return the stored record of a server, an empty one if nothing usable is stored."""
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
    """Store a record. If the disk fails, it lasts until the app ends."""
    if store is None:
        return
    try:
        await asyncio.to_thread(store.save, spec.url, record.issuer, msgspec.json.encode(record))
    except OSError:
        _log.exception("the sign-in to %s cannot be saved", spec.name)


@asynccontextmanager
async def exclusive_renewal(store: SignInStore | None, spec: ServerSpec) -> AsyncIterator[None]:
    """Keep other processes from using the refresh token.

    Raises `SignInError` if another one does not finish. Continues without a lock if none can be made, as
    on a read-only disk.
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
