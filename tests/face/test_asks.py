"""What servers ask of the person: in the queue, on the card, decided with the care that calls get."""

from __future__ import annotations

import json

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from omni_tui.face.approval.pending_request import PendingRequestItem
from omni_tui.face.form.arguments_form import ArgumentsForm
from omni_tui.face.messages import OpenTool
from omni_tui.face.panes.approvals import ApprovalsPane
from omni_tui.face.screens.full_view import FullViewScreen
from omni_tui.face.screens.tool import ToolScreen
from omni_tui.protocol import AnyEvent, JsonText, SafeText
from omni_tui.protocol.commands import CallTool, CheckArguments, DescribeTool
from omni_tui.protocol.events import (
    CallChanged,
    CallFinished,
    CallProposed,
    CallRound,
    CommandDone,
    ContentPart,
    EngineReady,
    SessionOpened,
    ToolDetails,
)
from omni_tui.protocol.server_requests import (
    AnswerServerRequest,
    EditServerRequest,
    OpenServerRequestPage,
    ServerRequestClosed,
    ServerRequestOpened,
    ServerRequestOutcome,
)
from tests.face.asks import ADDRESS, REQUEST, asked, review
from tests.face.conftest import Face, arm, until
from tests.face.scenario import approval, proposed, ready
from tests.face.test_approvals_keys import arrive, pane_of
from tests.face.test_hostile_text import assert_harmless, drawn
from tests.lengths import some

SIZE = (160, 45)
KINDS = ["url", "sampling", "review"]


def question(kind: str, **changes: object) -> ServerRequestOpened:
    return review("fine", **changes) if kind == "review" else asked(kind, **changes)


def card(pane: ApprovalsPane) -> str:
    return "\n".join(line.plain for line in pane.card._lines)


def words(text: str) -> str:
    return " ".join(text.split())


async def answered(face: Face, pilot: Pilot[None]) -> AnswerServerRequest:
    face.clock.advance(0.1)
    await until(pilot, lambda: bool(face.link.sent(AnswerServerRequest)))
    return face.link.sent(AnswerServerRequest)[-1]


async def nothing(face: Face, pilot: Pilot[None]) -> None:
    pane = pane_of(face)
    face.clock.advance(0.1)
    await until(pilot, lambda: not pane.decision.holding)
    await pilot.pause()
    assert face.link.sent(AnswerServerRequest) == []


# --- the queue and what counts it


@pytest.mark.parametrize("size", [(160, 45), (80, 24)], ids=["wide", "narrow"])
async def test_questions_stand_among_the_calls_in_order_and_are_counted(size: tuple[int, int]) -> None:
    face = Face(ready(), approval("c1"), asked(), approval("c2"))
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        pane = pane_of(face)
        assert pane.queue.keys == ["c1", "ask:a1", "c2"]
        assert pane.count == len(face.app.overview.pending) == 3
        assert len(face.app.main.chat.transcript.fold.waiting) == 3
        top = drawn(face.app).split("\n")[0]
        assert ("3 to approve" if size[0] > 100 else " 3 ") in top
        await pilot.press("f5")
        row = next(line for line in drawn(face.app).split("\n") if " 2 " in line and "travel" in line)
        assert "travel › asks for values" in row
        assert "I can book" in row
        face.link.emit(ServerRequestClosed(ask="a1", outcome="withdrawn", decider="server"))
        await until(pilot, lambda: pane.count == 2)
        assert len(face.app.overview.pending) == 2


async def test_another_session_forgets_questions_and_replay_brings_open_ones_only() -> None:
    closed = ServerRequestClosed(ask="old", outcome="declined", decider="user")
    face = Face(ready(), asked(ask="old"), closed, asked())
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        assert pane_of(face).queue.keys == ["ask:a1"]
        face.app.clear_session()
        assert (pane_of(face).count, face.app.overview.pending) == (0, {})


async def test_questions_are_never_marked() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("m")
        assert pane.queue.marked == set()
        assert "answered by itself" in pane.said


async def test_later_puts_a_question_last_and_tells_no_server() -> None:
    face = Face(ready(), asked(), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("D")
        await until(pilot, lambda: pane.queue.keys == ["c2", "ask:a1"])
        assert face.link.sent(AnswerServerRequest) == []
        face.link.emit(approval("c3"))
        await until(pilot, lambda: pane.queue.keys == ["c2", "c3", "ask:a1"])


async def test_the_palette_action_goes_to_the_oldest_question() -> None:
    face = Face(ready(), approval("c1"), asked(), asked(ask="a2"))
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        face.app.run_named("questions")
        await until(pilot, lambda: pane_of(face).rows.selected == "ask:a1")
        assert face.app.main.current == "approvals"


async def test_fifty_questions_at_once() -> None:
    face = Face(ready(), *(asked(ask=f"a{n}", digest=f"d{n}") for n in range(50)))
    async with face.app.run_test(size=(80, 24)) as pilot:
        pane = await arrive(face, pilot)
        assert pane.count == 50
        await pilot.press("end", "R")
        answer = await answered(face, pilot)
        assert (answer.ask, answer.action) == ("a49", "decline")


# --- the card


async def test_a_page_shows_host_and_whole_address_and_can_be_opened_first() -> None:
    why = (SafeText("the page is on another host than the server"),)
    face = Face(ready(), asked("url", why=why))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        text = words(card(pane))
        assert "host pay.example" in text
        assert ADDRESS in "".join(line.plain.strip() for line in pane.card._lines)
        assert "nothing has been fetched" in text
        assert "! the page is on another host" in text
        await pilot.press("o")
        await until(pilot, lambda: len(face.link.sent(OpenServerRequestPage)) == 1)
        assert face.link.sent(OpenServerRequestPage)[0].digest == "digest-a1"
        await nothing(face, pilot)
        assert pane.count == 1


async def test_a_page_where_no_browser_is_says_what_to_do_and_copies_the_address() -> None:
    face = Face(ready(), asked("url", browser=False))
    copied: list[str] = []
    face.app._copy = lambda text, what: _note(copied, text)  # type: ignore[method-assign]
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        assert "open it yourself" in words(card(pane))
        await pilot.press("o")
        await pilot.press("y")
        await until(pilot, lambda: copied == [ADDRESS])
        assert face.link.sent(OpenServerRequestPage) == []


async def _note(copied: list[str], text: str) -> None:
    copied.append(text)


async def test_the_course_of_the_call_is_named() -> None:
    proposed = CallProposed(
        call="c9", server="travel", tool="book", label=SafeText("book"), arguments=SafeText("{}"), size=2,
        digest="d", origin="hand",
    )  # fmt: skip
    face = Face(ready(), proposed, asked(call="c9"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        assert "during travel › book" in card(pane)


async def test_a_refused_question_can_only_be_declined_and_says_why() -> None:
    face = Face(ready(), asked("url", refused=SafeText("its address is on this machine's own network")))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        text = words(card(pane))
        assert "cannot be accepted: its address is on this machine's own network" in text
        assert "A agree" not in text
        await pilot.press("A")
        await nothing(face, pilot)
        await pilot.press("R")
        assert (await answered(face, pilot)).action == "decline"


async def test_sampling_shows_everything_that_goes_to_the_model() -> None:
    face = Face(ready(), asked("sampling"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        text = words(card(pane))
        for part in ("claude-sonnet-4-5", "$0.42", "400", "0.2", "END", "You sort issues", "2. loud",
                     "1 user", "2 assistant", "I have read them.", "image"):  # fmt: skip
            assert part in text


async def test_what_has_no_place_of_its_own_is_shown_too() -> None:
    request = {**REQUEST, "includeContext": "allServers", "tools": [{"name": "rm"}]}
    odd = [{"role": "user", "content": {"type": "text", "text": "hi", "annotations": {"x": 1}}}, 7, "x", []]
    face = Face(ready(), asked("sampling", {**request, "messages": odd}))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        text = "".join(card(pane).split())
        for part in ("allServers", '"rm"', "annotations", "2message7", "3messagex", "4message[]"):
            assert part in text


# --- deciding


@pytest.mark.parametrize("kind", KINDS)
async def test_accepting_names_exactly_what_was_painted(kind: str) -> None:
    face = Face(ready(), question(kind))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot, quiet=0.39)
        await pilot.press("A")
        await nothing(face, pilot)
        await arm(face, pilot, pane.arming)
        await pilot.press("A")
        answer = await answered(face, pilot)
    assert (answer.ask, answer.action) == ("a1", "accept")
    assert answer.digest == ("digest-review" if kind == "review" else "digest-a1")


@pytest.mark.parametrize(("key", "action"), [("R", "decline"), ("X", "cancel")])
@pytest.mark.parametrize("kind", ["form", *KINDS])
async def test_declining_and_cancelling_need_no_quiet_time(kind: str, key: str, action: str) -> None:
    face = Face(ready(), question(kind))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot, quiet=0.0)
        await pilot.press(key)
        assert (await answered(face, pilot)).action == action


@pytest.mark.parametrize("key", ["enter", "space", "a", "y", "tab", "1", "escape", "x", "f"])
async def test_keys_of_habit_answer_nothing(key: str) -> None:
    face = Face(ready(), asked("sampling"))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press(key)
        face.clock.advance(1.0)
        await pilot.pause()
        assert face.link.sent(AnswerServerRequest) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_question_that_changes_under_the_key_is_not_accepted(kind: str) -> None:
    face = Face(ready(), question(kind))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        assert pane.decision.holding
        face.link.emit(question(kind, **({"digest": "another"} if kind != "review" else {"edited": True})))
        if kind == "review":
            face.link.emit(asked("sampling", {"text": "other"}, stage="review", digest="another"))
        await until(
            pilot, lambda: pane.arming.painted is not None and pane.arming.painted.digest == "another"
        )
        await nothing(face, pilot)
        assert pane.shown is not None
        assert pane.shown.digest == "another"


async def test_a_question_that_is_over_while_the_key_is_down_is_not_answered() -> None:
    face = Face(ready(), asked("url"), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        assert pane.decision.holding
        face.link.emit(ServerRequestClosed(ask="a1", outcome="withdrawn", decider="server"))
        await until(pilot, lambda: pane.queue.keys == ["c2"])
        await nothing(face, pilot)
        assert pane.rows.selected is None
        assert "request is withdrawn" in card(pane)


async def test_a_toast_over_the_card_forbids_accepting() -> None:
    face = Face(ready(), asked("url"))
    async with face.app.run_test(size=(80, 24), notifications=True) as pilot:
        pane = await arrive(face, pilot)
        face.app.say("a message that covers the card", timeout=60.0)
        await until(pilot, lambda: pane.covered())
        face.clock.advance(1.0)
        await pilot.press("A")
        await nothing(face, pilot)


async def test_a_held_key_accepts_one_stage_only() -> None:
    face = Face(ready(), asked("sampling"))
    face.link.answers[AnswerServerRequest] = lambda _c: [CommandDone(), review()]
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("A")
        for _ in range(40):
            face.clock.advance(0.05)
            await pilot.press("A")
        face.clock.advance(1.0)
        await pilot.pause()
        assert len(face.link.sent(AnswerServerRequest)) <= 1


async def test_the_card_follows_a_sampling_to_its_second_stage_unarmed() -> None:
    face = Face(ready(), asked("sampling"), approval("c2"))
    face.link.answers[AnswerServerRequest] = lambda _c: [
        CommandDone(),
        asked("sampling", stage="answering"),
    ]
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        assert (await answered(face, pilot)).action == "accept"
        await until(pilot, lambda: "MODEL IS ANSWERING" in card(pane))
        face.link.emit(review())
        await until(pilot, lambda: "MODEL'S ANSWER" in card(pane))
        assert pane.rows.selected == "ask:a1"
        assert not pane.arming.armed
        face.clock.advance(0.1)
        await pilot.press("A")
        await until(pilot, lambda: not pane.decision.holding)
        assert len(face.link.sent(AnswerServerRequest)) == 1
        await arm(face, pilot, pane.arming)
        await pilot.press("A")
        face.clock.advance(0.1)
        await until(pilot, lambda: len(face.link.sent(AnswerServerRequest)) == 2)
        assert face.link.sent(AnswerServerRequest)[-1].digest == "digest-review"


async def test_a_question_that_was_put_off_is_not_followed() -> None:
    face = Face(ready(), asked("sampling"), approval("c2"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("D")
        await until(pilot, lambda: pane.queue.keys == ["c2", "ask:a1"])
        face.link.emit(asked("sampling", digest="digest-2"))
        await face.settle(pilot)
        assert pane.rows.selected is None


async def test_while_the_model_answers_it_can_only_be_declined() -> None:
    face = Face(ready(), asked("sampling", stage="answering"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        assert "MODEL IS ANSWERING" in card(pane)
        await pilot.press("A")
        await nothing(face, pilot)
        await pilot.press("e")
        assert not pane.query(".-inline")
        await pilot.press("R")
        assert (await answered(face, pilot)).action == "decline"


async def test_a_refused_answer_leaves_the_question_waiting() -> None:
    face = Face(ready(), asked("url"))
    face.link.refuse(
        AnswerServerRequest, "The question changed", "its digest is another", "look at it again"
    )
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        await answered(face, pilot)
        await until(pilot, lambda: not pane.queue.deciding)
        assert pane.queue.keys == ["ask:a1"]


async def test_an_edit_of_the_messages_is_sent_exactly_and_asks_no_tool() -> None:
    face = Face(ready(), asked("sampling"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(face.app.focused, TextArea))
        area = pane.query_one(TextArea)
        assert json.loads(area.text) == REQUEST
        area.load_text('{"messages": [')
        await pilot.press("ctrl+o")
        await pilot.pause()
        assert face.link.sent(EditServerRequest) == []
        area.load_text('{"messages": [], "temperature": 1.10}')
        await pilot.press("ctrl+o")
        await until(pilot, lambda: len(face.link.sent(EditServerRequest)) == 1)
        edit = face.link.sent(EditServerRequest)[0]
        assert (edit.ask, edit.digest) == ("a1", "digest-a1")
        assert json.loads(edit.content_json) == {"messages": [], "temperature": 1.1}
        assert face.link.sent(CheckArguments) == []
        await until(pilot, lambda: not pane.query(".-inline"))


async def test_a_refused_edit_stays_in_the_editor() -> None:
    face = Face(ready(), review())
    face.link.refuse(EditServerRequest, "The answer is too long")
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(face.app.focused, TextArea))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "too long" in drawn(face.app))
        assert pane.query(".-inline")


# --- the whole of it


LONG = {"text": "\n".join(f"line {n} of an answer" for n in range(3000))}


async def test_a_long_answer_is_opened_first_and_sent_at_its_end_only() -> None:
    face = Face(ready(), asked("sampling", LONG, stage="review"))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("A")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        screen = face.app.screen
        assert isinstance(screen, FullViewScreen)
        await until(pilot, lambda: screen.view.count > 3000)
        face.clock.advance(2.0)
        await pilot.press("A")
        face.clock.advance(2.0)
        await pilot.pause()
        assert face.link.sent(AnswerServerRequest) == []
        await pilot.press("end")
        await until(pilot, lambda: screen.arming.painted is not None and screen.arming.painted.whole)
        face.clock.advance(2.0)
        await pilot.press("A")
        assert (await answered(face, pilot)).action == "accept"


async def test_the_whole_closes_when_the_question_changes() -> None:
    face = Face(ready(), asked("sampling"))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        face.link.emit(asked("sampling", digest="another"))
        await until(pilot, lambda: face.app.screen is face.app.main)
        assert pane.shown is not None
        assert pane.shown.digest == "another"


async def test_what_is_not_all_here_cannot_be_accepted() -> None:
    face = Face(ready(), asked("sampling", "{", complete=False, size=900_000))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        await nothing(face, pilot)
        assert "only be declined" in pane.said
        await pilot.press("v")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        await pilot.press("end")
        face.clock.advance(2.0)
        await pilot.press("A")
        await nothing(face, pilot)
        await pilot.press("R")
        assert (await answered(face, pilot)).action == "decline"


# --- hostile words


HOSTILE = "\x1b]52;c;aGk=\x07\x1b[2J\u202egnp.exe\u2066 [@click=app.quit]x[/] \x9b2J\ufeff\U000e0041"


@pytest.mark.parametrize("kind", ["form", *KINDS])
@pytest.mark.parametrize("size", some([(80, 24), (120, 40)], 1), ids=str)
async def test_hostile_words_reach_no_terminal(kind: str, size: tuple[int, int]) -> None:
    bad = SafeText(HOSTILE * 50)
    schema = {"type": "object", "properties": {HOSTILE: {"type": "string", "description": HOSTILE}}}
    request = {
        "messages": [{"role": HOSTILE, "content": {"type": "text", "text": HOSTILE}}],
        HOSTILE: HOSTILE,
    }
    content = {"form": schema, "url": {"url": "https://x/" + HOSTILE}, "sampling": request,
               "review": {"text": HOSTILE}}[kind]  # fmt: skip
    stage = "review" if kind == "review" else "asked"
    event = asked(
        "sampling" if kind == "review" else kind, content, stage=stage, label=bad, message=bad, host=bad,
        why=(bad,) * 20, model=bad, budget=bad, target=bad, server=HOSTILE, differs=True,
    )  # fmt: skip
    face = Face(ready(), event, asked(ask="r", refused=bad))
    async with face.app.run_test(size=size, notifications=True) as pilot:
        await arrive(face, pilot)
        assert_harmless(drawn(face.app))
        for keys in (("v",), ("end",), ("escape",), ("f4",), ("f5", "down")):
            await pilot.press(*keys)
            await pilot.pause()
            assert_harmless(drawn(face.app))
        face.link.emit(
            ServerRequestClosed(ask="a1", outcome="declined", decider="user", reason=bad, answer=bad)
        )
        await pilot.press("f4")
        await pilot.pause()
        assert_harmless(drawn(face.app))
        assert face.app.is_running


async def test_a_message_of_100_kilobytes_is_drawn_fast_and_has_to_be_seen() -> None:
    message = SafeText("word " * 20_000 + "\n" + "x" * 5_000)
    face = Face(ready(), asked("url", message=message))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        assert pane.arming.painted is not None
        assert not pane.arming.painted.whole
        await pilot.press("A")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        await nothing(face, pilot)


async def test_a_restart_closes_what_was_asked() -> None:
    face = Face(ready(), SessionOpened(title=SafeText("t"), mode="chat", model=SafeText("m")), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        face.link.emit(ServerRequestClosed(ask="a1", outcome="withdrawn", decider="restart"))
        await until(pilot, lambda: pane_of(face).count == 0)
        assert isinstance(face.app.overview.ready, EngineReady)


def test_the_item_answers_for_what_it_wraps() -> None:
    item = PendingRequestItem(asked(edited=True), "files › x")
    assert (item.key, item.digest, item.server, item.edited) == ("ask:a1", "digest-a1", "travel", True)


# --- the conversation, and a call by hand


async def transcript(face: Face, pilot: Pilot[None]) -> str:
    await face.settle(pilot)
    return drawn(face.app)


@pytest.mark.parametrize(
    ("outcome", "decider", "said"),
    [
        ("accepted", "user", "✓ answered"),
        ("declined", "user", "⊘ declined"),
        ("declined", "policy", "⊘ declined by policy"),
        ("cancelled", "headless", "⊘ cancelled: nobody there to ask"),
        ("withdrawn", "server", "⊘ withdrawn by the server"),
        ("withdrawn", "restart", "⊘ withdrawn by a restart"),
    ],
)
async def test_the_conversation_says_who_asked_what_and_how_it_ended(
    outcome: ServerRequestOutcome, decider: str, said: str
) -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        text = await transcript(face, pilot)
        assert "? travel › asks for values" in text
        assert "◌ waiting for you" in text
        face.link.emit(
            ServerRequestClosed(
                ask="a1", outcome=outcome, decider=decider, answer=SafeText('{"name": "Ada"}')
            )
        )
        await until(pilot, lambda: said in drawn(face.app))
        assert '└ {"name": "Ada"}' in drawn(face.app)
        assert not face.app.main.chat.transcript.fold.waiting


def running_call() -> list[AnyEvent]:
    return [
        proposed("c9", "travel", "book", {}, "write"),
        CallChanged(call="c9", state="approved", decider="user"),
        CallChanged(call="c9", state="dispatching"),
    ]


async def test_a_round_is_told_on_its_call() -> None:
    face = Face(ready(), *running_call())
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        face.link.emit(CallRound(call="c9", round=2, asked=(SafeText("elicitation/create"),)))
        await until(pilot, lambda: "got the input it asked for" in drawn(face.app))
        part = ContentPart(index=0, kind="text", text=SafeText("booked"), size=6)
        face.link.emit(CallFinished(call="c9", state="succeeded", parts=(part,), elapsed_ms=5.0, size=6))
        await until(pilot, lambda: "booked" in drawn(face.app))
        assert "round 2" in drawn(face.app)


@pytest.mark.parametrize(
    ("call", "server", "told"),
    [("c9", "travel", True), ("", "travel", True), ("other", "travel", False), ("", "another", False)],
)
async def test_a_call_by_hand_says_that_the_server_waits_for_the_person(
    call: str, server: str, told: bool
) -> None:
    face = Face(ready())
    details = ToolDetails(
        server="travel", tool="book", label=SafeText("book"), title=SafeText(""), description=SafeText(""),
        risk="write", annotations=(), input_schema_json=JsonText("{}"),
    )  # fmt: skip
    face.link.answers[DescribeTool] = lambda _c: [details]
    face.link.answers[CallTool] = lambda _c: [CommandDone(id="c9"), *running_call()]
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        face.app.post_message(OpenTool("travel", "book"))
        await until(pilot, lambda: isinstance(face.app.screen, ToolScreen))
        await until(pilot, lambda: bool(face.app.screen.query(ArgumentsForm)))
        await pilot.press("f9")
        await until(pilot, lambda: "esc cancels" in drawn(face.app))
        face.link.emit(asked(call=call, server=server), approval("c10"))
        await until(pilot, lambda: len(face.app.overview.pending) == 2)
        await pilot.pause()
        assert ("the server waits for your answer: F5 shows its request" in drawn(face.app)) is told
        face.link.emit(ServerRequestClosed(ask="a1", outcome="declined", decider="user"))
        await until(pilot, lambda: "asks something of you" not in drawn(face.app))
