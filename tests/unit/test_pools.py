"""Sockets are shared per origin; nothing else is, and nothing stays open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.servers import connection_pools
from omni_tui.servers.auth.fetcher import Fetcher
from omni_tui.servers.auth.urls import SignInError, UrlPolicy
from omni_tui.servers.connection_failure import ConnectionFailed
from omni_tui.servers.connection_pools import PoolError, lease, proxy_for
from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.processes import Processes
from omni_tui.servers.transports.base import TransportContext
from omni_tui.servers.transports.http import HttpTransport
from tests.connections import closing


class Listener:
    """A web server that counts its sockets and keeps what it was sent."""

    def __init__(self) -> None:
        self.sockets = 0
        self.open = 0
        self.heads: list[str] = []
        self.idle = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sockets += 1
        self.open += 1
        self.idle.clear()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                    b"Set-Cookie: who=first; Path=/\r\n\r\n{}"
                )
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.open -= 1
        if not self.open:
            self.idle.set()


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(closing(listener.serve), "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield listener
        await asyncio.wait_for(listener.idle.wait(), 60)


class Deaf(HttpTransport):
    """Hears nothing."""

    def failed(self, error: httpx2.TransportError) -> None:
        raise error


def pool_count() -> int:
    return len(connection_pools.open_pools.get(asyncio.get_running_loop(), {}))


def open_client(spec: ServerSpec) -> httpx2.AsyncClient:
    processes = Processes(Path("never-used"), "pools")
    return Deaf(spec, TransportContext(processes, ServerLogBuffer(), lambda: None)).open_client(
        httpx2.URL(spec.url)
    )


def client(listener: Listener, path: str, **headers: str) -> httpx2.AsyncClient:
    spec = ServerSpec(name=path, url=listener.url + path, headers=headers)
    return open_client(spec)


async def test_servers_of_one_origin_and_its_sign_in_share_a_socket_and_nothing_else() -> None:
    async with listening() as listener:
        boundary = UrlPolicy(listener.url + "/one")
        async with client(listener, "/one", Authorization="Bearer secret") as one:
            await one.get(listener.url + "/one")
            async with client(listener, "/two") as two, Fetcher(boundary) as fetcher:
                await two.get(listener.url + "/two")
                await fetcher.send(httpx2.Request("GET", listener.url + "/.well-known/x"))
                await one.get(listener.url + "/one")
                assert listener.sockets == 1
                assert pool_count() == 1
            await one.get(listener.url + "/one")
            assert listener.sockets == 1
        assert pool_count() == 0
    for head in listener.heads:
        mine = head.startswith("GET /one")
        assert ("secret" in head) is mine
        assert "cookie" not in head.lower() or mine


async def test_other_origins_have_sockets_of_their_own() -> None:
    async with listening() as here, listening() as there:
        async with client(here, "/") as one, client(there, "/") as two:
            await one.get(here.url)
            await two.get(there.url)
            assert pool_count() == 2
        assert (here.sockets, there.sockets) == (1, 1)


async def test_what_has_left_sends_nothing_and_leaves_once() -> None:
    url = httpx2.URL("http://127.0.0.1:9/")
    first, second = lease(url), lease(url)
    await first.aclose()
    await first.aclose()
    assert pool_count() == 1
    with pytest.raises(httpx2.TransportError):
        await first.handle_async_request(httpx2.Request("GET", url))
    await second.aclose()
    assert pool_count() == 0


# --- proxies ------------------------------------------------------------------------------------


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "https://a.example/", ""),
        ({"HTTPS_PROXY": "http://p:3128"}, "https://a.example/", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://a.example/", ""),
        ({"ALL_PROXY": "p:3128"}, "https://a.example/", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "https://a.example/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, "https://a.example/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://b.example/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "https://b.example/", "http://p:1"),
    ],
)
def test_which_proxy(no_proxy: pytest.MonkeyPatch, environ: dict[str, str], url: str, proxy: str) -> None:
    for name, value in environ.items():
        no_proxy.setenv(name, value)
    assert proxy_for(httpx2.URL(url)) == proxy


async def test_a_proxy_that_cannot_be_used_is_said_without_its_password(
    no_proxy: pytest.MonkeyPatch,
) -> None:
    no_proxy.setenv("HTTPS_PROXY", "gopher://me:hunter2@p:1")
    url = "https://a.example/mcp"
    with pytest.raises(PoolError) as caught:
        lease(httpx2.URL(url))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConnectionFailed):
        open_client(ServerSpec(name="a", url=url))
    async with Fetcher(UrlPolicy(url)) as fetcher:
        with pytest.raises(SignInError, match="proxy"):
            await fetcher.send(httpx2.Request("GET", url))
    assert pool_count() == 0


async def test_a_sign_in_goes_through_the_proxy_and_names_the_host_to_it(
    no_proxy: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async def nowhere(_host: str, _port: int) -> list[str]:
        raise OSError("behind a proxy there is no name service")

    server = await asyncio.start_server(closing(proxy), "127.0.0.1", 0)
    no_proxy.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    boundary = UrlPolicy("https://mcp.example/mcp", OAuthSpec().issuer)
    async with server, Fetcher(boundary, nowhere) as fetcher:
        for url in ("https://mcp.example/x", "https://login.example/token"):
            with pytest.raises(SignInError):
                await fetcher.send(httpx2.Request("GET", url))
        with pytest.raises(SignInError, match="open internet"):
            await fetcher.send(httpx2.Request("GET", "https://169.254.169.254/latest"))
    assert [line.split()[1] for line in asked] == [b"mcp.example:443", b"login.example:443"]


async def test_a_name_that_is_known_to_be_private_is_not_asked_of_the_proxy_either(
    no_proxy: pytest.MonkeyPatch,
) -> None:
    no_proxy.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    async def private(_host: str, _port: int) -> list[str]:
        return ["10.0.0.5"]

    async with Fetcher(UrlPolicy("https://mcp.example/mcp"), private) as fetcher:
        with pytest.raises(SignInError, match="open internet"):
            await fetcher.send(httpx2.Request("GET", "https://login.example/token"))
