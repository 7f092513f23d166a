"""Config files that change while the engine runs, and settings that the person changes in the app."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from omni_tui.engine.config_in_force import ConfigInForce
from omni_tui.protocol import JsonText
from omni_tui.protocol import events as e
from omni_tui.protocol.settings import ReadSettings, SettingInfo, SettingsRead, WriteSetting
from tests.engine.faults.harness import SERVER
from tests.engine.rig import Rig, rig

ARGS = ["-I", "-S", SERVER, "good"]
TINY = f"""# mine
[agent]   # how
max_steps = 5   # few
[servers.tiny]
command = {sys.executable!r}
args = {ARGS!r}
"""


def config_of(running: Rig) -> ConfigInForce:
    return running.engine.context.config


def replace(file: Path, text: str) -> None:
    """Write as editors do: another file, moved into place."""
    other = file.with_suffix(".new")
    other.write_text(text)
    os.replace(other, file)


async def noticed(running: Rig, words: str, after: int) -> e.Notice:
    return await running.until(e.Notice, lambda event: words in event.what, after=after)


async def setting(running: Rig, name: str) -> SettingInfo:
    reply = await running.ask(ReadSettings())
    assert isinstance(reply, SettingsRead)
    return next(each for each in reply.settings if each.name == name)


async def test_the_watched_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await running.until(e.ServerChanged, lambda event: event.state == "idle")
        running.engine.watch_config()
        file = tmp_path / "config.toml"
        # The watcher begins in a thread: write until it has seen it.
        seen = len(running.seen)
        replace(file, TINY.replace("max_steps = 5", "max_steps = 8"))
        await noticed(running, "now: agent.max_steps", seen)
        assert config_of(running).loaded.config.agent.max_steps == 8
        seen = len(running.seen)
        replace(file, "[agent\n")
        notice = await noticed(running, "has a mistake", seen)
        assert "not TOML" in notice.why
        assert config_of(running).loaded.config.agent.max_steps == 8
        assert running.engine.context.registry.get("tiny").state == "idle"


async def test_a_new_server_waits_and_a_changed_program_too(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        context = running.engine.context
        await running.until(e.ServerChanged, lambda event: event.state == "idle")
        file = tmp_path / "config.toml"
        more = '[servers.more]\ncommand = "/nowhere/x"\n'
        replace(file, TINY + more)
        await config_of(running).reload(context, running.engine.servers)
        assert not context.registry.get("more").spec.allowed
        assert context.registry.get("tiny").state == "idle"
        replace(file, TINY.replace("'good'", "'other'"))
        change = await config_of(running).reload(context, running.engine.servers)
        assert change.removed == ("more",)
        assert context.registry.names() == ["tiny"]
        assert not context.registry.get("tiny").spec.allowed
        # A setting that starts nothing else leaves it allowed.
        replace(file, TINY.replace("'good'", "'other'") + "call_timeout = 7\n")
        await config_of(running).reload(context, running.engine.servers)
        replace(file, TINY + "call_timeout = 7\n")
        await config_of(running).reload(context, running.engine.servers)
        assert context.registry.get("tiny").spec.call_timeout == 7


async def test_timeouts_change_without_asking(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        context = running.engine.context
        replace(tmp_path / "config.toml", TINY + "call_timeout = 7\n")
        await config_of(running).reload(context, running.engine.servers)
        spec = context.registry.get("tiny").spec
        assert (spec.call_timeout, spec.allowed) == (7, True)


async def test_what_waits_for_the_next_start_reconnects_no_server(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY, connect="none") as running:
        context = running.engine.context
        waiting = TINY + "[tools]\ncall_timeout = 7\n[sampling]\nenabled = false\n"
        replace(tmp_path / "config.toml", waiting)
        change = await config_of(running).reload(context, running.engine.servers)
        assert (change.servers, change.live) == ((), ())
        assert set(change.restart) == {"tools.call_timeout", "sampling.enabled"}
        assert config_of(running).pending == change.restart
        replace(tmp_path / "config.toml", waiting + "# words\n")
        assert (await config_of(running).reload(context, running.engine.servers)).is_nothing
        spec = context.registry.get("tiny").spec
        assert (spec.call_timeout, spec.sampling) == (120, True)
        replace(tmp_path / "config.toml", TINY)
        await config_of(running).reload(context, running.engine.servers)
        assert config_of(running).pending == ()


async def test_a_setting_is_checked_written_and_used(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await running.ask(WriteSetting(name="agent.max_steps", value_json=JsonText("9")))
        assert (tmp_path / "config.toml").read_text() == TINY.replace("= 5 ", "= 9 ")
        assert config_of(running).loaded.config.agent.max_steps == 9
        found = await setting(running, "agent.max_steps")
        assert (found.value_json, found.file_json, found.layer, found.live) == ("9", "9", "user", True)
        assert found.where == f"{tmp_path / 'config.toml'}:3"
        done = await running.ask(WriteSetting(name="budget.day_cost", value_json=JsonText("1.5")))
        assert isinstance(done, e.CommandDone)
        assert "counts from the next start" in done.text
        waits = await setting(running, "budget.day_cost")
        assert (waits.value_json, waits.file_json, waits.waits) == ("0.0", "1.5", True)
        await running.ask(WriteSetting(name="budget.day_cost"))
        assert "budget" not in (tmp_path / "config.toml").read_text()
        assert not (await setting(running, "budget.day_cost")).waits


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("agent.max_steps", "0", "must be at least 1"),
        ("agent.max_steps", '"many"', "whole number"),
        ("agent.max_steps", "{", "not JSON"),
        ("model.key", '"sk-secret-in-clear"', "must be a reference"),
        ("memory.redis.url", '"redis://u:p@h"', "must not hold a password"),
        ("agent.roots", '["relative"]', "absolute path"),
        ("servers.tiny", "{}", "no setting"),
        ("policy.rule", "[]", "no setting"),
    ],
)
async def test_a_wrong_value_changes_nothing(tmp_path: Path, name: str, value: str, words: str) -> None:
    async with rig(tmp_path, demo=False, config=TINY, connect="none") as running:
        failed = await running.ask(WriteSetting(name=name, value_json=JsonText(value)))
        assert isinstance(failed, e.CommandFailed)
        assert words in failed.what
        assert "secret-in-clear" not in failed.what
        assert (tmp_path / "config.toml").read_text() == TINY


async def test_what_goes_before_the_file_is_said(tmp_path: Path) -> None:
    options: dict[str, Any] = {"mode": "auto", "connect": "none"}
    async with rig(tmp_path, demo=False, config=TINY, **options) as running:
        done = await running.ask(WriteSetting(name="agent.mode", value_json=JsonText('"chat"')))
        assert isinstance(done, e.CommandDone)
        assert "in this run command line: --mode goes before it" in done.text
        assert (await setting(running, "agent.mode")).layer == "flag"
