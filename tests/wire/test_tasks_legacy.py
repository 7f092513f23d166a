"""The experimental tasks of protocol 2025-11-25, with the server that everybody tests with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from omni_tui.protocol import JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.calls import CallTask, TaskProgress
from tests.engine.rig import Rig, rig
from tests.wire.conftest import WebServer

pytestmark = pytest.mark.wire
TOOL = "simulate-research-query"
ARGUMENTS = JsonText('{"topic":"python"}')


async def begin(running: Rig) -> str:
    await running.connected("all")
    answer = await running.ask(c.CallTool(server="all", tool=TOOL, arguments_json=ARGUMENTS))
    assert isinstance(answer, e.CommandDone), answer
    return answer.id


async def test_a_tool_that_runs_as_a_task_only_is_followed_over_stdio(
    tmp_path: Path, npm_bin: Callable[[str], str]
) -> None:
    command = json.dumps(npm_bin("mcp-server-everything"))
    config = f'[servers.all]\ncommand = {command}\nargs = ["stdio"]\n'
    async with rig(tmp_path, demo=False, config=config) as running:
        await _to_its_end(running)


async def test_a_tool_that_runs_as_a_task_only_is_followed_over_http(
    tmp_path: Path, everything: WebServer
) -> None:
    config = f"[servers.all]\nurl = {json.dumps(everything.url)}\n"
    async with rig(tmp_path, demo=False, config=config) as running:
        await _to_its_end(running)


async def _to_its_end(running: Rig) -> None:
    call = await begin(running)
    begun = await running.until(CallTask)
    assert (begun.call, begun.poll_ms, begun.ttl_s) == (call, 1000, 300.0)
    await running.until(TaskProgress, lambda event: "Analyzing content" in event.message)
    finished = await running.until(e.CallFinished)
    assert finished.state == "succeeded"
    assert "Research Report: python" in finished.parts[0].text


async def test_such_a_task_is_cancelled_and_the_server_confirms_it(
    tmp_path: Path, everything: WebServer
) -> None:
    config = f"[servers.all]\nurl = {json.dumps(everything.url)}\n"
    async with rig(tmp_path, demo=False, config=config) as running:
        call = await begin(running)
        await running.until(TaskProgress)
        await running.ask(c.CancelCall(call=call))
        ended = await running.until(e.CallChanged, lambda event: event.state == "cancelled")
        assert ended.reason == "cancelled by you; the server confirms it"
