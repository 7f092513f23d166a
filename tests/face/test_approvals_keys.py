"""Nothing is approved by accident: every safeguard of the approvals pane, with real keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual import events
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from omni_tui.approvals.risk import sure_risk as engine_sure_risk
from omni_tui.face import actions
from omni_tui.face.keys import check_keys, may_approve
from omni_tui.face.panes.approvals import ApprovalsPane
from omni_tui.face.risk import sure_risk
from omni_tui.face.screens.batch import BatchScreen
from omni_tui.face.screens.full_view import FullViewScreen
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.commands import CheckArguments, DecideCall, EditCall
from omni_tui.protocol.events import ArgumentsChecked, CallChanged, Problem, TextPage
from omni_tui.protocol.plan import PlanDecided
from omni_tui.protocol.server_requests import ServerRequestClosed
from omni_tui.protocol.values import Risk
from tests.face import plans
from tests.face.asks import asked
from tests.face.conftest import Face, arm, until
from tests.face.scenario import START, approval, proposed, ready
from tests.face.test_shell import screen_text
from tests.lengths import some

SIZE = (160, 45)


def pane_of(face: Face) -> ApprovalsPane:
    pane = face.app.main.pane("approvals")
    assert isinstance(pane, ApprovalsPane)
    return pane


def actions_key(name: str) -> str:
    return actions.get(name).keys.split(",")[0]


async def arrive(face: Face, pilot: Pilot[None], *, quiet: float = 1.0) -> ApprovalsPane:
    """Go to the approvals and let the card stand for a while."""
    await face.settle(pilot)
    await pilot.press("f5")
    pane = pane_of(face)
    await until(pilot, lambda: pane.arming.painted is not None and pane.rows.has_focus)
    face.clock.advance(quiet)
    return pane


async def decided(face: Face, pilot: Pilot[None]) -> DecideCall:
    """Let the moment pass in which a paste would show itself, and return the verdict."""
    face.clock.advance(0.1)
    await until(pilot, lambda: bool(face.link.sent(DecideCall)))
    return face.link.sent(DecideCall)[-1]


async def nothing(face: Face, pilot: Pilot[None]) -> None:
    """Give every timer its chance, and see that no verdict was sent."""
    pane = pane_of(face)
    face.clock.advance(0.1)
    await until(pilot, lambda: not pane.decision.holding)
    await pilot.pause()
    assert face.link.sent(DecideCall) == []


async def test_approving_names_exactly_what_was_painted() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("A")
        verdict = await decided(face, pilot)
    assert (verdict.call, verdict.digest, verdict.verdict) == ("c2", "digest-c2", "approve")


async def test_too_early_does_not_count_and_later_does() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot, quiet=0.39)
        await pilot.press("A")
        await nothing(face, pilot)
        face.clock.advance(1.0)
        await pilot.press("A")
        assert (await decided(face, pilot)).verdict == "approve"


@pytest.mark.parametrize(
    "what", ["resize", "terminal focus", "another key", "edit", "swap", "paste", "focus"]
)
async def test_whatever_happens_starts_the_quiet_time_again(what: str) -> None:
    face = Face(ready(), approval("c2"), approval("c3"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        assert pane.arming.armed
        if what == "resize":
            await pilot.resize_terminal(150, 44)
        elif what == "terminal focus":
            face.app.post_message(events.AppFocus())
        elif what == "another key":
            await pilot.press("x")
        elif what == "edit":
            face.link.emit(approval("c2", {"path": "other"}, digest="digest-other"))
        elif what == "swap":
            await pilot.press("down")
        elif what == "paste":
            pane.rows.post_message(events.Paste("hello"))
        else:
            await pilot.press("f4", "f5")
        await until(pilot, lambda: pane.arming.painted is not None and not pane.arming.armed)
        face.clock.advance(0.1)
        await pilot.press("A")
        await nothing(face, pilot)


async def test_a_held_key_approves_at_most_one_of_five() -> None:
    face = Face(ready(), *(approval(f"c{n}") for n in range(5)))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("A")
        for _ in range(40):
            face.clock.advance(0.05)
            await pilot.press("A")
        face.clock.advance(1.0)
        await pilot.pause()
        assert len(face.link.sent(DecideCall)) <= 1


async def test_after_a_decision_nothing_is_armed_and_the_cursor_stays_away() -> None:
    face = Face(ready(), approval("c2"), approval("c3"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        await decided(face, pilot)
        await until(pilot, lambda: pane.queue.keys == ["c3"])
        assert pane.rows.selected is None
        assert not pane.arming.armed
        face.clock.advance(5.0)
        await pilot.press("A")
        face.clock.advance(5.0)
        await pilot.pause()
        assert [d.call for d in face.link.sent(DecideCall)] == ["c2"]


@pytest.mark.parametrize("boundary", some(range(11), 3))
async def test_typing_in_the_composer_never_decides(boundary: int) -> None:
    text = "yes do it A"
    face = Face(ready())
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        for index, character in enumerate(text):
            if index == boundary:
                face.link.emit(approval("c2"))
                face.clock.advance(2.0)
                await pilot.pause()
            await pilot.press("space" if character == " " else character)
        await until(pilot, lambda: len(pane_of(face).queue) == 1)
        assert face.link.sent(DecideCall) == []
        assert face.app.main.chat.draft == text


async def test_an_unbracketed_paste_never_decides() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("A", "A", "A", "A")
        await nothing(face, pilot)


async def test_a_bracketed_paste_never_decides() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        pane.rows.post_message(events.Paste("AAAA"))
        await pilot.pause()
        await nothing(face, pilot)


@pytest.mark.parametrize("key", ["enter", "space", "a", "y", "tab", "up", "1", "escape", "r", "d"])
async def test_keys_of_habit_never_approve(key: str) -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press(key)
        face.clock.advance(1.0)
        await pilot.pause()
        assert [d for d in face.link.sent(DecideCall) if d.verdict == "approve"] == []


async def test_rejecting_needs_no_quiet_time() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot, quiet=0.0)
        await pilot.press("R")
        assert (await decided(face, pilot)).verdict == "reject"


async def test_a_call_that_changes_under_the_key_is_not_decided() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        assert pane.decision.holding
        face.link.emit(approval("c2", {"path": "/etc/passwd"}, digest="another"))
        await until(
            pilot, lambda: pane.arming.painted is not None and pane.arming.painted.digest == "another"
        )
        await nothing(face, pilot)


async def test_a_call_that_is_gone_leaves_nothing_chosen() -> None:
    face = Face(ready(), approval("c2"), approval("c3"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        face.link.emit(CallChanged(call="c2", state="expired"))
        await until(pilot, lambda: pane.queue.keys == ["c3"])
        assert pane.rows.selected is None
        face.clock.advance(2.0)
        await pilot.press("A")
        face.clock.advance(2.0)
        await pilot.pause()
        assert face.link.sent(DecideCall) == []


async def test_new_calls_never_move_the_cursor() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        face.link.emit(*(approval(f"n{n}") for n in range(4)))
        await until(pilot, lambda: len(pane.queue) == 5)
        assert pane.rows.selected == "c2"
        assert pane.rows.has_focus


async def test_words_go_along_with_a_rejection() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("f")
        await until(pilot, lambda: isinstance(face.app.focused, Input))
        await pilot.press(*"ARw", "enter")
        verdict = await decided(face, pilot)
        assert (verdict.verdict, verdict.feedback) == ("reject", "ARw")
        assert not pane.query(".-inline")


async def test_later_puts_it_last() -> None:
    face = Face(ready(), approval("c2"), approval("c3"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("D")
        await until(pilot, lambda: pane.queue.keys == ["c3", "c2"])
        assert face.link.sent(DecideCall)[0].verdict == "defer"


async def test_who_comes_back_from_the_chat_has_the_keys_in_the_open_editor() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(face.app.focused, TextArea))
        area = face.app.focused
        await pilot.press("f4")
        assert face.app.focused is not area
        await pilot.press("f5")
        assert face.app.focused is area
        await pilot.press("escape")
        await until(pilot, lambda: pane_of(face).rows.has_focus)
        assert face.link.sent(EditCall) == []


async def test_an_edit_is_checked_and_needs_its_own_approval() -> None:
    face = Face(ready(), approval("c2", {"path": "a"}))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(face.app.focused, TextArea))
        area = pane.query_one(TextArea)
        area.load_text('{"path": 1e}')
        await pilot.press("ctrl+o")
        await pilot.pause()
        assert face.link.sent(CheckArguments) == []
        area.load_text('{"path": "b"}')
        face.link.answers[CheckArguments] = lambda _c: [
            ArgumentsChecked(problems=(Problem(where=SafeText("/path"), what=SafeText("is wrong")),))
        ]
        await pilot.press("ctrl+o")
        await until(pilot, lambda: len(face.link.sent(CheckArguments)) == 1)
        assert face.link.sent(EditCall) == []
        del face.link.answers[CheckArguments]
        await pilot.press("ctrl+o")
        await until(pilot, lambda: len(face.link.sent(EditCall)) == 1)
        assert json.loads(face.link.sent(EditCall)[0].arguments_json) == {"path": "b"}
        await until(
            pilot, lambda: pane.shown is not None and pane.shown.edited and not pane.query(".-inline")
        )
        assert face.link.sent(DecideCall) == []
        await arm(face, pilot, pane.arming)
        await pilot.press("A")
        assert (await decided(face, pilot)).digest == "digest-c2+"


def long_call(complete: bool) -> object:
    return {"content": "\n".join(f"line {n}" for n in range(4000)), "complete": complete}


@pytest.mark.parametrize("complete", [True, False])
async def test_what_does_not_fit_is_opened_first_and_counts_at_its_end_only(complete: bool) -> None:
    item = approval("c2", long_call(complete), complete=complete)
    face = Face(ready(), item)
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("A")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        screen = face.app.screen
        assert isinstance(screen, FullViewScreen)
        await until(pilot, lambda: screen.view.count > 0)
        face.clock.advance(2.0)
        await pilot.press("A")
        face.clock.advance(2.0)
        await pilot.pause()
        assert face.link.sent(DecideCall) == []
        if not screen.view.end_seen:
            await pilot.press("end")
        await until(pilot, lambda: screen.arming.painted is not None and screen.arming.painted.whole)
        face.clock.advance(2.0)
        await pilot.press("A")
        assert (await decided(face, pilot)).verdict == "approve"


async def test_the_whole_is_fetched_by_the_page() -> None:
    text = "\n".join(f"{n:06}" for n in range(30_000))
    face = Face(ready(), approval("c2", complete=False))
    from omni_tui.protocol.commands import ReadArguments

    def page(command: object) -> list[TextPage]:
        assert isinstance(command, ReadArguments)
        piece = text[command.offset : command.offset + command.limit]
        return [TextPage(call="c2", part=0, offset=command.offset, total=len(text), text=SafeText(piece))]

    face.link.answers[ReadArguments] = page
    async with face.app.run_test(size=(100, 30)) as pilot:
        await arrive(face, pilot)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        screen = face.app.screen
        assert isinstance(screen, FullViewScreen)
        await until(pilot, lambda: screen.view.count > 0)
        assert screen.view.count < 30_000
        while screen.view.count < 30_000:
            await pilot.press("end")
            await pilot.pause()
        assert screen.view.count == 30_000


async def open_batch(face: Face, pilot: Pilot[None]) -> BatchScreen:
    """Mark what may be marked, and open the sheet with it."""
    pane = await arrive(face, pilot)
    for _ in range(len(pane.queue)):
        await pilot.press("m", "down")
    assert pane.queue.marked == {"c2", "c3"}
    await pilot.press("M")
    await until(pilot, lambda: isinstance(face.app.screen, BatchScreen))
    screen = face.app.screen
    assert isinstance(screen, BatchScreen)
    await until(pilot, lambda: screen.view.count > 0)
    return screen


def two_of_four() -> Face:
    """Return an app where four calls wait, two of which may be approved together."""
    return Face(
        ready(),
        approval("c2"),
        approval("c3"),
        approval("c4", risk="destructive"),
        approval("c5", held=True),
    )


async def test_a_toast_that_comes_or_goes_starts_the_quiet_time_again() -> None:
    """On the card, over the sheet of several calls, and over the full view."""
    face = two_of_four()
    async with face.app.run_test(size=(80, 24), notifications=True) as pilot:
        pane = await arrive(face, pilot)
        await toast_comes_and_goes(face, pilot, pane)
        screen = await open_batch(face, pilot)
        await pilot.press("end")
        await until(pilot, lambda: screen.view.end_seen)
        await pilot.press("2")
        await toast_comes_and_goes(face, pilot, screen)
        await pilot.press("escape")
        await pilot.press("v")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        whole = face.app.screen
        assert isinstance(whole, FullViewScreen)
        await until(pilot, lambda: whole.arming.painted is not None and whole.arming.painted.whole)
        await toast_comes_and_goes(face, pilot, whole)
    assert face.link.sent(DecideCall) == []


async def toast_comes_and_goes(
    face: Face, pilot: Pilot[None], place: ApprovalsPane | BatchScreen | FullViewScreen
) -> None:
    arming = place.arming
    await until(pilot, lambda: arming.painted is not None and arming.painted.whole)
    face.clock.advance(1.0)
    assert arming.wait == 0.0
    face.app.notify("a message that covers it\n" * 12, timeout=60.0)
    await until(pilot, lambda: bool(face.app.screen.query("Toast")))
    assert arming.wait > 0.0
    await until(pilot, lambda: place.was_covered)
    face.clock.advance(1.0)
    assert arming.wait == 0.0, "the time runs; a key is refused as long as it is covered"
    face.app.clear_notifications()
    await until(pilot, lambda: not place.was_covered)
    assert arming.wait > 0.0


@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_marked_calls_are_approved_by_their_number_and_a_shifted_key(size: tuple[int, int]) -> None:
    face = two_of_four()
    async with face.app.run_test(size=size) as pilot:
        screen = await open_batch(face, pilot)
        await pilot.press("end")
        await until(pilot, lambda: screen.view.end_seen)
        await pilot.press("2")
        await arm(face, pilot, screen.arming)
        await pilot.press("A")
        face.clock.advance(0.1)
        await until(pilot, lambda: len(face.link.sent(DecideCall)) == 2)
        assert {d.call for d in face.link.sent(DecideCall)} == {"c2", "c3"}


@pytest.mark.parametrize(
    "keys",
    [
        ("end", "2", "enter"),
        ("end", "2", "space"),
        ("end", "3", "A"),
        ("end", "A"),
        ("end", "2", "backspace", "A"),
        ("end", "2", "a"),
        ("tab", "2", "enter"),
    ],
)
async def test_nothing_else_approves_the_marked_calls(keys: tuple[str, ...]) -> None:
    face = two_of_four()
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await open_batch(face, pilot)
        for key in keys:
            await pilot.press(key)
            face.clock.advance(1.0)
            await until(pilot, lambda: not screen.decision.holding)
        face.clock.advance(1.0)
        await until(pilot, lambda: not screen.decision.holding)
        assert face.link.sent(DecideCall) == []


@pytest.mark.parametrize(
    "kind",
    [
        {"risk": "destructive"},
        {"held": True},
        {"news": "new"},
        {"edited": True},
        {"restored": True},
        {"differs": True},
        {"complete": False},
    ],
    ids=lambda kind: next(iter(kind)),
)
async def test_of_seven_calls_one_is_to_be_decided_by_itself_and_six_are_counted(
    kind: dict[str, object],
) -> None:
    face = Face(ready(), *(approval(f"c{n}") for n in range(6)), approval("alone", **kind))  # type: ignore[arg-type]
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        for _ in range(7):
            await pilot.press("m", "down")
        assert pane.queue.marked == {f"c{n}" for n in range(6)}
        await pilot.press("M")
        await until(pilot, lambda: isinstance(face.app.screen, BatchScreen))
        screen = face.app.screen
        assert isinstance(screen, BatchScreen)
        await until(pilot, lambda: screen.view.count > 0)
        await pilot.press("end")
        await until(pilot, lambda: screen.view.end_seen)
        for typed, counts in (("7", False), ("6", True)):
            await pilot.press("backspace", typed)
            await arm(face, pilot, screen.arming) if counts else face.clock.advance(1.0)
            await pilot.press("A")
            face.clock.advance(0.1)
            await until(pilot, lambda: not screen.decision.holding)
        await until(pilot, lambda: len(face.link.sent(DecideCall)) == 6)
        assert {verdict.call for verdict in face.link.sent(DecideCall)} == {f"c{n}" for n in range(6)}


async def test_every_leaf_of_every_marked_call_can_be_reached_in_the_sheet() -> None:
    calls = {f"c{n}": {f"key{n}-{i}": f"value{n}-{i} " + "x" * 300 for i in range(9)} for n in range(12)}
    face = Face(ready(), *(approval(call, arguments) for call, arguments in calls.items()))
    async with face.app.run_test(size=(80, 24)) as pilot:
        await arrive(face, pilot)
        for _ in calls:
            await pilot.press("m", "down")
        await pilot.press("M")
        await until(pilot, lambda: isinstance(face.app.screen, BatchScreen))
        screen = face.app.screen
        assert isinstance(screen, BatchScreen)
        await until(pilot, lambda: screen.view.count > 0)
        seen: set[str] = set()
        words = {word for arguments in calls.values() for pair in arguments.items() for word in pair}

        def look() -> bool:
            height = screen.view.size.height
            text = "".join(strip.text.strip() for strip in map(screen.view.render_line, range(height)))
            for arguments in calls.values():
                seen.update(
                    word for pair in arguments.items() for word in pair if word[:12].strip() in text
                )
            return screen.view.end_seen

        for _ in range(400):
            if look():
                break
            await pilot.press("pagedown")
        look()
        assert words - seen == set()


async def test_the_marked_calls_are_rejected_in_one_step_with_the_same_words() -> None:
    face = two_of_four()
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        for _ in range(4):
            await pilot.press("m", "down")
        await pilot.press("F")
        await until(pilot, lambda: isinstance(face.app.focused, Input))
        await pilot.press(*"not A", "enter")
        await until(pilot, lambda: len(face.link.sent(DecideCall)) == 2)
        sent = {
            (each.call, each.digest, each.verdict, each.feedback) for each in face.link.sent(DecideCall)
        }
        assert sent == {(call, f"digest-{call}", "reject", "not A") for call in ("c2", "c3")}
        await until(pilot, lambda: pane.queue.keys == ["c4", "c5"])
        assert pane.queue.marked == set()


async def test_a_marked_call_that_changes_while_the_words_are_typed_is_not_rejected_as_it_is_now() -> None:
    face = two_of_four()
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        for _ in range(4):
            await pilot.press("m", "down")
        await pilot.press("F")
        await until(pilot, lambda: isinstance(face.app.focused, Input))
        face.link.emit(approval("c2", {"path": "other"}, digest="digest-other"))
        face.link.emit(CallChanged(call="c3", state="expired"))
        await until(pilot, lambda: len(pane.queue) == 3)
        await pilot.press("enter")
        await until(pilot, lambda: bool(face.link.sent(DecideCall)))
        assert {(each.call, each.digest) for each in face.link.sent(DecideCall)} == {("c2", "digest-c2")}


async def test_one_marked_call_is_neither_approved_nor_rejected_by_the_keys_for_several() -> None:
    face = two_of_four()
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("m", "F", "M")
        await pilot.pause()
        assert not isinstance(face.app.screen, BatchScreen)
        assert not isinstance(face.app.focused, Input)
        assert face.link.sent(DecideCall) == []


async def test_the_number_and_the_key_in_one_go_approve_nothing() -> None:
    face = two_of_four()
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await open_batch(face, pilot)
        await pilot.press("end")
        await until(pilot, lambda: screen.view.end_seen)
        face.clock.advance(1.0)
        await pilot.press("2", "A")
        face.clock.advance(1.0)
        await until(pilot, lambda: not screen.decision.holding)
        assert face.link.sent(DecideCall) == []


async def test_a_sheet_with_more_than_fits_is_read_to_its_end_first() -> None:
    long = {"content": "\n".join(f"line {n}" for n in range(200))}
    face = Face(ready(), approval("c2", long), approval("c3", long))
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await open_batch(face, pilot)
        await pilot.press("2")
        face.clock.advance(1.0)
        await pilot.press("A")
        face.clock.advance(1.0)
        await until(pilot, lambda: not screen.decision.holding)
        assert face.link.sent(DecideCall) == []
        assert not screen.view.end_seen
        await pilot.press("end")
        await until(pilot, lambda: screen.arming.painted is not None and screen.arming.painted.whole)
        await arm(face, pilot, screen.arming)
        await pilot.press("A")
        face.clock.advance(0.1)
        await until(pilot, lambda: len(face.link.sent(DecideCall)) == 2)


@pytest.mark.parametrize("how", ["help", "palette", "whole", "zoom", "theme", "another pane", "resize"])
async def test_a_card_that_is_to_be_seen_again_is_looked_at_first(how: str) -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        assert pane.arming.armed
        main = face.app.screen
        if how in ("help", "palette", "whole"):
            await pilot.press({"help": "f1", "palette": "ctrl+p", "whole": "v"}[how])
            await until(pilot, lambda: face.app.screen is not main)
            face.clock.advance(5.0)
            await pilot.press("escape")
            await until(pilot, lambda: face.app.screen is main)
        elif how == "zoom":
            await pilot.press(actions_key("zoom"))
        elif how == "theme":
            face.app.change_theme("omni-light")
        elif how == "resize":
            await pilot.resize_terminal(*SIZE[:1], SIZE[1] - 1)
        else:
            await pilot.press("f4")
            face.clock.advance(5.0)
            await pilot.press("f5")
        face.clock.advance(0.15)
        await pilot.press("A")
        await nothing(face, pilot)
        await arm(face, pilot, pane.arming)
        await pilot.press("A")
        assert (await decided(face, pilot)).verdict == "approve"


async def test_a_size_that_changes_under_a_key_drops_the_decision() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        assert pane.decision.holding
        face.app.post_message(events.Resize(Size(150, 44), Size(150, 44)))
        await nothing(face, pilot)


async def test_no_key_counts_from_the_moment_of_a_resize_on() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        face.app.on_resize()
        assert not pane.arming.armed
        await pilot.press("A")
        await nothing(face, pilot)


async def test_a_click_approves_only_what_is_armed() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot, quiet=0.0)
        row = next(y for y, line in enumerate(pane.card._lines) if line.plain.startswith("A approve"))
        await pilot.click(pane.card, offset=(3, row))
        await nothing(face, pilot)
        face.clock.advance(1.0)
        await pilot.click(pane.card, offset=(3, row))
        assert (await decided(face, pilot)).verdict == "approve"


async def test_a_refused_verdict_leaves_the_call_waiting() -> None:
    face = Face(ready(), approval("c2"))
    face.link.refuse(DecideCall, "The call changed", "its digest is another", "look at it again")
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        await decided(face, pilot)
        await until(pilot, lambda: not pane.queue.deciding)
        assert pane.queue.keys == ["c2"]


@pytest.mark.parametrize(
    "key", ["enter", "space", "a", "y", "1", "tab", "escape", "ctrl+m", "ctrl+j", "up"]
)
def test_habit_keys_cannot_be_bound_to_approving(key: str) -> None:
    keymap, problems = check_keys({"approve": key})
    assert keymap == {}
    assert problems
    assert not may_approve(key)


def test_other_keys_can_and_mistakes_are_explained() -> None:
    keymap, problems = check_keys({"approve": "ctrl+y", "aprove": "A", "zoom": "f12"})
    assert keymap == {"approve": "ctrl+y", "zoom": "f12"}
    assert [str(p) for p in problems] == ["[keys] aprove: there is no such action; did you mean approve?"]


async def test_a_rebound_key_approves_and_the_old_one_no_longer(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[keys]\napprove = "ctrl+y"\n')
    face = Face(ready(), approval("c2"), keys=str(config))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("A")
        await nothing(face, pilot)
        face.clock.advance(1.0)
        await pilot.press("ctrl+y")
        assert (await decided(face, pilot)).verdict == "approve"


@pytest.mark.parametrize(
    ("risk", "trusted", "chip", "style"),
    [
        ("read", False, "CLAIMS: READS ONLY", "$text-2"),
        ("read", True, "READS", "$done"),
        ("write", False, "CLAIMS: WRITES", "$waiting"),
        ("write", True, "WRITES", "$waiting"),
        ("unknown", False, "UNKNOWN", "$text-2"),
        ("unknown", True, "UNKNOWN", "$text-2"),
        ("destructive", False, "DESTROYS", "$fail"),
        ("destructive", True, "DESTROYS", "$fail"),
    ],
)
async def test_what_an_untrusted_server_claims_is_shown_as_a_claim(
    risk: Risk, trusted: bool, chip: str, style: str
) -> None:
    """A claim to be harmless is never green: only a trusted server can lower the risk."""
    face = Face(ready(), approval("c2", risk=risk, server_trusted=trusted))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        assert pane.shown is not None
        drawn = pane.shown.chip()
        assert drawn.plain == f" {chip} "
        assert f"on {style}" in str(drawn.spans[0].style)
        assert f" {chip} " in screen_text(face.app)
        assert sure_risk(risk, server_trusted=trusted) == engine_sure_risk(risk, trusted=trusted)


@pytest.mark.parametrize("way", ["key", "mouse"])
async def test_reject_and_stop_rejects_exactly_this_call_and_stops_its_turn(way: str) -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        if way == "key":
            await pilot.press("S")
        else:
            spot = next(
                (x, y)
                for y in range(pane.card.size.height)
                for x in range(pane.card.size.width)
                if pane.card.get_style_at(x + 2, y).meta.get("decide") == "reject_stop"
            )
            await pilot.click(pane.card, offset=(spot[0] + 2, spot[1]))
        sent = await decided(face, pilot)
        assert (sent.call, sent.digest, sent.verdict, sent.stop) == ("c2", "digest-c2", "reject", True)


async def test_what_has_no_turn_to_stop_does_not_offer_it() -> None:
    face = Face(ready(), approval("c2", turn="", origin="hand"), asked("url"), plans.plan())
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        for _ in range(3):
            assert pane.shown is not None
            assert "reject_stop" not in pane.shown.actions
            await pilot.press("S", "down")
        await nothing(face, pilot)
        assert pane.count == 3


async def test_a_burst_with_the_key_that_stops_decides_nothing() -> None:
    face = Face(ready(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("S", "t", "o", "p")
        await nothing(face, pilot)


DEADLINES: dict[str, tuple[AnyEvent, str]] = {
    "call": (approval("c2", expires=START + 645), "expires at 14:12:45: then it is not sent"),
    "plan": (plans.plan(expires=START + 640), "expires at 14:12:40: then it is not carried out"),
    "form": (asked(expires=START + 640), "then the server is told that nobody decided"),
    "sampling": (asked("sampling", expires=START + 640), "then the server is told that nobody decided"),
}


@pytest.mark.parametrize("kind", DEADLINES)
async def test_every_kind_of_item_says_in_advance_when_it_ends_and_then_that_it_did(kind: str) -> None:
    shown, words = DEADLINES[kind]
    face = Face(ready(), shown)
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        card = " ".join(" ".join(line.plain for line in pane.card._lines).split())
        assert words in card
        assert " of " in pane.rows.render_row(pane.rows.keys[0], 60, 1).plain
        pane.arming.disturb()
        for _ in range(5):  # a time that runs on the card would never let it stand still
            face.clock.advance(1.0)
            await pilot.pause()
        assert pane.arming.armed or not pane.card._whole
        ends: dict[str, AnyEvent] = {
            "call": CallChanged(call="c2", state="expired", decider="timeout"),
            "plan": PlanDecided(plan="plan-1", turn="t1", verdict="withdrawn", decider="timeout"),
        }
        closed = ServerRequestClosed(ask="a1", outcome="cancelled", decider="timeout")
        face.link.emit(ends.get(kind, closed))
        await until(pilot, lambda: not pane.queue.keys)
        assert pane.queue.ended is not None
        assert pane.queue.ended.how == "expired"
        if kind != "call":
            await until(pilot, lambda: "timed out" in screen_text(face.app))


async def test_a_row_says_how_long_its_call_may_wait_and_the_chat_how_it_ended() -> None:
    face = Face(ready(), *(approval(f"c{n}", expires=START + 45 + 600) for n in range(2)))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        assert "0:08 of 10:00" in pane.rows.render_row("c0", 60, 1).plain
        calls = [proposed(f"c{n}", "files", "edit_file", {}, "write", turn="t1") for n in range(2)]
        changes = [
            CallChanged(call="c0", state="expired", decider="timeout"),
            CallChanged(call="c1", state="rejected", decider="repeat"),
        ]
        face.link.emit(*calls, *changes)
        await until(pilot, lambda: "⊘ timed out" in screen_text(face.app))
        await until(pilot, lambda: "⊘ rejected, as twice before" in screen_text(face.app))
        assert not pane.queue.keys
