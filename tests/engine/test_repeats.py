"""Equal calls are counted within one answer too, before they go out."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from omni_tui.agents import ToolOutcome
from omni_tui.models.base import ToolCall
from tests.engine.agent_host import ADD, FakeHost, assert_one_result_each, call, play
from tests.scripted_model import ScriptedModel, reply


def equal(count: int, start: int = 0) -> list[ToolCall]:
    return [call(f"c{start + n}") for n in range(count)]


async def same(_: ToolCall) -> ToolOutcome:
    return ToolOutcome("3", "succeeded")


@pytest.mark.parametrize("count", [4, 30, 40])
async def test_of_many_equal_calls_in_one_answer_three_go_out_and_the_reason_says_so(count: int) -> None:
    host = FakeHost(same)
    host.specs = (msgspec.structs.replace(ADD, label="demo › add"),)
    ended = await play(host, ScriptedModel([reply("", *equal(count))]))
    assert len(host.calls) == 3
    assert_one_result_each(host.messages)
    assert ended.status == "limit"
    assert ended.reason == (
        f"the model made the same call of demo › add {count} times in one answer: 3 went out, with the "
        f"same result as before, and {count - 3} did not"
    )
    statuses = [status for status, _ in host.results().values()]
    assert (statuses.count("succeeded"), statuses.count("invalid")) == (3, count - 3)


async def test_calls_in_other_spelling_are_equal_and_others_are_not_held_up() -> None:
    host = FakeHost(same)
    spellings = ['{"a": 1, "b": 2}', '{"b":2,"a":1}', '{"a":1,"b":2}', ' {"a": 1,"b": 2} ']
    calls = [call(f"c{n}", arguments=text) for n, text in enumerate(spellings)]
    other = call("other", arguments='{"a": 5, "b": 5}')
    await play(host, ScriptedModel([reply("", *calls, other)]))
    assert [made.id for _, made in host.calls] == ["c0", "c1", "c2", "other"]


async def test_equal_calls_with_other_results_each_go_on_in_the_next_answer() -> None:
    rolled = itertools.count(1)

    async def dice(_: ToolCall) -> ToolOutcome:
        return ToolOutcome(str(next(rolled)), "succeeded")

    host = FakeHost(dice)
    model = ScriptedModel([reply("", *equal(5))], [reply("", *equal(2, 5))], [reply("done")])
    ended = await play(host, model)
    assert ended.status == "done"
    assert len(host.calls) == 5
    assert "next answer" in host.results()["c4"][1]


@pytest.mark.parametrize("before", [1, 2, 3])
async def test_what_earlier_answers_asked_for_counts(before: int) -> None:
    host = FakeHost(same)
    turns = [[reply("", *equal(1, n))] for n in range(before)]
    ended = await play(host, ScriptedModel(*turns, [reply("", *equal(9, 10))]))
    assert ended.status == "limit"
    assert len(host.calls) == max(3, before + 1)
    assert "9 times in one answer" in ended.reason
    assert_one_result_each(host.messages)
