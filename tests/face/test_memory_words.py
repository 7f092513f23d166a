"""What the status line and `/memory` say about Redis: every state has its words, in any width."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from omni_tui.face.memory_words import memory_sentence
from omni_tui.face.overview import Overview
from omni_tui.face.widgets.status import right_parts
from omni_tui.protocol.memory import MemoryChanged, MemoryWord
from omni_tui.security.text import safe
from tests.face import scenario


def bar(memory: MemoryChanged | None, *, wide: bool) -> list[tuple[int, str]]:
    overview = Overview()
    overview.apply(scenario.ready())
    if memory is not None:
        overview.apply(memory)
    return [
        (weight, text.plain) for weight, text in right_parts(overview, wide=wide) if "Redis" in text.plain
    ]


def test_nothing_is_said_of_redis_where_nobody_asked_for_it() -> None:
    assert bar(None, wide=True) == []
    assert "in its journal on this machine only" in memory_sentence(None)


@pytest.mark.parametrize("word", get_args(MemoryWord))
def test_every_state_is_told_apart_and_explained(word: MemoryWord) -> None:
    memory = MemoryChanged(
        word=word,
        behind=7,
        since=1.0,
        where=safe("redis://h:1/0"),
        why=safe("the reason"),
        todo=safe("do it"),
    )
    said = {
        each: bar(MemoryChanged(word=each, behind=7, since=1.0), wide=False)[0][1]
        for each in get_args(MemoryWord)
    }
    assert len(set(said.values())) == len(said)
    ((weight, text),) = bar(memory, wide=True)
    assert (weight >= 9) is (word not in ("off", "on", "connecting"))
    assert bool(re.search(r"since \d\d:\d\d", text)) is (word in ("away", "full"))
    sentence = memory_sentence(memory)
    if word in ("away", "full", "refused", "elsewhere"):
        assert "the reason" in sentence
        assert "do it" in sentence
    if word in ("on", "away", "full"):
        assert "7 events" in sentence


def test_far_behind_is_catching_up() -> None:
    ((weight, text),) = bar(MemoryChanged(word="on", behind=1204), wide=False)
    assert (weight, text) == (9, "Redis: catching up 1,204")
