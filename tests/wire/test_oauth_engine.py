"""Signing in through a whole engine: commands, events, what a restart keeps, and headless use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from omni_tui.protocol import events as e
from omni_tui.protocol.signin import (
    CancelSignIn,
    FinishSignIn,
    OpenSignInPage,
    SignIn,
    SignInChanged,
    SignOut,
)
from tests.engine.rig import Rig, rig
from tests.wire.authority import Authority, browse, serving


@pytest.fixture
def authority() -> Iterator[Authority]:
    with serving() as running:
        yield running


def config(authority: Authority) -> str:
    return f'[servers.w]\nurl = "{authority.url}"\nauth = "oauth"\n'


async def state(running: Rig, *states: str, after: int = 0) -> e.ServerChanged:
    return await running.until(
        e.ServerChanged, lambda event: event.name == "w" and event.state in states, after=after
    )


async def phase(running: Rig, name: str, after: int = 0) -> SignInChanged:
    return await running.until(SignInChanged, lambda event: event.phase == name, after=after)


async def test_sign_in_restart_sign_out(authority: Authority, tmp_path: Path) -> None:
    async with rig(tmp_path, config=config(authority), demo=False) as running:
        await state(running, "needs_sign_in")
        assert isinstance(await running.ask(SignIn(server="w")), e.CommandDone)
        address = (await phase(running, "waiting")).url
        bad = await running.ask(FinishSignIn(server="w", url="http://127.0.0.1/callback?code=c&state=x"))
        assert isinstance(bad, e.CommandFailed)
        assert bad.what == "that answer belongs to another sign-in"
        where = await browse(address, deliver=False)
        assert isinstance(await running.ask(FinishSignIn(server="w", url=where)), e.CommandDone)
        await running.connected("w")
    authority.revoke_all()  # the refresh token has to serve
    async with rig(tmp_path, config=config(authority), demo=False) as running:
        await running.connected("w")
        assert not [event for event in running.of(e.ServerChanged) if event.state == "needs_sign_in"]
        done = await running.ask(SignOut(server="w"))
        assert isinstance(done, e.CommandDone)
        assert done.text == "signed out of w; its server was told"
        await state(running, "disabled", after=len(running.seen) - 3)
    secrets = [*authority.tokens, *authority.refresh, *(each.secret for each in authority.clients.values())]
    written = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert secrets
    assert not [each for each in secrets if any(each in text for text in written)]


async def test_what_cannot_be_done_is_said(authority: Authority, tmp_path: Path) -> None:
    async with rig(tmp_path, config=config(authority)) as running:
        await state(running, "needs_sign_in")
        for command, words in (
            (SignIn(server="nobody"), "there is no server named nobody"),
            (SignIn(server="demo"), "demo does not sign in by OAuth"),
            (SignOut(server="demo"), "demo does not sign in by OAuth"),
            (CancelSignIn(server="w"), "no sign-in to w is under way"),
            (OpenSignInPage(server="w", url=""), "no sign-in to w waits for a browser"),
            (FinishSignIn(server="w", url="x"), "no sign-in to w waits for a browser"),
        ):
            reply = await running.ask(command)
            assert isinstance(reply, e.CommandFailed)
            assert reply.what.startswith(words)


def test_headless_says_so_and_does_not_wait(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(config(authority))
    shared = ["--config", str(file), "--state-dir", str(tmp_path / "state")]
    done = subprocess.run(
        [sys.executable, "-m", "omni_tui", "servers", "--json", *shared],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (server,) = json.loads(done.stdout)
    assert (server["state"], server["error"]) == ("needs_sign_in", "the server asks for a sign-in")
    assert authority.count("/register") == 0
    assert authority.count("/authorize") == 0
