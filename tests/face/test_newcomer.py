"""What a newcomer sees: whole sentences at every size, nothing cut or run together."""

from __future__ import annotations

import re

import msgspec
import pytest

from omni_tui.face import actions
from omni_tui.face.panes.chat import ChatPane
from omni_tui.face.screens.help import HelpScreen
from omni_tui.face.screens.welcome import _CHOICES, WelcomeScreen
from omni_tui.protocol import SafeText
from omni_tui.protocol.commands import AddServer, DecideCall
from omni_tui.protocol.host_files import FindHostFiles, HostFile, HostFilesFound, ImportServers
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.test_approvals_keys import arrive, decided, pane_of
from tests.face.test_servers_pane import server
from tests.face.test_shell import screen_text
from tests.lengths import some

SIZES = [(60, 20), (80, 24), (120, 40), (160, 45), (240, 60)]


def words(face: Face) -> str:
    """Return what the screen shows as one line of words."""
    return " ".join(re.sub(r"[│▌▁▂▃▄▅▆▇█]", " ", screen_text(face.app)).split())


def columns(face: Face, left: int, width: int) -> str:
    """Return the words of some columns of the screen."""
    rows = screen_text(face.app).split("\n")
    return " ".join(" ".join(row[left : left + width].split()) for row in rows)


@pytest.mark.parametrize("size", some(SIZES, 2), ids=str)
async def test_the_welcome_shows_every_choice_and_its_whole_text(size: tuple[int, int]) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        await face.app.push_screen(WelcomeScreen())
        await pilot.pause()
        seen = words(face)
        for _name, title, text in _CHOICES:
            assert title in seen
            assert text in seen
        assert "esc closes" in seen


@pytest.mark.parametrize("size", [size for size in SIZES if size[0] >= 120], ids=str)
async def test_the_hints_of_empty_panes_are_whole_at_any_width(size: tuple[int, int]) -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        for pane, said in (
            ("approvals", "A call that needs approval is shown here exactly as it would be sent."),
            ("tools", "No server yet, so no tools. ctrl+p finds “add server” and “import servers”."),
            ("servers", "No servers yet. Press n to add a server"),
        ):
            region = face.app.main.query_one(f"#{pane}").region
            assert said in columns(face, region.x, region.width), pane


@pytest.mark.parametrize("size", [(60, 20), (80, 24)], ids=str)
async def test_the_hint_of_empty_approvals_is_whole_on_a_small_screen(
    size: tuple[int, int],
) -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        await pilot.press("f5")
        await pilot.pause()
        assert "A call that needs approval is shown here exactly as it would be sent." in words(face)


@pytest.mark.parametrize("size", some(SIZES, 2), ids=str)
async def test_a_failed_server_among_thirty_says_why(size: tuple[int, int]) -> None:
    why, todo = "it exited with code 1: no key given, set FOO_KEY", "Correct the command, then reconnect."
    down: dict[str, object] = {"state": "failed", "reason": SafeText(why), "todo": SafeText(todo)}
    up: dict[str, object] = {"state": "idle", "reason": SafeText("")}
    fleet = [
        server(name=f"s{n:02}", label=SafeText(f"s{n:02}"), **(down if n == 17 else up)) for n in range(30)
    ]
    face = Face(scenario.ready(), *fleet)
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        await pilot.press("f2", "home")
        await pilot.pause()
        region = face.app.main.query_one("#servers").region
        seen = columns(face, region.x + 1, region.width - 1)
        assert why in seen
        assert todo in seen


@pytest.mark.parametrize("size", some(SIZES, 2), ids=str)
async def test_the_number_of_waiting_calls_says_what_it_counts(size: tuple[int, int]) -> None:
    face = Face(*scenario.whole(), scenario.approval("c8"))
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        count = len(pane_of(face).queue)
        assert f"{count} to approve" in screen_text(face.app).split("\n")[0]


async def test_whoever_decided_the_last_call_can_decide_the_next() -> None:
    face = Face(scenario.ready(), scenario.approval("c2"))
    async with face.app.run_test(size=(120, 40)) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        await decided(face, pilot)
        await until(pilot, lambda: pane.queue.keys == [])
        face.link.emit(scenario.approval("c3"))
        await until(pilot, lambda: pane.queue.keys == ["c3"])
        assert "F5 to decide" not in words(face)
        await pilot.press("1")
        await until(pilot, lambda: "A approve" in words(face))
        await until(pilot, lambda: pane.arming.painted is not None)
        face.clock.advance(1.0)
        await pilot.press("A")
        face.clock.advance(0.1)
        await until(pilot, lambda: len(face.link.sent(DecideCall)) == 2)


async def test_a_command_written_as_a_name_is_put_where_it_belongs() -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        await face.app.push_screen(WelcomeScreen("add"))
        await pilot.press(*("space" if key == " " else key for key in "npx server"), "enter")
        await pilot.press(*"files", "enter", "enter")
        await until(pilot, lambda: bool(face.link.sent(AddServer)))
    sent = face.link.sent(AddServer)[-1]
    assert (sent.name, sent.command, sent.args) == ("files", "npx", ("server",))


@pytest.mark.parametrize("size", some(SIZES, 2), ids=str)
async def test_the_columns_of_the_help_do_not_collide(
    size: tuple[int, int],
) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(size[0], 400)) as pilot:
        await face.settle(pilot)
        await pilot.press("f4", "f1")
        await pilot.pause()
        assert isinstance(face.app.screen, HelpScreen)
        text = screen_text(face.app)
        seen = " ".join(text.split())
        for target in ("chat", "composer", "app"):
            for action in actions.for_target(target):
                if action.keys or action.slash:
                    assert action.description in seen
        for row in text.split("\n"):
            if found := re.match(r"    \S.*?(shift\+enter)(.*)", row):
                assert found[2].strip() == "" or found[2].startswith("  ")
        # What is broken goes on under its own beginning, not under the keys.
        rest = [row for row in text.split("\n") if row.startswith("  ") and "item_previous" in row]
        assert all(re.match(r"    ↑|\s{18,}", row) for row in rest)


async def test_a_key_file_is_one_dim_line_that_leaves_the_help_where_it_is() -> None:
    ready = msgspec.structs.replace(scenario.ready(), encryption=SafeText("key file"))
    face = Face(ready)
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        assert face.app.main.query_one(ChatPane).has_class("-empty")
        seen = words(face)
        assert "No messages yet." in seen
        assert "omni-tui doctor says how to keep it elsewhere." in seen


@pytest.mark.parametrize("size", some(SIZES, 2), ids=str)
async def test_the_composer_never_shows_half_a_hint(size: tuple[int, int]) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        await pilot.pause()
        line = next(row for row in screen_text(face.app).split("\n") if "enter queue it" in row)
        assert "…" not in line
        for part in ("enter queue it", "ctrl+j new line", "/ commands"):
            assert part in line or part[:6] not in line


async def test_files_found_on_this_machine_are_offered_and_imported_by_one_key() -> None:
    good, bad = SafeText("/h/.cursor/mcp.json"), SafeText("/h/bad")
    files = (
        HostFile(path=good, program=SafeText("Cursor"), shown=good, servers=(SafeText("notes"),), count=3),
        HostFile(path=bad, program=SafeText("Gemini CLI"), shown=bad, problem=SafeText("is not JSON")),
    )
    face = Face(scenario.ready())
    face.link.answers[FindHostFiles] = lambda _: [HostFilesFound(files=files)]
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        await face.app.push_screen(WelcomeScreen("import"))
        await until(pilot, lambda: "notes and 2 more" in words(face))
        assert "Gemini CLI: is not JSON" in words(face)
        await pilot.press("down", "enter")
        await until(pilot, lambda: bool(face.link.sent(ImportServers)))
    (sent,) = face.link.sent(ImportServers)
    assert (sent.path, sent.save) == ("/h/.cursor/mcp.json", True)
