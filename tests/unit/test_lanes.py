"""The order of the calls of one answer, and the room they have."""

from __future__ import annotations

import asyncio
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from omni_tui.config.sections import ToolsSection
from omni_tui.tools.tool_settings import ToolSettings
from omni_tui.tools.write_order import ConcurrencyLimits, WriteOrder

Calls = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans()), max_size=12)


@given(Calls, st.randoms())
def test_a_write_runs_alone_and_in_its_place_and_reads_together(
    calls: list[tuple[str, bool]], random: Random
) -> None:
    lanes = WriteOrder()
    places = [(server, writes, lanes.take(server, writes=writes)) for server, writes in calls]
    left: set[int] = set()
    while len(left) < len(places):
        running = [n for n, (_, _, place) in enumerate(places) if place.turn.is_set() and n not in left]
        assert running, "somebody always may run"
        for n in running:
            server, writes, _ = places[n]
            before = {m for m in range(n) if places[m][0] == server and m not in left}
            assert not (before if writes else {m for m in before if places[m][1]})
        waiting = set(range(len(places))) - left - set(running)
        for n in waiting:
            server, writes, _ = places[n]
            ahead = [m for m in range(n) if places[m][0] == server and m not in left]
            assert ahead if writes else any(places[m][1] for m in ahead)
        chosen = random.choice(running)
        places[chosen][2].leave()
        places[chosen][2].leave()
        left.add(chosen)


def test_one_that_gives_up_its_place_holds_nobody_up() -> None:
    lanes = WriteOrder()
    first, second, third = (lanes.take("s", writes=True) for _ in range(3))
    second.leave()
    assert not third.turn.is_set()
    first.leave()
    assert third.turn.is_set()


async def test_no_more_run_than_the_limits_say() -> None:
    section = ToolsSection.model_validate(
        {"concurrency": 5, "server_concurrency": 3, "limits": {"files/read*": {"concurrency": 2}}}
    )
    room, running, most = ConcurrencyLimits(ToolSettings(section)), [], {"all": 0, "files": 0, "read": 0}

    async def one(server: str, tool: str) -> None:
        async with room.of(server, tool):
            running.append((server, tool))
            most["all"] = max(most["all"], len(running))
            most["files"] = max(most["files"], sum(s == "files" for s, _ in running))
            most["read"] = max(most["read"], sum(t == "read_it" for _, t in running))
            for _ in range(3):
                await asyncio.sleep(0)
            running.remove((server, tool))

    names = [("files", "read_it"), ("files", "list"), ("web", "get"), ("mail", "get")] * 4
    await asyncio.gather(*(one(*name) for name in names))
    assert most == {"all": 5, "files": 3, "read": 2}


def test_of_two_patterns_the_more_exact_counts() -> None:
    section = ToolsSection.model_validate(
        {"limits": {"*/*": {"timeout": 1.0}, "files/*": {"timeout": 2.0}, "files/read": {"timeout": 3.0}}}
    )
    settings = ToolSettings(section)
    assert [settings.of(*name).timeout for name in (("x", "y"), ("files", "y"), ("files", "read"))] == [
        1,
        2,
        3,
    ]
    assert settings.of("files/read", "x").timeout == 1.0
