"""One refresh token, several processes: it is used once, and everybody goes on with what came of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.memory import Credentials, Vault
from omni_tui.servers.auth import sign_in_records
from omni_tui.servers.auth.account import Account
from omni_tui.servers.auth.oauth_clients import Challenge
from omni_tui.servers.auth.sign_in_records import SignInRecord
from omni_tui.servers.auth.urls import SignInError
from tests.wire.authority import Authority, Client, Token, serving

OAUTH = OAuthSpec(client_id="app", client_secret="s3cret")
PROGRAM = """
import asyncio, sys, time
from pathlib import Path
from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.memory import Credentials, Vault
from omni_tui.servers.auth.account import Account

folder, url = Path(sys.argv[1]), sys.argv[2]
store = Credentials(folder / "credentials.json", Vault.open(folder, {}))
spec = ServerSpec(name="w", url=url, oauth=OAuthSpec(client_id="app", client_secret="s3cret"))
account = Account(spec, store, time.time, lambda: None)
print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(account.token()), flush=True)
"""


@pytest.fixture
def authority() -> Iterator[Authority]:
    with serving() as running:
        running.clients["app"] = Client("s3cret")
        yield running


def spec(authority: Authority) -> ServerSpec:
    return ServerSpec(name="w", url=authority.url, oauth=OAUTH)


def store(folder: Path) -> Credentials:
    return Credentials(folder / "credentials.json", Vault.open(folder, {}))


def ended(authority: Authority, folder: Path) -> None:
    """Store a sign-in whose access token has ended and whose refresh token is good for one use."""
    authority.refresh["rt-first"] = Token("app", {"read"}, authority.url, None)
    record = SignInRecord(chosen=sign_in_records.chosen_client(OAUTH), issuer=authority.base, ends=0.0)
    record.access_token, record.refresh_token, record.port = "at-ended", "rt-first", 1
    store(folder).save(authority.url, authority.base, msgspec.json.encode(record))


def rotations(authority: Authority) -> list[str]:
    return [form["refresh_token"] for form in authority.forms if form["grant_type"] == "refresh_token"]


def account(authority: Authority, folder: Path) -> Account:
    return Account(spec(authority), store(folder), lambda: 1000.0, lambda: None)


def test_real_processes_use_it_once(authority: Authority, tmp_path: Path) -> None:
    ended(authority, tmp_path)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), authority.url]
    crowd = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        for each in crowd:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in crowd:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        tokens = {each.communicate(timeout=60)[0].strip() for each in crowd}
    finally:
        for each in crowd:
            each.kill()
            each.wait()
    assert rotations(authority) == ["rt-first"]
    assert tokens == set(authority.tokens)


async def test_accounts_over_one_file_use_it_once_also_after_a_refusal(
    authority: Authority, tmp_path: Path
) -> None:
    ended(authority, tmp_path)
    crowd = [account(authority, tmp_path) for _ in range(3)]
    first = await asyncio.gather(*(each.token() for each in crowd))
    assert len(set(first)) == 1
    authority.revoke_all()
    again = await asyncio.gather(*(each.token_after_refusal(Challenge(), first[0]) for each in crowd))
    assert len(set(again)) == 1
    assert again[0] in authority.tokens
    assert len(rotations(authority)) == 2
    assert all(each.need is None for each in crowd)


async def test_a_newer_refresh_token_of_another_process_is_used(
    authority: Authority, tmp_path: Path
) -> None:
    ended(authority, tmp_path)
    late = account(authority, tmp_path)
    await late.begin()  # it has read the first refresh token
    authority.lifetime = 0
    await account(authority, tmp_path).token()
    authority.lifetime = 3600
    assert await late.token() in authority.tokens
    assert len(set(rotations(authority))) == 2


async def test_a_cancelled_wait_gives_the_lock_back(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(authority, tmp_path)
    held = store(tmp_path).renewal(authority.url)
    assert held.acquire(0)
    tried = threading.Event()
    acquire = type(held).acquire

    def noted(lock, wait):  # type: ignore[no-untyped-def]
        tried.set()
        return acquire(lock, wait)

    monkeypatch.setattr(type(held), "acquire", noted)
    waiting = asyncio.create_task(account(authority, tmp_path).token())
    await asyncio.to_thread(tried.wait, 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.release()
    assert await account(authority, tmp_path).token() in authority.tokens


async def test_one_that_does_not_let_go_is_said(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(authority, tmp_path)
    monkeypatch.setattr(sign_in_records, "PATIENCE", 0.0)
    held = store(tmp_path).renewal(authority.url)
    assert held.acquire(0)
    with pytest.raises(SignInError, match="another Omni TUI") as caught:
        await account(authority, tmp_path).token()
    assert caught.value.passing
    assert rotations(authority) == []
    held.release()


async def test_without_a_lock_it_goes_on(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(authority, tmp_path)

    def refuse(*_: object) -> None:
        raise PermissionError("a disk that cannot be written")

    monkeypatch.setattr(Credentials, "renewal", refuse)
    assert await account(authority, tmp_path).token() in authority.tokens
