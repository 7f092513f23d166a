"""A card of tens of thousands of characters is laid out in a thread, and armed only once it is painted."""

from __future__ import annotations

import threading

import pytest

from omni_tui.face.approval import card as card_module
from omni_tui.face.approval.card import ApprovalCard
from omni_tui.face.approval.card_body import CardBody
from omni_tui.face.approval.pending_call import PendingCallItem
from omni_tui.face.screens.full_view import FullViewScreen
from omni_tui.protocol.commands import DecideCall
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.scenario import approval
from tests.face.test_shell import screen_text

TEXTS = {
    "hidden": "a\u200bb\u202ec\u00ad word " * 4_000,
    "lines": "a line of words\n" * 2_500,
    "wide": "漢字かな交じり文 " * 4_000,
    "one line": "x" * 40_000,
}


@pytest.mark.parametrize("kind", TEXTS)
async def test_a_large_card_is_laid_out_in_a_thread_and_armed_only_once_it_is_painted(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, threads = threading.Event(), []

    body = PendingCallItem.body

    def slow(item: PendingCallItem, width: int) -> CardBody:
        if len(item.arguments) > card_module.LARGE:
            threads.append(threading.current_thread())
            assert go.wait(30)
        return body(item, width)

    monkeypatch.setattr(PendingCallItem, "body", slow)
    face = Face(scenario.ready(), approval("c1", {"text": TEXTS[kind][:40_000]}))
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: "Laying out" in screen_text(face.app))
        face.clock.advance(5.0)
        await pilot.press("A")  # not all of it is shown: the whole view opens, and waits for its text too
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        face.clock.advance(5.0)
        await pilot.press("A")
        await pilot.pause()
        assert face.link.sent(DecideCall) == []
        await pilot.press("escape")
        go.set()
        card = face.app.main.query_one(ApprovalCard)
        await until(pilot, lambda: "Laying out" not in screen_text(face.app) and bool(card._lines))
        assert "text" in screen_text(face.app)
        assert threading.main_thread() not in threads
        assert threads
