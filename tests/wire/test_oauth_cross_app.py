"""Cross-app access: both legs against real servers, and what must never get the person's token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.memory import Credentials, Vault
from tests.engine.faults.harness import connected
from tests.wire.authority import AS, Authority, Client, serving
from tests.wire.test_oauth import word

PERSON = "id-token-of-ada"
SECRETS = (PERSON, "app-s3cret", "idp-s3cret")


@pytest.fixture
def company() -> Iterator[Authority]:
    """Run the identity provider of a company."""
    with serving() as running:
        running.clients["app-at-idp"] = Client("idp-s3cret")
        running.people[PERSON] = "ada"
        yield running


@pytest.fixture
def authority(company: Authority) -> Iterator[Authority]:
    """Run an MCP server and its authorisation server, which believes the company."""
    with serving() as running:
        running.clients["app"] = Client("app-s3cret")
        running.trusted = company
        company.known_as["app-at-idp", running.base] = "app"
        yield running


@pytest.fixture
def stranger() -> Iterator[Authority]:
    with serving() as running:
        yield running


def spec(authority: Authority, company: Authority, **other: Any) -> ServerSpec:
    oauth = {
        "grant": "cross_app",
        "client_id": "app",
        "client_secret": "app-s3cret",
        "issuer": authority.base,
        "idp_issuer": company.base,
        "idp_client_id": "app-at-idp",
        "idp_client_secret": "idp-s3cret",
        "idp_token": PERSON,
        **other,
    }
    return ServerSpec(name="w", url=authority.url, oauth=OAuthSpec(**oauth))


def grants(server: Authority) -> list[str]:
    return [form["grant_type"].rpartition(":")[2] for form in server.forms]


@pytest.mark.parametrize("discovered", [True, False])
async def test_both_legs_and_again_when_the_token_is_gone(
    authority: Authority, company: Authority, tmp_path: Path, discovered: bool
) -> None:
    where = {} if discovered else {"idp_issuer": "", "idp_token_endpoint": f"{company.base}/token"}
    store = Credentials(tmp_path / "c" / "credentials.json", Vault.open(tmp_path / "c", {}))
    one = spec(authority, company, scopes=("read",), **where)
    async with connected(tmp_path, one, store=store) as servers:
        await servers.reach("w", "idle")
        assert await word(servers) == "hello"
        authority.revoke_all()
        assert await word(servers, "again") == "again"
        authority.needed = {"whoami": "write"}
        assert await word(servers, "more") == "more"
    assert grants(company) == ["token-exchange"] * 3
    assert grants(authority) == ["jwt-bearer"] * 3
    first, last = company.forms[0], company.forms[-1]
    assert (first["audience"], first["resource"]) == (authority.base, authority.url)
    assert first["subject_token_type"] == "urn:ietf:params:oauth:token-type:id_token"
    assert (first["scope"], last["scope"]) == ("read", "read write")
    assert company.count(AS) == (3 if discovered else 0)
    assert "needs_sign_in" not in servers.states("w")
    async with connected(tmp_path, one, store=store) as servers:  # after a restart the token still serves
        await servers.reach("w", "idle")
    assert len(company.forms) == 3
    assert not [each for each in SECRETS if each in repr(servers.events)]


async def test_a_servers_directions_to_another_authority_are_not_followed(
    authority: Authority, company: Authority, stranger: Authority, tmp_path: Path
) -> None:
    authority.resource = {"authorization_servers": [stranger.base]}
    authority.pointer = f"{stranger.base}/.well-known/oauth-protected-resource/mcp"
    async with connected(tmp_path, spec(authority, company)) as servers:
        await servers.reach("w", "idle")
    assert stranger.seen == []


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (lambda idp, _a, _s: idp.people.clear(), "the identity provider refused to vouch for you: invalid"),
        (
            lambda idp, _a, _s: idp.issued.update(issued_token_type="urn:x:access_token"),
            "the identity provider issued a token of another kind than was asked for",
        ),
        (
            lambda idp, _a, _s: idp.issued.update(access_token="not a jwt\r\nX: y"),
            "the identity provider issued an invalid assertion",
        ),
        (
            lambda idp, _a, s: idp.bent.update({"/token": lambda: RedirectResponse(f"{s.base}/t", 307)}),
            "the identity provider refused to vouch for you: 307",
        ),
        (
            lambda idp, _a, _s: idp.bent.update({"/token": lambda: Response("[1", 200)}),
            "the identity provider's answer is invalid",
        ),
        (
            lambda idp, _a, s: idp.metadata.update(issuer=s.base, token_endpoint=f"{s.base}/token"),
            "the authorisation server's metadata names another issuer",
        ),
        (
            lambda _i, a, s: a.metadata.update(token_endpoint=f"{s.base}/token"),
            "the authorisation server wants its secrets sent to another origin: not sent",
        ),
        (
            lambda _i, a, s: a.metadata.update(issuer=s.base),
            "the authorisation server's metadata names another issuer",
        ),
        (
            lambda _i, a, _s: a.bent.update(
                {"/token": lambda: JSONResponse({"error": "invalid_grant"}, 400)}
            ),
            "the authorisation server refused the token request: invalid_grant (400)",
        ),
    ],
)
async def test_what_goes_wrong_is_said_and_nobody_else_hears_of_it(
    authority: Authority,
    company: Authority,
    stranger: Authority,
    tmp_path: Path,
    bend: Callable[[Authority, Authority, Authority], object],
    words: str,
) -> None:
    bend(company, authority, stranger)
    async with connected(tmp_path, spec(authority, company)) as servers:
        failed = await servers.reach("w", "failed")
        assert failed.reason.startswith(words)
        assert failed.next_try is None
        assert not [each for each in SECRETS if each in repr(servers.events)]
    assert stranger.seen == []
    assert authority.tokens == {}
