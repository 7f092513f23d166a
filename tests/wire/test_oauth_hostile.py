"""Authorisation servers that lie: what is not fetched, not shown, not sent, and how that is said."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import RedirectResponse, Response

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.protocol.signin import SignInChanged
from omni_tui.servers.auth.fetcher import MAX_BODY
from tests.engine.faults.harness import Harness, connected
from tests.wire.authority import AS, PRM, Authority, browse, serving


@pytest.fixture
def authority() -> Iterator[Authority]:
    with serving() as running:
        yield running


@pytest.fixture
def elsewhere() -> Iterator[Authority]:
    with serving() as running:
        yield running


def told(servers: Harness) -> SignInChanged:
    return [event for event in servers.events if isinstance(event, SignInChanged)][-1]


async def outcome(authority: Authority, folder: Path, *, go: bool = False, **oauth: Any) -> SignInChanged:
    """Try to sign in; return how far it came."""
    spec = ServerSpec(name="w", url=authority.url, oauth=OAuthSpec(**oauth))
    async with connected(folder, spec) as servers:
        await servers.reach("w", "needs_sign_in")
        await servers.registry.sign_ins.begin(spec)
        await servers.until(lambda: told(servers).phase != "starting")
        if go:
            await browse(told(servers).url)
            await servers.until(lambda: told(servers).phase != "waiting")
        return told(servers)


@pytest.mark.parametrize(
    ("pointer", "words"),
    [
        ("http://169.254.169.254/latest/meta-data", "not https"),
        ("https://169.254.169.254/latest", "not on the open internet"),
        ("https://10.1.2.3/", "not on the open internet"),
        ("https://[::ffff:10.0.0.1]/", "not on the open internet"),
        ("https://[fd00::1]/", "not on the open internet"),
        ("http://example.com/", "not https"),
        ("https://me:pw@example.com/", "not a plain web address"),
        ("https://0x7f.1/", "not a host name"),
        ("https://2130706433/", "not a host name"),
        ("file:///etc/passwd", "not a plain web address"),
        ("gopher://127.0.0.1:70/", "not a plain web address"),
    ],
)
async def test_directions_to_where_nobody_wanted_to_go(
    authority: Authority, tmp_path: Path, pointer: str, words: str
) -> None:
    authority.pointer = pointer
    event = await outcome(authority, tmp_path)
    assert event.phase == "needed"
    assert words in event.reason
    assert event.url == ""
    assert {path for _, path in authority.seen} == {"/mcp"}


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [("https://192.168.0.1/token", "not on the open internet"), ("http://example.com/token", "not https")],
)
async def test_a_token_endpoint_in_a_private_place_gets_nothing(
    authority: Authority, tmp_path: Path, endpoint: str, words: str
) -> None:
    authority.metadata = {"token_endpoint": endpoint}
    event = await outcome(authority, tmp_path, go=True)
    assert words in event.reason
    assert authority.forms == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://example.com/authorize",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://a.example/" + "x" * 5000,
    ],
)
async def test_a_page_that_must_not_be_opened_is_not_shown(
    authority: Authority, tmp_path: Path, endpoint: str
) -> None:
    authority.metadata = {"authorization_endpoint": endpoint}
    event = await outcome(authority, tmp_path)
    assert "authorize" not in event.url or event.url.startswith(authority.base)
    assert endpoint not in event.url


@pytest.mark.parametrize("methods", [None, ["plain"]])
async def test_a_server_without_s256_is_refused(
    authority: Authority, tmp_path: Path, methods: list[str] | None
) -> None:
    authority.metadata = {"code_challenge_methods_supported": methods}
    event = await outcome(authority, tmp_path)
    assert "PKCE" in event.reason
    assert event.url == ""


async def test_metadata_of_another_issuer_is_refused(authority: Authority, tmp_path: Path) -> None:
    authority.metadata = {"issuer": "https://evil.example"}
    event = await outcome(authority, tmp_path)
    assert event.reason == "the authorisation server's metadata names another issuer"


async def test_metadata_about_another_server_is_refused(authority: Authority, tmp_path: Path) -> None:
    authority.resource = {"resource": "https://bank.example/mcp"}
    event = await outcome(authority, tmp_path)
    assert event.reason == "the server's metadata is about another server than this one"
    assert authority.count(AS) == 0


def _huge() -> Response:
    return Response(b'{"resource": "' + b"x" * (MAX_BODY + 1), media_type="application/json")


def _bomb() -> Response:
    packed = gzip.compress(b" " * 50_000_000)
    return Response(packed, media_type="application/json", headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("answer", "words"),
    [(_huge, f"longer than {MAX_BODY} bytes"), (_bomb, "compressed answer")],
)
@pytest.mark.parametrize("path", [PRM, AS, "/token"])
async def test_answers_are_bounded(
    authority: Authority, tmp_path: Path, path: str, answer: Callable[[], Response], words: str
) -> None:
    authority.bent = {path: answer}
    event = await outcome(authority, tmp_path, go=path == "/token")
    assert words in event.reason
    assert authority.tokens == {}


@pytest.mark.parametrize("path", [PRM, AS, "/register", "/token"])
@pytest.mark.parametrize("status", [302, 307])
async def test_redirects_to_another_origin_are_not_followed(
    authority: Authority, elsewhere: Authority, tmp_path: Path, path: str, status: int
) -> None:
    authority.bent = {path: lambda: RedirectResponse(f"{elsewhere.base}{path}", status)}
    event = await outcome(authority, tmp_path, go=path == "/token")
    assert elsewhere.seen == []
    if path in ("/register", "/token"):
        assert event.phase == "needed"
        assert f"{status}" in event.reason
    assert event.phase != "signed_in"


async def test_a_redirect_of_metadata_inside_of_its_origin_is_followed(
    authority: Authority, tmp_path: Path
) -> None:
    authority.bent = {PRM: lambda: RedirectResponse("/.well-known/oauth-protected-resource", 302)}
    event = await outcome(authority, tmp_path, go=True)
    assert event.phase == "signed_in"


async def test_a_redirect_without_end_is_left(authority: Authority, tmp_path: Path) -> None:
    authority.bent = {PRM: lambda: RedirectResponse(PRM, 302)}
    event = await outcome(authority, tmp_path)
    assert "redirects without end" in event.reason
    assert authority.count(PRM) == 4


async def test_a_given_client_is_not_led_to_another_authorisation_server(
    authority: Authority, elsewhere: Authority, tmp_path: Path
) -> None:
    authority.resource = {"authorization_servers": [elsewhere.base]}
    given: dict[str, Any] = {"client_id": "mine", "client_secret": "s3cret", "issuer": authority.base}
    event = await outcome(authority, tmp_path, **given)
    assert "another authorisation server" in event.reason
    assert elsewhere.seen == []


async def test_a_token_goes_to_the_servers_own_origin_only(
    authority: Authority, elsewhere: Authority, tmp_path: Path
) -> None:
    spec = ServerSpec(name="w", url=authority.url, oauth=OAuthSpec())
    async with connected(tmp_path, spec) as servers:
        await servers.reach("w", "needs_sign_in")
        await servers.registry.sign_ins.begin(spec)
        await servers.until(lambda: told(servers).phase == "waiting")
        authority.bent = {"/mcp": lambda: RedirectResponse(elsewhere.url, 307)}
        await browse(told(servers).url)
        failed = await servers.reach("w", "failed")
        assert "not followed" in failed.reason
    assert elsewhere.seen == []


@pytest.mark.parametrize("bad", ["a b", "a\r\nX-Evil: 1", "\x1b]52;c;x\x07", "é"])
async def test_a_token_that_no_header_can_carry_is_refused(
    authority: Authority, tmp_path: Path, bad: str
) -> None:
    from starlette.responses import JSONResponse

    authority.bent = {"/token": lambda: JSONResponse({"access_token": bad, "token_type": "Bearer"})}
    event = await outcome(authority, tmp_path, go=True)
    assert "no header can carry" in event.reason
    assert bad not in event.reason


async def test_what_a_refusal_says_is_not_repeated(authority: Authority, tmp_path: Path) -> None:
    from starlette.responses import JSONResponse

    said = {"error": "invalid_grant", "error_description": "secret-at-1234 [@click=app.quit]x[/]\x1b[31m"}
    authority.bent = {"/token": lambda: JSONResponse(said, 400)}
    event = await outcome(authority, tmp_path, go=True)
    assert event.reason == "the authorisation server refused the token request: invalid_grant (400)"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"authorization_servers": []}']
)
async def test_metadata_that_is_none_ends_in_words(
    authority: Authority, tmp_path: Path, body: bytes
) -> None:
    authority.bent = dict.fromkeys((PRM, AS), lambda: Response(body, media_type="application/json"))
    event = await outcome(authority, tmp_path)
    assert event.phase in ("waiting", "needed")
    assert event.url == "" or event.url.startswith(f"{authority.base}/authorize?")
