"""Authorisation servers as they really answer: what is clear is taken, what is not is refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import Response

from omni_tui.memory import Credentials, Vault
from omni_tui.servers.auth.oauth_responses import normalised, without_scope
from omni_tui.servers.auth.urls import same_issuer
from tests.wire.authority import Authority, Client, browse, serving
from tests.wire.test_oauth import page, running, signed_in, spec, told, word


@pytest.fixture
def authority() -> Iterator[Authority]:
    with serving() as one:
        yield one


@pytest.mark.parametrize("forms", ["asked", "always"])
async def test_a_token_endpoint_that_answers_with_forms(
    authority: Authority, tmp_path: Path, forms: str
) -> None:
    authority.forms_only = forms
    async with running(tmp_path, spec(authority)) as servers:
        await signed_in(servers)
        assert await word(servers) == "hello"


@pytest.mark.parametrize(("resource", "own"), [("/", ""), ("", "/"), ("/tenant", "/tenant/")])
@pytest.mark.parametrize("configured", [False, True])
async def test_an_issuer_is_the_same_with_and_without_its_last_slash(
    authority: Authority, tmp_path: Path, resource: str, own: str, configured: bool
) -> None:
    base = authority.base
    authority.resource = {"authorization_servers": [base + resource]}
    authority.names = base + own
    if resource == "/tenant":
        authority.aliases = {"/.well-known/oauth-authorization-server/tenant": authority.metadata_path}
    oauth = {"issuer": base + own} if configured else {}
    async with running(tmp_path, spec(authority, **oauth)) as servers:
        await signed_in(servers)
        assert await word(servers) == "hello"
        # The renewal after a restart of the token's life finds its way too.
        authority.revoke_all()
        assert await word(servers, "again") == "again"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example", "https://a.example/", True),
        ("https://a.example/t/", "https://a.example/t", True),
        ("https://a.example", "https://a.example//", False),
        ("https://a.example", "https://a.example.org", False),
        ("https://a.example/t", "https://a.example/u", False),
        ("http://a.example", "https://a.example", False),
    ],
)
def test_nothing_but_the_last_slash_is_forgiven(one: str, other: str, same: bool) -> None:
    assert same_issuer(one, other) is same
    assert same_issuer(other, one) is same


@pytest.mark.parametrize(
    "answer",
    [
        (403, {"error": "insufficient_scope", "error_description": "not allowed to use specified scope"}),
        (400, {"error": "invalid_scope"}),
        (400, {"error": "invalid_client_metadata", "error_description": "Requested scope is not allowed"}),
    ],
)
async def test_a_registration_refused_for_its_scope_is_tried_once_without(
    authority: Authority, tmp_path: Path, answer: tuple[int, dict[str, str]]
) -> None:
    authority.no_scopes = answer
    async with running(tmp_path, spec(authority, scopes=("read",))) as servers:
        await signed_in(servers)
        assert authority.count("/register") == 2
        assert authority.authorized[0]["scope"] == "read"  # the person is still asked for it


async def test_a_registration_refused_for_something_else_is_not_tried_again(
    authority: Authority, tmp_path: Path
) -> None:
    authority.registration = False
    authority.metadata = {"registration_endpoint": f"{authority.base}/register"}
    async with running(tmp_path, spec(authority, scopes=("read",))) as servers:
        await servers.reach("w", "needs_sign_in")
        await servers.registry.sign_ins.begin(servers.registry.get("w").spec)
        await servers.until(lambda: bool(told(servers).reason))
        assert "access_denied (403)" in told(servers).reason
        assert authority.count("/register") == 1


@pytest.mark.parametrize(
    "lifetime", [3599.98, "3600", "3599.5", "", None, "soon", True, [1], 1e400, 10**30, -1]
)
async def test_whatever_is_said_of_its_life_a_token_is_taken(
    authority: Authority, tmp_path: Path, lifetime: object
) -> None:
    kept = lifetime if lifetime != 1e400 else "1e400"
    authority.told = {"expires_in": kept, "refresh_token": None, "scope": ["read"]}
    store = Credentials(tmp_path / "state" / "credentials.json", Vault.open(tmp_path / "state", {}))
    async with running(tmp_path, spec(authority), store) as servers:
        await servers.reach("w", "needs_sign_in")
        await browse((await page(servers)).url)
        await servers.until(lambda: told(servers).phase in ("signed_in", "needed"))
        assert not told(servers).reason


async def test_an_error_that_comes_with_status_200_is_an_error(
    authority: Authority, tmp_path: Path
) -> None:
    authority.told = {"access_token": None, "error": "bad_verification_code"}
    async with running(tmp_path, spec(authority)) as servers:
        await servers.reach("w", "needs_sign_in")
        await browse((await page(servers)).url)
        await servers.until(lambda: bool(told(servers).reason))
        assert "bad_verification_code" in told(servers).reason


async def test_members_of_metadata_that_say_nothing_do_no_harm(
    authority: Authority, tmp_path: Path
) -> None:
    authority.resource = {"scopes_supported": None, "resource_policy_uri": "", "jwks_uri": ""}
    nothing = {"service_documentation": "", "jwks_uri": "", "op_policy_uri": "", "scopes_supported": ""}
    authority.metadata = nothing
    async with running(tmp_path, spec(authority)) as servers:
        await signed_in(servers)
        assert await word(servers) == "hello"


async def test_signing_out_revokes_both_tokens(authority: Authority, tmp_path: Path) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        await signed_in(servers)
        access, refresh = next(iter(authority.tokens)), next(iter(authority.refresh))
        said = await servers.registry.sign_out("w")
        assert said.endswith("its server was told")
        assert authority.revoked == [(refresh, "refresh_token"), (access, "access_token")]


def _answer(request: httpx2.Request, content: bytes, status: int = 200) -> httpx2.Response:
    return httpx2.Response(status, content=content, request=request)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[1]", b"[" * 10_000, b"\xff", b"a=b", b"just words", b"null"]
)
def test_what_is_no_token_answer_stays_as_it_came(content: bytes) -> None:
    form = httpx2.Request("POST", "https://a.example/token", data={"grant_type": "x"})
    metadata = httpx2.Request("GET", "https://a.example/.well-known/x")
    for request in (form, metadata):
        answer = _answer(request, content)
        assert normalised(request, answer, "https://a.example") is answer


def test_only_a_registration_loses_its_scope() -> None:
    refused: dict[str, Any] = {"json": {"error": "invalid_scope"}}
    token = httpx2.Request("POST", "https://a.example/token", data={"scope": "a", "redirect_uris": "x"})
    assert without_scope(token, httpx2.Response(400, **refused)) is None
    registration = httpx2.Request(
        "POST",
        "https://a.example/register",
        json={"redirect_uris": ["x"], "scope": "a", "client_name": "n"},
    )
    again = without_scope(registration, httpx2.Response(400, **refused))
    assert again is not None
    assert again.content == b'{"redirect_uris":["x"],"client_name":"n"}'
    assert without_scope(again, httpx2.Response(400, **refused)) is None
    assert without_scope(registration, httpx2.Response(500, **refused)) is None


async def test_a_token_of_the_sign_in_does_not_come_back(authority: Authority, tmp_path: Path) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        await signed_in(servers)
        assert await word(servers, f"<{next(iter(authority.tokens))}>") == "<[redacted]>"


@pytest.mark.parametrize(("resource", "own", "configured"), [("/", "", ""), ("", "/", "/"), ("", "", "/")])
async def test_a_machine_finds_its_issuer_with_and_without_the_last_slash(
    authority: Authority, tmp_path: Path, resource: str, own: str, configured: str
) -> None:
    base = authority.base
    authority.clients["machine"] = Client(secret="s3cret")
    authority.resource = {"authorization_servers": [base + resource]}
    authority.names = base + own
    given = {"grant": "client_credentials", "client_id": "machine", "client_secret": "s3cret"}
    one = spec(authority, issuer=base + configured, **given)
    async with running(tmp_path, one) as servers:
        await servers.reach("w", "idle")
        assert await word(servers) == "hello"
        (access,) = authority.tokens
        assert (await servers.registry.sign_out("w")).endswith("its server was told")
        assert authority.revoked == [(access, "access_token")]


async def test_a_server_that_registers_nobody_asks_for_a_client_of_your_own(
    authority: Authority, tmp_path: Path
) -> None:
    authority.bent = {"/register": lambda: Response(status_code=404)}
    async with running(tmp_path, spec(authority)) as servers:
        await servers.reach("w", "needs_sign_in")
        await servers.registry.sign_ins.begin(servers.registry.get("w").spec)
        await servers.until(lambda: bool(told(servers).reason))
        assert told(servers).reason == (
            "the authorisation server does not register apps by itself. "
            "Register one there, and set client_id for it."
        )
