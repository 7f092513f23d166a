"""Plugins in a real engine: switched on and off while it runs, loaded at its start, and kept from harm."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from omni_tui.__main__ import main
from omni_tui.plugins.plugin_states import PLUGINS_FILE, THEMES_FOLDER
from omni_tui.plugins.session_copies import MEMORY_FOLDER
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.models import FindModels, ModelsFound
from omni_tui.protocol.plugins import (
    CheckPlugin,
    DisablePlugin,
    EnablePlugin,
    ListPlugins,
    PluginChecked,
    PluginLine,
    PluginsChanged,
    PluginsListed,
)
from tests.engine.rig import Rig, rig, turns
from tests.lengths import some
from tests.plugin_folder import DICE, ECHO, MEMORY, THEME, PluginFolder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginFolder:
    made = PluginFolder(tmp_path / "site")
    monkeypatch.syspath_prepend(made.folder)
    return made


async def lines(running: Rig) -> dict[str, PluginLine]:
    listed = await running.ask(ListPlugins())
    assert isinstance(listed, PluginsListed)
    return {line.name: line for line in listed.plugins if not line.package.startswith("omni")}


async def enable(running: Rig, name: str, version: str = "1.0") -> str:
    answer = await running.ask(EnablePlugin(name=name, version=version))
    if isinstance(answer, e.CommandFailed):
        return str(answer.what)
    assert isinstance(answer, e.CommandDone)
    return str(answer.text)


async def disable(running: Rig, name: str) -> None:
    assert isinstance(await running.ask(DisablePlugin(name=name)), e.CommandDone)


async def models(running: Rig) -> list[str]:
    found = await running.ask(FindModels())
    assert isinstance(found, ModelsFound)
    return [each.name for each in found.models]


# --- on and off -----------------------------------------------------------------------------------


async def test_one_is_switched_on_used_and_switched_off_while_the_app_runs(
    tmp_path: Path, site: PluginFolder
) -> None:
    site.add("all", THEME.format(name="mine") + DICE + ECHO.format(before=""))
    theme = tmp_path / "state" / THEMES_FOLDER / "all" / "mine.toml"
    async with rig(tmp_path, demo=False) as running:
        assert (await lines(running))["all"].word == "off", "what is installed is not loaded by itself"
        checked = await running.ask(CheckPlugin(name="all"))
        assert isinstance(checked, PluginChecked)
        assert (checked.problem, checked.plugin.provides) == (
            "", ("model echo", "server dice", "theme mine")
        )  # fmt: skip
        assert (await lines(running))["all"].word == "off", "to check is not to enable"
        assert "is enabled: model echo, server dice, theme mine" in await enable(running, "all")
        await running.until(PluginsChanged)
        assert (await lines(running))["all"].word == "on"
        assert theme.read_text() == 'primary = "#7aa2f7"'
        assert "echo" in await models(running)

        await running.ask(c.SetModel(name="echo"))
        await running.ask(c.SendMessage(text="hi"))
        answer = await running.until(e.Answer)
        assert answer.text == "you said hi"

        await disable(running, "all")
        assert (await lines(running))["all"].word == "off"
        assert not theme.exists()
        assert "dice" not in running.engine.context.registry.names()
        assert "echo" not in [name for name in await models(running) if name != "echo"]
        await running.ask(c.SendMessage(text="again"))
        ended = await running.until(e.TurnEnded, lambda event: event.status != "done")
        assert "provided by the plugin all, which is not enabled" in ended.reason

        assert "is enabled" in await enable(running, "all")
        assert (await lines(running))["all"].word == "on"


async def test_tools_of_a_plugin_go_through_the_gate(tmp_path: Path, site: PluginFolder) -> None:
    site.add("dice", DICE)
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "dice")
        await running.connected("dice")
        server = next(event for event in running.of(e.ServerChanged) if event.name == "dice")
        assert (server.source, server.transport) == ("plugin", "memory")
        calls = len(running.of(e.CallFinished))
        reply = await running.ask(
            c.CallTool(server="dice", tool="roll", arguments_json='{"sides": 6}')  # type: ignore[arg-type]
        )
        assert isinstance(reply, e.CommandDone), reply
        finished = await running.until(e.CallFinished, after=calls)
        assert (finished.state, finished.parts[0].text) == ("succeeded", "6")
        journalled = [event.state for event in running.of(e.CallChanged) if event.call == reply.id]
        assert "dispatching" in journalled, "the gate has granted it, and the tap let it pass"


async def test_what_was_enabled_is_loaded_at_the_next_start_and_used_by_the_config(
    tmp_path: Path, site: PluginFolder
) -> None:
    site.add("all", DICE + ECHO.format(before=""))
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "all")
    async with rig(tmp_path, demo=False, config='[model]\nname = "echo"\n') as running:
        await running.ask(c.SendMessage(text="hi"))  # before it can be loaded
        answer = await running.until(e.Answer)
        assert answer.text == "you said hi"
        await running.connected("dice")


async def test_another_version_than_the_enabled_one_is_not_loaded_unasked(
    tmp_path: Path, site: PluginFolder
) -> None:
    site.add("one", THEME.format(name="mine"))
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "one")
    site.add("one", "raise SystemExit('it was run')", version="2.0")
    async with rig(tmp_path, demo=False) as running:
        await running.until(PluginsChanged)
        line = (await lines(running))["one"]
        assert line.word == "changed"
        assert "it was enabled as one 1.0 and is one 2.0 now" in line.reason
        assert "look at it again" in await enable(running, "one", "1.0")
        assert "is not enabled: it ends the process" in await enable(running, "one", "2.0")
    for file in site.folder.glob("*/entry_points.txt"):
        file.unlink()
    async with rig(tmp_path, demo=False) as running:
        await running.until(PluginsChanged)
        assert (await lines(running))["one"].word == "gone"


async def test_without_a_person_none_is_switched_on(tmp_path: Path, site: PluginFolder) -> None:
    site.add("one", THEME.format(name="mine"))
    async with rig(tmp_path, demo=False, headless=True) as running:
        assert "no person" in await enable(running, "one")


async def test_a_damaged_state_file_enables_none_and_says_so(tmp_path: Path, site: PluginFolder) -> None:
    site.add("one", THEME.format(name="mine"))
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "one")
    (tmp_path / "state" / PLUGINS_FILE).write_text('{"plugins": {"one": {"enabled": "yes')
    async with rig(tmp_path, demo=False) as running:
        listed = await running.ask(ListPlugins())
        assert isinstance(listed, PluginsListed)
        assert "was damaged" in listed.note
        assert {line.word for line in listed.plugins} <= {"off"}


async def test_that_one_was_enabled_stands_in_the_audit(tmp_path: Path, site: PluginFolder) -> None:
    site.add("one", THEME.format(name="mine"))
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "one")
        await disable(running, "one")
    entries = [json.loads(line) for line in (tmp_path / "state" / "audit.jsonl").read_text().splitlines()]
    assert {"plugin enabled", "plugin disabled"} <= {
        str(value) for one in entries for value in _values(one)
    }


def _values(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _values(each)
    elif isinstance(value, list):
        for each in value:
            yield from _values(each)
    else:
        yield value


# --- faults ---------------------------------------------------------------------------------------


async def test_a_model_that_fails_again_and_again_switches_its_plugin_off(
    tmp_path: Path, site: PluginFolder
) -> None:
    site.add("bad", ECHO.format(before="1 / 0") + THEME.format(name="mine"))
    async with rig(tmp_path, demo=False, config='[model]\nname = "echo"\n') as running:
        await enable(running, "bad")
        for number in range(1, 4):
            await running.ask(c.SendMessage(text="hi"))
            await running.count(e.TurnEnded, number)
        ended = running.of(e.TurnEnded)
        assert all("the plugin bad failed: its model echo failed: ZeroDivisionError" in each.reason
                   for each in ended)  # fmt: skip
        await running.until(e.Notice, lambda event: "was switched off" in event.what)
        line = (await lines(running))["bad"]
        assert (line.word, "ZeroDivisionError" in line.reason) == ("faulty", True)
    async with rig(tmp_path, demo=False) as running:
        assert (await lines(running))["bad"].word == "faulty", "it is not tried again by itself"


@pytest.mark.parametrize(
    ("before", "why"),
    some(
        [
            ("return", "ends without an answer"),
            ("yield 5", "ends without an answer"),
            ("raise SystemExit", "failed: SystemExit"),
            ("raise StopAsyncIteration", "RuntimeError"),
        ],
        2,
    ),
)
async def test_a_model_that_is_none_is_one_error(
    tmp_path: Path, site: PluginFolder, before: str, why: str
) -> None:
    site.add("bad", ECHO.format(before=before))
    async with rig(tmp_path, demo=False, config='[model]\nname = "echo"\n') as running:
        await enable(running, "bad")
        await running.ask(c.SendMessage(text="hi"))
        assert why in (await running.until(e.TurnEnded)).reason


async def test_one_that_breaks_later_is_switched_off_at_the_start_and_the_others_are_loaded(
    tmp_path: Path, site: PluginFolder
) -> None:
    bad = site.add("bad", THEME.format(name="mine"))
    site.add("good", THEME.format(name="other"))
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "bad")
        await enable(running, "good")
    bad.write_text("import os; os._exit(7)")
    async with rig(tmp_path, demo=False) as running:
        notice = await running.until(e.Notice, lambda event: "switched off" in event.what)
        assert "exit code 7" in notice.what
        await running.until(PluginsChanged)
        words = {name: line.word for name, line in (await lines(running)).items()}
        assert words == {"bad": "faulty", "good": "on"}
    themes = tmp_path / "state" / THEMES_FOLDER
    async with rig(tmp_path, demo=False) as running:
        await running.until(PluginsChanged)
        assert [place.name for place in themes.iterdir()] == ["good"]


async def test_two_plugins_cannot_have_one_name_and_the_second_takes_nothing(
    tmp_path: Path, site: PluginFolder
) -> None:
    site.add("one", DICE)
    site.add("two", THEME.format(name="mine") + ECHO.format(before="") + DICE)
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "one")
        assert "there is a server named dice already" in await enable(running, "two")
        assert (await lines(running))["two"].word == "off"
        assert "echo" not in await models(running)
        assert not (tmp_path / "state" / THEMES_FOLDER / "two").exists()
        assert "dice" in running.engine.context.registry.names()


async def test_a_hook_of_its_life_that_fails_enables_nothing(tmp_path: Path, site: PluginFolder) -> None:
    site.add("one", DICE + "@hookimpl\ndef omni_started(): raise OSError('no port')\n")
    async with rig(tmp_path, demo=False) as running:
        assert "omni_started failed: OSError: no port" in await enable(running, "one")
        assert running.engine.context.registry.names() == []


async def test_the_hooks_of_its_life_are_called_in_pairs(tmp_path: Path, site: PluginFolder) -> None:
    mark = tmp_path / "mark"
    site.add("one", THEME.format(name="x") + f"""
def note(word):
    with open({str(mark)!r}, 'a') as file: file.write(word + ' ')
@hookimpl
def omni_started(): note('started')
@hookimpl
def omni_stopping(): note('stopping'); raise RuntimeError('late')
""")  # fmt: skip
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "one")
        await disable(running, "one")
        await enable(running, "one")
    assert mark.read_text().split() == ["started", "stopping"] * 2


async def test_a_server_of_a_plugin_that_blocks_keeps_the_engine_free(
    tmp_path: Path, site: PluginFolder
) -> None:
    here, free = tmp_path / "here", tmp_path / "free"
    wait = (
        f"import os, time; open({str(here)!r}, 'w').close()\n"
        f"        while not os.path.exists({str(free)!r}): time.sleep(0.01)"
    )
    site.add("stuck", DICE.replace("def roll", "async def roll").replace("return sides", wait))
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "stuck")
        await running.connected("dice")
        call = asyncio.create_task(
            running.ask(c.CallTool(server="dice", tool="roll", arguments_json='{"sides": 1}'))  # type: ignore[arg-type]
        )
        await turns(here.exists)
        assert "stuck" in await lines(running), "the engine still answers"
        await disable(running, "stuck")
        assert "dice" not in running.engine.context.registry.names()
        await asyncio.wait_for(call, 20)
    (thread,) = [thread for thread in threading.enumerate() if "plugin stuck" in thread.name]
    free.touch()
    await asyncio.to_thread(thread.join, 20)
    assert not thread.is_alive(), "once it lets go, it ends"


# --- transports -----------------------------------------------------------------------------------

UNIX = """
import contextlib, json
import anyio
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

@contextlib.asynccontextmanager
async def connect(target):
    target.note("connecting to " + target.url)
    stream = await anyio.connect_unix(target.url.removeprefix("unix://"))
    inward, from_server = anyio.create_memory_object_stream(10)
    to_server, outward = anyio.create_memory_object_stream(10)
    async def read():
        data = b""
        with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError):
            async with inward:
                while True:
                    data += await stream.receive()
                    *lines, data = data.split(b"\\n")
                    for line in lines:
                        message = jsonrpc_message_adapter.validate_json(line)
                        await inward.send(SessionMessage(message))
    async def write():
        async for message in outward:
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            await stream.send(text.encode() + b"\\n")
    async with stream, from_server, outward, anyio.create_task_group() as group:
        group.start_soon(read)
        group.start_soon(write)
        yield from_server, to_server
        group.cancel_scope.cancel()

@hookimpl
def omni_transports():
    return [PluginTransport(scheme="unix", connect=connect)]
"""


class DemoOnASocket:
    """The demo server behind a Unix socket."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._notes = str(path.parent / "notes")
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        import subprocess
        import sys

        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                words = [sys.executable, "-m", "omni_tui.demo.server", self._notes]
                subprocess.run(words, stdin=client.fileno(), stdout=client.fileno(), check=False)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


async def test_a_transport_of_a_plugin_reaches_a_server_and_its_calls_pass_the_tap(
    tmp_path: Path, site: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("unix", UNIX)
    monkeypatch.chdir(tmp_path)
    path = Path("socket")
    server = DemoOnASocket(path)
    config = f'[servers.far]\nurl = "plugin+unix://{path}"\n'
    try:
        async with rig(tmp_path, demo=False, config=config) as running:
            failed = await running.until(e.ServerChanged, lambda event: event.state == "failed")
            assert "no plugin provides the transport plugin+unix:" in failed.reason
            assert "plugins list" in failed.todo
            await enable(running, "unix")
            await running.connected("far")
            await running.ask(c.CallTool(server="far", tool="add", arguments_json='{"a": 17, "b": 25}'))  # type: ignore[arg-type]
            finished = await running.until(e.CallFinished)
            assert (finished.state, finished.parts[0].text) == ("succeeded", "42")
        async with rig(tmp_path, demo=False, config=config) as running:
            await running.connected("far")
            assert not any(event.state == "failed" for event in running.of(e.ServerChanged))
    finally:
        server.close()
        os.unlink(path)


async def test_a_transport_that_fails_is_a_failure_of_its_server(
    tmp_path: Path, site: PluginFolder
) -> None:
    site.add("unix", UNIX)
    config = '[servers.far]\nurl = "plugin+unix:///nowhere/socket"\n'
    async with rig(tmp_path, config=config) as running:
        await enable(running, "unix")
        failed = await running.until(
            e.ServerChanged, lambda event: event.name == "far" and "FileNotFoundError" in event.reason
        )
        assert "the transport of the plugin unix failed" in failed.reason
        await running.connected("demo")


# --- memory ---------------------------------------------------------------------------------------


def restored(folder: Path, session: str, memory: str = "copies") -> int:
    """Restore a session from the memory of a plugin, as on the command line."""
    words = ["sessions", "restore", session, "--from", memory, "--state-dir", str(folder / "state")]
    return main(words)


async def test_a_closed_session_is_copied_sealed_and_comes_back(tmp_path: Path, site: PluginFolder) -> None:
    site.add("mem", MEMORY.format(put=""))
    kept = tmp_path / "state" / MEMORY_FOLDER / "copies"
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "mem")
        session = running.session_id
        await running.ask(c.SendMessage(text="words that only I may read"))
        await running.until(e.TurnEnded)
        await running.ask(c.NewSession())
        await turns(lambda: (kept / session).is_file())
    assert not list((tmp_path / "state" / "backups").glob("*")), "the person's own backups stay as they are"
    assert b"words that only" not in (kept / session).read_bytes(), "a memory gets nothing that it can read"
    file = tmp_path / "state" / "sessions" / f"{session}.db"
    file.unlink()
    assert await asyncio.to_thread(restored, tmp_path, session) == 0
    async with rig(tmp_path, demo=False, resume=session) as running:
        await running.until(e.UserMessage, lambda event: event.text == "words that only I may read")


async def test_a_session_that_was_not_copied_in_time_is_copied_at_the_next_start(
    tmp_path: Path, site: PluginFolder
) -> None:
    site.add("mem", MEMORY.format(put=""))
    kept = tmp_path / "state" / MEMORY_FOLDER / "copies"
    async with rig(tmp_path, demo=False) as running:
        session = running.session_id
        await running.ask(c.SendMessage(text="hi"))
        await running.until(e.TurnEnded)
    async with rig(tmp_path, demo=False, resume="new") as running:
        await enable(running, "mem")
    assert not (kept / session).exists(), "nothing is copied in a hurry when one is enabled"
    async with rig(tmp_path, demo=False, resume="new"):
        await turns(lambda: (kept / session).is_file())


async def test_a_memory_that_fails_costs_no_session_and_is_said(tmp_path: Path, site: PluginFolder) -> None:
    bad = "if data[:6] == b'SQLite': raise OSError('no space')"
    site.add("mem", MEMORY.format(put=bad))
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "mem")
        session = running.session_id
        await running.ask(c.SendMessage(text="hi"))
        await running.until(e.TurnEnded)
        await running.ask(c.NewSession())
        notice = await running.until(e.Notice, lambda event: "no space" in event.what)
        assert "the memory copies of the plugin mem failed" in notice.what
    async with rig(tmp_path, demo=False, resume=session) as running:
        await running.until(e.UserMessage)


@pytest.mark.parametrize("data", some([b"SQLite format 3\x00" + b"no" * 500, b"rubbish", b""], 1))
async def test_a_copy_that_is_none_replaces_nothing(
    tmp_path: Path, site: PluginFolder, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("mem", MEMORY.format(put=""))
    kept = tmp_path / "state" / MEMORY_FOLDER / "copies"
    async with rig(tmp_path, demo=False) as running:
        await enable(running, "mem")
        session = running.session_id
        await running.ask(c.SendMessage(text="hi"))
        await running.until(e.TurnEnded)
    (kept / session).write_bytes(data)
    file = tmp_path / "state" / "sessions" / f"{session}.db"
    before = file.read_bytes()
    assert await asyncio.to_thread(restored, tmp_path, session) == 1
    assert file.read_bytes() == before
    assert await asyncio.to_thread(restored, tmp_path, session, "nowhere") == 2
    assert "no enabled plugin provides a memory nowhere" in capsys.readouterr().err
