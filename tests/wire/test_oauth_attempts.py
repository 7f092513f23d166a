"""Invariant 1 under OAuth: what is sent again after a refused token is a journalled attempt of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from omni_tui.approvals.subject import Subject
from omni_tui.memory import CallRow, call_table
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.servers.auth.bearer_auth import BearerAuth
from tests.engine.rig import Rig, rig
from tests.wire.authority import Authority, Client, serving


@pytest.fixture
def authority() -> Iterator[Authority]:
    with serving() as running:
        running.clients["machine"] = Client("s3cret")
        yield running


def config(authority: Authority) -> str:
    return (
        f'[servers.w]\nurl = "{authority.url}"\nauth = "oauth"\n[servers.w.oauth]\n'
        'grant = "client_credentials"\nclient_id = "machine"\nclient_secret = "${SECRET}"\n'
    )


@asynccontextmanager
async def running(
    folder: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> AsyncIterator[Rig]:
    monkeypatch.setenv("SECRET", "s3cret")
    async with rig(folder, config=config(authority), demo=False, **options) as made:
        await made.connected("w")
        yield made


async def call(made: Rig, tool: str = "whoami") -> str:
    command = c.CallTool(server="w", tool=tool, arguments_json='{"word":"x"}')  # type: ignore[arg-type]
    reply = await made.ask(command)
    assert isinstance(reply, e.CommandDone), reply
    return reply.id


async def ended(made: Rig, number: str) -> e.CallFinished:
    return await made.until(e.CallFinished, lambda event: event.call == number)


async def row(made: Rig, number: str) -> CallRow:
    found = await made.session.journal.run(lambda tx: call_table.load(tx, number))
    assert found is not None
    return found


def steps(made: Rig) -> list[tuple[str, int]]:
    """Return the states that the one call went through, with the attempt."""
    kinds = (e.CallChanged, e.AttemptRefused, e.CallFinished)
    found = [event for event in made.seen if isinstance(event, kinds)]
    return [(getattr(event, "state", "refused"), event.attempt) for event in found]


def statuses(authority: Authority) -> list[int]:
    return [status for _, _, status in authority.called()]


async def test_a_refused_token_makes_a_second_attempt_on_disk_before_its_bytes(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, authority, monkeypatch) as made:
        connection, sent = made.engine.context.registry.get("w"), []
        send = connection.call_tool

        async def look_first(dispatch, **more):  # type: ignore[no-untyped-def]
            found = await row(made, dispatch.call)
            sent.append((found.state, found.attempt, dispatch.attempt))
            return await send(dispatch, **more)

        connection.call_tool = look_first  # type: ignore[method-assign]
        authority.revoke_all()
        number = await call(made)
        assert (await ended(made, number)).state == "succeeded"
        assert sent == [("dispatching", 1, 1), ("dispatching", 2, 2)]
        assert statuses(authority) == [401, 200]
        assert steps(made) == [
            ("approved", 1),
            ("dispatching", 1),
            ("refused", 1),
            ("approved", 2),
            ("dispatching", 2),
            ("succeeded", 2),
        ]
        (refused,) = made.of(e.AttemptRefused)
        assert (refused.status, refused.reason) == (401, "refused before running, token renewed")
        found = await row(made, number)
        assert (found.state, found.attempt) == ("succeeded", 2)


async def test_there_is_one_further_attempt_and_no_more(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.barred = {"whoami"}
    async with running(tmp_path, authority, monkeypatch) as made:
        number = await call(made)
        finished = await ended(made, number)
        assert (finished.state, finished.attempt) == ("failed", 2)
        assert finished.reason == "the server refuses the token that it was given for"
        assert statuses(authority) == [401, 401]
        assert len(authority.forms) == 2  # one sign-in to connect, one renewal
        assert (await row(made, number)).state == "failed"


async def test_rights_that_a_machine_may_take_make_an_attempt_too(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.needed = {"whoami": "write"}
    async with running(tmp_path, authority, monkeypatch) as made:
        assert (await ended(made, await call(made))).state == "succeeded"
        assert [event.status for event in made.of(e.AttemptRefused)] == [403]
        assert statuses(authority) == [403, 200]


async def test_every_call_of_many_at_once_has_its_own_attempts(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, authority, monkeypatch) as made:
        authority.revoke_all()
        numbers = await asyncio.gather(*(call(made) for _ in range(4)))
        finished = [await ended(made, number) for number in numbers]
        assert [event.state for event in finished] == ["succeeded"] * 4
        refused = made.of(e.AttemptRefused)
        assert len({event.call for event in refused}) == len(refused)
        assert statuses(authority).count(401) == len(refused)
        assert statuses(authority).count(200) == 4
        assert len(authority.forms) == 2


async def test_other_requests_are_sent_again_without_ado(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, authority, monkeypatch) as made:
        authority.revoke_all()
        authority.sent.clear()
        await made.engine.context.registry.get("w").refresh()
        listed = [status for method, _, status in authority.sent if method == "tools/list"]
        assert listed == [401, 200]
        assert made.of(e.AttemptRefused) == []


def changed(made: Rig) -> None:
    """Let the tool be another one than the approved, from now on."""
    gate = made.session.gate
    lookup = gate._lookup

    def other(server: str, tool: str) -> Subject | None:
        found = lookup(server, tool)
        return dataclasses.replace(found, def_hash="another", tool_trust="changed") if found else None

    gate._lookup = other


async def renewed_and_changed(made: Rig, authority: Authority) -> None:
    """Have the next call's token refused, and the tool changed by the time that is known."""
    again = made.session.gate.again

    async def later(*given):  # type: ignore[no-untyped-def]
        changed(made)
        return await again(*given)

    made.session.gate.again = later  # type: ignore[method-assign]
    authority.revoke_all()


@pytest.mark.parametrize("verdict", ["approve", "reject"])
async def test_a_tool_that_changed_in_between_goes_back_to_the_person(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: Any
) -> None:
    async with running(tmp_path, authority, monkeypatch) as made:
        await renewed_and_changed(made, authority)
        number = await call(made)
        asked = await made.until(e.ApprovalRequested)
        assert asked.held
        assert "changed" in asked.why[0]
        assert statuses(authority) == [401]
        await made.ask(c.DecideCall(call=number, digest=asked.digest, verdict=verdict))
        if verdict == "approve":
            assert (await ended(made, number)).attempt == 2
        else:
            await made.until(e.CallChanged, lambda event: event.state == "rejected")
        assert statuses(authority) == ([401, 200] if verdict == "approve" else [401])


async def test_headless_a_tool_that_changed_in_between_is_not_called(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, authority, monkeypatch, headless=True) as made:
        await renewed_and_changed(made, authority)
        number = await call(made)
        told = await made.until(e.CallChanged, lambda event: event.state == "withheld")
        assert (told.call, told.attempt, told.decider) == (number, 2, "headless")
        assert (await row(made, number)).state == "withheld"
        assert statuses(authority) == [401]


async def test_a_server_that_left_in_between_ends_the_call_as_refused(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, authority, monkeypatch) as made:
        gate = made.session.gate
        again = gate.again

        async def gone(*given):  # type: ignore[no-untyped-def]
            gate._lookup = lambda _server, _tool: None
            return await again(*given)

        gate.again = gone  # type: ignore[method-assign]
        authority.revoke_all()
        finished = await ended(made, await call(made))
        assert (finished.state, finished.attempt) == ("failed", 1)
        assert statuses(authority) == [401]


async def test_cancelled_in_between_it_ends_as_cancelled(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, authority, monkeypatch) as made:
        session = made.session
        again = session.gate.again

        async def cancelled_meanwhile(dispatch, refused):  # type: ignore[no-untyped-def]
            task = session.calls._active[dispatch.call].task
            assert task is not None
            task.cancel()
            return await again(dispatch, refused)

        session.gate.again = cancelled_meanwhile  # type: ignore[method-assign]
        authority.revoke_all()
        number = await call(made)
        told = await made.until(e.CallChanged, lambda event: event.state == "cancelled")
        assert (told.call, told.attempt) == (number, 2)
        assert statuses(authority) == [401]


async def test_a_kill_in_between_leaves_no_lie(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state folder as it is on disk at three instants, each opened as after `kill -9`."""
    first, images = tmp_path / "first", {}

    def keep(name: str) -> None:
        images[name] = tmp_path / name
        shutil.copytree(first / "state", images[name] / "state")

    async with running(first, authority, monkeypatch) as made:
        gate = made.session.gate
        again, redeem = gate.again, gate.redeem
        session = made.session.journal.session

        async def watched_again(*given):  # type: ignore[no-untyped-def]
            keep("refused")
            return await again(*given)

        async def watched_redeem(grant):  # type: ignore[no-untyped-def]
            if grant.attempt == 2:
                keep("approved")
            dispatch = await redeem(grant)
            if grant.attempt == 2:
                keep("dispatching")
            return dispatch

        gate.again, gate.redeem = watched_again, watched_redeem  # type: ignore[method-assign]
        authority.revoke_all()
        number = await call(made)
        await ended(made, number)
    sent = len(authority.called())
    expected = {"refused": ("uncertain", 1), "approved": ("pending", 2), "dispatching": ("uncertain", 2)}
    for name, outcome in expected.items():
        async with running(images[name], authority, monkeypatch, resume=session) as made:
            found = await row(made, number)
            assert (found.state, found.attempt) == outcome, name
    assert len(authority.called()) == sent


# --- the gatekeeper alone -----------------------------------------------------------------------


class Renewing:
    """An account that always has another token."""

    def __init__(self, url: str) -> None:
        self.spec = type("Spec", (), {"url": url})
        self.need = self.failure = None
        self.uses_client_credentials = True
        self._number = 0

    async def token(self) -> str:
        return f"t{self._number}"

    async def token_after_refusal(self, _challenge: object, _used: str) -> str:
        self._number += 1
        return await self.token()


@pytest.mark.parametrize(
    ("body", "times"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}', 1),
        (b'{"method" : "tools/call"}', 1),
        (b'[{"method":"tools/call"}]', 1),
        (b'{"method":"tools/call"', 1),
        (b'{"method":"tools/list"}', 2),
        (b'{"method":"prompts/get","params":{"arguments":{"about":"tools/call"}}}', 2),
    ],
)
async def test_what_is_a_call_is_told_by_its_bytes(body: bytes, times: int) -> None:
    url = "https://server.example/mcp"
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["authorization"])
        return httpx2.Response(401, headers={"www-authenticate": "Bearer"})

    gatekeeper = BearerAuth(Renewing(url))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), auth=gatekeeper) as client:
        assert (await client.post(url, content=body)).status_code == 401
    assert seen == [f"Bearer t{number}" for number in range(times)]
