"""Whether a connection lives: heartbeats, lost sessions, restarted servers, the circuit breaker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from omni_tui.config.spec import ServerSpec
from omni_tui.servers import CallError
from omni_tui.servers.heartbeat import Heartbeat, HeartbeatMissed
from omni_tui.servers.reconnect import OPEN_AFTER, ReconnectBreaker
from tests.engine.faults import server as tiny
from tests.engine.faults.events import Events, streaming
from tests.engine.faults.harness import connected, fault
from tests.engine.faults.web import Web, serving

BEAT = 0.5


def beating(web: Web | Events, kind: str) -> ServerSpec:
    return ServerSpec(name="w", url=web.url, web=kind, heartbeat=BEAT)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_idle_server_is_asked_and_its_latency_followed(tmp_path: Path, kind: str) -> None:
    with serving() if kind == "http" else streaming() as web:
        async with connected(tmp_path, beating(web, kind)) as servers:
            first = await servers.reach("w", "idle")
            await servers.until(lambda: servers.last("w").latency_ms != first.latency_ms)
            assert "ping" in web.methods()
            assert servers.states("w") == ["connecting", "idle"]


async def test_modern_server_is_asked_by_what_its_era_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "MODERN", True)
    with serving() as web:
        async with connected(tmp_path, beating(web, "http")) as servers:
            told = await servers.reach("w", "idle")
            assert told.protocol == "2026-07-28"
            await servers.until(lambda: servers.last("w").latency_ms != told.latency_ms)
            assert web.methods().count("server/discover") >= 2
            assert "ping" not in web.methods()


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_two_missed_heartbeats_reconnect(tmp_path: Path, kind: str) -> None:
    with serving() if kind == "http" else streaming() as web:
        async with connected(tmp_path, beating(web, kind)) as servers:
            await servers.reach("w", "idle")
            web.deaf = {"ping"}
            degraded = await servers.reach("w", "degraded")
            assert degraded.reason == f"did not answer a heartbeat within {BEAT:g} s"
            assert degraded.tools == 13
            failed = await servers.reach("w", "failed")
            assert failed.reason == "did not answer two heartbeats in a row"
            web.deaf = set()
            await servers.until(lambda: servers.listings.count("w") == 2)
            assert not (await servers.call("w", "echo")).is_error


async def test_one_missed_heartbeat_is_mended_by_the_next(tmp_path: Path) -> None:
    with streaming() as web:
        async with connected(tmp_path, beating(web, "sse")) as servers:
            await servers.reach("w", "idle")
            web.deaf = {"ping"}
            await servers.reach("w", "degraded")
            web.deaf = set()
            await servers.until(lambda: servers.states("w")[-2:] == ["degraded", "idle"])
            assert servers.last("w").reason == ""
            assert servers.gone == []


async def test_a_call_under_way_is_sign_enough(tmp_path: Path) -> None:
    with serving() as web:
        async with connected(tmp_path, beating(web, "http")) as servers:
            await servers.reach("w", "idle")
            call = asyncio.create_task(servers.call("w", "hang", timeout=5 * BEAT))
            await servers.until(lambda: servers.last("w").calls == 1)
            asked = web.methods().count("ping")
            with pytest.raises(CallError):
                await call
            assert web.methods().count("ping") == asked
            assert "failed" not in servers.states("w")


async def test_no_heartbeat_where_it_is_off(tmp_path: Path) -> None:
    with serving() as web:
        quiet = ServerSpec(name="q", url=web.url, heartbeat=0)
        async with connected(tmp_path, beating(web, "http"), quiet) as servers:
            await servers.reach("q", "idle")
            first = await servers.reach("w", "idle")
            await servers.until(lambda: servers.last("w").latency_ms != first.latency_ms)
            names = {task.get_name() for task in asyncio.all_tasks()}
            assert "heartbeat of w" in names
            assert "heartbeat of q" not in names


async def test_session_lost_while_idle_is_renewed_before_anybody_calls(tmp_path: Path) -> None:
    with serving() as web:
        web.session = "one"
        async with connected(tmp_path, beating(web, "http")) as servers:
            await servers.reach("w", "idle")
            web.session = "two"
            await servers.until(lambda: servers.listings.count("w") == 2)
            assert "tools/call" not in web.methods()
            assert not (await servers.call("w", "echo")).is_error


async def test_session_lost_at_a_refresh_is_renewed(tmp_path: Path) -> None:
    with serving() as web:
        web.session = "one"
        async with connected(tmp_path, ServerSpec(name="w", url=web.url, heartbeat=0)) as servers:
            await servers.reach("w", "idle")
            web.session = "two"
            with pytest.raises(CallError):
                await servers.registry.get("w").refresh()
            await servers.until(lambda: servers.listings.count("w") == 2)


@pytest.mark.parametrize("modern", [False, True])
async def test_server_that_goes_and_comes_back_is_noticed_without_a_call(
    tmp_path: Path, modern: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "MODERN", modern)
    with serving() as web:
        web.close = True
        web.session = "" if modern else "one"
        async with connected(tmp_path, beating(web, "http")) as servers:
            told = await servers.reach("w", "idle")
            assert (told.protocol == "2026-07-28") is modern
            web.stop()
            assert (await servers.reach("w", "failed")).reason == f"nothing listens at {web.url}"
            with serving(web.port) as again:
                again.session = "" if modern else "two"
                await servers.until(lambda: servers.listings.count("w") == 2)
                assert not (await servers.call("w", "echo")).is_error


@pytest.mark.parametrize("grandchild", [False, True])
async def test_death_of_a_program_is_noticed_within_two_seconds(tmp_path: Path, grandchild: bool) -> None:
    """Also if a child of it still holds the pipe, so that there is no end of file."""
    held = "import subprocess; subprocess.Popen(['sleep', '30'])\n" if grandchild else ""
    program = tmp_path / "server.py"
    program.write_text(
        held + f"import runpy, sys; runpy.run_path({tiny.__file__!r}, run_name='__main__')\n"
    )
    spec = ServerSpec(name="p", command=sys.executable, args=("-I", "-S", str(program), "good"))
    async with connected(tmp_path, spec) as servers:
        await servers.reach("p", "idle")
        pid = servers.registry.get("p").pid
        assert pid is not None
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        failed = await servers.reach("p", "failed")
        assert failed.reason.startswith("it was ended by SIGKILL")
        assert time.monotonic() - begun < 20


async def test_breaker_opens_and_closes_before_everybodys_eyes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_tui.servers.reconnect.FIRST_DELAY_S", 0.05)
    with serving() as web:
        web.status = 503
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            await servers.until(lambda: bool(servers.states("w")) and servers.last("w").breaker == "open")
            opened = servers.last("w")
            assert (opened.state, opened.attempt) == ("failed", OPEN_AFTER)
            assert opened.next_try is not None
            assert opened.next_try > opened.since
            asked = len(web.frames)
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert not caught.value.sent
            assert len(web.frames) == asked, "an open breaker sends nothing"
            await servers.until(lambda: servers.last("w").breaker == "half_open")
            assert servers.last("w").state == "connecting"
            web.status = 0
            idle = await servers.reach("w", "idle")
            assert (idle.breaker, idle.attempt, idle.next_try) == ("closed", 0, None)


def test_breaker_by_itself() -> None:
    now = 0.0
    breaker = ReconnectBreaker(restarts=False, clock=lambda: now)

    def state() -> str:
        return breaker.state

    for failure in range(1, OPEN_AFTER + 1):
        breaker.trying()
        assert state() == "closed"
        assert breaker.failed(lasting=False) is not None
        assert breaker.attempt == failure
    assert state() == "open"
    breaker.trying()
    assert state() == "half_open"
    breaker.failed(lasting=False)
    assert state() == "open"
    breaker.trying()
    breaker.succeeded()
    assert state() == "closed"
    now += 1.0
    breaker.failed(lasting=False)
    assert state() == "open", "a connection of a second mends nothing"
    breaker.trying()
    breaker.succeeded()
    now += 100.0
    breaker.failed(lasting=False)
    assert state() == "closed"
    assert breaker.failed(lasting=True) is None
    assert state() == "open"
    breaker.reset()
    assert state() == "closed"


async def test_program_that_keeps_dying_opens_the_breaker_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_tui.servers.reconnect.FIRST_DELAY_S", 0.01)
    async with connected(tmp_path, fault("dies_idle")) as servers:
        await servers.until(
            lambda: "3 times in 5 minutes" in servers.last("dies_idle").todo if servers.events else False
        )
        told = servers.last("dies_idle")
        assert (told.state, told.breaker, told.next_try) == ("failed", "open", None)


async def test_heartbeat_counts_misses_in_a_row_only() -> None:
    answers = [True, False, True, False, False]
    told: list[str] = []

    async def ask() -> None:
        if not answers.pop(0):
            raise HeartbeatMissed("no")

    async with asyncio.timeout(60):
        await Heartbeat(ask, lambda: 99.0, lambda words, _ms: told.append(words), 0.01).run()
    assert told == ["", "no", "", "no", "no"]


async def test_heartbeat_waits_while_the_server_is_heard() -> None:
    asked = 0
    heard = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        raise HeartbeatMissed("no")

    def quiet() -> float:
        nonlocal heard
        heard += 1
        return 0.0 if heard < 5 else 99.0

    async with asyncio.timeout(60):
        await Heartbeat(ask, quiet, lambda words, ms: None, 0.01).run()
    assert heard == 5
    assert asked == 2


@pytest.mark.parametrize(("quiet", "asked"), [(0.001, True), (0.0, False)])
async def test_a_server_that_is_never_silent_is_asked_between_its_calls(quiet: float, asked: bool) -> None:
    told = asyncio.Event()
    looked = 0

    async def ask() -> None:
        return None

    def since() -> float:
        nonlocal looked
        looked += 1
        if looked > 20:  # by then it would have been asked
            enough.set()
        return quiet

    enough = asyncio.Event()
    beat = asyncio.create_task(Heartbeat(ask, since, lambda _words, _ms: told.set(), 0.01).run())
    waits = [asyncio.create_task(event.wait()) for event in (told, enough)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    assert told.is_set() is asked
    for task in (beat, *waits):
        task.cancel()
    await asyncio.gather(beat, *waits, return_exceptions=True)
