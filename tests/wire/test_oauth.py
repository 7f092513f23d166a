"""Signing in, against a real authorisation server: every way to a token, and every way to lose it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.memory import Credentials, Vault
from omni_tui.protocol.signin import SignInChanged
from omni_tui.servers import CallError
from omni_tui.servers.auth import SignInRefused
from tests.engine.faults.harness import Harness, connected
from tests.wire.authority import Authority, browse, serving


@pytest.fixture
def authority() -> Iterator[Authority]:
    with serving() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Credentials:
    return Credentials(tmp_path / "state" / "credentials.json", Vault.open(tmp_path / "state", {}))


def spec(authority: Authority, **oauth: object) -> ServerSpec:
    return ServerSpec(name="w", url=authority.url, oauth=OAuthSpec(**oauth))  # type: ignore[arg-type]


def phases(servers: Harness) -> list[str]:
    return [event.phase for event in servers.events if isinstance(event, SignInChanged)]


def told(servers: Harness) -> SignInChanged:
    return [event for event in servers.events if isinstance(event, SignInChanged)][-1]


async def page(servers: Harness) -> SignInChanged:
    """Begin a sign-in and wait for its address."""
    await servers.registry.sign_ins.begin(servers.registry.get("w").spec)
    await servers.until(lambda: told(servers).phase not in ("starting",))
    event = told(servers)
    assert event.phase == "waiting", event.reason
    return event


async def signed_in(servers: Harness) -> None:
    """Wait for the server to ask, sign in, and wait for the connection."""
    await servers.reach("w", "needs_sign_in")
    await browse((await page(servers)).url)
    await servers.reach("w", "idle")


@contextlib.asynccontextmanager
async def running(
    folder: Path, one: ServerSpec, store: Credentials | None = None
) -> AsyncIterator[Harness]:
    async with connected(folder, one, store=store) as servers:
        yield servers


async def word(servers: Harness, text: str = "hello") -> str:
    result = await servers.call("w", "whoami", {"word": text})
    return str(result.content[0]["text"])


async def test_the_browser_is_asked_for_and_then_calls_work(authority: Authority, tmp_path: Path) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        asked = await servers.reach("w", "needs_sign_in")
        assert asked.reason == "the server asks for a sign-in"
        assert asked.next_try is None
        assert authority.count("/register") == 0  # nobody has asked for it yet
        event = await page(servers)
        assert event.host == authority.base.removeprefix("http://")
        assert event.redirect.startswith("http://127.0.0.1:")
        assert event.url.startswith(f"{authority.base}/authorize?")
        await browse(event.url)
        await servers.reach("w", "idle")
        assert await word(servers) == "hello"
        assert phases(servers) == ["needed", "starting", "waiting", "signed_in"]
        assert authority.authorized[-1]["scope"] == "read"
