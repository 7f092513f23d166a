"""The invariants that hold for the whole engine, each by its number; 1, 2, 5 and 12 stand elsewhere.

1 and 2: `test_gate.py`, `tests/unit/test_grants.py`, `tests/unit/test_tap.py`; 5:
`tests/face/test_approvals_keys.py`, `tests/security/test_typing_is_safe.py`; 12: `tests/chaos/`.
"""

from __future__ import annotations

import asyncio
import sys
import unicodedata
from pathlib import Path

import pytest
from mcp.client.client import Client

from omni_tui.config.load import load_config
from omni_tui.models.base import ToolCall
from omni_tui.protocol import LaunchOptions, encode
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.server_settings import LaunchRead
from tests.engine.rig import rig
from tests.scripted_model import ScriptedModel, reply

FAULTS = Path(__file__).parent / "faults" / "server.py"
UNSAFE = {"Cc", "Cf", "Co", "Cs", "Cn"}


def fault(name: str, mode: str) -> str:
    return f'\n[servers.{name}]\ncommand = "{sys.executable}"\nargs = ["-I", "-S", "{FAULTS}", "{mode}"]\n'


async def test_invariant_3_every_call_has_one_result_before_the_next_request(tmp_path: Path) -> None:
    wanted = [
        ToolCall("p0", "demo__add", '{"a":1,"b":2}'),
        ToolCall("p1", "demo__add", '{"a":'),
        ToolCall("p2", "demo__no_such_tool", "{}"),
        ToolCall("p3", "demo__always_fails", '{"reason":"because"}'),
        ToolCall("p4", "demo__delete_note", '{"name":"a"}'),
    ]
    model = ScriptedModel([reply("", *wanted)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await running.ask(c.SendMessage(text="go"))
        asked = await running.until(e.ApprovalRequested)
        await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="reject"))
        await running.until(e.TurnEnded)
        told = [message.call_id for message in model.requests[1].messages if message.role == "tool"]
        assert told == [call.id for call in wanted]


async def test_invariant_4_no_unsafe_character_of_a_server_leaves_the_engine(tmp_path: Path) -> None:
    async with rig(tmp_path, config=fault("bad", "hostile")) as running:
        await running.connected()
        await running.until(e.ToolsListed, lambda event: event.server == "bad" and bool(event.tools))
        hostile = "\x1b]52;c;eA==\x07\u202e\u200b\U000e0041[/][@click=app.quit]x"
        import json

        call = await running.by_hand("echo", json.dumps({"text": hostile}))
        await running.until(e.CallFinished, lambda event: event.call == call)
        for event in running.seen:
            if isinstance(event, e.ToolsListed):
                text = "".join(f"{tool.label}{tool.title}{tool.description}" for tool in event.tools)
            elif isinstance(event, e.ToolDetails):
                text = event.label + event.description
            else:
                text = encode(event).decode()
                assert "\\u001b" not in text
            found = {one for one in text if unicodedata.category(one) in UNSAFE} - {"\n", "\t"}
            assert not found, (type(event).__name__, found)


async def test_invariant_6_a_server_that_hangs_costs_its_own_row_only(tmp_path: Path) -> None:
    wrong = '\n[servers.wrong]\ncommand = "no-such-program-anywhere"\n'
    config = fault("mute", "deaf") + fault("noisy", "flood") + wrong
    async with rig(tmp_path, config=config) as running:
        await running.connected()
        call = await running.by_hand("add", '{"a":1,"b":2}')
        ended = await running.until(e.CallFinished, lambda event: event.call == call)
        assert ended.state == "succeeded"
        failed = await running.until(
            e.ServerChanged, lambda event: event.name == "wrong" and event.state == "failed"
        )
        assert "no-such-program-anywhere" in failed.reason


async def test_invariant_7_one_task_enters_and_leaves_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: dict[int, asyncio.Task[object] | None] = {}
    left: dict[int, asyncio.Task[object] | None] = {}
    callers: set[asyncio.Task[object] | None] = set()
    enter, leave = Client.__aenter__, Client.__aexit__

    async def entering(self: Client) -> Client:
        entered[id(self)] = asyncio.current_task()
        return await enter(self)

    async def leaving(self: Client, *error: object) -> bool | None:
        left[id(self)] = asyncio.current_task()
        return await leave(self, *error)  # type: ignore[arg-type,func-returns-value]

    monkeypatch.setattr(Client, "__aenter__", entering)
    monkeypatch.setattr(Client, "__aexit__", leaving)
    async with rig(tmp_path) as running:
        await running.connected()
        connection = running.engine.context.registry.get("demo")
        send = connection.call_tool

        async def watched(dispatch, **more):  # type: ignore[no-untyped-def]
            callers.add(asyncio.current_task())
            return await send(dispatch, **more)

        connection.call_tool = watched  # type: ignore[method-assign]
        call = await running.by_hand("add", '{"a":1,"b":2}')
        await running.until(e.CallFinished, lambda event: event.call == call)
        await running.ask(c.ReconnectServer(server="demo"))
        seen = len(running.seen)
        await running.until(e.ToolsListed, lambda event: bool(event.tools), after=seen)
    assert len(entered) >= 1
    assert entered == left
    assert callers.isdisjoint(entered.values())


def test_invariant_8_an_unknown_key_is_named_with_its_line_and_everything_asks(tmp_path: Path) -> None:
    options = LaunchOptions(config=str(tmp_path / "config.toml"), state_dir=str(tmp_path))
    (tmp_path / "config.toml").write_text('[policy]\nauto = "allow"\ndecison = "deny"\n')
    loaded = load_config(options, {})
    assert "config.toml:3" in loaded.problems[0].where
    assert loaded.config.policy.auto == "ask"


def test_invariant_9_a_project_may_tighten_and_never_loosen(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "config.toml").write_text('[policy]\nchat = "ask"\nauto = "allow"\n')
    (folder / ".omni-tui.toml").write_text(
        '[policy]\nchat = "allow"\nauto = "deny"\n[servers.theirs]\ncommand = "true"\n'
    )
    options = LaunchOptions(
        config=str(tmp_path / "config.toml"), state_dir=str(tmp_path), project=str(folder)
    )
    loaded = load_config(options, {})
    assert loaded.config.policy.chat == "ask"
    assert loaded.config.policy.auto == "deny"
    assert [spec.allowed for spec in loaded.servers if spec.name == "theirs"] == [False]


async def test_invariant_10_nothing_that_was_said_stands_in_plain_on_the_disk(tmp_path: Path) -> None:
    canaries = [b"canary-message-7f3a", b"canary-argument-91bc", b"canary-answer-55d0"]
    call = ToolCall("p1", "demo__echo", '{"text":"canary-argument-91bc"}')
    model = ScriptedModel([reply("", call)], [reply("canary-answer-55d0")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await running.ask(c.SendMessage(text="canary-message-7f3a"))
        await running.until(e.TurnEnded)
        assert b"canary-answer" in b"".join(encode(event) for event in running.seen)
        for file in (path for path in (tmp_path / "state").rglob("*") if path.is_file()):
            data = file.read_bytes()
            assert not [canary for canary in canaries if canary in data], file
            assert file.stat().st_mode & 0o077 == 0, file


async def test_invariant_11_a_projects_server_starts_only_when_the_person_says_so(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    mark = tmp_path / "started"
    (project / ".omni-tui.toml").write_text(
        f'[servers.theirs]\ncommand = "{sys.executable}"\n'
        f'args = ["-I", "-S", "-c", "open({str(mark)!r}, \'w\')"]\n'
    )
    async with rig(tmp_path, project=str(project)) as running:
        await running.connected()
        listed = await running.until(e.ServerChanged, lambda event: event.name == "theirs")
        assert listed.state == "not_allowed"
        assert not mark.exists()
        launch = await running.ask(c.ReadLaunch(server="theirs"))
        assert isinstance(launch, LaunchRead)
        assert launch.program == sys.executable
        refused = await running.ask(c.AllowServer(server="theirs", digest="of something else"))
        assert isinstance(refused, e.CommandFailed)
        assert "has changed" in refused.what + refused.why
        assert not mark.exists()
        await running.ask(c.AllowServer(server="theirs", digest=launch.digest))
        await running.until(
            e.ServerChanged, lambda event: event.name == "theirs" and event.state == "failed"
        )
        assert mark.exists()
