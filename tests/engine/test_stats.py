"""How calls went, how full the pool is, and emptying the cache on request."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from omni_tui.engine import live_session
from omni_tui.engine.background import MeteredPool
from omni_tui.models.base import ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.call_stats import ClearCache, ReadStats, StatsRead
from tests.engine.rig import rig
from tests.engine.test_execution import ECHO, go, instead, text
from tests.scripted_model import ScriptedModel, reply
from tests.whole_journal import fold_of


async def test_calls_are_counted_and_the_cache_is_emptied_on_request(tmp_path: Path) -> None:
    again = [ToolCall(f"r{n}", "demo__echo", '{"text":"x"}') for n in range(3)]
    model = ScriptedModel(
        [reply("", ECHO)], [reply("", again[0])], [reply("a")], [reply("", again[1])], [reply("b")]
    )
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        sent = instead(running, lambda *_: text("x"))
        await go(running)
        stats = await running.ask(ReadStats())
        assert isinstance(stats, StatsRead)
        (row,) = stats.tools
        assert (row.server, row.total, row.succeeded, row.cached) == ("demo", 2, 1, 1)
        assert (stats.cache_entries, stats.cache_hits) == (1, 1)
        assert stats.pool.size == 8
        refused = await running.ask(ClearCache(server="nobody"))
        assert isinstance(refused, e.CommandFailed)
        done = await running.ask(ClearCache(server="demo"))
        assert isinstance(done, e.CommandDone)
        assert done.text == "1 result was dropped from the cache"
        await go(running)
        assert sent == ["echo", "echo"]


def test_the_pool_tells_its_depth() -> None:
    pool, begun, go_on = MeteredPool(2), threading.Barrier(3), threading.Event()

    def work() -> None:
        begun.wait(10)
        go_on.wait(10)

    first = [pool.submit(work) for _ in range(2)]
    begun.wait(10)
    waiting = [pool.submit(lambda: None) for _ in range(3)]
    depth = pool.depth()
    assert (depth.running, depth.queued, depth.most_queued, depth.size) == (2, 3, 3, 2)
    go_on.set()
    for future in (*first, *waiting):
        future.result(10)
    pool.shutdown(wait=True)
    depth = pool.depth()
    assert (depth.running, depth.queued, depth.most_queued) == (0, 0, 3)


@pytest.mark.parametrize("saved", [True, False])
async def test_everything_counted_is_there_again_from_a_checkpoint_and_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    if saved:
        monkeypatch.setattr(live_session, "_SAVED_AT_REST", 1)
    model = ScriptedModel([reply("", ECHO)], [reply("a")], [reply("b")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await go(running)
        await running.ask(c.SendMessage(text="and once more"))
        await running.count(e.TurnEnded, 2)
        before = await running.ask(ReadStats())
        spent = running.session.budget.session
        session = running.session.journal.session
        live = running.session.feed.fold
    async with rig(tmp_path, model=ScriptedModel(), mode="auto", resume=session) as again:
        journal = again.session.journal
        checkpoint = await journal.checkpoint()
        assert (checkpoint is not None and checkpoint.seq == live.seq) == saved
        after = await again.ask(ReadStats())
        assert isinstance(before, StatsRead)
        assert isinstance(after, StatsRead)
        assert (after.messages, after.answers, after.turns) == (2, 2, {"done": 2})
        assert after.calls == {"succeeded": 1}
        assert [use.requests for use in after.models] == [3]
        assert (
            msgspec.structs.replace(
                after,
                pool=before.pool,
                request=before.request,
                ts=before.ts,
                cache_entries=before.cache_entries,
                cache_hits=before.cache_hits,
            )
            == before
        )
        assert again.session.budget.session == spent
        assert fold_of(await journal.read(0, 10_000)) == again.session.feed.fold


async def test_what_was_counted_is_there_when_the_session_is_opened_again(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", ECHO)], [reply("a")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await go(running)
        before = await running.ask(ReadStats())
        session = running.session.journal.session
    async with rig(tmp_path, model=ScriptedModel(), mode="auto", resume=session) as again:
        after = await again.ask(ReadStats())
        assert isinstance(before, StatsRead)
        assert isinstance(after, StatsRead)
        assert after.tools == before.tools != ()
        assert isinstance(await again.ask(c.NewSession()), e.CommandDone)
        fresh = await again.ask(ReadStats())
        assert isinstance(fresh, StatsRead)
        assert fresh.tools == ()
        assert isinstance(await again.ask(c.OpenSession(session=session)), e.CommandDone)
        back = await again.ask(ReadStats())
        assert isinstance(back, StatsRead)
        assert back.tools == before.tools
