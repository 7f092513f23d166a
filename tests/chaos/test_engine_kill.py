"""Invariants 2 and 12 with real processes: after `kill -9` nothing is lost, re-sent, or left running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from omni_tui.links import ProcessLink, spawn_engine
from omni_tui.memory import Journal, Vault, new_session_id, session_path
from omni_tui.protocol import LaunchOptions, LinkClosed
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.security.text import safe
from tests.chaos.fleet import GONE_WITHIN_S

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

T = TypeVar("T")


class Face:
    """The face's end of a real engine process."""

    def __init__(self, link: ProcessLink) -> None:
        self.link = link
        self.seen: list[e.Event] = []
        self.closed = ""
        self._news = asyncio.Condition()
        self._request = 100
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self.link.events():
                async with self._news:
                    self.seen.append(event)
                    self._news.notify_all()
        except LinkClosed as error:
            async with self._news:
                self.closed = str(error)
                self._news.notify_all()

    async def until(self, kind: type[T], matches: Callable[[T], bool] = lambda _event: True) -> T:
        def find() -> T | None:
            found = (event for event in self.seen if isinstance(event, kind) and matches(event))
            return next(found, None)

        async with asyncio.timeout(60), self._news:
            while (found := find()) is None:
                assert not self.closed, self.closed
                await self._news.wait()
            return found

    async def gone(self) -> str:
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: bool(self.closed))
        return self.closed

    async def listed(self) -> None:
        await self.until(e.ToolsListed, lambda event: bool(event.tools))


@contextlib.asynccontextmanager
async def engine(state: Path, **options: object) -> AsyncIterator[Face]:
    """Run a real engine on the demo server."""
    launch = LaunchOptions(demo=True, state_dir=str(state), **options)  # type: ignore[arg-type]
    link = await spawn_engine(launch).link()
    link.send(c.Hello(client="test", request=1))
    face = Face(link)
    try:
        yield face
    finally:
        await link.close()


def servers_of(state: Path) -> list[int]:
    """Return the processes that were started with this state folder in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if str(state).encode() in words and b"demo/server.py" in words:
                found.append(int(entry.name))
    return found


async def none_left(state: Path, since: float, engine_pid: int = 0) -> None:
    """Wait until no server (and not that engine) lives; fails `GONE_WITHIN_S` after `since`."""
    tick = asyncio.get_running_loop()
    while servers_of(state) or (engine_pid and _lives(engine_pid)):
        assert time.monotonic() - since < GONE_WITHIN_S, "a server outlived its engine"
        waited = tick.create_future()
        tick.call_later(0.05, waited.set_result, None)
        await waited


async def test_invariant_2_a_call_cut_by_a_kill_is_uncertain_and_never_sent_again(tmp_path: Path) -> None:
    async with engine(tmp_path) as face:
        await face.listed()
        face.link.send(
            c.CallTool(request=2, server="demo", tool="slow_count", arguments_json='{"to":50,"delay_s":1}')  # type: ignore[arg-type]
        )
        running = await face.until(e.CallChanged, lambda event: event.state == "dispatching")
        await face.until(e.CallProgress)
        os.kill(face.link.pid, signal.SIGKILL)
        killed = time.monotonic()
        assert "signal 9" in await face.gone()
        await none_left(tmp_path, killed)
    async with engine(tmp_path) as face:
        await face.listed()
        settled = await face.until(e.CallChanged, lambda event: event.state == "uncertain")
        assert settled.call == running.call
        await face.until(e.ReplayDone)
        states = [event.state for event in face.seen if isinstance(event, e.CallChanged)]
        assert states == ["approved", "dispatching", "uncertain"]


async def test_after_a_kill_ten_thousand_events_are_there_and_what_is_open_is_said(tmp_path: Path) -> None:
    """How long that takes: `python -m tests.proof.kills`."""
    vault = await asyncio.to_thread(Vault.open, tmp_path, {})
    session = new_session_id()
    journal = await Journal.open(session_path(tmp_path, session), session, vault, _ignore)
    await journal.commit(e.SessionOpened(title=safe("long"), mode="chat", model=safe("offline")))
    for start in range(0, 10_000, 1_000):
        said = [e.UserMessage(turn=f"t{start + at}", text=safe("message")) for at in range(1_000)]
        ended = [e.TurnEnded(turn=message.turn, status="done") for message in said]
        await journal.commit(*said, *ended)
    await journal.close(clean=True)
    async with engine(tmp_path, resume=session) as face:
        await face.listed()
        face.link.send(c.SendMessage(request=2, text="add 17 and 25"))
        await face.until(e.ApprovalRequested)
        face.link.send(
            c.CallTool(request=3, server="demo", tool="slow_count", arguments_json='{"to":50,"delay_s":1}')  # type: ignore[arg-type]
        )
        await face.until(e.CallProgress)
        os.kill(face.link.pid, signal.SIGKILL)
        await face.gone()
    async with engine(tmp_path) as face:  # the one that was cut off
        told = await face.until(e.Notice, lambda event: "ended unexpectedly" in event.what)
        assert told.what.endswith(
            "1 call is uncertain, 1 call waits for you, 1 turn was cut off, which /continue continues"
        )
        done = await face.until(e.ReplayDone)
        assert done.head > 20_000
        assert sum(isinstance(event, e.UserMessage) for event in face.seen) == 10_001
    async with engine(tmp_path, resume=session) as face:  # closed properly since
        await face.until(e.ReplayDone)
        assert [event for event in face.seen if isinstance(event, e.Notice)] == []


async def test_a_pending_approval_survives_a_kill(tmp_path: Path) -> None:
    async with engine(tmp_path) as face:
        await face.listed()
        face.link.send(c.SendMessage(request=2, text="add 17 and 25"))
        asked = await face.until(e.ApprovalRequested)
        os.kill(face.link.pid, signal.SIGKILL)
        await face.gone()
    async with engine(tmp_path) as face:
        await face.listed()
        again = await face.until(  # its card is complete once its server is back
            e.ApprovalRequested, lambda event: event.restored and bool(event.transport)
        )
        assert again.call == asked.call
        face.link.send(c.DecideCall(request=3, call=again.call, digest=again.digest, verdict="approve"))
        answer = await face.until(e.Answer)
        assert "42" in answer.text
        finished = [event for event in face.seen if isinstance(event, e.CallFinished)]
        assert len(finished) == 1


async def test_invariant_12_killing_the_face_ends_the_engine_and_its_servers(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import asyncio, sys
        from omni_tui.links import spawn_engine
        from omni_tui.protocol import LaunchOptions
        from omni_tui.protocol import commands as c, events as e
        async def main():
            link = await spawn_engine(LaunchOptions(demo=True, state_dir={str(tmp_path)!r})).link()
            link.send(c.Hello(client="doomed"))
            async for event in link.events():
                if isinstance(event, e.ToolsListed):
                    print(link.pid, flush=True)
        asyncio.run(main())
        """
    )
    face = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    assert face.stdout is not None
    async with asyncio.timeout(60):
        pid = int(await face.stdout.readline())
    assert servers_of(tmp_path)
    face.kill()
    killed = time.monotonic()
    await face.wait()
    await none_left(tmp_path, killed, pid)


async def test_invariant_12_a_stopped_engine_does_not_outlive_its_face(tmp_path: Path) -> None:
    """An engine whose process is stopped cannot leave; killing it must still end its servers."""
    async with engine(tmp_path) as face:
        await face.listed()
        os.kill(face.link.pid, signal.SIGSTOP)
        os.kill(face.link.pid, signal.SIGKILL)
        killed = time.monotonic()
        await face.gone()
        await none_left(tmp_path, killed)


async def test_leaving_properly_ends_everything(tmp_path: Path) -> None:
    async with engine(tmp_path) as face:
        await face.listed()
        pid = face.link.pid
    assert not _lives(pid)
    assert servers_of(tmp_path) == []


def _ignore(_events: object) -> None:
    """Nobody listens."""


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
