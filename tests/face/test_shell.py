"""The shell: its first frame, how it folds, where keys lead, what a dead engine shows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter

import pytest
from textual.command import CommandList
from textual.events import Key

from omni_tui.face import actions
from omni_tui.face.app import OmniApp
from omni_tui.face.key_names import show_key
from omni_tui.face.messages import CopyText, OpenTool, RunAction, ShowServerLog
from omni_tui.face.panes.approvals import ApprovalsPane
from omni_tui.face.panes.base import Pane
from omni_tui.face.panes.servers import ServersPane
from omni_tui.face.panes.tools import ToolsPane
from omni_tui.face.screens.confirm import ConfirmScreen
from omni_tui.face.screens.help import HelpScreen
from omni_tui.face.screens.main import PANES, MainScreen
from omni_tui.face.screens.server_log import ServerLogScreen
from omni_tui.face.screens.welcome import WelcomeScreen
from omni_tui.face.widgets.footer import FooterBar
from omni_tui.face.widgets.status import StatusBar
from omni_tui.protocol import Link, SafeText
from omni_tui.protocol.commands import (
    AddServer,
    Hello,
    NewSession,
    ReadLaunch,
    Replay,
    SendMessage,
    SetMode,
    StopRun,
)
from omni_tui.protocol.events import (
    CommandDone,
    EventsDropped,
    ModeChanged,
    ServerChanged,
    SessionOpened,
    SessionTitled,
    TurnStarted,
    UserMessage,
)
from omni_tui.protocol.values import ServerState
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.fake import FakeClock, FakeLink
from tests.lengths import times

NAMES = {"f2": "servers", "f3": "tools", "f4": "chat", "f5": "approvals"}
"""The panes by their keys."""


def screen_text(app: OmniApp) -> str:
    return "\n".join(
        "".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()
    )


def bar(app: OmniApp, kind: type[StatusBar] | type[FooterBar]) -> str:
    return app.main.query_one(kind).render().plain


async def test_the_first_frame_has_four_titles_and_a_composer_before_any_engine() -> None:
    waiting: asyncio.Event = asyncio.Event()

    async def never() -> Link:
        await waiting.wait()
        raise AssertionError

    app = OmniApp(never, clock=FakeClock(scenario.NOW))
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.pause()
        text = screen_text(app)
        for title in ("SERVERS", "TOOLS", "APPROVALS", "Ask, or tell"):
            assert title in text
        assert "starting the engine" in bar(app, StatusBar)
        await pilot.press(*"hello")
        assert app.main.chat.draft == "hello"
        waiting.set()


@pytest.mark.parametrize(
    ("width", "shown"), [(160, 4), (110, 4), (105, 1), (99, 1), (80, 1), (60, 1), (59, 0)]
)
async def test_panes_fold_by_width(width: int, shown: int) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(width, 24)) as pilot:
        await face.settle(pilot)
        seen = [name for name in PANES if face.app.main.pane(name).region.area > 0]
        assert len(seen) == shown
        if shown == 1:
            line = bar(face.app, FooterBar)
            # On the smallest screen the key of the help goes before the counts of what waits for nobody.
            assert ("F2 servers 4" if width >= 80 else "F2 servers") in line
            assert "F1 keys" in line
            assert "F5 approvals 2" in line
        if shown == 0:
            assert "Too small" in screen_text(face.app)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("active", "idle", "degraded"), "F2 servers 3 ·"),
        (("active", "failed", "failed"), "F2 servers 3 ✗2 ·"),
        (("not_allowed", "needs_sign_in"), "F2 servers 2 ◐1 ·"),
        (("not_allowed", "disabled"), "F2 servers 2 ○1 ·"),
    ],
)
@pytest.mark.parametrize("width", [80, 60])
async def test_folded_the_bar_says_that_servers_need_you(
    width: int, states: tuple[ServerState, ...], said: str
) -> None:
    servers = [
        ServerChanged(
            name=f"s{at}", state=state, since=scenario.START, label=SafeText(f"s{at}"), transport="stdio",
            target=SafeText("a-server"), source="user",
        )
        for at, state in enumerate(states)
    ]  # fmt: skip
    face = Face(scenario.ready(), *servers)
    async with face.app.run_test(size=(width, 24)) as pilot:
        await face.settle(pilot)
        line = bar(face.app, FooterBar)
        briefly = "F2 servers" + said.removeprefix(f"F2 servers {len(states)}")
        assert said in line or (width == 60 and briefly in line), line
        assert "F1 keys" in line


@pytest.mark.parametrize("pane", ["f2", "f3", "f4", "f5"])
@pytest.mark.parametrize("width", [100, 80, 60])
async def test_a_count_in_the_bar_is_left_out_only_where_its_room_goes_to_a_key(
    width: int, pane: str
) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(width, 24)) as pilot:
        await face.settle(pilot)
        await pilot.press(pane)
        await face.settle(pilot)
        footer = face.app.main.query_one(FooterBar)
        line = footer.render().plain
        if "F2 servers 4 ✗1" in line:
            return
        keys = [hint for hint in footer._hints if f"{show_key(hint.key)} {hint.label}" in line]
        whole = next(footer._folded_tabs()).cell_length
        needed = sum(len(f"{show_key(hint.key)} {hint.label}") + 3 for hint in keys) - 3
        assert whole + 2 + needed > width - 2, line


async def test_a_long_title_gives_way_to_the_mode_and_the_model() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        face.link.emit(SessionTitled(title=SafeText("a title of some length (31 more characters) " * 2)))
        face.link.emit(ModeChanged(mode="orchestrator", covers=SafeText("")))
        await face.settle(pilot)
        line = bar(face.app, StatusBar)
        assert "ORCHESTRATOR" in line
        assert face.app.overview.model.rsplit("/", 1)[-1] in line
        assert "a title" in line
        assert len(line) <= 80


async def test_too_low_says_so_in_one_line() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(80, 14)) as pilot:
        await face.settle(pilot)
        assert [line for line in screen_text(face.app).splitlines() if line.strip()] == [
            line for line in screen_text(face.app).splitlines() if "Too small" in line
        ]


@pytest.mark.parametrize(
    ("key", "pane"), [("f2", "servers"), ("f3", "tools"), ("f4", "chat"), ("f5", "approvals")]
)
@pytest.mark.parametrize("width", [80, 105, 160])
async def test_a_key_from_anywhere_shows_a_pane_and_gives_it_the_keys(
    key: str, pane: str, width: int
) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(width, 30)) as pilot:
        await face.settle(pilot)
        await pilot.press("f2" if key != "f2" else "f3", key)
        await pilot.pause()
        assert face.app.main.current == pane
        assert face.app.main.query_one(f"#{pane}").has_focus_within
        assert face.app.main.query_one(f"#{pane}").region.area > 0


async def test_zoom_gives_the_window_to_one_pane_and_back() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        await pilot.press("f5", "f6")
        await pilot.pause()
        assert face.app.main.pane("approvals").size.width == 160
        await pilot.press("escape")
        await pilot.pause()
        assert face.app.main.chat.region.area > 0
        assert face.link.sent(StopRun) == []


async def test_a_draft_survives_going_round() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        await pilot.press(*"half", "f2", "f3", "f5", "f4", "d")
        assert face.app.main.chat.draft == "halfd"


async def test_nothing_that_arrives_takes_the_keys() -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        before = face.app.focused
        face.link.emit(*scenario.whole(), *scenario.after_approval())
        await face.settle(pilot)
        assert face.app.focused is before


async def test_escape_stops_a_run_only_if_there_is_one() -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        await pilot.press("escape")
        assert face.link.sent(StopRun) == []
        face.link.emit(TurnStarted(turn="t1", mode="chat", model=SafeText("m")))
        await face.settle(pilot)
        await pilot.press("escape")
        assert len(face.link.sent(StopRun)) == 1


async def test_ctrl_c_never_leaves_by_one_press_and_asks_at_the_second() -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        await pilot.press("ctrl+c")
        face.clock.advance(3.0)
        await pilot.press("ctrl+c")
        assert not isinstance(face.app.screen, ConfirmScreen)
        face.clock.advance(1.0)
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert isinstance(face.app.screen, ConfirmScreen)
        await pilot.press("n")
        await pilot.pause()
        assert face.app.is_running
        assert len(face.app.screen_stack) == 1


async def test_ctrl_c_stops_a_run() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        await pilot.press("ctrl+c")
        assert len(face.link.sent(StopRun)) == 1


async def test_help_lists_the_keys_of_the_pane_one_is_in() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 60)) as pilot:
        await face.settle(pilot)
        await pilot.press("f5", "f1")
        await pilot.pause()
        assert isinstance(face.app.screen, HelpScreen)
        text = screen_text(face.app)
        for action in actions.for_target("approvals"):
            assert action.description in text
        await pilot.press("escape")
        await pilot.pause()
        assert len(face.app.screen_stack) == 1


async def test_the_palette_finds_and_runs_an_action() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press("ctrl+p")
        await pilot.pause()
        await pilot.press(*"mode auto")

        def found() -> bool:
            listed = face.app.screen.query_one(CommandList)
            at = listed.highlighted
            return at is not None and str(listed.get_option_at_index(at).prompt).startswith("mode auto")

        await until(pilot, found)
        await pilot.press("enter")
        await until(pilot, lambda: bool(face.link.sent(SetMode)))
        assert face.link.sent(SetMode)[0].mode == "auto"


async def test_slash_commands_reach_the_same_actions() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        face.app.post_message(RunAction("mode", "auto"))
        await until(pilot, lambda: bool(face.link.sent(SetMode)))
        face.app.post_message(RunAction("log", "search"))
        await until(pilot, lambda: isinstance(face.app.screen, ServerLogScreen))
        await until(pilot, lambda: "search: listening" in screen_text(face.app))


async def test_opening_a_tool_and_closing_it() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        face.app.main.post_message(OpenTool("files", "read_text_file"))
        await until(pilot, lambda: type(face.app.screen).__name__ == "ToolScreen")
        await pilot.press("f4")
        await pilot.pause()
        assert len(face.app.screen_stack) == 1


async def test_a_dead_engine_says_so_and_comes_back() -> None:
    second = FakeLink([scenario.ready()], now=scenario.NOW)
    face = Face(*scenario.whole())

    async def again() -> Link:
        return second

    face.app._restart = again
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        face.link.crash("it was killed (signal 9)")
        await until(pilot, lambda: face.app.main.has_class("-engine-stopped"))
        text = screen_text(face.app)
        assert "The engine stopped: it was killed (signal 9)" in text
        assert "ctrl+r" in text
        assert "engine.log" in text
        face.app.port.send(SetMode(mode="auto"))  # nothing breaks
        await pilot.press("ctrl+r")
        await until(pilot, lambda: bool(second.sent(Hello)))
        await until(pilot, lambda: not face.app.main.has_class("-engine-stopped"))
        assert second.sent(Hello)[0].cursor == len(face.link.journal)


async def test_an_engine_that_does_not_start_says_why() -> None:
    async def broken() -> Link:
        raise OSError("no such file: python9")

    app = OmniApp(broken, clock=FakeClock(scenario.NOW))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.main.has_class("-engine-stopped"))
        assert "no such file: python9" in screen_text(app)


async def test_events_seen_twice_count_once_and_lagging_asks_for_the_rest() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        tokens = face.app.overview.tokens
        face.link.emit(EventsDropped(after=3))
        await until(pilot, lambda: bool(face.link.sent(Replay)))
        await face.settle(pilot)
        assert face.app.overview.tokens == tokens
        assert face.link.sent(Replay)[0].after == 3


async def test_another_session_clears_the_panes_and_shows_its_own() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)

        def fresh(_command: object) -> list[object]:
            face.link.journal.clear()
            opened = SessionOpened(title=SafeText("second"), mode="chat", model=SafeText("m"), session="s2")
            return [opened, CommandDone(id="s2")]

        face.link.answers[NewSession] = fresh  # type: ignore[assignment]
        face.app.pump.session = "s1"
        face.app.post_message(RunAction("new_session"))
        await until(pilot, lambda: face.app.overview.title == "second")
        assert face.app.overview.pending == {}
        assert face.app.main.pane("approvals").count == 0


async def test_keys_stay_live_while_thousands_of_events_are_replayed() -> None:
    count = times(4_000, 10_000)
    face = Face(scenario.ready())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        flushed, typed_at = face.app.flushed, [-1]

        def note() -> None:
            if typed_at[0] < 0 and face.app.main.chat.draft == "x":
                typed_at[0] = face.app.pump.cursor
            flushed()

        face.app.flushed = note  # type: ignore[method-assign]
        for number in range(count):
            face.link.emit(UserMessage(turn=f"t{number}", text=SafeText("hello")))
        face.app.post_message(Key("x", "x"))
        await until(pilot, lambda: face.app.pump.cursor == count, seconds=240)
        assert 0 <= typed_at[0] < count


async def test_a_batch_ends_after_its_time_even_if_more_is_there() -> None:
    from omni_tui.face.event_pump import BATCH_S

    face = Face(scenario.ready())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        spans: list[int] = []
        flushed = face.app.flushed

        def count() -> None:
            spans.append(face.app.pump.cursor)
            flushed()

        face.app.flushed = count  # type: ignore[method-assign]
        started = perf_counter()
        for number in range(3000):
            face.link.emit(UserMessage(turn=f"t{number}", text=SafeText("hello")))
        emitting = perf_counter() - started
        await until(pilot, lambda: face.app.pump.cursor == 3000, seconds=240)
        assert len(spans) >= 2, (emitting, BATCH_S)


async def test_a_failed_command_that_nobody_awaits_becomes_a_toast() -> None:
    face = Face(*scenario.whole())
    face.link.refuse(SetMode, "The mode stays [b]chat[/]", "the policy says so", "change the policy")
    async with face.app.run_test(size=(120, 40), notifications=True) as pilot:
        await face.settle(pilot)
        face.app.run_named("mode", "auto")
        await until(pilot, lambda: "The mode stays [b]chat[/]" in screen_text(face.app))
        assert "change the policy" in screen_text(face.app)


async def test_allowing_a_server_is_offered_only_where_it_waits_for_it() -> None:
    waits = ServerChanged(
        name="new", state="not_allowed", since=0.0, label=SafeText("new"), transport="stdio",
        target=SafeText("x"), source="project",
    )  # fmt: skip
    face = Face(scenario.ready(), *scenario.servers(), waits)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press("f2", "y")
        assert face.link.sent(ReadLaunch) == []
        await pilot.press("end", "y")
        assert [c.server for c in face.link.sent(ReadLaunch)] == ["new"]


async def test_a_first_run_shows_the_first_page_and_whoever_writes_goes_on_writing() -> None:
    face = Face(scenario.ready(first_run=True))
    async with face.app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(face.app.screen, WelcomeScreen))
        await pilot.press("h", "i", "enter")
        await until(pilot, lambda: bool(face.link.sent(SendMessage)))
        assert face.link.sent(SendMessage)[0].text == "hi"


async def test_adding_a_server_by_hand() -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press(*"/welcome", "enter")
        await until(pilot, lambda: isinstance(face.app.screen, WelcomeScreen))
        await pilot.press("down", "enter")
        await pilot.pause()
        await pilot.press(*"files", "enter", *"mcp-fs ~/a", "space", *"'b c'", "enter")
        await until(pilot, lambda: bool(face.link.sent(AddServer)))
        command = face.link.sent(AddServer)[0]
        assert (command.name, command.command, command.args) == ("files", "mcp-fs", ("~/a", "b c"))


async def test_copying_says_where_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    face = Face(scenario.ready(), folder=str(tmp_path))
    async with face.app.run_test(size=(120, 40), notifications=True) as pilot:
        await face.settle(pilot)
        face.app.main.post_message(CopyText("some text", "the answer"))
        await until(pilot, lambda: bool(list(tmp_path.glob("omni-copy-*"))))
        assert next(tmp_path.glob("omni-copy-*")).read_text() == "some text"
        await until(pilot, lambda: "The answer is written to" in screen_text(face.app))


async def test_the_log_of_a_server_opens_from_its_row() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        face.app.main.post_message(ShowServerLog("git"))
        await until(pilot, lambda: "git: listening" in screen_text(face.app))


async def test_a_pane_that_chokes_on_an_event_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)

        def choke(_event: object) -> None:
            raise ValueError("no")

        face.app.main.pane("tools").apply = choke  # type: ignore[method-assign,assignment]
        face.link.emit(*scenario.servers())
        await until(pilot, lambda: face.app.main.pane("servers").count == 4)
    assert "could not take" in caplog.text


def test_every_action_of_the_app_can_be_done() -> None:
    for action in actions.for_target("app"):
        assert action.run is not None, action.name


async def test_every_action_of_a_pane_can_be_done() -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        for name in PANES:
            for action in actions.for_target(name):
                assert hasattr(face.app.main.widget_of(name), f"action_{action.name}"), (name, action.name)
        for action in actions.for_target("composer"):
            assert hasattr(face.app.main.widget_of("composer"), f"action_{action.name}"), action.name


@pytest.mark.parametrize(
    ("key", "pane"), [("f2", "servers"), ("f3", "tools"), ("f4", "chat"), ("f5", "approvals")]
)
async def test_a_pane_key_pressed_before_the_panes_are_there_acts_when_they_are(
    key: str, pane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = asyncio.Event()
    furnish = MainScreen.furnish

    async def late(self: MainScreen) -> None:
        await arrived.wait()
        await furnish(self)

    monkeypatch.setattr(MainScreen, "furnish", late)
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        face.app.post_message(Key(key, None))
        await pilot.pause(0.05)
        arrived.set()
        await until(pilot, lambda: any(one.has_focus_within for one in face.app.main.query(f"#{pane}")))
        assert face.app.main.current == pane


@pytest.mark.parametrize("key", ["f2", "f3", "f4", "f5"])
@pytest.mark.parametrize("kind", [ServersPane, ToolsPane, ApprovalsPane])
async def test_a_pane_key_pressed_while_a_pane_is_made_does_no_harm(
    key: str, kind: type[Pane], monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = kind.compose
    pressed: list[str] = []

    async def press_then_mount(self: Pane) -> None:
        pressed.append(key)
        self.app.run_named(f"show_{NAMES[key]}")  # type: ignore[attr-defined]
        await self.mount_composed_widgets(list(compose(self)))

    monkeypatch.setattr(kind, "_compose", press_then_mount)
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await until(
            pilot, lambda: any(one.has_focus_within for one in face.app.main.query(f"#{NAMES[key]}"))
        )
        assert pressed == [key]
