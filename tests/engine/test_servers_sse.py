"""The older SSE transport: the whole way, what it survives, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omni_tui.config.spec import ServerSpec
from omni_tui.servers import CallError
from tests.bench.servers import longest_gap
from tests.engine.faults.events import streaming
from tests.engine.faults.harness import canonical, connected
from tests.engine.test_servers_http import AWKWARD


def sse(url: str, **more: object) -> ServerSpec:
    return ServerSpec(name="w", url=url, web="sse", **more)  # type: ignore[arg-type]


async def test_connect_list_and_call(tmp_path: Path) -> None:
    with streaming() as web:
        headers = {"Authorization": "Bearer t0ken", "X-Team": "blue"}
        async with connected(tmp_path, sse(web.url, headers=headers)) as servers:
            idle = await servers.reach("w", "idle")
            assert (idle.transport, idle.target, idle.tools) == ("sse", web.url, 13)
            result = await servers.call("w", "echo", AWKWARD)
            assert canonical(result.structured["arguments"]) == canonical(AWKWARD)
        assert {(one["authorization"], one["x-team"]) for one in web.headers} == {("Bearer t0ken", "blue")}
        assert web.methods() == ["initialize", "notifications/initialized", "tools/list", "tools/call"]
        assert web.gets == 1


async def test_posts_that_are_answered_late_hold_nobody_up(tmp_path: Path) -> None:
    with streaming() as web:
        async with connected(tmp_path, sse(web.url)) as servers:
            await servers.reach("w", "idle")
            web.hold = True
            begun = time.monotonic()
            results = await asyncio.gather(*(servers.call("w", "echo", {"n": n}) for n in range(5)))
            assert [each.structured["arguments"]["n"] for each in results] == list(range(5))
            assert time.monotonic() - begun < 30


async def test_error_without_an_id_goes_to_the_one_that_waits(tmp_path: Path) -> None:
    with streaming() as web:
        web.nameless = 1
        async with connected(tmp_path, sse(web.url)) as servers:
            await servers.reach("w", "idle")
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert caught.value.answered
            assert caught.value.what == "not today (error -32050)"


async def test_error_without_an_id_goes_to_nobody_if_two_wait(tmp_path: Path) -> None:
    with streaming() as web:
        web.nameless = 2
        async with connected(tmp_path, sse(web.url)) as servers:
            await servers.reach("w", "idle")
            two = [servers.call("w", "echo", timeout=1.0) for _ in range(2)]
            for error in await asyncio.gather(*two, return_exceptions=True):
                assert isinstance(error, CallError)
                assert not error.answered
            assert web.methods().count("tools/call") == 2


async def test_result_above_the_sdks_limit_of_a_megabyte(tmp_path: Path) -> None:
    with streaming() as web:
        web.big = 3_000_000
        async with connected(tmp_path, sse(web.url)) as servers:
            await servers.reach("w", "idle")
            assert len((await servers.call("w", "echo")).content[0]["text"]) == 3_000_000


@contextlib.contextmanager
def large(size: int) -> Iterator[str]:
    """Run the server in a process of its own, with results of that size; yields its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.engine.faults.events", str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


async def test_event_of_seventy_megabytes_ends_the_connection_and_holds_nobody_up(tmp_path: Path) -> None:
    with large(70_000_000) as url:
        async with connected(tmp_path, sse(url)) as servers:
            await servers.reach("w", "idle")

            async def call() -> None:
                with pytest.raises(CallError) as caught:
                    await servers.call("w", "echo", timeout=25)
                assert caught.value.sent
                assert not caught.value.answered

            assert await longest_gap(call(), time.thread_time) < 500
            failed = await servers.reach("w", "failed")
            assert failed.reason.startswith("it sent an event of more than 16 MiB")


async def test_end_of_the_stream_in_a_call_leaves_its_outcome_open_and_is_mended(tmp_path: Path) -> None:
    with streaming() as web:
        web.drop_at_call = True
        async with connected(tmp_path, sse(web.url)) as servers:
            await servers.reach("w", "idle")
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert caught.value.sent
            assert not caught.value.answered
            assert (await servers.reach("w", "failed")).reason
            web.drop_at_call = False
            await servers.until(lambda: servers.listings.count("w") == 2)
            assert not (await servers.call("w", "echo")).is_error
            assert web.methods().count("tools/call") == 2


async def test_restarted_server_is_connected_again_by_itself(tmp_path: Path) -> None:
    with streaming() as web:
        async with connected(tmp_path, sse(web.url)) as servers:
            await servers.reach("w", "idle")
            web.stop()
            begun = time.monotonic()
            assert (await servers.reach("w", "failed")).reason
            assert time.monotonic() - begun < 20
            with streaming(web.port):
                await servers.until(lambda: servers.listings.count("w") == 2)
                assert not (await servers.call("w", "echo")).is_error


@pytest.mark.parametrize(("status", "answered"), [(400, True), (401, True), (429, True), (500, False)])
async def test_status_of_a_post_fails_that_call_only(tmp_path: Path, status: int, answered: bool) -> None:
    with streaming() as web:
        async with connected(tmp_path, sse(web.url)) as servers:
            await servers.reach("w", "idle")
            web.post_status = status
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert f"the server answered {status}" in caught.value.what
            assert caught.value.answered is answered
            web.post_status = 0
            assert not (await servers.call("w", "echo")).is_error
            assert servers.gone == []


async def test_session_that_is_unknown_is_renewed(tmp_path: Path) -> None:
    with streaming() as web:
        async with connected(tmp_path, sse(web.url)) as servers:
            await servers.reach("w", "idle")
            web.post_status = 404
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert "forgotten this session" in caught.value.what
            web.post_status = 0
            await servers.until(lambda: servers.listings.count("w") == 2)


async def test_cancelled_call_is_told_and_the_next_one_works(tmp_path: Path) -> None:
    with streaming() as web:
        async with connected(tmp_path, sse(web.url)) as servers:
            await servers.reach("w", "idle")
            web.deaf = {"tools/call"}
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo", timeout=0.3)
            assert caught.value.sent
            web.deaf = set()
            assert not (await servers.call("w", "echo")).is_error
            assert "notifications/cancelled" in web.methods()


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:9/messages",
        "https://127.0.0.1/messages",
        "//evil.example/messages",
        "http://localhost/x",
    ],
)
async def test_endpoint_at_another_origin_is_refused(tmp_path: Path, endpoint: str) -> None:
    with streaming() as web:
        web.endpoint = endpoint
        spec = sse(web.url, headers={"Authorization": "Bearer t0ken"})
        async with connected(tmp_path, spec) as servers:
            failed = await servers.reach("w", "failed")
            assert "to another origin" in failed.reason
            assert failed.next_try is None
            assert failed.breaker == "open"
        assert not web.frames


async def test_endpoint_with_a_password_of_its_own_is_refused(tmp_path: Path) -> None:
    with streaming() as web:
        web.endpoint = f"http://me:pw@127.0.0.1:{web.port}/messages"
        async with connected(tmp_path, sse(web.url)) as servers:
            failed = await servers.reach("w", "failed")
            assert "another origin" in failed.reason
            assert "pw" not in repr(servers.events)
        assert not web.frames


@pytest.mark.parametrize("endpoint", ["\x1b[31m/messages", "/" + "m" * 100_000, "http://[/"])
async def test_endpoint_that_is_no_address_is_refused(tmp_path: Path, endpoint: str) -> None:
    with streaming() as web:
        web.endpoint = endpoint
        async with connected(tmp_path, sse(web.url)) as servers:
            assert (await servers.reach("w", "failed")).reason == "names an endpoint that is not an address"


async def test_redirect_to_another_origin_is_not_followed(tmp_path: Path) -> None:
    with streaming() as web, streaming() as other:
        web.location = other.url
        spec = sse(web.url, headers={"Authorization": "Bearer t0ken"})
        async with connected(tmp_path, spec) as servers:
            failed = await servers.reach("w", "failed")
            assert failed.reason == f"redirects to {other.url}, which was not followed"
        assert not other.headers


async def test_endless_header_is_cut_off(tmp_path: Path) -> None:
    with streaming() as web:
        web.endless_header = True
        async with connected(tmp_path, sse(web.url, connect_timeout=10.0)) as servers:
            failed = await servers.reach("w", "failed")
            assert failed.reason.startswith("the connection to http://127.0.0.1")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, "text/plain", "needs authorisation: the server answered 401"),
        (404, "text/plain", "no MCP server at http://"),
        (503, "text/plain", "the server answered 503"),
        (200, "text/html", "no event stream at http://"),
    ],
)
async def test_answer_that_is_no_stream_is_said(tmp_path: Path, status: int, kind: str, words: str) -> None:
    with streaming() as web:
        web.status, web.kind = status, kind
        async with connected(tmp_path, sse(web.url)) as servers:
            assert (await servers.reach("w", "failed")).reason.startswith(words)


async def test_events_that_are_no_messages_are_counted(tmp_path: Path) -> None:
    with streaming() as web:
        web.opening = b": hello\n\nevent: message\ndata: early\n\nevent: other\ndata: x\n\n"
        async with connected(tmp_path, sse(web.url)) as servers:
            await servers.reach("w", "idle")
            for stream in list(web._streams.values()):
                stream.sendall(b'event: message\ndata: {"no": "message"}\n\nevent: message\ndata: [\n\n')
            assert not (await servers.call("w", "echo")).is_error
            assert servers.registry.get("w").describe().odd == 2


async def test_stream_that_names_no_endpoint_is_given_up(tmp_path: Path) -> None:
    with streaming() as web:
        web.endpoint = None
        async with connected(tmp_path, sse(web.url, connect_timeout=0.5)) as servers:
            failed = await servers.reach("w", "failed")
            assert failed.reason == "did not answer initialize within 0.5 s"
            await asyncio.wait_for(servers.registry.stop(), 30)


async def test_credentials_do_not_cross_the_network_in_the_clear(tmp_path: Path) -> None:
    spec = sse("http://example.com/sse", headers={"Authorization": "Bearer t0ken"})
    async with connected(tmp_path, spec) as servers:
        failed = await servers.reach("w", "failed")
        assert failed.reason.startswith("credentials would be sent unencrypted")
        assert "t0ken" not in repr(servers.events)
