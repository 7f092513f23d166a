"""What the servers pane says about a connection that is not well."""

from __future__ import annotations

import msgspec
import pytest

from omni_tui.face.panes.servers import ServerRows, ServersPane, _details
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import ServerChanged, ServerRemoved
from tests.face import scenario
from tests.face.conftest import Face

NOW = 1000.0


def server(**more: object) -> ServerChanged:
    told = ServerChanged(
        name="w",
        state="failed",
        since=NOW,
        label=SafeText("w"),
        transport="sse",
        target=SafeText("http://127.0.0.1/sse"),
        source="user",
        reason=SafeText("nothing listens"),
    )
    return msgspec.structs.replace(told, **more)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"breaker": "open", "attempt": 4, "next_try": NOW + 8.2},
            "circuit open after 4 failures in a row: next try in 8 s",
        ),
        ({"breaker": "open", "attempt": 4, "next_try": NOW - 3}, "next try in 0 s"),
        ({"breaker": "open", "attempt": 3}, "circuit open: not tried again by itself"),
        (
            {"breaker": "half_open", "attempt": 3, "state": "connecting"},
            "circuit half open: one attempt is under way after 3 failures in a row",
        ),
    ],
)
def test_details_tell_of_the_breaker(more: dict[str, object], words: str) -> None:
    assert words in _details(server(**more), None, NOW).plain


def test_details_are_silent_about_a_closed_breaker() -> None:
    assert "circuit" not in _details(server(), None, NOW).plain
    assert _details(server(), None, NOW).plain.startswith("sse · http://127.0.0.1/sse")


async def test_who_comes_before_the_servers_finds_the_first_one_chosen() -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press("f2")
        pane = face.app.main.pane("servers")
        assert isinstance(pane, ServersPane)
        assert [one.name for one in (pane.chosen,) if one] == []
        face.link.emit(server())
        await face.settle(pilot)
        assert [one.name for one in (pane.chosen,) if one] == ["w"]


async def test_a_batch_of_news_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    face = Face(scenario.ready(), server())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        pane = face.app.main.pane("servers")
        assert isinstance(pane, ServersPane)
        drawn: list[int] = []
        redraw = pane._redraw

        def counted() -> None:
            drawn.append(1)
            redraw()

        monkeypatch.setattr(pane, "_redraw", counted)
        for number in range(100):
            pane.apply(server(name=f"s{number % 10}", label=SafeText(f"s{number % 10}"), attempt=number))
        assert drawn == []
        await face.settle(pilot)
        assert drawn == [1]
        assert len(pane.servers) == 11


async def test_a_server_that_goes_is_not_drawn_any_more() -> None:
    face = Face(scenario.ready(), server(), server(name="x", label=SafeText("x")))
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        rows = face.app.main.query_one(ServerRows)
        face.app.main.pane("servers").apply(ServerRemoved(name="w"))
        assert rows.keys == ["x"]
