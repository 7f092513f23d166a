"""A plan on real servers, killed half-way by the system and gone on with: no call is made twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.plan import PlanEnded, PlanTaskChanged
from tests.engine.rig import Rig, rig
from tests.wire.orchestra_engine import SERVERS, approve, players

pytestmark = [pytest.mark.wire, pytest.mark.needs("git")]
Find = Callable[[str], str]

CONFIG = """
[policy]
plan = "allow"
[servers.files]
command = {files}
args = [{work}]
[servers.git]
command = {git}
args = ["--repository", {work}]
[servers.memory]
command = {memory}
env = {{ MEMORY_FILE_PATH = {graph} }}
"""


def git(folder: Path, *words: str) -> str:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null"}
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, env={**os.environ, **who}
    )
    return done.stdout


@pytest.fixture
def config(tmp_path: Path, npm_bin: Find, python_bin: Find) -> str:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    git(work, "config", "user.name", "a")
    git(work, "config", "user.email", "a@b")
    return CONFIG.format(
        files=json.dumps(npm_bin("mcp-server-filesystem")),
        git=json.dumps(python_bin("mcp-server-git")),
        memory=json.dumps(npm_bin("mcp-server-memory")),
        work=json.dumps(str(work)),
        graph=json.dumps(str(tmp_path / "graph.jsonl")),
    )


def is_finished(event: dict[str, object]) -> bool:
    return event["type"] == "call_finished"


def is_dispatched(event: dict[str, object]) -> bool:
    return event["type"] == "call_changed" and event["state"] == "dispatching"


@pytest.mark.parametrize(
    ("number", "what"),
    [(2, is_finished), (4, is_dispatched), (5, is_finished)],
    ids=["after two results", "at the fourth call", "after five results"],
)
async def test_a_plan_on_real_servers_is_killed_and_goes_on(
    tmp_path: Path, config: str, number: int, what: Callable[[dict[str, object]], bool]
) -> None:
    await killed(tmp_path, config, number, what)
    model = players(tmp_path)
    async with rig(tmp_path, config=config, demo=False, model=model, mode="orchestrator") as running:
        approving = asyncio.create_task(approve(running))
        for server in SERVERS:
            await running.connected(server)
        await running.until(e.ReplayDone)
        if not [event for event in running.of(e.TurnStarted)][1:]:
            await running.ask(c.ContinueRun())
        ended = await running.until(e.TurnEnded, lambda event: event.status != "parked")
        approving.cancel()
        assert (ended.status, ended.reason) == (
            "failed",
            "1 of 6 tasks was not done: title of read b.txt",
        )
        assert_all_of_it_once(running, tmp_path)


async def killed(folder: Path, config: str, number: int, what: Callable[[dict[str, object]], bool]) -> None:
    """Run the plan in another process and kill it when that happens for the `number`th time."""
    file = folder / "servers.toml"
    file.write_text(config)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.wire.orchestra_engine",
        str(folder),
        str(file),
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )
    assert process.stdout is not None
    left = number
    async with asyncio.timeout(60):
        async for line in process.stdout:
            left -= what(json.loads(line))
            if not left:
                process.send_signal(signal.SIGKILL)
                break
        await process.wait()
    assert not left


def assert_all_of_it_once(running: Rig, folder: Path) -> None:
    states = {event.task: event.state for event in running.of(PlanTaskChanged)}
    assert states == {"t1": "done", "t2": "done", "t3": "done", "t4": "failed", "t5": "done", "t6": "done"}
    (over,) = running.of(PlanEnded)
    assert (over.done, over.failed, over.skipped) == (5, 1, 0)
    # Every call was made once, whichever of the two processes made it.
    made = Counter((event.agent, event.tool, event.arguments) for event in running.of(e.CallProposed))
    assert len(made) == 8
    assert set(made.values()) == {1}
    sent = Counter(event.call for event in running.of(e.CallChanged) if event.state == "dispatching")
    assert set(sent.values()) == {1}
    assert len(sent) == 8
    # And so the servers say, but for calls of which it is not known whether they ran.
    cut = {event.call for event in running.of(e.CallChanged) if event.state == "uncertain"}
    unknown = {event.tool for event in running.of(e.CallProposed) if event.call in cut}
    work = folder / "work"
    commits = git(work, "log", "--format=%s").splitlines()
    assert commits == ["Add a.txt"] or (not commits and unknown & {"git_commit", "git_add", "write_file"})
    graph = folder / "graph.jsonl"
    people = graph.read_text().count('"Ada"') if graph.exists() else 0
    assert people == 1 or (not people and "create_entities" in unknown)
