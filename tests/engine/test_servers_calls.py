"""Calling tools: exact arguments, raw results, progress, time-outs, cancelling, refusals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from omni_tui.servers import CallError, Dispatch, DispatchRefused, RawResult
from tests.engine.faults.harness import Harness, canonical, connected, fault

AWKWARD: dict[str, Any] = {
    "null": None,
    "nested": {"null": None, "list": [None, {"null": None}]},
    "float": 1.0,
    "small": 1e-9,
    "huge": 1.7976931348623157e308,
    "negative zero": -0.0,
    "big": 10**40,
    "beyond double": 2**53 + 1,
    "text": 'é\u2028\u0000\x7f\U0001f600 \\ "quoted"',
    "": "empty key",
    "by_name": {"_meta": 1, "inputSchema": True},
}


@pytest.mark.parametrize("mode", ["record", "modern"])
async def test_arguments_arrive_unchanged(tmp_path: Path, mode: str) -> None:
    record = tmp_path / "frames"
    async with connected(tmp_path, fault(mode, str(record))) as servers:
        await servers.reach(mode, "idle")
        result = await servers.call(mode, "echo", AWKWARD)
        assert canonical(result.structured["arguments"]) == canonical(AWKWARD)
        if mode == "record":
            sent = record.read_bytes().splitlines()[-1]
            assert canonical(AWKWARD) in sent, "the approved bytes themselves are in the frame"


async def test_result_is_returned_as_it_came(tmp_path: Path) -> None:
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        assert await servers.call("good", "odd") == RawResult(
            content=[{"type": "unheard of", "b": None}, {"type": "text", "text": "7"}],
            structured=[1.0, None],
            has_structured=True,
        )
        assert await servers.call("good", "null") == RawResult(content=[])
        failed = await servers.call("good", "fail")
        assert failed == RawResult(content=[{"type": "text", "text": "it failed"}], is_error=True)


async def test_null_is_a_structured_result_in_the_modern_protocol(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("modern")) as servers:
        await servers.reach("modern", "idle")
        assert await servers.call("modern", "null") == RawResult(content=[], has_structured=True)


async def test_refusal_of_the_server_is_an_answer(tmp_path: Path) -> None:
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        with pytest.raises(CallError) as caught:
            await servers.call("good", "refuse")
        assert caught.value.answered
        assert caught.value.what == "no <U+001B>[31mthanks (error -32602)"


async def test_request_for_input_is_not_answered_and_not_run_again(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("asks")) as servers:
        await servers.reach("asks", "idle")
        with pytest.raises(CallError) as caught:
            await servers.call("asks", "echo")
        assert caught.value.answered
        assert caught.value.what.startswith("the server asks for input (elicitation/create)")


async def test_progress_extends_the_time_out_and_is_reported_safely(tmp_path: Path) -> None:
    reports: list[tuple[float, float | None, str]] = []
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        result = await servers.call(
            "good",
            "wait",
            {"times": 10, "pause": 0.4},
            timeout=3,
            on_progress=lambda *report: reports.append(report),
        )
        assert result.content[0]["text"] == "waited"
    assert [report[0] for report in reports] == list(range(1, 11))
    assert reports[-1] == (10.0, None, "step 9<U+001B>")


async def test_progress_is_passed_on_ten_times_a_second_at_most(tmp_path: Path) -> None:
    reports: list[float] = []
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        begun = time.monotonic()
        await servers.call(
            "good",
            "wait",
            {"times": 300, "pause": 0.001},
            on_progress=lambda done, *_: reports.append(done),
        )
        took = time.monotonic() - begun
    assert reports[-1] == 300
    assert 2 <= len(reports) <= took * 10 + 2


async def test_silence_times_out_and_cancels(tmp_path: Path) -> None:
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        with pytest.raises(CallError) as caught:
            await servers.call("good", "hang", timeout=0.3)
        assert caught.value.sent
        assert not caught.value.answered
        assert "may or may not have run" in caught.value.what
        assert len(await _cancelled(servers)) == 1


async def test_cancelling_a_call_tells_the_server_and_harms_no_other(tmp_path: Path) -> None:
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        hanging = asyncio.create_task(servers.call("good", "hang", timeout=60))
        other = asyncio.create_task(servers.call("good", "wait", {"times": 5, "pause": 0.05}))
        await servers.until(lambda: servers.last("good").calls == 2)
        await servers.call("good", "echo")
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert (await other).content[0]["text"] == "waited"
        assert len(await _cancelled(servers)) == 1


async def test_server_that_reads_nothing_cannot_hold_a_cancelled_call(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("hangs_list", list_timeout=0.2)) as servers:
        await servers.reach("hangs_list", "degraded")
        connection = servers.registry.get("hangs_list")
        assert connection.pid is not None
        os.kill(connection.pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            with pytest.raises(CallError) as caught:
                await servers.call("hangs_list", "echo", {"text": "x" * 2_000_000}, timeout=0.3)
            assert time.monotonic() - begun < 30
            assert caught.value.sent
        finally:
            os.kill(connection.pid, signal.SIGCONT)


async def test_parallel_calls_with_the_same_arguments_keep_their_answers(tmp_path: Path) -> None:
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        results = await asyncio.gather(*(servers.call("good", "echo", {"n": n % 3}) for n in range(60)))
        assert [result.structured["arguments"]["n"] for result in results] == [n % 3 for n in range(60)]


async def test_call_that_the_journal_does_not_know_is_not_sent(tmp_path: Path) -> None:
    record = tmp_path / "frames"
    asked: list[str] = []

    def authority(dispatch: Dispatch) -> bool:
        asked.append(dispatch.call)
        return False

    async with connected(tmp_path, fault("record", str(record)), authority=authority) as servers:
        await servers.reach("record", "idle")
        with pytest.raises(DispatchRefused):
            await servers.call("record", "echo")
        assert asked == ["call-1"]
        assert b"tools/call" not in record.read_bytes()


@pytest.mark.parametrize("exact", [b'{"b":1,"a":2}', b'{"a": 2}', b"[]", b"null", b"{", b'{"a":NaN}', b""])
async def test_bytes_that_are_not_the_canonical_form_are_refused(tmp_path: Path, exact: bytes) -> None:
    record = tmp_path / "frames"
    async with connected(tmp_path, fault("record", str(record))) as servers:
        await servers.reach("record", "idle")
        connection = servers.registry.get("record")
        with pytest.raises(DispatchRefused):
            await connection.call_tool(Dispatch("c", 1, "record", "echo", exact), timeout=5)
        assert b"tools/call" not in record.read_bytes()


async def test_server_that_exits_after_its_answer_has_still_answered(tmp_path: Path) -> None:
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        assert (await servers.call("good", "exit")).content[0]["text"] == "bye"
        assert (await servers.reach("good", "failed")).reason.startswith("it exited with code 0")


async def _cancelled(servers: Harness) -> list[int]:
    result = await servers.call("good", "cancelled")
    ids: list[int] = json.loads(result.content[0]["text"])
    return ids
