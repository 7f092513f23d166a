"""Servers behind a URL: reasons in words, credentials, redirects, lost sessions, cut answers."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from omni_tui.config.spec import ServerSpec
from omni_tui.servers import CallError
from tests.engine.faults.harness import canonical, connected
from tests.engine.faults.web import serving

AWKWARD = {
    "null": None,
    "nested": [None, {"a": None}],
    "float": 1.0,
    "big": 10**40,
    "text": "é\u2028\U0001f600",
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("sse", [False, True])
async def test_connect_list_and_call(tmp_path: Path, sse: bool) -> None:
    with serving() as web:
        web.sse = sse
        headers = {"Authorization": "Bearer t0ken", "X-Team": "blue"}
        async with connected(tmp_path, ServerSpec(name="w", url=web.url, headers=headers)) as servers:
            idle = await servers.reach("w", "idle")
            assert idle.transport == "http"
            assert idle.target == web.url
            assert idle.tools == 13
            result = await servers.call("w", "echo", AWKWARD)
            assert canonical(result.structured["arguments"]) == canonical(AWKWARD)
        assert all(
            one["authorization"] == "Bearer t0ken" and one["x-team"] == "blue" for one in web.headers
        )
        assert web.methods().count("tools/list") == 1
        assert web.methods().count("tools/call") == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_missing_authorisation_is_said_and_not_tried_again(tmp_path: Path, status: int) -> None:
    with serving() as web:
        web.status = status
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            failed = await servers.reach("w", "failed")
            what = "needs authorisation" if status == 401 else "refuses access"
            assert failed.reason.startswith(f"{what}: the server answered {status}")
            assert failed.next_try is None


@pytest.mark.parametrize(
    ("status", "words"), [(404, "no MCP server at http://"), (502, "the server answered 502 Bad Gateway")]
)
async def test_status_is_said(tmp_path: Path, status: int, words: str) -> None:
    with serving() as web:
        web.status = status
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            failed = await servers.reach("w", "failed")
            assert failed.reason.startswith(words)
            assert failed.next_try is not None


async def test_nobody_listening_is_said_and_tried_again(tmp_path: Path) -> None:
    port = _free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    async with connected(tmp_path, ServerSpec(name="w", url=f"{url}?key=secret")) as servers:
        failed = await servers.reach("w", "failed")
        assert failed.reason == f"nothing listens at {url}?…"
        assert failed.next_try is not None
        with serving(port):
            await servers.reach("w", "idle")


async def test_host_without_a_name_and_url_without_sense(tmp_path: Path) -> None:
    specs = [
        ServerSpec(name="name", url="http://no-such-host.invalid/mcp"),
        ServerSpec(name="scheme", url="ftp://example.com/mcp"),
        ServerSpec(name="broken", url="http://example.com:port/mcp"),
    ]
    async with connected(tmp_path, *specs) as servers:
        reason = (await servers.reach("name", "failed")).reason
        assert reason == "no host of that name was found: http://no-such-host.invalid/mcp"
        assert "is not an http or https URL" in (await servers.reach("scheme", "failed")).reason
        assert (await servers.reach("broken", "failed")).reason == "the URL is not valid"


@pytest.mark.parametrize(
    "spec",
    [
        ServerSpec(name="w", url="http://example.com/mcp", headers={"authorization": "Bearer t0ken"}),
        ServerSpec(name="w", url="http://me:t0ken@example.com/mcp"),
        ServerSpec(
            name="w",
            url="http://example.com/mcp",
            headers={"X-Mine": "t0ken"},
            secret_headers=frozenset({"X-Mine"}),
        ),
    ],
)
async def test_credentials_do_not_cross_the_network_in_the_clear(tmp_path: Path, spec: ServerSpec) -> None:
    async with connected(tmp_path, spec) as servers:
        failed = await servers.reach("w", "failed")
        assert failed.reason.startswith("credentials would be sent unencrypted")
        assert "t0ken" not in repr(servers.events)


async def test_header_that_is_no_header_is_not_shown(tmp_path: Path) -> None:
    with serving() as web:
        spec = ServerSpec(name="w", url=web.url, headers={"Authorization": "Bearer t0ken\n"})
        async with connected(tmp_path, spec) as servers:
            failed = await servers.reach("w", "failed")
            assert failed.reason == "one of its headers is not valid HTTP"
            assert "t0ken" not in repr(servers.events)


async def test_redirect_to_another_origin_is_not_followed(tmp_path: Path) -> None:
    with serving() as web, serving() as other:
        web.location = other.url
        spec = ServerSpec(name="w", url=web.url, headers={"Authorization": "Bearer t0ken"})
        async with connected(tmp_path, spec) as servers:
            failed = await servers.reach("w", "failed")
            assert "not followed" in failed.reason
        assert not other.frames


@pytest.mark.parametrize(
    "lost",
    [
        (404, 0, ""),
        (404, -32001, "Session not found"),
        (404, -32600, "Not Found: Invalid or expired session ID"),
        (400, -32000, "Bad Request: No valid session ID provided"),
        (400, 0, "No valid session ID provided"),
        (400, -32000, "Bad Request: Server not initialized"),
        (400, -32000, "Bad Request: Mcp-Session-Id header is required"),
    ],
)
async def test_forgotten_session_is_said_and_renewed(tmp_path: Path, lost: tuple[int, int, str]) -> None:
    with serving() as web:
        web.session = "one"
        web.lost = lost
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            await servers.reach("w", "idle")
            web.session = "two"
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert caught.value.answered
            assert "forgotten this session" in caught.value.what
            await servers.until(lambda: servers.states("w").count("idle") == 2)
            await servers.call("w", "echo")
            assert "failed" in servers.states("w")


async def test_forgotten_session_is_noticed_by_what_is_no_call(tmp_path: Path) -> None:
    with serving() as web:
        web.session = "one"
        web.lost = (400, -32000, "Bad Request: Server not initialized")
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            await servers.reach("w", "idle")
            web.session = "two"
            with pytest.raises(CallError):
                await servers.registry.get("w").refresh()
            await servers.until(lambda: servers.states("w").count("idle") == 2)


async def test_a_refusal_that_only_sounds_like_it_leaves_the_session(tmp_path: Path) -> None:
    with serving() as web:
        web.session = "one"
        web.sse = web.nameless = True
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            await servers.reach("w", "idle")
            web.words = "Session not found in the calendar"
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert caught.value.answered
            assert "not found in the calendar" in caught.value.what
            web.nameless = False
            assert not (await servers.call("w", "echo")).is_error
            assert servers.gone == []


async def test_error_without_an_id_in_an_event_is_an_answer(tmp_path: Path) -> None:
    with serving() as web:
        web.sse = True
        web.nameless = True
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            await servers.reach("w", "idle")
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert caught.value.answered
            assert caught.value.what == "not today (error -32050)"


async def test_server_gone_before_a_call_was_surely_not_sent(tmp_path: Path) -> None:
    with serving() as web:
        web.close = True
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            await servers.reach("w", "idle")
            web.stop()
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert not caught.value.sent
            assert caught.value.what == f"nothing listens at {web.url}"
            assert (await servers.reach("w", "failed")).reason == f"nothing listens at {web.url}"
            assert servers.gone == ["w"]


@pytest.mark.parametrize("sse", [False, True])
async def test_answer_cut_in_the_middle_leaves_the_outcome_open(tmp_path: Path, sse: bool) -> None:
    with serving() as web:
        web.sse = sse
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            await servers.reach("w", "idle")
            web.cut = True
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert caught.value.sent
            assert not caught.value.answered
            assert web.methods().count("tools/call") == 1
            web.cut = False
            assert not (await servers.call("w", "echo")).is_error
            assert servers.gone == []


@pytest.mark.parametrize(
    ("status", "answered"), [(401, True), (404, True), (429, True), (500, False), (504, False)]
)
async def test_status_of_a_call(tmp_path: Path, status: int, answered: bool) -> None:
    with serving() as web:
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            await servers.reach("w", "idle")
            web.call_status = status
            with pytest.raises(CallError) as caught:
                await servers.call("w", "echo")
            assert f"the server answered {status}" in caught.value.what
            assert caught.value.answered is answered
            web.call_status = 0
            assert not (await servers.call("w", "echo")).is_error


async def test_hung_call_times_out_and_the_next_one_works(tmp_path: Path) -> None:
    with serving() as web:
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            await servers.reach("w", "idle")
            with pytest.raises(CallError) as caught:
                await servers.call("w", "hang", timeout=0.3)
            assert caught.value.sent
            assert (await servers.call("w", "echo", {"a": 1})).structured == {"arguments": {"a": 1}}
            assert "notifications/cancelled" in web.methods()


async def test_server_that_hangs_at_the_farewell_does_not_delay_the_end(tmp_path: Path) -> None:
    with serving() as web:
        web.session = "one"
        web.deaf_to_farewells = True
        async with connected(tmp_path, ServerSpec(name="w", url=web.url)) as servers:
            await servers.reach("w", "idle")
            await asyncio.wait_for(servers.registry.stop(), 30)
            assert servers.last("w").state == "disabled"


async def test_hung_endpoint_is_said_and_left_quickly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/mcp"
        async with connected(tmp_path, ServerSpec(name="w", url=url, connect_timeout=0.5)) as servers:
            failed = await servers.reach("w", "failed")
            assert failed.reason == "did not answer initialize within 0.5 s"
            await asyncio.wait_for(servers.registry.stop(), 30)
