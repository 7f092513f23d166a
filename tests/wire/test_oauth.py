"""Signing in, against a real authorisation server: every way to a token, and every way to lose it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.memory import Credentials, Vault
from omni_tui.protocol.signin import SignInChanged
from omni_tui.servers import CallError, TokenRenewed
from omni_tui.servers.auth import SignInRefused
from tests.engine.faults.harness import Harness, connected
from tests.wire.authority import Authority, Client, browse, serving


@pytest.fixture
def authority() -> Iterator[Authority]:
    with serving() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Credentials:
    return Credentials(tmp_path / "state" / "credentials.json", Vault.open(tmp_path / "state", {}))


def spec(authority: Authority, **oauth: object) -> ServerSpec:
    return ServerSpec(name="w", url=authority.url, oauth=OAuthSpec(**oauth))  # type: ignore[arg-type]


def client(secret: str = "", redirects: list[str] | None = None, public_key: str = "") -> Client:
    return Client(secret, redirects or [], public_key)


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def keys(kind: str) -> tuple[str, str]:
    """Return a private and a public key, both PEM; two empty texts for a client with a secret."""
    if kind == "secret":
        return "", ""
    rsa_key = kind == "RSA"
    key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return private, public


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
    await servers.reach("w", "idle", "active")


@contextlib.asynccontextmanager
async def running(
    folder: Path, one: ServerSpec, store: Credentials | None = None
) -> AsyncIterator[Harness]:
    async with connected(folder, one, store=store) as servers:
        yield servers


async def word(servers: Harness, text: str = "hello") -> str:
    """Call the tool, and make the one further attempt that the executor would."""
    try:
        result = await servers.call("w", "whoami", {"word": text})
    except TokenRenewed:
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
        assert event.scopes == "read"
        assert event.url.startswith(f"{authority.base}/authorize?")
        await browse(event.url)
        await servers.reach("w", "idle")
        assert await word(servers) == "hello"
        assert phases(servers) == ["needed", "starting", "waiting", "signed_in"]
        assert authority.authorized[-1]["scope"] == "read"
        assert told(servers).scopes == "read"


# --- tokens that end ------------------------------------------------------------------------------


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def winding(servers: Harness) -> Clock:
    """Give the sign-ins of a harness a clock that stands."""
    clock = Clock()
    servers.registry.sign_ins._clock = clock
    return clock


async def test_a_token_is_renewed_before_it_ends(authority: Authority, tmp_path: Path) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        clock = winding(servers)
        await signed_in(servers)
        first = authority.called()
        assert not first
        await word(servers)
        clock.now += 3580
        await word(servers)
        (_, before, _), (_, after, _) = authority.called()
        assert before != after
        assert [form["grant_type"] for form in authority.forms] == ["authorization_code", "refresh_token"]
        assert authority.forms[-1]["resource"] == authority.url


async def test_an_ended_token_is_renewed_after_a_restart_before_anything_is_sent(
    authority: Authority, tmp_path: Path, store: Credentials
) -> None:
    authority.lifetime = 0
    async with running(tmp_path, spec(authority), store) as servers:
        await servers.reach("w", "needs_sign_in")
        await browse((await page(servers)).url)
        await servers.until(lambda: told(servers).phase in ("signed_in", "needed"))
    authority.lifetime = 3600
    authority.sent.clear()
    authority.seen.clear()
    async with running(tmp_path, spec(authority), store) as servers:
        await servers.reach("w", "idle")
        assert "needs_sign_in" not in servers.states("w")
    assert [status for _, _, status in authority.sent if status != 200] == []
    assert authority.seen[0] == ("POST", "/token")
    assert authority.count("/authorize") == 0
    assert authority.count("/.well-known/oauth-authorization-server") == 0


async def test_a_good_token_is_used_after_a_restart(
    authority: Authority, tmp_path: Path, store: Credentials
) -> None:
    async with running(tmp_path, spec(authority), store) as servers:
        await signed_in(servers)
    authority.seen.clear()
    async with running(tmp_path, spec(authority), store) as servers:
        await servers.reach("w", "idle")
        assert await word(servers) == "hello"
    assert {path for _, path in authority.seen} == {"/mcp"}


async def test_a_revoked_token_is_renewed_once_for_calls_that_come_together(
    authority: Authority, tmp_path: Path
) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        await signed_in(servers)
        authority.revoke_all()
        words = await asyncio.gather(*(word(servers, str(number)) for number in range(5)))
        assert words == ["0", "1", "2", "3", "4"]
        assert sum(form["grant_type"] == "refresh_token" for form in authority.forms) == 1
        assert sum(status == 401 for _, _, status in authority.called()) <= 5
        assert sum(status == 200 for _, _, status in authority.called()) == 5


async def test_a_revoked_sign_in_ends_in_one_question(
    authority: Authority, tmp_path: Path, store: Credentials
) -> None:
    async with running(tmp_path, spec(authority), store) as servers:
        await signed_in(servers)
        authority.revoke_all()
        authority.refresh.clear()
        with pytest.raises(CallError) as caught:
            await word(servers)
        assert caught.value.what == "the server asks for a sign-in"
        assert caught.value.answered
        asked = await servers.reach("w", "needs_sign_in")
        assert asked.next_try is None
        assert sum(form["grant_type"] == "refresh_token" for form in authority.forms) == 1
        await signed_in(servers)
        assert await word(servers) == "hello"


async def test_a_failing_renewal_does_not_throw_the_sign_in_away(
    authority: Authority, tmp_path: Path
) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        clock = winding(servers)
        await signed_in(servers)
        authority.refresh_status = 503
        clock.now += 4000
        with pytest.raises(CallError) as caught:
            await word(servers)
        assert not caught.value.sent
        failed = await servers.reach("w", "failed")
        assert failed.reason == "the sign-in could not be renewed: temporarily_unavailable (503)"
        assert failed.next_try is not None
        authority.refresh_status = 0
        await servers.until(lambda: servers.last("w").state in ("idle", "active"))
        assert await word(servers) == "hello"
        assert authority.count("/authorize") == 1


# --- calls side by side ---------------------------------------------------------------------------


async def test_slow_calls_run_side_by_side(authority: Authority, tmp_path: Path) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        await signed_in(servers)
        # Each returns only once all three are inside: one after the other, the first would never end.
        results = await asyncio.gather(
            *(servers.call("w", "meet", {"people": 3}, timeout=20) for _ in range(3))
        )
        assert [result.content[0]["text"] for result in results] == ["met"] * 3
        assert authority.most == 3


async def test_calls_run_side_by_side_after_one_renewal(authority: Authority, tmp_path: Path) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        clock = winding(servers)
        await signed_in(servers)
        clock.now += 4000
        await asyncio.gather(*(servers.call("w", "meet", {"people": 3}, timeout=20) for _ in range(3)))
        assert authority.most == 3
        assert sum(form["grant_type"] == "refresh_token" for form in authority.forms) == 1


# --- more rights ----------------------------------------------------------------------------------


async def test_more_rights_are_asked_for_once_and_the_rest_goes_on(
    authority: Authority, tmp_path: Path
) -> None:
    authority.needed = {"whoami": "write"}
    async with running(tmp_path, spec(authority)) as servers:
        await signed_in(servers)
        with pytest.raises(CallError) as caught:
            await word(servers)
        assert caught.value.what == "the server asks for more rights than you granted: write"
        assert caught.value.answered
        event = told(servers)
        assert (event.phase, event.more, event.scopes) == ("needed", True, "read write")
        assert servers.last("w").state in ("idle", "active")
        await servers.registry.get("w").refresh()
        await browse((await page(servers)).url)
        await servers.until(lambda: told(servers).phase == "signed_in")
        assert authority.authorized[-1]["scope"] == "read write"
        assert await word(servers) == "hello"
        assert authority.count("/register") == 1
        assert servers.states("w").count("connecting") == 2


async def test_rights_that_are_refused_although_granted_do_not_loop(
    authority: Authority, tmp_path: Path
) -> None:
    key = OAuthSpec(grant="client_credentials", client_id="machine", client_secret="s3cret/+")
    authority.clients["machine"] = client(secret="s3cret/+")
    authority.needed = {"whoami": "root"}
    authority.never = {"root"}
    one = ServerSpec(name="w", url=authority.url, oauth=key)
    async with running(tmp_path, one) as servers:
        await servers.reach("w", "idle")
        with pytest.raises(CallError):
            await word(servers)
        assert len(authority.called()) == 2


# --- clients --------------------------------------------------------------------------------------


async def test_a_registered_client_registers_once(
    authority: Authority, tmp_path: Path, store: Credentials
) -> None:
    async with running(tmp_path, spec(authority), store) as servers:
        await signed_in(servers)
        first = told(servers)
        await servers.registry.sign_ins.begin(spec(authority))
        await servers.until(lambda: told(servers).phase == "waiting")
        assert first.phase == "signed_in"
        await browse(told(servers).url)
        await servers.until(lambda: told(servers).phase == "signed_in")
        assert authority.count("/register") == 1
        assert len({asked["redirect_uri"] for asked in authority.authorized}) == 1


async def test_a_client_that_was_given_is_used(authority: Authority, tmp_path: Path) -> None:
    authority.registration = False
    with free_port() as port:
        redirect = f"http://127.0.0.1:{port}/callback"
        authority.clients["mine"] = client(secret="a b:c", redirects=[redirect])
    one = spec(
        authority, client_id="mine", client_secret="a b:c", callback_port=port, scopes=("read", "files")
    )
    async with running(tmp_path, one) as servers:
        await signed_in(servers)
        assert await word(servers) == "hello"
        assert authority.authorized[-1]["client_id"] == "mine"
        assert authority.authorized[-1]["scope"] == "read files"
        assert authority.count("/register") == 0


async def test_a_client_metadata_document_is_used_where_the_server_takes_it(
    authority: Authority, tmp_path: Path
) -> None:
    document = "https://omni.example/client.json"
    authority.documents = [document]
    async with running(tmp_path, spec(authority, client_metadata_url=document)) as servers:
        await signed_in(servers)
        assert authority.authorized[-1]["client_id"] == document
        assert authority.count("/register") == 0


@pytest.mark.parametrize("kind", ["secret", "RSA", "P-256"])
async def test_a_machine_signs_in_by_itself(
    authority: Authority, tmp_path: Path, store: Credentials, kind: str
) -> None:
    private, public = keys(kind)
    authority.clients["machine"] = client(secret="" if private else "s3cret", public_key=public)
    secrets = {"private_key": private} if private else {"client_secret": "s3cret"}
    one = spec(authority, grant="client_credentials", client_id="machine", scopes=("read",), **secrets)
    async with running(tmp_path, one, store) as servers:
        await servers.reach("w", "idle")
        assert await word(servers) == "hello"
        authority.revoke_all()
        assert await word(servers, "again") == "again"
        authority.needed = {"whoami": "write"}
        assert await word(servers, "more") == "more"
        assert {form["grant_type"] for form in authority.forms} == {"client_credentials"}
        assert authority.forms[-1]["scope"].split() == ["read", "write"]
        with pytest.raises(SignInRefused, match="by itself"):
            await servers.registry.sign_ins.begin(one)
    assert "needs_sign_in" not in servers.states("w")


async def test_a_machine_that_is_refused_says_so_and_is_not_tried_again(
    authority: Authority, tmp_path: Path
) -> None:
    authority.clients["machine"] = client(secret="another")
    one = spec(authority, grant="client_credentials", client_id="machine", client_secret="s3cret")
    async with running(tmp_path, one) as servers:
        failed = await servers.reach("w", "failed")
        assert failed.reason == "the authorisation server refused the token request: invalid_client (401)"
        assert failed.next_try is None
        assert len(authority.forms) == 1
        assert "s3cret" not in repr(servers.events)


# --- a person's part ------------------------------------------------------------------------------


async def test_a_denied_consent_is_said(authority: Authority, tmp_path: Path) -> None:
    authority.consent = False
    async with running(tmp_path, spec(authority)) as servers:
        await servers.reach("w", "needs_sign_in")
        await browse((await page(servers)).url)
        await servers.until(lambda: told(servers).phase == "needed")
        assert told(servers).reason == "the sign-in was refused: access_denied"
        assert authority.count("/token") == 0
        authority.consent = True
        await signed_in(servers)


async def test_the_address_can_be_brought_by_hand(authority: Authority, tmp_path: Path) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        await servers.reach("w", "needs_sign_in")
        where = await browse((await page(servers)).url, deliver=False)
        sign_ins = servers.registry.sign_ins
        for wrong, words in (
            (where.replace("state=", "state=x"), "another sign-in"),
            ("https://example.com/", "holds no answer"),
            (f"{where}&code=again", "twice"),
            ("http://[", "not an address"),
        ):
            with pytest.raises(SignInRefused, match=words):
                sign_ins.finish("w", wrong)
        assert told(servers).phase == "waiting"
        sign_ins.finish("w", f"  {where}\n")
        await servers.reach("w", "idle")
        assert await word(servers) == "hello"


async def test_a_wrong_state_is_refused_and_the_right_one_still_counts(
    authority: Authority, tmp_path: Path
) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        await servers.reach("w", "needs_sign_in")
        event = await page(servers)
        async with httpx2.AsyncClient(trust_env=False) as browser:
            forged = await browser.get(f"{event.redirect}?code=evil&state=forged")
            assert forged.status_code == 400
            rebound = await browser.get(
                f"{event.redirect}?code=e&state=f", headers={"Host": "evil.example"}
            )
            assert rebound.status_code == 400
            assert (await browser.get(event.redirect.replace("callback", "other"))).status_code == 404
            assert (await browser.post(event.redirect)).status_code == 404
        assert authority.count("/token") == 0
        await browse(event.url)
        await servers.reach("w", "idle")
        async with httpx2.AsyncClient(trust_env=False) as browser:
            with pytest.raises(httpx2.ConnectError):
                await browser.get(event.redirect)


async def test_an_answer_of_another_issuer_is_not_redeemed(authority: Authority, tmp_path: Path) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        await servers.reach("w", "needs_sign_in")
        where = await browse((await page(servers)).url, deliver=False)
        mixed = where.replace("iss=", "iss=https%3A%2F%2Fevil.example%2F")
        servers.registry.sign_ins.finish("w", mixed)
        await servers.until(lambda: told(servers).phase == "needed")
        assert "another authorisation server" in told(servers).reason
        assert authority.count("/token") == 0


async def test_a_sign_in_can_be_given_up_and_begun_again(authority: Authority, tmp_path: Path) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        await servers.reach("w", "needs_sign_in")
        event = await page(servers)
        await servers.registry.sign_ins.cancel("w")
        assert (told(servers).phase, told(servers).url) == ("needed", "")
        with pytest.raises(SignInRefused):
            await servers.registry.sign_ins.cancel("w")
        with pytest.raises(SignInRefused):
            servers.registry.sign_ins.finish("w", event.redirect)
        again = await page(servers)
        assert again.redirect == event.redirect  # the registered address
        await browse(again.url)
        await servers.reach("w", "idle")


async def test_nobody_comes(authority: Authority, tmp_path: Path) -> None:
    async with running(tmp_path, spec(authority)) as servers:
        servers.registry.sign_ins._deadline = 0.05
        await servers.reach("w", "needs_sign_in")
        await servers.registry.sign_ins.begin(spec(authority))
        await servers.until(lambda: told(servers).phase == "needed" and bool(told(servers).reason))
        assert told(servers).reason.startswith("no sign-in within")


async def test_signing_out_forgets_revokes_and_disconnects(
    authority: Authority, tmp_path: Path, store: Credentials
) -> None:
    async with running(tmp_path, spec(authority), store) as servers:
        await signed_in(servers)
        assert store.load(authority.url) is not None
        said = await servers.registry.sign_out("w")
        assert said == "signed out of w; its server was told"
        assert store.load(authority.url) is None
        assert authority.refresh == {}
        assert servers.last("w").state == "disabled"
        assert told(servers).phase == "none"
        await servers.registry.get("w").reconnect()
        await signed_in(servers)
        assert authority.count("/register") == 2


async def test_another_client_in_the_config_does_not_get_the_tokens_of_the_former(
    authority: Authority, tmp_path: Path, store: Credentials
) -> None:
    async with running(tmp_path, spec(authority), store) as servers:
        await signed_in(servers)
    async with running(tmp_path, spec(authority, client_id="other"), store) as servers:
        await servers.reach("w", "needs_sign_in")


async def test_nothing_secret_is_told_or_stands_in_a_file(
    authority: Authority, tmp_path: Path, store: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with running(tmp_path, spec(authority), store) as servers:
        await servers.reach("w", "needs_sign_in")
        address = (await page(servers)).url
        logging.disable(logging.CRITICAL)  # the browser of this test tells its own log where it was sent
        await browse(address)
        logging.disable(logging.NOTSET)
        await servers.reach("w", "idle")
        await word(servers)
        authority.revoke_all()
        await word(servers)
        log = repr(servers.registry.get("w").log.lines())
    secret = [*authority.tokens, *authority.refresh]
    secret += [form[key] for form in authority.forms for key in ("code", "code_verifier") if key in form]
    secret += [each.secret for each in authority.clients.values()]
    assert len(secret) >= 5
    written = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    for place in (repr(servers.events), log, caplog.text, *written):
        assert not [each for each in secret if each in place]
    assert any("credentials" in path.name for path in tmp_path.rglob("*.json"))
