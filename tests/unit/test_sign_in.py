"""Addresses a sign-in may lead to, what is fetched from them, and what is kept."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from omni_tui.memory import Credentials, Vault
from omni_tui.servers.auth.browser import RedirectMismatch, open_page, read_redirect
from omni_tui.servers.auth.fetcher import Fetcher
from omni_tui.servers.auth.sign_in_records import SignInRecord
from omni_tui.servers.auth.urls import SignInError, UrlPolicy, authorize_problem, is_public
from tests.connections import closing

FAR = "https://mcp.example/mcp"
NEAR = "http://127.0.0.1:8000/mcp"


@pytest.mark.parametrize(
    ("server", "issuer", "url", "goes"),
    [
        (FAR, "", "https://login.example/token", True),
        (FAR, "", "https://mcp.example/token", True),
        (FAR, "", "http://login.example/token", False),
        (FAR, "", "http://127.0.0.1/token", False),
        (FAR, "", "https://127.0.0.1/token", False),
        (FAR, "", "https://[::1]/token", False),
        (FAR, "", "https://10.0.0.1/", False),
        (FAR, "https://10.0.0.1", "https://10.0.0.1/token", True),
        (FAR, "https://10.0.0.1", "https://10.0.0.1:444/token", False),
        (FAR, "", "https://127.1/", False),
        (FAR, "", "https://1/", False),
        (FAR, "", "https://a..b/", False),
        (FAR, "", "https://b\u00fccher.example/", False),
        (FAR, "", "https://mcp.example@evil.example/", False),
        (FAR, "", "https:///x", False),
        (FAR, "", "https://mcp.example:99999/", False),
        ("https://10.0.0.1/mcp", "", "https://10.0.0.1/token", True),
        ("https://10.0.0.1/mcp", "", "https://10.0.0.2/token", False),
        ("http://mcp.example/mcp", "", "http://mcp.example/token", False),
        (FAR, "http://login.example", "http://login.example/token", False),
        (NEAR, "", "http://127.0.0.1:9000/token", True),
        (NEAR, "", "http://localhost:9000/token", True),
        (NEAR, "", "http://192.168.0.1/token", False),
        (NEAR, "", "https://192.168.0.1/token", False),
    ],
)
def test_where_a_sign_in_may_go(server: str, issuer: str, url: str, goes: bool) -> None:
    boundary = UrlPolicy(server, issuer)
    if goes:
        boundary.check(url)
    else:
        with pytest.raises(SignInError):
            boundary.check(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "233.252.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
    ],
)
def test_what_is_not_on_the_open_internet(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_what_is(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


async def _asked(boundary: UrlPolicy, addresses: list[str], url: str) -> list[str]:
    """Try to fetch with a resolver that says `addresses`; return the hosts it was asked for."""
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return addresses

    async with Fetcher(boundary, lookup, timeout=2.0) as fetcher:
        with pytest.raises(SignInError) as caught:
            await fetcher.send(httpx2.Request("GET", url))
    asked.append(caught.value.what)
    return asked


async def test_a_name_that_leads_into_a_private_network_gets_nothing() -> None:
    for addresses in (["10.0.0.5"], ["93.184.216.34", "127.0.0.1"], ["::ffff:169.254.169.254"]):
        host, what = await _asked(UrlPolicy(FAR), addresses, "https://login.example/token")
        assert host == "login.example"
        assert "not on the open internet" in what
    host, what = await _asked(UrlPolicy(FAR), [], "https://login.example/token")
    assert what == "no host called login.example was found"


async def test_a_name_is_looked_up_once_and_asked_by_its_own_name() -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(closing(answer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    lookups = 0

    async def lookup(host: str, _port: int) -> list[str]:
        nonlocal lookups
        lookups += 1
        return ["127.0.0.1"]

    url = f"http://mcp.localhost:{port}/x"
    near = UrlPolicy("http://127.0.0.1:1/mcp")  # on this machine, and another origin than the one asked
    async with server, Fetcher(near, lookup) as fetcher:
        got = await fetcher.send(httpx2.Request("GET", url))
    assert (got.json(), lookups) == ({}, 1)
    assert f"Host: mcp.localhost:{port}".encode() in heard[0]
    assert "set-cookie" not in got.headers


async def test_a_server_that_never_answers_costs_its_time_only() -> None:
    held: list[asyncio.StreamWriter] = []

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(closing(silent), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with Fetcher(UrlPolicy(url), timeout=0.05) as fetcher:
        with pytest.raises(SignInError, match="did not answer") as caught:
            await fetcher.send(httpx2.Request("GET", url))
    assert caught.value.passing
    server.close()
    for _ in range(10):  # a connection that has just been accepted gets to its handler
        await asyncio.sleep(0)
    for writer in held:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://example.com/",
        "https://a:b@example.com/",
        "https://example.com/\r\nX: y",
        "https://example.com/ --flag",
        "https://example.com/\x1b]52;c;x\x07",
        "https://ex\u0430mple.com/",
        "https://example.com/" + "a" * 5000,
        "--help",
        "$(calc)",
        "",
    ],
)
def test_what_is_never_shown_or_opened(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    assert authorize_problem(url)
    assert open_page(url)
    assert opened == []


def test_a_page_is_opened_where_there_is_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def note(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", note)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    assert "copy the address" in open_page("https://login.example/a?b=c")
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_page("https://login.example/a?b=c") == ""
    assert opened == ["https://login.example/a?b=c"]


def test_a_redirect_is_read_only_with_its_state() -> None:
    good = read_redirect("http://127.0.0.1:1/callback?code=c&state=s&iss=https%3A%2F%2Fi", "s")
    assert (good.code, good.iss) == ("c", "https://i")
    assert "code" not in repr(good).replace("error", "")
    for url in ("/callback?code=c&state=t", "/callback?code=c", "/callback?state=s", "/callback", "x", ""):
        with pytest.raises(RedirectMismatch):
            read_redirect(url, "s")
    with pytest.raises(RedirectMismatch):
        read_redirect("/callback?code=c&state=", "")


def test_a_token_counts_as_used_up_a_little_before_its_end() -> None:
    record = SignInRecord()
    assert not record.fresh(0)
    record.take("a", "", "", 3600, now=0)
    assert record.fresh(3569)
    assert not record.fresh(3570)
    record.take("a", "", "", 10, now=0)
    assert record.fresh(8.9)
    record.take("a", "", "", None, now=0)
    assert record.fresh(1e12)
    record.take("a", "", "", -5, now=0)
    assert not record.fresh(0)
    assert "'a'" not in repr(record)


# --- what is kept ---------------------------------------------------------------------------------


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Credentials]:
    def open_store(passphrase: str = "") -> Credentials:
        environ = {"OMNI_TUI_PASSPHRASE": passphrase} if passphrase else {}
        return Credentials(tmp_path / "credentials.json", Vault.open(tmp_path, environ))

    return open_store


def test_credentials_are_kept_by_server_and_issuer(
    make: Callable[..., Credentials], tmp_path: Path
) -> None:
    store = make()
    assert store.load(FAR) is None
    store.save(FAR, "https://one", b"token-1")
    store.save(FAR, "https://two", b"token-2")
    store.save(NEAR, "https://one", b"token-3")
    assert (make().load(FAR), make().load(NEAR)) == (b"token-2", b"token-3")
    store.save(FAR, "https://one", b"token-4")
    assert store.load(FAR) == b"token-4"
    text = (tmp_path / "credentials.json").read_text()
    assert not any(word in text for word in ("token", "mcp.example", "https"))
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
    store.forget(FAR)
    assert (make().load(FAR), make().load(NEAR)) == (None, b"token-3")


def test_a_credential_cannot_be_moved_or_altered(make: Callable[..., Credentials], tmp_path: Path) -> None:
    store = make()
    store.save(FAR, "https://one", b"far")
    store.save(NEAR, "https://one", b"near")
    file = tmp_path / "credentials.json"
    text = file.read_text()
    first, second = (part.split('"')[0] for part in text.split('"sealed":"')[1:])
    file.write_text(text.replace(first, "#").replace(second, first).replace("#", second))
    assert (store.load(FAR), store.load(NEAR)) == (None, None)
    file.write_text(text.replace(first, first[:-8] + "AAAAAAA="))
    assert store.load(FAR) is None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version":1,"entries":[{}]}', b"\xff" * 100])
def test_a_damaged_file_is_kept_aside(
    make: Callable[..., Credentials], tmp_path: Path, damage: bytes
) -> None:
    make()
    (tmp_path / "credentials.json").write_bytes(damage)
    assert make().load(FAR) is None
    assert [path.read_bytes() for path in tmp_path.glob("credentials.json.damaged-*")] == [damage]
    make().save(FAR, "https://one", b"x")
    assert make().load(FAR) == b"x"


def test_what_another_key_sealed_waits_for_its_key(make: Callable[..., Credentials]) -> None:
    make().save(NEAR, "https://one", b"before")  # the key file is made
    make("one").save(FAR, "https://one", b"x")
    store = make()
    assert store.load(FAR) is None
    store.save(NEAR, "https://one", b"y")
    assert make("one").load(FAR) == b"x"
