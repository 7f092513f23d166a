"""Parts of an answer on their way to the loop that reads: all of them, in order, with few wakings."""

from __future__ import annotations

import asyncio
import threading

import pytest

from omni_tui.models import _pipe
from omni_tui.models._pipe import Pipe
from omni_tui.models.base import ModelError, TextPart, ThoughtPart
from tests.scripted_model import reply

LONG_S = 3_600.0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that follows text is not told within this test's life, unless something else is."""
    monkeypatch.setattr(_pipe, "INTERVAL_S", LONG_S)


async def test_the_first_text_is_told_at_once(patient: None) -> None:
    pipe = Pipe(asyncio.get_running_loop())
    pipe.put(TextPart("a"))
    assert await pipe.take(5) == [TextPart("a")]


async def test_text_that_follows_closely_comes_with_the_end(patient: None) -> None:
    pipe = Pipe(asyncio.get_running_loop())
    pipe.put(TextPart("a"))
    await pipe.take(5)
    for word in "bcd":
        pipe.put(TextPart(word))
    waiting = asyncio.ensure_future(pipe.take(5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    end = reply("abcd")
    pipe.put(end)
    assert await waiting == [TextPart("bcd"), end]


@pytest.mark.parametrize("last", [ModelError("cut", "broken"), None])
async def test_an_error_or_an_end_does_not_wait(patient: None, last: ModelError | None) -> None:
    pipe = Pipe(asyncio.get_running_loop())
    pipe.put(ThoughtPart("a"))
    await pipe.take(5)
    pipe.put(ThoughtPart("b"))
    pipe.put(last)
    thought, error = await pipe.take(5)
    assert thought == ThoughtPart("b")
    assert isinstance(error, ModelError)


async def test_text_that_waits_is_told_when_its_time_has_come() -> None:
    pipe = Pipe(asyncio.get_running_loop())
    pipe.put(TextPart("a"))
    await pipe.take(5)
    pipe.put(TextPart("b"))
    pipe.put(TextPart("c"))
    assert await pipe.take(5) == [TextPart("bc")]
    pipe.put(TextPart("d"))
    assert await pipe.take(5) == [TextPart("d")]


async def test_a_thread_without_a_loop_never_makes_the_reader_wait(patient: None) -> None:
    pipe = Pipe(asyncio.get_running_loop())

    def work() -> None:
        pipe.put(TextPart("a"))
        taken.wait(5)
        pipe.put(TextPart("b"))

    taken = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    assert await pipe.take(5) == [TextPart("a")]
    taken.set()
    assert await pipe.take(5) == [TextPart("b")]
    thread.join()
