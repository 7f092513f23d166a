"""What the servers pane says about a connection that is not well."""

from __future__ import annotations

import msgspec
import pytest

from omni_tui.face.panes.servers import ServerRows, ServersPane, _details
from omni_tui.face.widgets.title import PaneTitle
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
            "it failed 4 times in a row; next retry in 8 s",
        ),
        ({"breaker": "open", "attempt": 4, "next_try": NOW - 3}, "next retry in 0 s"),
        ({"breaker": "open", "attempt": 3}, "not retried automatically"),
        (
            {"breaker": "half_open", "attempt": 3, "state": "connecting"},
            "it failed 3 times in a row; retrying now",
        ),
    ],
)
def test_details_say_when_it_is_tried_again(more: dict[str, object], words: str) -> None:
    assert words in _details(server(**more), None, NOW).plain


def test_details_are_silent_about_tries_while_all_is_well() -> None:
    assert "again" not in _details(server(), None, NOW).plain
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
    drawn: list[int] = []
    redraw = ServersPane._redraw

    def counted(pane: ServersPane) -> None:
        drawn.append(1)
        redraw(pane)

    monkeypatch.setattr(ServersPane, "_redraw", counted)
    face = Face(scenario.ready(), server())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        pane = face.app.main.pane("servers")
        assert isinstance(pane, ServersPane)
        drawn.clear()
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


def named(name: str, **more: object) -> ServerChanged:
    return server(name=name, label=SafeText(name), **more)


async def test_failed_servers_come_first_and_are_counted_in_the_title() -> None:
    well = {"state": "idle", "reason": SafeText(""), "tools": 3}
    face = Face(scenario.ready(), named("a", **well), named("b"), named("c", **well), named("d"))
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        rows = face.app.main.query_one(ServerRows)
        title = face.app.main.pane("servers").query_one(PaneTitle)
        assert rows.keys == ["b", "d", "a", "c"]
        assert title.render().plain.startswith("SERVERS 4 · 2 failed")
        await pilot.press("f2", "down")
        assert rows.selected == "d"
        # Being tried again it stays where it is; once it is there it goes to the others.
        face.link.emit(named("d", state="connecting", attempt=1))
        await face.settle(pilot)
        assert rows.keys == ["b", "d", "a", "c"]
        face.link.emit(named("d", **well))
        await face.settle(pilot)
        assert rows.keys == ["b", "a", "c", "d"]
        assert rows.selected == "d"
        assert title.render().plain.startswith("SERVERS 4 · 1 failed")


async def test_odd_messages_are_counted_on_the_row_and_in_the_details() -> None:
    face = Face(scenario.ready(), server(state="idle", reason=SafeText(""), tools=3, odd=2))
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        rows = face.app.main.query_one(ServerRows)
        assert rows.render_row("w", rows.size.width, 1).plain.split() == [
            "●",
            "w",
            "3",
            "tools",
            "2",
            "odd",
        ]
        assert "2 odd messages from it: see its log" in _details(rows.servers["w"], None, NOW).plain


async def test_a_server_that_is_tried_again_says_what_it_failed_of() -> None:
    why = SafeText("did not answer initialize within 30 s; being tried again")
    face = Face(scenario.ready(), server(state="connecting", reason=why, attempt=1))
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        rows = face.app.main.query_one(ServerRows)
        assert "connecting … did not answer" in rows.render_row("w", 80, 1).plain
