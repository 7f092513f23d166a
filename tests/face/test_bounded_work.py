"""However large a text is, no single step of the face's loop does much: work is counted, not timed."""

from __future__ import annotations

import asyncio
import sys
from asyncio import events as loop_events
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import Answer, CallFinished, ContentPart, Notice, UserMessage
from tests.face import scenario
from tests.face.conftest import Face, until

FRAME = 200_000
"""About the longest text that one frame of the protocol carries."""
MOST = 600_000
"""Calls of functions in one step: about a tenth of a second. To put up the screens takes 200,000."""
SHAPES = {
    "one line": "x" * FRAME,
    "words": "word " * (FRAME // 5),
    "lines": "\n" * (FRAME - 1) + "x",
    "marks": "a" + "\u0301" * (FRAME // 2),
    "marks on letters": "a\u0301" * (FRAME // 3),
    "wide": "漢" * (FRAME // 3),
    "emoji": "👩\u200d👩\u200d👧" * (FRAME // 20),
    "brackets": "[" * FRAME,
    "code": "```python\n" + "x = [" * (FRAME // 5),
    "table": "|a" * (FRAME // 2) + "\n" + "|-" * 100,
    "quotes": "> " * (FRAME // 2),
}


class Counted:
    """The most calls of functions that one step of the loop made."""

    def __init__(self) -> None:
        self.most = 0
        self.where = ""


@contextmanager
def counted() -> Iterator[Counted]:
    """Count the calls of each step that the loop of this thread makes."""
    found = Counted()
    calls = 0
    run = loop_events.Handle._run

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    def watched(handle: Any) -> None:
        nonlocal calls
        calls = 0
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            run(handle)
        finally:
            sys.setprofile(before)
            if calls > found.most:
                found.most, found.where = calls, repr(handle)[:300]

    loop_events.Handle._run = watched  # type: ignore[assignment, method-assign]
    try:
        yield found
    finally:
        loop_events.Handle._run = run  # type: ignore[method-assign]


def said(text: str) -> list[AnyEvent]:
    """Return a session in which everything that can be long is."""
    long = SafeText(text)
    edit = {"oldText": text[:12_000], "newText": text[1:12_000]}
    part = ContentPart(index=0, kind="text", text=SafeText(text[:8_000]), size=10_000_000, truncated=True)
    return [
        UserMessage(turn="t1", text=long),
        Answer(turn="t1", message="m1", text=long),
        scenario.proposed("c1", "files", "read", {}, "read"),
        CallFinished(call="c1", state="succeeded", elapsed_ms=1.0, size=10_000_000, parts=(part,)),
        scenario.approval("c2", {"text": text[:30_000]}),
        scenario.approval("c3", {"path": "a", "edits": [edit]}),
        Notice(level="error", what=SafeText(text[:8_000]), why=SafeText(text[:8_000])),
    ]  # fmt: skip


async def go_through(face: Face, text: str) -> None:
    async with face.app.run_test(size=(120, 40), notifications=True) as pilot:
        await face.settle(pilot)
        face.link.emit(*said(text))
        await until(pilot, face.link._queue.empty)
        for key in (
            "f4",
            "up",
            "up",
            "space",
            "end",
            "home",
            "pagedown",
            "f5",
            "down",
            "pagedown",
            "v",
            "end",
        ):
            await pilot.press(key)
            await pilot.pause()
        await pilot.press("escape")


@pytest.mark.parametrize("shape", SHAPES)
async def test_no_step_of_the_loop_does_much(shape: str) -> None:
    assert isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
    face = Face(*scenario.whole())
    with counted() as found:
        await go_through(face, SHAPES[shape])
    assert 0 < found.most < MOST, found.where
