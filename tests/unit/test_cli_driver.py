"""The conversation with an engine, and what commands print."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from omni_tui.cli.engine_client import EngineClient
from omni_tui.cli.output import CliError, table, text_width
from omni_tui.protocol import AnyEvent, LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.unit.scripted_engine import FakeLink, S, nothing, server

# --- the driver -----------------------------------------------------------------------------------


async def test_everybody_who_waits_is_told_when_the_engine_dies() -> None:
    link = FakeLink(nothing, [])
    driver = EngineClient(link)
    await driver.start()
    asking = asyncio.ensure_future(driver.ask(c.ListSessions()))
    waiting = asyncio.ensure_future(driver.until(lambda: False))
    await asyncio.sleep(0)
    link.die()
    for task in (asking, waiting):
        with pytest.raises(CliError, match="signal 9"):
            await asyncio.wait_for(task, 60)
    with pytest.raises(CliError, match="signal 9"):
        await driver.ask(c.ListSessions())


async def test_a_reader_that_has_had_enough_is_no_fault_of_the_engine() -> None:
    def heard(_event: AnyEvent) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    driver = EngineClient(FakeLink(nothing, [server("a", "connecting")]), heard)
    with pytest.raises(BrokenPipeError):
        await driver.start()
    with pytest.raises(BrokenPipeError):
        await driver.until(lambda: False)


async def test_the_last_words_of_an_engine_that_did_not_start_are_told() -> None:
    words = e.Notice(level="error", what=S("it did not start"), why=S("disk full"))
    link = FakeLink(nothing, [], greeting=[words, None])
    with pytest.raises(CliError, match="disk full"):
        await EngineClient(link).start()


async def test_journalled_events_are_heard_once_whatever_the_order() -> None:
    heard: list[int] = []
    said = [e.UserMessage(seq=seq, turn="t", text=S("")) for seq in (2, 1, 2, 3, 1)]
    driver = EngineClient(FakeLink(nothing, [*said]), lambda event: heard.append(event.seq))
    await driver.start()
    assert [seq for seq in heard if seq] == [2, 1, 3]


async def test_a_lagging_link_is_asked_for_what_it_dropped() -> None:
    link = FakeLink(nothing, [e.EventsDropped(after=7)])
    await EngineClient(link).start()
    assert c.Replay(after=7) in link.sent


async def test_connected_waits_for_the_tools_of_servers_and_for_failures() -> None:
    link = FakeLink(
        nothing, [server("a", "connecting"), server("b", "connecting"), server("c", "connecting")]
    )
    driver = EngineClient(link)
    await driver.start()
    waiting = asyncio.ensure_future(driver.connected())
    page = e.ToolsListed(server="a", generation=1, last=False, tools=())
    for event in (
        server("a", "active", tools=1),
        server("b", "failed"),
        server("b", "connecting"),
        server("c", "idle"),
        page,
    ):
        link._queue.put_nowait(event)
        await asyncio.sleep(0)
    assert not waiting.done()
    link._queue.put_nowait(msgspec.structs.replace(page, last=True))
    await asyncio.wait_for(waiting, 60)


# --- output ---------------------------------------------------------------------------------------


def test_tables_are_aligned_by_what_a_screen_shows() -> None:
    lines = table(("A", "B"), [("日本", "x"), ("abc", "y\x1b"), ("e\u0301", "z")]).splitlines()
    assert lines == ["A     B", "日本  x", "abc   y<U+001B>", "e\u0301     z"]
    assert {text_width(line[: line.index(end)]) for line, end in zip(lines, "Bxyz", strict=True)} == {6}


def test_demo_state_is_the_demos_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from omni_tui.cli.options import temporary_state

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stale = tmp_path / "omni-tui-demo-999999999-abc"
    stale.mkdir()
    (tmp_path / "omni-tui-demo-notes").mkdir()
    with temporary_state(LaunchOptions(demo=True)) as options:
        folder = Path(options.state_dir)
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not stale.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["omni-tui-demo-notes"]
    named = LaunchOptions(demo=True, state_dir="/x")
    with temporary_state(named) as options:
        assert options is named
    with temporary_state(LaunchOptions()) as options:
        assert options.state_dir == ""
