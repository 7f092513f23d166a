"""The tools pane: a tree that is always right, a filter that finds, and text that stays text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Literal

import msgspec
import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input, Tree

from omni_tui.face.panes.tool_index import SHOWN, ToolIndex
from omni_tui.face.panes.tool_tree import CHUNK, ToolTree, tool_row_parts
from omni_tui.face.panes.tools import ToolRows, ToolsPane, fit_names
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import (
    CallFinished,
    CallProposed,
    Risk,
    ServerChanged,
    ServerRemoved,
    ServerState,
    ToolsListed,
    ToolSummary,
)
from omni_tui.security.text import safe, safe_line
from tests.face import scenario
from tests.face.tool_app import HOSTILE, ToolApp, assert_safe, until


def tool(
    server: str,
    name: str,
    about: str = "",
    risk: Risk = "read",
    trust: Literal["unchanged", "new", "changed"] = "unchanged",
) -> ToolSummary:
    return ToolSummary(
        server=server, name=name, label=safe_line(name), model_name=name, title=SafeText(""),
        description=safe(about), risk=risk, trust=trust,
    )  # fmt: skip


def server(name: str, state: ServerState = "active") -> ServerChanged:
    return ServerChanged(
        name=name, state=state, since=0.0, label=safe_line(name), transport="stdio",
        target=SafeText("x"), source="user",
    )  # fmt: skip


def listed(
    name: str, tools: Iterable[ToolSummary], generation: int = 1, *, last: bool = True
) -> ToolsListed:
    return ToolsListed(server=name, generation=generation, last=last, tools=tuple(tools))


FILES = (
    tool("files", "read_text_file", "Read the complete contents of a file."),
    tool("files", "edit_file", "Make line-based edits.", "write"),
    tool("files", "delete_file", "Gone for good.", "destructive", "new"),
)
GIT = (
    tool("git", "git_status", "Shows the working tree."),
    tool("git", "git_commit", "", "write", "changed"),
)


@asynccontextmanager
async def shown(
    *events: AnyEvent, size: tuple[int, int] = (40, 30)
) -> AsyncIterator[tuple[Pilot[None], ToolsPane, ToolApp]]:
    pane = ToolsPane(id="tools")
    app = ToolApp(pane)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for event in events:
            pane.apply(event)
        await pilot.pause()
        pane.entrance.focus()
        await pilot.pause()
        yield pilot, pane, app


TWO = (server("files"), listed("files", FILES), server("git"), listed("git", GIT))


async def test_tools_stand_under_their_servers_with_what_they_do() -> None:
    async with shown(*TWO) as (_, pane, app):
        lines = [line.strip() for line in app.seen().splitlines()]
        assert lines[0] == "TOOLS 5"
        assert [lines[n] for n in (3, 4, 7, 8)] == ["▾ files", "read_text_file", "▾ git", "git_status"]
        assert lines[5].split() == ["edit_file", "writes?"]
        assert lines[6].split() == ["delete_file", "new", "destroys"]
        assert lines[9].split() == ["git_commit", "changed", "writes?"]
        assert pane.count == 5


async def test_marks_stand_at_the_right_edge() -> None:
    async with shown(*TWO) as (_, _pane, app):
        ends = {
            len(line) for line in app.seen().splitlines() if line.rstrip().endswith(("writes?", "destroys"))
        }
        assert len(ends) == 1


async def test_no_mark_is_cut_when_the_window_changes_before_the_tree_hears_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A line is kept by the width that it was drawn for, not by the one that the tree was told of last."""

    def not_yet(_tree: ToolTree) -> None: ...

    async with shown(*TWO, size=(40, 30)) as (pilot, pane, app):
        before = app.seen()
        monkeypatch.setattr(ToolTree, "on_resize", not_yet)
        for width, height in ((39, 30), (41, 30), (40, 8), (40, 30), (40, 8), (40, 30)):
            await pilot.resize_terminal(width, height)
            pane.query_one(ToolTree).refresh()
            await pilot.pause()
            seen = [line.rstrip(" ▁▂▃▄▅▆▇█") for line in app.seen().splitlines()]
            marks = {"edit_file": "writes?", "delete_file": "destroys", "git_commit": "writes?"}
            assert any(name in line for line in seen for name in marks)
            for name, mark in marks.items():
                assert all(line.endswith(mark) for line in seen if name in line), seen
        monkeypatch.undo()
        pane.query_one(ToolTree).on_resize()
        await pilot.pause()
        assert app.seen() == before


async def test_enter_opens_a_tool() -> None:
    async with shown(*TWO) as (pilot, _, app):
        await pilot.press("home", "down", "down", "enter")
        await pilot.pause()
        assert app.opened == [("files", "edit_file")]


async def test_a_server_folds_and_unfolds() -> None:
    async with shown(*TWO) as (pilot, _, app):
        await pilot.press("home", "enter")
        await pilot.pause()
        assert "edit_file" not in app.seen()
        await pilot.press("enter")
        await pilot.pause()
        assert "edit_file" in app.seen()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("needs_sign_in", "signed out"),
        ("failed", "failed"),
        ("connecting", "connecting"),
        ("disabled", "disabled"),
    ],
)
async def test_a_server_that_is_not_there_says_so(state: ServerState, words: str) -> None:
    async with shown(*TWO, server("tracker", state)) as (_, _pane, app):
        row = next(line for line in app.seen().splitlines() if "tracker" in line)
        assert row.endswith(words)


async def test_a_new_generation_replaces_the_list_once_its_last_page_came() -> None:
    async with shown(*TWO) as (pilot, pane, app):
        pane.apply(listed("files", FILES[:1], 2, last=False))
        await pilot.pause()
        assert "edit_file" in app.seen()
        pane.apply(listed("files", [tool("files", "stat")], 2))
        await pilot.pause()
        assert "edit_file" not in app.seen()
        assert "read_text_file" in app.seen()
        assert "stat" in app.seen()
        assert pane.count == 4


async def test_a_late_page_of_an_older_generation_changes_nothing() -> None:
    index = ToolIndex()
    index.apply(listed("files", FILES[:1], 2, last=False))
    index.apply(listed("files", GIT, 1))
    assert index.tools("files") == []
    index.apply(listed("files", FILES[1:2], 2))
    assert [t.name for t in index.tools("files")] == ["read_text_file", "edit_file"]


async def test_the_cursor_stays_on_its_tool_when_the_list_changes() -> None:
    async with shown(*TWO) as (pilot, pane, app):
        await pilot.press("home", "down", "down")
        pane.apply(listed("files", [tool("files", "aaa"), *FILES], 2))
        await pilot.pause()
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert app.opened == [("files", "edit_file")]


async def test_a_removed_server_takes_its_tools_along() -> None:
    async with shown(*TWO) as (pilot, pane, app):
        pane.apply(ServerRemoved(name="files"))
        await pilot.pause()
        assert "edit_file" not in app.seen()
        assert pane.count == 2


async def test_typing_finds_by_name_and_description_and_enter_opens_the_best() -> None:
    async with shown(*TWO) as (pilot, pane, app):
        await pilot.press("slash", *"edit")
        await until(pilot, lambda: pane.has_class("-finding"), "the matches")
        assert "edit_file" in app.seen()
        assert "git_status" not in app.seen()
        await pilot.press("enter")
        await pilot.pause()
        assert app.opened == [("files", "edit_file")]


async def test_enter_right_after_typing_opens_what_was_typed_not_what_was_shown_before() -> None:
    async with shown(*TWO) as (pilot, pane, app):
        await pilot.press("slash", *"edit")
        await until(pilot, lambda: pane.has_class("-finding"), "the matches")
        pane.query_one(Input).value = "status"
        await pilot.press("enter")
        await pilot.pause()
        assert app.opened == [("git", "git_status")]


@pytest.mark.parametrize("width", [24, 27, 40, 80])
async def test_a_match_always_names_its_server(width: int) -> None:
    name = "search_issues_and_pull_requests_everywhere"
    both = [
        (server(one), listed(one, [tool(one, name, "Finds.", "destructive", "new")]))
        for one in ("work", "home")
    ]
    async with shown(*(event for pair in both for event in pair), size=(width, 30)) as (pilot, pane, app):
        await pilot.press("slash", *"search")
        await until(pilot, lambda: pane.has_class("-finding"), "the matches")
        rows = [
            line for line in app.seen().splitlines() if "sear" in line and ("new" in line or "dest" in line)
        ]
        assert len(rows) == 2
        assert "work" in rows[0] + rows[1]
        assert "home" in rows[0] + rows[1]


@pytest.mark.parametrize(
    ("name", "server", "cells", "shown"),
    [
        ("echo", "demo", 20, ("echo", "demo")),
        ("a_very_long_name_of_a_tool", "demo", 20, ("a_very_long_n…", "demo")),
        ("echo", "a_very_long_name_of_a_server", 20, ("echo", "a_very_long_n…")),
        ("a_very_long_name_of_a_tool", "a_very_long_name_of_a_server", 20, ("a_very_long…", "a_ver…")),
        ("\u6587\u4ef6\u6587\u4ef6\u6587\u4ef6", "demo", 12, ("\u6587\u4ef6…", "demo")),
    ],
)
def test_of_neither_name_nothing_is_left(
    name: str, server: str, cells: int, shown: tuple[str, str]
) -> None:
    assert fit_names(name, server, cells) == shown
    assert sum(map(cell_len, shown)) + 2 <= cells


async def test_arrows_move_in_the_matches_while_the_keys_stay_in_the_filter() -> None:
    async with shown(*TWO) as (pilot, pane, app):
        await pilot.press("slash", *"file")
        await until(pilot, lambda: pane.has_class("-finding"), "the matches")
        assert pane.query_one(ToolRows).selected == "files\nedit_file"
        await pilot.press("down", "down", "up")
        assert pane.query_one(ToolRows).selected == "files\ndelete_file"
        assert pane.query_one(Input).has_focus
        await pilot.press("enter")
        await pilot.pause()
        assert app.opened == [("files", "delete_file")]


async def test_escape_clears_the_filter_and_goes_back_to_the_tree() -> None:
    async with shown(*TWO) as (pilot, pane, app):
        await pilot.press("slash", *"zzz")
        await until(pilot, lambda: "nothing matches" in app.seen(), "no match")
        await pilot.press("enter", "escape")
        await pilot.pause()
        assert app.opened == []
        assert not pane.has_class("-finding")
        assert pane.query_one(ToolTree).has_focus
        assert pane.query_one(Input).value == ""


async def test_a_filter_follows_the_list() -> None:
    async with shown(*TWO) as (pilot, pane, app):
        await pilot.press("slash", *"stat")
        await until(pilot, lambda: pane.has_class("-finding"), "the matches")
        pane.apply(listed("files", [tool("files", "stat")], 2))
        await until(pilot, lambda: len(pane.query_one(ToolRows).keys) == 2, "the new tool among them")
        assert "stat" in app.seen()


async def test_more_matches_than_are_shown_are_counted() -> None:
    tools = [tool("big", f"make_{n}") for n in range(10_000)]
    async with shown(server("big"), listed("big", tools)) as (pilot, pane, app):
        await pilot.press("slash", *"make")
        await until(pilot, lambda: pane.has_class("-finding"), "the matches")
        assert len(pane.query_one(ToolRows).keys) == SHOWN
        assert f"… {10_000 - SHOWN:,} more: type to narrow" in app.seen()


async def test_a_large_server_unfolds_a_piece_at_a_time() -> None:
    tools = [tool("big", f"make_{n}") for n in range(CHUNK + 5)]
    async with shown(server("big"), listed("big", tools)) as (pilot, pane, app):
        tree = pane.query_one(ToolTree)
        assert "make_0" not in app.seen()
        await pilot.press("home", "enter")
        await pilot.pause()
        assert len(tree.root.children[0].children) == CHUNK + 1
        await pilot.press("end")
        await pilot.pause()
        assert "… 5 more" in app.seen()
        await pilot.press("enter")
        await pilot.pause()
        assert len(tree.root.children[0].children) == CHUNK + 5
        await pilot.press("enter")
        await until(pilot, lambda: app.opened, "a tool")
        assert app.opened == [("big", f"make_{CHUNK}")]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("file", ["edit_file", "delete_file", "read_text_file"]),
        ("git", ["git_status", "git_commit"]),
        ("working", ["git_status"]),
        ("git status", ["git_status"]),
        ("files edits", ["edit_file"]),
        ("READ", ["read_text_file"]),
        ("nothing", []),
        ("[/]", []),
    ],
)
def test_the_best_match_is_first(query: str, names: list[str]) -> None:
    index = ToolIndex()
    for event in TWO:
        index.apply(event)
    assert [found.name for found in index.find(query).tools] == names


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((), "Waiting for the engine"),
        ((scenario.ready(),), "No server yet"),
        ((server("a", "connecting"),), "as their servers connect"),
        ((server("a", "failed"),), "No server offers a tool"),
    ],
)
async def test_an_empty_pane_says_what_to_do(events: tuple[AnyEvent, ...], words: str) -> None:
    async with shown(*events) as (_, _pane, app):
        assert words in " ".join(app.seen().split())


async def test_hostile_names_are_shown_and_opened_as_they_are() -> None:
    hostile = [
        tool("files", HOSTILE, HOSTILE, "write"),
        tool("files", "[/]", "[red]"),
        tool("files", "\u202ex"),
    ]
    async with shown(server(HOSTILE, "failed"), server("files"), listed("files", hostile)) as (
        pilot,
        pane,
        app,
    ):
        assert_safe(app)
        assert "[/] [@click=app.quit]" in app.seen()
        await pilot.press("slash", "[", "/", "]")
        await until(pilot, lambda: pane.has_class("-finding"), "the matches")
        assert_safe(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.opened == [("files", "[/]")]


async def test_the_pane_keeps_the_calls_of_the_session() -> None:
    async with shown(*TWO) as (_, pane, _app):
        call = CallProposed(
            call="c1", server="files", tool="edit_file", label=SafeText("edit_file"),
            arguments=SafeText("{}"), size=2, digest="d", origin="agent", ts=5.0,
        )  # fmt: skip
        pane.apply(call)
        pane.apply(CallFinished(call="c1", state="succeeded", parts=(), elapsed_ms=3.0, size=0))
        assert [past.state for past in pane.history.of("files", "edit_file")] == ["succeeded"]
        pane.clear_session()
        assert pane.history.of("files", "edit_file") == []


async def test_nothing_takes_the_keys_from_the_filter() -> None:
    async with shown(*TWO) as (pilot, pane, _):
        await pilot.press("slash", "e")
        pane.apply(listed("files", FILES[:2], 2))
        pane.apply(server("new", "connecting"))
        await pilot.press("d")
        assert pane.query_one(Input).value == "ed"
        assert not pane.query_one(Tree).has_focus


async def test_a_server_that_only_changes_its_state_keeps_its_nodes_and_asks_for_no_layout() -> None:
    async with shown(*TWO) as (pilot, pane, app):
        tree = pane.query_one(ToolTree)
        before = [node.id for head in tree.root.children for node in (head, *head.children)]
        layouts = tree._layout_updates
        pane.apply(server("git", "failed"))
        pane.apply(listed("git", GIT, 2))
        await until(pilot, lambda: "failed" in app.seen(), "the new state")
        assert [node.id for head in tree.root.children for node in (head, *head.children)] == before
        assert tree._layout_updates == layouts


async def test_a_batch_of_news_builds_the_lines_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shown(*TWO) as (pilot, pane, app):
        tree = pane.query_one(ToolTree)
        built: list[int] = []
        build = tree._build

        def counted() -> None:
            built.append(1)
            build()

        monkeypatch.setattr(tree, "_build", counted)
        for number in range(30):
            name = f"s{number:02}"
            pane.apply(server(name))
            pane.apply(listed(name, [tool(name, f"tool_{n}") for n in range(20)]))
        await until(pilot, lambda: len(tree.root.children) == 32, "all servers")
        await pilot.pause()
        assert len(built) <= 2, "one for the batch, one if a scroll bar appears"
        assert tree.virtual_size.height == 2 + 5 + 30 * 21
        await pilot.press("home", "end")
        await pilot.pause()
        assert "tool_19" in app.seen()


async def test_lines_that_move_are_drawn_where_they_are_now() -> None:
    async with shown(*TWO) as (pilot, pane, app):
        pane.apply(listed("files", (), 2))
        await until(pilot, lambda: "edit_file" not in app.seen(), "the empty list")
        rows = app.seen().splitlines()
        assert [row.strip() for row in rows[3:6]][:2] == ["▸ files", "▾ git"]
        pane.apply(listed("files", FILES, 3))
        await until(pilot, lambda: "edit_file" in app.seen(), "the tools again")
        assert app.seen().splitlines()[7].strip() == "▾ git"


_RISKS: tuple[Risk, ...] = ("read", "write", "unknown", "destructive")


def test_the_list_says_what_is_only_claimed() -> None:
    """A trusted server's word stands; that a tool only reads is said in neither case."""
    marks = {
        (risk, trusted): tool_row_parts(
            msgspec.structs.replace(tool("s", "t", risk=risk), server_trusted=trusted), 60
        )[1]
        for risk in _RISKS
        for trusted in (False, True)
    }
    assert [mark for mark in marks.values() if mark] == ["writes?", "writes", "destroys", "destroys"]
