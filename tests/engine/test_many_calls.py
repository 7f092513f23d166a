"""An answer with very many calls: the first 32 are carried out, of the rest the model is told."""

from __future__ import annotations

import pytest

from omni_tui.models.base import Message, ToolCall
from tests.engine.agent_host import FakeHost, assert_one_result_each, call, play
from tests.scripted_model import ScriptedModel, reply


def many(count: int) -> tuple[ToolCall, ...]:
    return tuple(call(f"c{number}", arguments=f'{{"a": {number}, "b": 1}}') for number in range(count))


@pytest.mark.parametrize("count", [31, 32, 33, 200])
async def test_at_most_32_calls_of_an_answer_are_taken(count: int) -> None:
    host = FakeHost()
    model = ScriptedModel([reply("", *many(count))], [reply("ok")])
    ended = await play(host, model)
    assert ended.status == "done"
    assert [made.id for _, made in host.calls] == [made.id for made in many(min(count, 32))]
    assert_one_result_each(host.messages)
    states = [status for status, _ in host.results().values()]
    assert states.count("invalid") == max(0, count - 32)
    for status, words in host.results().values():
        assert status == "succeeded" or ("at most 32" in words and "Nothing was sent" in words)


async def test_too_many_calls_do_not_count_as_calls_that_cannot_be_made() -> None:
    answers = [
        [reply("", *(call(f"{turn}-{n}", arguments=f'{{"a": {turn}, "b": {n}}}') for n in range(40)))]
        for turn in range(5)
    ]
    ended = await play(FakeHost(), ScriptedModel(*answers, [reply("ok")]))
    assert ended.status == "done"


async def test_after_a_restart_no_further_ones_of_the_same_answer_are_taken() -> None:
    host = FakeHost()
    calls = many(40)
    host.messages += [Message(role="assistant", calls=calls)]
    host.messages += [
        Message(role="tool", text="3", call_id=made.id, name=made.name) for made in calls[:30]
    ]
    assert (await play(host, ScriptedModel([reply("ok")]), resume=True)).status == "done"
    assert [made.id for _, made in host.calls] == ["c30", "c31"]
    assert_one_result_each(host.messages)
