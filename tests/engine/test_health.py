"""What the engine says of the health of its parts, and that it tries again what failed."""

from __future__ import annotations

import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest

from omni_tui.engine.health import disk_health, model_health
from omni_tui.models.base import ModelError
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.health import HealthCheck, HealthPart, HealthRead, ReadHealth, TryAgain
from omni_tui.resilience.breaker import CircuitBreaker
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply

BROKEN = '[servers.broken]\ncommand = "no-such-program-anywhere"\n'


async def read(running: Rig) -> dict[HealthPart, list[HealthCheck]]:
    answer = await running.ask(ReadHealth())
    assert isinstance(answer, HealthRead), answer
    order = [["bad", "note", "ok"].index(check.state) for check in answer.checks]
    assert order == sorted(order), "what needs something does not stand first"
    found: dict[HealthPart, list[HealthCheck]] = {}
    for check in answer.checks:
        found.setdefault(check.part, []).append(check)
    return found


async def test_every_part_is_told_with_what_to_do(tmp_path: Path) -> None:
    async with rig(tmp_path, config=BROKEN, model=ScriptedModel([reply("done")])) as running:
        await running.until(
            e.ServerChanged, lambda event: (event.name, event.state) == ("broken", "failed")
        )
        await running.connected()
        found = await read(running)
        servers = {str(check.name): check for check in found["server"]}
        assert (servers["broken"].state, servers["demo"].state) == ("bad", "ok")
        assert "no-such-program-anywhere" in servers["broken"].what
        assert servers["broken"].todo
        assert servers["demo"].what.startswith(("active", "idle"))
        assert [found[part][0].state for part in ("model", "session", "disk")] == ["ok", "ok", "ok"]
        assert found["key store"][0].what
        assert "Redis" not in found, "nobody asked for it"


async def test_what_failed_is_tried_again_and_a_paused_model_is_asked(tmp_path: Path) -> None:
    model = ScriptedModel([reply("done")])
    async with rig(tmp_path, config=BROKEN, model=model) as running:
        await running.until(
            e.ServerChanged, lambda event: (event.name, event.state) == ("broken", "failed")
        )
        breakers = running.engine.context.models.breakers
        breakers.failed("other", ModelError("auth", "the key was refused"))
        (paused,) = [check for check in (await read(running))["model"] if check.name == "other"]
        assert (paused.state, paused.what) == ("bad", "paused after it failed: the key was refused")
        assert paused.next_try is not None
        assert paused.next_try > time.time()
        seen = len(running.seen)
        done = await running.ask(TryAgain())
        assert isinstance(done, e.CommandDone)
        assert done.text == "trying again: broken, other"
        await running.until(e.ServerChanged, lambda event: event.name == "broken", after=seen)
        assert breakers.troubled() == []
        await running.until(
            e.ServerChanged, lambda event: (event.name, event.state) == ("broken", "failed"), after=seen
        )


async def test_nothing_to_try_again_is_said(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("done")])) as running:
        await running.connected()
        done = await running.ask(TryAgain())
        assert isinstance(done, e.CommandDone)
        assert done.text == "nothing has failed"
        await running.ask(c.SendMessage(text="go"))
        assert (await running.until(e.TurnEnded)).status == "done"


async def test_a_server_that_the_person_disconnected_has_not_failed(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("done")])) as running:
        await running.connected()
        await running.ask(c.DisconnectServer(server="demo"))
        (demo,) = (await read(running))["server"]
        assert demo.state != "bad", "the person disconnected it"


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free", "state", "words"),
    [(9e11, "ok", "900.0 GB free"), (3e8, "note", "300 MB free"), (1e6, "bad", "1 MB free")],
)
def test_a_disk_that_fills_is_told(
    free: float, state: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(1e12, 0, free))
    check = disk_health(tmp_path)
    assert (check.state, str(check.what)) == (state, words)
    assert bool(check.todo) is (state != "ok")


def test_a_folder_that_is_gone_or_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert disk_health(tmp_path / "gone").state == "bad"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "--state-dir" in disk_health(tmp_path).todo


def test_words_of_a_provider_are_made_safe() -> None:
    breaker = CircuitBreaker()
    breaker.failed("\x1b[31mred\u202e", at_once=True)
    check = model_health("m\x07", breaker)
    assert "\x1b" not in check.what + check.name
    assert "\u202e" not in check.what
    assert check.state == "bad"
