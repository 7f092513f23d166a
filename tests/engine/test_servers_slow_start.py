"""Servers that are slow to start: each row says how its last try ended, and some get longer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import pytest

from omni_tui.config.load import load_config
from omni_tui.config.server_program import FIRST_START, is_package_runner
from omni_tui.config.spec import ServerSpec
from omni_tui.engine.server_stores import KnownTransportsFile
from omni_tui.protocol import LaunchOptions
from omni_tui.protocol.events import ServerChanged
from tests.command_line import command
from tests.engine.faults.harness import SERVER, Harness, connected, fault

LATE = "import sys, time; time.sleep(float(sys.argv[1])); exec(open(sys.argv[2]).read())"


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni_tui.servers.reconnect.FIRST_DELAY_S", 0.01)


@pytest.mark.usefixtures("quick_retries")
async def test_a_server_that_is_tried_again_says_how_the_last_try_ended(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("mute", connect_timeout=0.5), fault("exits")) as servers:
        for name, why in (
            ("mute", "did not answer initialize within 0.5 s"),
            ("exits", "it exited with code 3: no licence found"),
        ):
            await servers.until(lambda name=name: len(connecting(servers, name)) > 1)  # type: ignore[misc]
            told = connecting(servers, name)
            assert told[0].reason == ""
            assert told[1].reason == f"{why}; trying again"


def connecting(servers: Harness, name: str) -> list[ServerChanged]:
    """Return what was told of a server while it was connecting."""
    about = (event for event in servers.events if isinstance(event, ServerChanged))
    return [event for event in about if event.name == name and event.state == "connecting"]


async def test_connecting_by_hand_begins_without_the_former_reason(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("exits")) as servers:
        await servers.reach("exits", "failed")
        count = len(servers.events)
        await servers.registry.get("exits").reconnect()
        begun = next(
            event for event in servers.events[count:] if getattr(event, "state", "") == "connecting"
        )
        assert begun.reason == ""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "todo"),
    [
        ("user", "connect_timeout in its settings, or --connect-timeout SECONDS for one run"),
        ("flag", "(--connect-timeout SECONDS for one run)"),
    ],
)
async def test_advice_fits_where_the_server_is_defined(tmp_path: Path, source: str, todo: str) -> None:
    async with connected(tmp_path, fault("mute", connect_timeout=0.3, source=source)) as servers:
        failed = await servers.reach("mute", "failed")
        assert todo in failed.todo
        assert "omni-tui servers log mute" in failed.todo


async def test_first_start_of_what_downloads_gets_longer_until_it_has_worked(tmp_path: Path) -> None:
    spec = ServerSpec(
        name="late",
        command=sys.executable,
        args=("-I", "-S", "-c", LATE, "2", SERVER),
        connect_timeout=0.5,
        first_start=20.0,
    )
    memory = KnownTransportsFile(tmp_path / "ways.json")
    async with connected(tmp_path / "a", spec, memory=memory) as servers:
        await servers.until(lambda: servers.states("late") == ["connecting"])
        await servers.reach("late", "idle")
        assert [event.reason for event in connecting(servers, "late")][
            -1
        ] == "a first start may take up to 20 s"
    # It is known now: the next time it gets the usual time.
    async with connected(tmp_path / "b", spec, memory=memory) as servers:
        failed = await servers.reach("late", "failed")
        assert failed.reason == "did not answer initialize within 0.5 s"


@pytest.mark.parametrize(
    "command",
    [
        "npx -y @scope/server",
        "/usr/local/bin/npx @scope/server",
        "C:\\nodejs\\npx.cmd -y x",
        "uvx mcp-server-time",
        "uv tool run mcp-server-time",
        "uv --directory /x run server.py",
        "bunx x",
        "pnpm dlx x",
        "yarn dlx x",
        "npm exec x",
        "pipx run x",
        "docker run -i --rm x",
        "podman run -i x",
        "deno run npm:x",
        "dnx x",
        "go run example.com/x@latest",
        "cmd /c npx -y x",
        "env A=b npx x",
    ],
)
def test_programs_that_fetch_what_they_run_are_known(command: str) -> None:
    program, *args = command.split(" ")
    assert is_package_runner(program, args)


@pytest.mark.parametrize(
    "command",
    [
        "node server.js",
        "python -m npx",
        "npm start",
        "docker ps",
        "uv pip list",
        "my-npx",
        "sh -c ./server",
        "",
        "sh",
    ],
)
def test_other_programs_are_not(command: str) -> None:
    program, *args = command.split(" ")
    assert not is_package_runner(program, args)


def test_only_who_has_not_set_a_time_gets_another(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[servers.a]\ncommand = "npx"\nargs = ["x"]\n'
        '[servers.b]\ncommand = "npx"\nargs = ["x"]\nconnect_timeout = 5\n'
        '[servers.c]\ncommand = "node"\nargs = ["x"]\n'
    )
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"d": {"command": "uvx", "args": ["x"]}}}))
    where = LaunchOptions(
        config=str(config), mcp_config=str(tmp_path / "mcp.json"), state_dir=str(tmp_path / "s")
    )
    specs = {spec.name: spec for spec in load_config(where, {}).servers}
    assert {name: spec.first_start for name, spec in specs.items()} == {
        "a": FIRST_START,
        "b": 0.0,
        "c": 0.0,
        "d": FIRST_START,
    }
    assert {name: spec.connect_timeout for name, spec in specs.items()} == {
        "a": 30,
        "b": 5,
        "c": 30,
        "d": 30,
    }
    for spec in load_config(msgspec.structs.replace(where, connect_timeout=7.0), {}).servers:
        assert (spec.connect_timeout, spec.first_start) == (7.0, 0.0)


def test_report_says_of_every_server_what_came_of_it(tmp_path: Path) -> None:
    """Two that fail at once are tried again while another still starts."""
    good = {"command": sys.executable, "args": ["-I", "-S", "-c", LATE, "4", SERVER]}
    dies = {"command": sys.executable, "args": ["-c", "import sys; sys.exit('no licence found')"]}
    mute = {"command": sys.executable, "args": ["-I", "-S", SERVER, "mute"]}
    servers = {"good": good, "dies": dies, "mute": mute}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    where = ("--mcp-config", str(tmp_path / "mcp.json"), "--state-dir", str(tmp_path / "state"))
    done = command("servers", "--json", "--connect-timeout", "2", *where)
    told = {each["name"]: each for each in json.loads(done.stdout)}
    assert done.returncode == 1
    assert "no licence found" in told["dies"]["error"]
    assert "did not answer initialize within 2 s" in told["mute"]["error"]
    assert "did not answer initialize within 2 s" in told["good"]["error"]
    assert all("trying again" in one["error"] for one in told.values() if one["state"] == "connecting")
    patient = command("servers", "--json", "--connect-timeout", "8", *where)
    told = {each["name"]: each for each in json.loads(patient.stdout)}
    assert told["good"]["error"] is None
    assert told["good"]["tools"] > 0
    assert "did not answer initialize within 8 s" in told["mute"]["error"]
