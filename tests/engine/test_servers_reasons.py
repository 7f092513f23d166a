"""Why a server behind a URL is not connected: the true reason, and advice that can be followed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.servers import CallError
from omni_tui.servers.transports.http_failures import explain_status
from tests.engine.faults.harness import connected
from tests.engine.faults.tls import answering, identity, tls
from tests.engine.faults.web import serving

TOKEN = "t0ken-0f-mine-1234"


def server(url: str, **more: object) -> ServerSpec:
    return ServerSpec(name="w", url=url, **more)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


async def reason(folder: Path, spec: ServerSpec) -> tuple[str, str, float | None]:
    """Return what is said of a server that does not connect."""
    async with connected(folder, spec) as servers:
        failed = await servers.reach("w", "failed")
        return failed.reason, failed.todo, failed.next_try


@pytest.mark.parametrize("kind", ["auto", "sse"])
async def test_tls_to_a_port_without_it(tmp_path: Path, kind: str) -> None:
    with serving() as web:
        url = web.url.replace("http:", "https:")
        why, todo, next_try = await reason(tmp_path, server(url, web=kind))
        assert why == f"that port does not speak TLS: {url}"
        assert todo.startswith("Write http://")
        assert next_try is None


@pytest.mark.parametrize("kind", ["auto", "sse"])
async def test_no_tls_to_a_port_with_it(tmp_path: Path, kind: str) -> None:
    with tls(identity(tmp_path)) as web:
        url = f"http://127.0.0.1:{web.port}/mcp"
        why, todo, next_try = await reason(tmp_path, server(url, web=kind))
        assert why == f"that port speaks TLS, and the request was not encrypted: {url}"
        assert todo == "Write https:// in its URL."
        assert next_try is None


async def test_versions_of_tls_that_have_nothing_in_common(tmp_path: Path) -> None:
    with tls(identity(tmp_path), oldest=True) as web:
        why, _, next_try = await reason(tmp_path, server(web.url))
        assert why == f"no safe version of TLS, or no cipher, in common with {web.url}"
        assert next_try is None


async def test_an_own_authority_counts_once_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = identity(tmp_path)
    with tls(files) as web:
        why, todo, _ = await reason(tmp_path, server(web.url))
        assert why == f"the certificate of {web.url} cannot be verified: self-signed certificate"
        assert "SSL_CERT_FILE" in todo
        monkeypatch.setenv("SSL_CERT_FILE", files.certificate)
        async with connected(tmp_path, server(web.url)) as servers:
            await servers.reach("w", "idle")
            assert not (await servers.call("w", "echo")).is_error


async def test_a_certificate_that_has_expired_is_not_the_authoritys_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = identity(tmp_path, expired=True)
    monkeypatch.setenv("SSL_CERT_FILE", files.certificate)
    with tls(files) as web:
        why, todo, _ = await reason(tmp_path, server(web.url))
        assert why.endswith("certificate has expired")
        assert "SSL_CERT_FILE" not in todo


@pytest.mark.parametrize("content", [None, b"no certificate"])
async def test_a_file_of_authorities_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    why, todo, next_try = await reason(tmp_path, server("https://localhost:9/mcp"))
    assert why.startswith(f"SSL_CERT_FILE names {file}, which cannot be used: ")
    assert todo.startswith("Correct it")
    assert next_try is None


@pytest.mark.parametrize("kind", ["auto", "sse"])
@pytest.mark.parametrize(
    ("status", "body", "type_", "begins"),
    [
        (
            403,
            b"Host not allowed",
            "text/plain",
            "refuses access: the server answered 403 Forbidden: ",
        ),
        (401, b'{"error":"expired"}', "application/json", "needs authorisation: the server answered 401"),
        (
            503,
            b"<title>Be back soon</title>",
            "text/html",
            "the server answered 503 Service Unavailable: ",
        ),
        (404, b'{"detail":"no such team"}', "application/json", "no MCP server at "),
    ],
)
async def test_the_servers_words_are_shown(
    tmp_path: Path, kind: str, status: int, body: bytes, type_: str, begins: str
) -> None:
    with answering(status, body, type_) as url:
        why, _, _ = await reason(tmp_path, server(url, web=kind))
        assert why.startswith(begins)
        words = {"Host not allowed", "expired", "Be back soon", "no such team"}
        assert any(each in why for each in words)


ANSWER = "a word of theirs"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "given",
    [
        {"headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"headers": {"X-Api-Key": TOKEN}},
        {"headers": {"X-Team": TOKEN}, "secret_headers": frozenset({"X-Team"})},
        {"oauth": OAuthSpec()},
    ],
)
def test_advice_never_names_what_is_set_already(status: int, given: dict[str, object]) -> None:
    spec = server("https://x.example/mcp", **given)
    trouble = explain_status(status, spec, ANSWER)
    assert trouble.what.endswith(ANSWER)
    assert "Give it" not in trouble.todo
    assert "give them" not in trouble.todo
    assert ("needs authorisation" in trouble.what) == (status == 401)
    assert TOKEN not in trouble.todo


async def test_a_refusal_that_repeats_our_token_does_not_show_it(tmp_path: Path) -> None:
    body = f'{{"error":"the token {TOKEN} is not known"}}'.encode()
    with answering(403, body, "application/json") as url:
        why, _, _ = await reason(tmp_path, server(url, headers={"Authorization": f"Bearer {TOKEN}"}))
        assert why.endswith("the token [redacted] is not known")


async def test_a_call_that_is_refused_has_the_servers_words(tmp_path: Path) -> None:
    with serving() as web:
        async with connected(tmp_path, server(web.url)) as servers:
            await servers.reach("w", "idle")
            web.call_status, web.call_words = 403, "your plan has no tools"
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert caught.value.what == "the server answered 403 Forbidden: your plan has no tools"
            assert caught.value.answered


def _initialize(**result: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 0, "result": result}).encode()


CORRECT = {"capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}


async def test_a_protocol_version_that_nobody_knows_is_no_reason_to_try_again(tmp_path: Path) -> None:
    body = _initialize(protocolVersion="2031-01-01", **CORRECT)
    with answering(200, body, "application/json") as url:
        why, todo, next_try = await reason(tmp_path, server(url, mode="legacy"))
        assert why.startswith(
            "speaks the protocol in version 2031-01-01 only; Omni TUI speaks 2024-11-05 to "
        )
        assert todo == "Update the server, or Omni TUI."
        assert next_try is None


@pytest.mark.parametrize(("status", "code"), [(200, -32602), (400, -32602), (400, -32022)])
async def test_a_refusal_of_our_versions_names_theirs(tmp_path: Path, status: int, code: int) -> None:
    error = {
        "code": code,
        "message": "Unsupported protocol version",
        "data": {"supported": ["2031-01-01"], "requested": "2025-11-25"},
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 0, "error": error}).encode()
    with answering(status, body, "application/json") as url:
        why, _, next_try = await reason(tmp_path, server(url, web="http"))
        assert why.startswith("speaks the protocol in version 2031-01-01 only")
        assert next_try is None


async def test_a_greeting_that_breaks_the_protocol_is_said_without_a_dump(tmp_path: Path) -> None:
    body = _initialize(protocolVersion="2025-06-18", capabilities=[], serverInfo={"name": 7})
    with answering(200, body, "application/json") as url:
        why, _, _ = await reason(tmp_path, server(url, mode="legacy"))
        assert why.startswith("breaks the protocol while connecting: ")
        assert "capabilities is of the wrong kind" in why
        for piece in ("validation", "pydantic", "input_value", "Result", "\n", "https://"):
            assert piece not in why


async def test_a_page_in_place_of_a_server_is_said(tmp_path: Path) -> None:
    with answering(200, b"<html>Welcome</html>", "text/html") as url:
        why, _, _ = await reason(tmp_path, server(url, web="http"))
        assert "no MCP server answers there, but something with text/html" in why


async def test_a_proxy_that_is_down_is_blamed_and_not_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{TOKEN}@127.0.0.1:9")
    why, todo, _ = await reason(tmp_path, server("https://x.example/mcp"))
    assert why == "the proxy http://127.0.0.1:9 cannot be reached, on the way to https://x.example/mcp"
    assert "HTTPS_PROXY" in todo
