"""States, listings and consent: what each server's row tells, and when its tools are listed again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from omni_tui.config.server_environment import EVERY_SERVER, SSH_AGENT
from omni_tui.protocol.events import ServerChanged
from omni_tui.servers import CallError
from tests.engine.faults.harness import connected, fault


def test_the_sdk_is_not_imported_with_the_room() -> None:
    program = (
        "import sys, omni_tui.servers; sys.exit(any(m in sys.modules for m in ('mcp', 'httpx2', 'anyio')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_row_of_a_connected_server(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("offers")) as servers:
        idle = await servers.reach("offers", "idle")
        assert servers.states("offers") == ["connecting", "idle"]
        assert (idle.protocol, idle.prompts, idle.resources) == ("2025-11-25", 1, 1)
        assert idle.tools == len(servers.tools["offers"]) == 13
        assert idle.latency_ms is not None
        assert 0 < idle.latency_ms < 5000
        assert idle.transport == "stdio"
        assert "server.py offers" in idle.target
        assert servers.registry.get("offers").instructions == "Be gentle."
        [snapshot] = servers.registry.snapshot()
        assert snapshot.state == "idle"


async def test_active_while_calling_and_for_a_while_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_tui.servers.activity.RECENT_S", 0.2)
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        await servers.call("good", "echo")
        await servers.reach("good", "active")
        await servers.reach("good", "idle")
        assert servers.states("good") == ["connecting", "idle", "active", "idle"]


async def test_events_only_when_something_changed(tmp_path: Path) -> None:
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        await servers.registry.get("good").refresh()
        await servers.call("good", "echo")
        told = [event for event in servers.events if isinstance(event, ServerChanged)]
        bare = [
            (e.state, e.reason, e.calls, e.log_lines, e.latency_ms, e.tools, e.attempt, e.next_try)
            for e in told
        ]
        assert all(one != other for one, other in pairwise(bare))


async def test_nothing_runs_without_consent(tmp_path: Path) -> None:
    spec = fault(source="project", allowed=False)
    async with connected(tmp_path, spec) as servers:
        assert servers.last("good").state == "not_allowed"
        await servers.registry.get("good").reconnect()
        assert servers.last("good").state == "not_allowed"
        assert not servers.processes.groups
        await servers.registry.get("good").allow()
        await servers.reach("good", "idle")


async def test_disconnect_reconnect_remove(tmp_path: Path) -> None:
    async with connected(tmp_path, fault(), fault(name="off", enabled=False)) as servers:
        assert servers.last("off").state == "disabled"
        await servers.reach("good", "idle")
        pid = servers.registry.get("good").pid
        await servers.registry.get("good").disconnect()
        assert servers.last("good").state == "disabled"
        assert servers.last("good").reason == "disconnected by you"
        assert servers.gone == ["good"]
        assert not Path(f"/proc/{pid}").exists()
        with pytest.raises(CallError):
            await servers.registry.get("good").refresh()
        await servers.registry.get("good").reconnect()
        await servers.reach("good", "idle")
        assert servers.registry.get("good").pid != pid
        await servers.registry.get("good").reconnect()
        await servers.until(lambda: servers.listings.count("good") == 3)
        await servers.registry.remove("good")
        assert servers.removed() == ["good"]
        assert servers.registry.names() == ["off"]
        with pytest.raises(KeyError):
            servers.registry.get("good")


async def test_name_can_be_used_once(tmp_path: Path) -> None:
    async with connected(tmp_path, fault(enabled=False)) as servers:
        with pytest.raises(ValueError, match="already"):
            servers.registry.add(fault())


async def test_unresolved_reference_is_said_and_nothing_runs(tmp_path: Path) -> None:
    async with connected(tmp_path, fault(problem="${TOKEN} is not set")) as servers:
        assert (await servers.reach("good", "failed")).reason == "${TOKEN} is not set"
        assert not servers.processes.groups


async def test_a_server_that_cannot_start_is_not_waiting_to_be_allowed(tmp_path: Path) -> None:
    spec = fault(problem="asks for the transport 'ws'", source="imported", allowed=False)
    async with connected(tmp_path, spec) as servers:
        failed = servers.last("good")
        assert (failed.state, failed.reason) == ("failed", "asks for the transport 'ws'")
        assert failed.todo == "It is defined in the imported file."


@pytest.mark.parametrize("mode", ["good", "modern"])
async def test_change_of_the_list_is_followed_once_for_a_burst(tmp_path: Path, mode: str) -> None:
    async with connected(tmp_path, fault(mode)) as servers:
        await servers.reach(mode, "idle")
        await servers.call(mode, "change")
        await servers.until(lambda: len(servers.listings) == 2)
        assert servers.tools[mode][-1].name == "extra"
        await servers.registry.get(mode).refresh()
        assert len(servers.listings) == 3


@pytest.mark.parametrize(
    ("mode", "tools", "words"),
    [
        ("pages", 4, ""),
        ("endless", 100, "has more tools than the 100 that are taken"),
        ("circling", 2, "its list of tools stopped at 2: it gave the same cursor twice"),
        ("many", 500, "has more tools than the 500 that are taken"),
        (
            "sloppy",
            2,
            "not used: a tool: its name is a number; a tool: it is a text, not an object",
        ),
    ],
)
async def test_listing_is_bounded_and_forgiving(tmp_path: Path, mode: str, tools: int, words: str) -> None:
    async with connected(tmp_path, fault(mode)) as servers:
        idle = await servers.reach(mode, "idle")
        assert idle.tools == len(servers.tools[mode]) == tools
        assert idle.reason == words


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("refuses_list", "refuses to list its tools: "),
        ("hangs_list", "did not answer tools/list within 0.5 s"),
    ],
)
async def test_server_that_does_not_list_is_degraded(tmp_path: Path, mode: str, words: str) -> None:
    async with connected(tmp_path, fault(mode, list_timeout=0.5)) as servers:
        degraded = await servers.reach(mode, "degraded")
        assert degraded.reason.startswith(words)
        assert (await servers.call(mode, "echo")).content


async def test_one_request_of_each_kind(tmp_path: Path) -> None:
    record = tmp_path / "frames"
    async with connected(tmp_path, fault("record", str(record))) as servers:
        await servers.reach("record", "idle")
        assert record.read_text().count('"method":"tools/list"') == 1
        assert record.read_text().count('"method":"prompts/list"') == 0


async def test_many_servers_in_any_order_leave_nothing_behind(tmp_path: Path) -> None:
    specs = [fault(name=f"s{number}") for number in range(12)]
    async with connected(tmp_path, *specs) as servers:
        for spec in specs:
            await servers.reach(spec.name, "idle")
        groups = set(servers.processes.groups)
        assert len(groups) == 12
        await asyncio.gather(*(servers.registry.get(f"s{number}").disconnect() for number in (7, 2, 11, 0)))
        with pytest.raises(CallError):
            await servers.call("s5", "die")
        await servers.registry.remove("s3")
        await servers.registry.stop()
        assert not servers.processes.groups
        assert not any(Path(f"/proc/{group}").exists() for group in groups)


async def test_environment_of_a_server_is_the_allowed_list_and_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_SECRET", "1234")
    monkeypatch.setenv("TERM", "() { :; }; echo")
    async with connected(tmp_path, fault(env={"OWN": "yes"})) as servers:
        await servers.reach("good", "idle")
        environ = Path(f"/proc/{servers.registry.get('good').pid}/environ").read_bytes().split(b"\0")
        names = {entry.partition(b"=")[0] for entry in environ if entry}
        allowed = {name.encode() for name in (*EVERY_SERVER, SSH_AGENT)}
        assert names <= allowed | {b"OWN", b"OMNI_TUI_LEASE"}
        assert b"TERM" not in names
        assert f"OMNI_TUI_LEASE={servers.processes.engine_id}".encode() in environ
        assert b"OWN=yes" in environ
