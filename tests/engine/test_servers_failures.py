"""Each way a server can fail: said in words on its own row, tried again, harmless to others."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from omni_tui.config.server_program import program_of
from omni_tui.config.spec import ServerSpec
from omni_tui.protocol.events import ServerChanged
from omni_tui.servers import CallError
from tests.bench.servers import longest_gap
from tests.engine.faults.harness import connected, fault


async def test_wrong_command_is_said_and_not_tried_again(tmp_path: Path) -> None:
    async with connected(tmp_path, ServerSpec(name="x", command="no-such-program-here")) as servers:
        failed = await servers.reach("x", "failed")
        assert failed.reason == "cannot start 'no-such-program-here': no such program; check command/PATH"
        assert failed.next_try is None
        assert servers.states("x") == ["connecting", "failed"]


async def test_missing_folder_and_file_without_permission_are_told_apart(tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("hello")
    folder = ServerSpec(name="folder", command="cat", cwd=str(tmp_path / "nowhere"))
    file = ServerSpec(name="file", command=str(plain))
    async with connected(tmp_path, folder, file) as servers:
        assert "no such folder" in (await servers.reach("folder", "failed")).reason
        assert "not permitted to run it" in (await servers.reach("file", "failed")).reason


async def test_exit_is_told_with_code_and_last_words(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("exits")) as servers:
        failed = await servers.reach("exits", "failed")
        assert failed.reason == "it exited with code 3: no licence found"
        log = servers.registry.get("exits").log
        lines, dropped = log.lines(), log.dropped
        assert lines[:2] == ["first line", "no licence found"]
        assert dropped == 0


async def test_server_is_started_again_three_times_then_only_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_tui.servers.reconnect.FIRST_DELAY_S", 0.01)
    async with connected(tmp_path, fault("exits")) as servers:
        await servers.until(lambda: servers.states("exits").count("failed") == 4)
        last = servers.last("exits")
        assert last.next_try is None
        assert "reconnect it to try again" in last.todo
        await servers.registry.get("exits").reconnect()
        await servers.until(lambda: servers.states("exits").count("failed") == 5)
        assert servers.last("exits").next_try is not None


async def test_backoff_is_visible(tmp_path: Path) -> None:
    before = time.time()
    async with connected(tmp_path, fault("exits")) as servers:
        failed = await servers.reach("exits", "failed")
        assert failed.attempt == 1
        assert failed.next_try is not None
        assert 0.4 < failed.next_try - before < 60


async def test_hang_at_initialize_is_said_and_delays_nobody(tmp_path: Path) -> None:
    mute = [
        fault(mode, name=f"{mute}{mode}", connect_timeout=4) for mute in "ab" for mode in ("mute", "deaf")
    ]
    async with connected(tmp_path, *mute, fault(), max_starts=2) as servers:
        await servers.reach("good", "idle")
        assert all(servers.last(spec.name).state == "connecting" for spec in mute[2:])
        failed = await servers.reach(mute[0].name, "failed")
        assert failed.reason == "did not answer initialize within 4 s"


async def test_death_while_idle_is_noticed_at_once(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("dies_idle")) as servers:
        await servers.reach("dies_idle", "idle")
        begun = time.monotonic()
        failed = await servers.reach("dies_idle", "failed")
        assert time.monotonic() - begun < 30
        assert failed.reason == "it exited with code 3: out of luck"
        assert servers.gone == ["dies_idle"]
        assert failed.tools == 0


async def test_death_in_a_call_leaves_its_outcome_open(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("dies_in_call")) as servers:
        await servers.reach("dies_in_call", "idle")
        with pytest.raises(CallError) as caught:
            await servers.call("dies_in_call", "echo")
        assert caught.value.sent
        assert not caught.value.answered
        assert caught.value.what == "the connection was cut; the call may or may not have run"
        failed = await servers.reach("dies_in_call", "failed")
        assert failed.reason == "it exited with code 9: segmentation of the mind"


async def test_it_comes_back_by_itself(tmp_path: Path) -> None:
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        with pytest.raises(CallError):
            await servers.call("good", "die")
        await servers.reach("good", "failed")
        back = await servers.reach("good", "idle", "active")
        assert back.attempt == 0
        assert servers.listings == ["good", "good"]
        assert not (await servers.call("good", "echo")).is_error


async def test_call_without_a_connection_was_surely_not_sent(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("exits")) as servers:
        await servers.reach("exits", "failed")
        with pytest.raises(CallError) as caught:
            await servers.call("exits", "echo")
        assert not caught.value.sent
        assert "it exited with code 3" in caught.value.what


async def test_junk_on_standard_output_is_counted(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("junk")) as servers:
        await servers.reach("junk", "idle")
        assert servers.registry.get("junk").describe().odd == 200
        assert (await servers.call("junk", "echo", {"a": 1})).structured == {"arguments": {"a": 1}}


async def test_line_over_the_limit_ends_the_connection(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("huge_line")) as servers:
        failed = await servers.reach("huge_line", "failed")
        assert failed.reason == "it sent a message of more than 16 MiB in one line"


async def test_flood_on_standard_error_slows_nothing(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("flood"), fault()) as servers:
        await servers.reach("flood", "idle")
        await servers.reach("good", "idle")
        await servers.until(lambda: servers.registry.get("flood").log.dropped > 10_000)

        async def calls() -> None:
            for number in range(100):
                await servers.call("good", "echo", {"n": number})

        assert await longest_gap(calls(), time.thread_time) < 250
        log = servers.registry.get("flood").log
        lines, dropped = log.lines(), log.dropped
        assert 0 < len(lines) <= 5000
        assert dropped > 10_000
        told = [
            event for event in servers.events if isinstance(event, ServerChanged) and event.name == "flood"
        ]
        assert len(told) < 40


async def test_large_result_does_not_hold_the_loop(tmp_path: Path) -> None:
    async with connected(tmp_path, fault()) as servers:
        await servers.reach("good", "idle")
        results = []

        async def call() -> None:
            results.append(await servers.call("good", "rows", {"count": 60_000}))

        gap = await longest_gap(call(), time.thread_time)
        assert len(results[0].structured["rows"]) == 60_000
        assert gap < 1000, "far above the budget of 250 ms, which the benchmark measures"


async def test_names_that_attack_the_terminal_stay_exact_and_are_never_shown_raw(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("hostile")) as servers:
        idle = await servers.reach("hostile", "idle")
        names = [tool.name for tool in servers.tools["hostile"]]
        assert "\x1b[2J\x1b]0;owned\x07escape" in names
        assert "right\u202eleft\u2066bidi" in names
        assert idle.server_version == "fault<U+001B>[7m 1"
        result = await servers.call("hostile", names[1], {"a": 1})
        assert result.structured == {"arguments": {"a": 1}}


async def test_stubborn_server_is_killed_with_its_group(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("stubborn"), fault()) as servers:
        await servers.reach("stubborn", "idle")
        await servers.reach("good", "idle")
        groups = servers.processes.groups
        assert len(groups) == 2
        begun = time.monotonic()
        await servers.registry.stop()
        assert time.monotonic() - begun < 30
        assert not servers.processes.groups
        assert not any(Path(f"/proc/{group}").exists() for group in groups)


async def test_stop_while_servers_are_still_starting(tmp_path: Path) -> None:
    specs = [fault("deaf", name=f"deaf{number}") for number in range(6)]
    async with connected(tmp_path, *specs, max_starts=2) as servers:
        await servers.until(lambda: len(servers.processes.groups) >= 1 or len(servers.events) >= 6)
        await asyncio.wait_for(servers.registry.stop(), 30)
        assert not servers.processes.groups
        assert {servers.last(spec.name).state for spec in specs} == {"disabled"}


async def test_a_program_that_cannot_run_is_not_passed_over_for_the_next_of_its_name(
    tmp_path: Path,
) -> None:
    """What was shown when it was allowed is the first of PATH; nothing else may start in its place."""
    for folder, text in (("first", "\x00nothing that runs"), ("second", "#!/bin/sh\ntouch ran\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tool").write_text(text)
        (tmp_path / folder / "tool").chmod(0o755)
    path = f"{tmp_path}/first:{tmp_path}/second:/bin"
    spec = ServerSpec(name="s", command="tool", cwd=str(tmp_path), env={"PATH": path}, allowed=True)
    assert program_of(spec) == str(tmp_path / "first" / "tool")
    async with connected(tmp_path / "state", spec) as servers:
        await servers.reach("s", "failed")
    assert not (tmp_path / "ran").exists()
