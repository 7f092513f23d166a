"""`kill -9` of the engine in mid-task: the task goes on, is asked after, and is never begun again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omni_tui.links import spawn_engine
from omni_tui.protocol import JsonText, LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.calls import CallTask, TaskProgress
from tests.chaos.test_engine_kill import Face
from tests.lengths import LONG, times
from tests.wire.conftest import free_port
from tests.wire.test_tasks import requests, serving, web

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@contextlib.asynccontextmanager
async def engine(folder: Path, url: str) -> AsyncIterator[Face]:
    """Run a real engine on the server of tasks."""
    config = folder / "config.toml"
    config.write_text(web(url))
    launch = LaunchOptions(config=str(config), state_dir=str(folder / "state"))
    link = await spawn_engine(launch).link()
    link.send(c.Hello(client="test", request=1))
    face = Face(link)
    try:
        yield face
    finally:
        await link.close()


async def begin_and_kill(folder: Path, url: str) -> str:
    """Begin a task, kill the engine in the middle of it, and return the call."""
    async with engine(folder, url) as face:
        await face.listed()
        face.link.send(c.CallTool(request=2, server="jobs", tool="waits", arguments_json=JsonText("{}")))
        begun = await face.until(CallTask)
        await face.until(TaskProgress, lambda event: event.message.startswith("seen"))
        os.kill(face.link.pid, signal.SIGKILL)
        assert "signal 9" in await face.gone()
        return begun.call


def states(face: Face) -> list[str]:
    return [event.state for event in face.seen if isinstance(event, e.CallChanged)]


async def test_a_killed_engine_goes_on_with_its_task_and_sends_nothing_again(tmp_path: Path) -> None:
    with serving(tmp_path, free_port()) as server:
        call = await begin_and_kill(tmp_path, server.url)
        asked = len(requests(tmp_path, "tasks/get"))
        for _ in range(times(1, 2)):  # once more: it is killed while it goes on
            async with engine(tmp_path, server.url) as face:
                await face.until(TaskProgress, lambda event: event.message.startswith("seen"))
                os.kill(face.link.pid, signal.SIGKILL)
                await face.gone()
        (tmp_path / "go").touch()
        async with engine(tmp_path, server.url) as face:
            finished = await face.until(e.CallFinished)
            assert (finished.call, finished.state) == (call, "succeeded")
            assert finished.parts[0].text == "done"
            assert states(face) == ["approved", "dispatching"]
        assert len(requests(tmp_path, "tasks/get")) > asked
        assert len(requests(tmp_path, "tools/call")) == 1


async def test_a_task_that_its_server_has_forgotten_meanwhile_is_uncertain(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, port) as server:
        call = await begin_and_kill(tmp_path, server.url)
    (tmp_path / "tasks").unlink()
    with serving(tmp_path, port) as server:
        async with engine(tmp_path, server.url) as face:
            settled = await face.until(e.CallChanged, lambda event: event.state == "uncertain")
            assert settled.call == call
            assert "does not know the task any more" in settled.reason
            assert states(face) == ["approved", "dispatching", "uncertain"]
    assert len(requests(tmp_path, "tools/call")) == 1


@pytest.mark.skipif(not LONG, reason="a short run tries the other two; `tests/wire/test_tasks.py` cancels")
async def test_a_task_can_be_cancelled_after_a_kill(tmp_path: Path) -> None:
    with serving(tmp_path, free_port()) as server:
        call = await begin_and_kill(tmp_path, server.url)
        async with engine(tmp_path, server.url) as face:
            await face.until(TaskProgress, lambda event: event.message.startswith("seen"))
            face.link.send(c.CancelCall(request=3, call=call))
            ended = await face.until(e.CallChanged, lambda event: event.state == "cancelled")
            assert "the server confirms it" in ended.reason
