"""One tool's screen with real keys: what is sent, when, and how large results are read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input, Static

from omni_tui.face.cells import breaks
from omni_tui.face.results.call_history import CALLS_KEPT, CallHistory
from omni_tui.face.results.json_tree import JsonTree
from omni_tui.face.results.parts import STRUCTURED, WHOLE
from omni_tui.face.results.save_bar import SaveBar
from omni_tui.face.results.view import ResultView
from omni_tui.face.screens.tool import ConfirmBar, ToolScreen
from omni_tui.protocol import AnyEvent, JsonText, SafeText
from omni_tui.protocol.calls import CallTask, TaskProgress
from omni_tui.protocol.commands import (
    CallTool,
    CancelCall,
    DescribeTool,
    ReadArguments,
    ReadResult,
    SaveResult,
)
from omni_tui.protocol.events import (
    CallChanged,
    CallFinished,
    CallProgress,
    CallProposed,
    CommandDone,
    ConfirmNeeded,
    ContentPart,
    FileSaved,
    TextPage,
    ToolDetails,
)
from omni_tui.security.text import safe, safe_line
from tests.face.tool_app import (
    HOSTILE,
    ScriptedPort,
    ToolApp,
    assert_safe,
    in_the_way,
    refused,
    settled,
    until,
)

SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "depth": {"type": "integer", "default": 3}},
    "required": ["path"],
}
ARGUMENTS = '{"path":"notes"}'


def details(**changes: Any) -> ToolDetails:
    made: dict[str, Any] = {
        "server": "files", "tool": "list", "label": SafeText("list"), "title": SafeText("List"),
        "description": SafeText("Lists what a directory holds."), "risk": "read",
        "annotations": (SafeText("read only"),), "input_schema_json": JsonText(json.dumps(SCHEMA)),
    }  # fmt: skip
    return ToolDetails(**(made | changes))


def port_with(**changes: Any) -> ScriptedPort:
    port = ScriptedPort()
    port.answers[DescribeTool] = lambda _c: details(**changes)
    port.answers[CallTool] = lambda _c: CommandDone(id="c1")
    return port


@asynccontextmanager
async def shown(
    port: ScriptedPort | None = None,
    arguments: str = ARGUMENTS,
    *,
    size: tuple[int, int] = (140, 40),
    history: CallHistory | None = None,
) -> AsyncIterator[tuple[Pilot[None], ToolScreen, ToolApp]]:
    app = ToolApp(Static(), port=port or port_with())
    screen = ToolScreen("files", "list", arguments, history=history)
    async with app.run_test(size=size) as pilot:
        await app.push_screen(screen)
        await until(pilot, lambda: app.port.of(DescribeTool), "the question what the tool is")
        await pilot.pause()
        await pilot.pause()
        yield pilot, screen, app


def proposed(call: str = "c1", arguments: str = ARGUMENTS, *, ts: float = 1.0) -> CallProposed:
    return CallProposed(
        call=call, server="files", tool="list", label=SafeText("list"), arguments=safe(arguments),
        size=len(arguments), digest="d", origin="hand", ts=ts,
    )  # fmt: skip


def text_part(text: str, index: int = 0, *, truncated: bool = False) -> ContentPart:
    return ContentPart(
        index=index,
        kind="text",
        text=safe(text),
        mime=SafeText("text/plain"),
        size=len(text),
        truncated=truncated,
    )


def finished(*parts: ContentPart, call: str = "c1") -> CallFinished:
    return CallFinished(
        call=call, state="succeeded", parts=parts, elapsed_ms=14.2, size=sum(part.size for part in parts)
    )


async def run(pilot: Pilot[None], screen: ToolScreen, *parts: ContentPart) -> None:
    """Press F9 and have the engine answer with these parts."""
    await pilot.press("f9")
    await pilot.pause()
    for event in (proposed(), CallChanged(call="c1", state="dispatching"), finished(*parts)):
        screen.apply(event)
    await pilot.pause()
    await pilot.pause()


def paged(whole: dict[int, str]) -> Callable[[ReadResult], AnyEvent]:
    def answer(command: ReadResult) -> AnyEvent:
        text = whole[command.part]
        page = text[command.offset : command.offset + command.limit]
        return TextPage(
            call=command.call,
            part=command.part,
            offset=command.offset,
            total=len(text),
            text=SafeText(page),
        )

    return answer


# --- sending


@pytest.mark.parametrize("key", ["f9", "ctrl+enter"])
async def test_f9_sends_exactly_what_the_form_says(key: str) -> None:
    async with shown() as (pilot, _, app):
        await pilot.press("end", *"/a", key)
        await pilot.pause()
        sent = app.port.of(CallTool)
        assert [(c.server, c.tool, c.arguments_json, c.confirmed) for c in sent] == [
            ("files", "list", '{"path":"notes/a"}', False)
        ]


async def test_what_is_not_checked_is_said_above_the_form_and_named_below() -> None:
    notes = (SafeText('/path: pattern "^(?=a)"'),)
    async with shown(port_with(not_checked=notes)) as (pilot, _, app):
        assert "not fully checked, F8 shows why" in app.seen()
        await pilot.press("f8")
        await pilot.pause()
        assert '/path: pattern "^(?=a)"' in app.seen()


async def test_enter_and_space_never_send() -> None:
    async with shown() as (pilot, _, app):
        for _ in range(12):
            await pilot.press("enter", "space", "tab")
        await pilot.press("f7", "enter", "space", "A", "Y")
        await pilot.pause()
        assert app.port.of(CallTool) == []


async def test_a_missing_argument_is_marked_and_nothing_is_sent() -> None:
    async with shown(arguments="") as (pilot, screen, app):
        await pilot.press("f9")
        await pilot.pause()
        assert app.port.of(CallTool) == []
        assert "needs a value" in app.seen()
        assert "correct the marked arguments" in app.seen()
        await pilot.press("f9")
        await pilot.pause()
        assert [c.arguments_json for c in app.port.of(CallTool)] == ["{}"]
        assert screen.running is not None


async def test_what_is_no_json_is_never_sent() -> None:
    async with shown() as (pilot, _, app):
        await pilot.press("tab", "x", "f9", "f9")
        await pilot.pause()
        assert app.port.of(CallTool) == []


async def test_a_refusal_is_said_and_the_form_stays() -> None:
    port = port_with()
    port.answers[CallTool] = lambda _c: refused("files is not connected", "it exited", "press c to connect")
    async with shown(port) as (pilot, _, app):
        await pilot.press("f9")
        await until(pilot, lambda: "not connected" in app.seen(), "the refusal")
        assert "it exited · press c to connect" in app.seen()
        assert "notes" in app.seen()


async def test_one_call_at_a_time() -> None:
    async with shown() as (pilot, screen, app):
        await pilot.press("f9")
        await pilot.pause()
        screen.apply(proposed())
        await pilot.press("f9")
        await pilot.pause()
        assert len(app.port.of(CallTool)) == 1
        assert "a call is running" in app.seen()


# --- asking once more


def confirming() -> ScriptedPort:
    port = port_with(risk="destructive")
    port.answers[CallTool] = lambda c: (
        CommandDone(id="c1")
        if c.confirmed
        else ConfirmNeeded(
            server="files", tool="list", risk="destructive", why=(SafeText("it is marked so"),), digest="q1"
        )
    )
    return port


async def test_a_destructive_tool_asks_once_more_and_only_a_late_capital_y_sends() -> None:
    async with shown(confirming()) as (pilot, _, app):
        await pilot.press("f9")
        await until(pilot, lambda: app.screen.query(ConfirmBar), "the question")
        await pilot.pause()
        assert "destroys" in app.seen()
        assert "it is marked so" in app.seen()
        await pilot.press("Y", "enter", "space", "y", "A")
        app.clock.advance(0.39)
        await pilot.press("Y")
        await settled(pilot)
        app.clock.advance(0.05)
        await settled(pilot)
        assert [c.confirmed for c in app.port.of(CallTool)] == [False]
        app.clock.advance(0.5)
        await pilot.press("Y")
        await pilot.pause()
        app.clock.advance(0.05)
        await until(pilot, lambda: len(app.port.of(CallTool)) == 2, "the call")
        assert (app.port.of(CallTool)[-1].confirmed, app.port.of(CallTool)[-1].digest) == (True, "q1")
        assert app.port.of(CallTool)[-1].arguments_json == ARGUMENTS
        assert not app.screen.query(ConfirmBar)


async def test_a_yes_that_came_too_late_is_asked_again_and_says_that_something_changed() -> None:
    port = port_with(risk="destructive")
    questions = [
        ConfirmNeeded(
            server="files", tool="list", risk="destructive", why=(SafeText(f"reason {number}"),),
            digest=f"q{number}", held=number > 1,
        )
        for number in (1, 2)
    ]  # fmt: skip
    answers = dict(zip(("", "q1"), questions, strict=True))
    port.answers[CallTool] = lambda c: answers.get(c.digest) or CommandDone(id="c1")
    async with shown(port) as (pilot, _, app):
        await pilot.press("f9")
        for number in (1, 2):

            def asked(number: int = number) -> bool:
                return f"reason {number}" in app.seen()

            def answered(number: int = number) -> bool:
                return len(app.port.of(CallTool)) > number

            await until(pilot, asked, "the question")
            assert ("Ctrl+T shows the change" in app.seen()) == (number == 2)
            app.clock.advance(0.6)
            await pilot.press("Y")
            await pilot.pause()
            app.clock.advance(0.05)
            await until(pilot, answered, "the answer")
        assert [c.digest for c in app.port.of(CallTool)] == ["", "q1", "q2"]
        await until(pilot, lambda: not app.screen.query(ConfirmBar), "no question")


async def test_the_question_says_of_a_tool_that_reads_that_it_reads() -> None:
    port = port_with(risk="read")
    port.answers[CallTool] = lambda c: (
        CommandDone(id="c1")
        if c.confirmed
        else ConfirmNeeded(server="files", tool="list", risk="read", why=(SafeText("not checked"),))
    )
    async with shown(port) as (pilot, _, app):
        await pilot.press("f9")
        await until(pilot, lambda: app.screen.query(ConfirmBar), "the question")
        await pilot.pause()
        assert "only reads" in app.seen()
        assert "may change things" not in app.seen()


@pytest.mark.parametrize("what", ["the screen changed", "resize"])
async def test_a_question_that_is_to_be_seen_again_is_looked_at_first(what: str) -> None:
    async with shown(confirming()) as (pilot, _, app):
        await pilot.press("f9")
        await until(pilot, lambda: app.screen.query(ConfirmBar), "the question")
        app.clock.advance(1.0)
        if what == "resize":
            await pilot.resize_terminal(90, 30)
        else:
            app.stillness.disturb()
        app.clock.advance(0.1)
        await pilot.press("Y")
        await pilot.pause()
        app.clock.advance(0.05)
        await settled(pilot)
        assert [c.confirmed for c in app.port.of(CallTool)] == [False]


async def test_a_burst_or_a_paste_confirms_nothing() -> None:
    async with shown(confirming()) as (pilot, _, app):
        await pilot.press("f9")
        await until(pilot, lambda: app.screen.query(ConfirmBar), "the question")
        await pilot.pause()
        app.clock.advance(0.5)
        bar = app.screen.query_one(ConfirmBar)
        bar.post_message(events.Paste("YYY"))
        for key in "YYY":
            bar.post_message(events.Key(key, key))
        await pilot.pause()
        app.clock.advance(0.05)
        await settled(pilot)
        assert [c.confirmed for c in app.port.of(CallTool)] == [False]


async def test_escape_closes_the_question_and_then_the_screen() -> None:
    async with shown(confirming()) as (pilot, screen, app):
        await pilot.press("f9")
        await until(pilot, lambda: app.screen.query(ConfirmBar), "the question")
        await pilot.press("escape")
        await pilot.pause()
        assert not screen.query(ConfirmBar)
        assert app.screen is screen
        assert screen.query(Input).first().has_focus
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is not screen
        assert len(app.port.of(CallTool)) == 1


# --- while it runs


async def test_progress_is_shown_and_escape_cancels() -> None:
    async with shown() as (pilot, screen, app):
        await pilot.press("f9")
        await pilot.pause()
        screen.apply(proposed())
        screen.apply(CallChanged(call="c1", state="dispatching"))
        app.clock.advance(3.2)
        screen.apply(CallProgress(call="c1", progress=1, total=4, message=SafeText("reading [/]")))
        screen.apply(CallProgress(call="other", progress=4, total=4))
        await pilot.pause()
        assert "3.2 s" in app.seen()
        assert "25%" in app.seen()
        assert "reading [/]" in app.seen()
        await pilot.press("escape")
        await until(pilot, lambda: app.port.of(CancelCall), "the cancellation")
        assert app.screen is screen
        screen.apply(CallChanged(call="c1", state="cancelled", reason=SafeText("cancelled by you")))
        await pilot.pause()
        assert "cancelled · cancelled by you" in app.seen()
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is not screen


async def test_a_call_that_runs_as_a_task_shows_how_it_is_doing() -> None:
    async with shown() as (pilot, screen, app):
        await pilot.press("f9")
        await pilot.pause()
        screen.apply(proposed())
        screen.apply(CallChanged(call="c1", state="dispatching"))
        app.clock.advance(12)
        screen.apply(CallTask(call="c1", task=SafeText("t"), status="working"))
        screen.apply(TaskProgress(call="other", status="working", message=SafeText("another's")))
        screen.apply(TaskProgress(call="c1", status="working", message=SafeText("page [/] 3")))
        await pilot.pause()
        assert "12.0 s  runs as a task · working · page [/] 3" in app.seen()
        assert "another's" not in app.seen()


async def test_events_that_come_before_the_reply_are_not_lost() -> None:
    port = port_with()
    async with shown(port) as (pilot, screen, app):

        def early(_command: CallTool) -> AnyEvent:
            for event in (
                proposed(),
                CallChanged(call="c1", state="dispatching"),
                finished(text_part("done")),
            ):
                screen.apply(event)
            return CommandDone(id="c1")

        port.answers[CallTool] = early
        await pilot.press("f9")
        await until(pilot, lambda: "✓ 14 ms" in app.seen(), "the result")
        assert "done" in app.seen()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            CallChanged(call="c1", state="denied", reason=SafeText("rule no-deletes")),
            "denied by policy · rule no-deletes",
        ),
        (CallChanged(call="c1", state="uncertain"), "outcome unknown"),
        (CallChanged(call="c1", state="pending"), "waiting for you in the approvals"),
        (
            CallFinished(
                call="c1",
                state="failed",
                parts=(),
                elapsed_ms=3,
                size=0,
                reason=SafeText("no such [/] file"),
            ),
            "failed · 3 ms · no such [/] file",
        ),
        (
            CallFinished(call="c1", state="result_rejected", parts=(), elapsed_ms=3, size=0),
            "does not match the tool's schema",
        ),
    ],
)
async def test_every_end_is_said_in_words(event: AnyEvent, words: str) -> None:
    async with shown() as (pilot, screen, app):
        await pilot.press("f9")
        await pilot.pause()
        screen.apply(proposed())
        screen.apply(event)
        await pilot.pause()
        assert words in app.seen()


# --- results


async def test_parts_are_shown_in_order_with_their_kind_and_size() -> None:
    parts = (
        text_part("first\nsecond"),
        ContentPart(index=1, kind="image", mime=SafeText("image/png"), size=4213),
        ContentPart(index=2, kind="link", uri=SafeText("demo://1"), text=SafeText("a note")),
        ContentPart(index=3, kind="audio", mime=SafeText("audio/wav"), size=812),
    )
    async with shown() as (pilot, screen, app):
        await run(pilot, screen, *parts)
        await until(pilot, lambda: "audio/wav" in app.seen(), "the last part")
        seen = app.seen()
        places = [
            seen.index(words)
            for words in ("first", "image · image/png · 4.2 kB", "link · demo://1", "a note")
        ]
        assert places == sorted(places)
        assert "4 parts" in seen


async def test_json_is_laid_out_with_its_numbers_as_they_were() -> None:
    async with shown() as (pilot, screen, app):
        await run(pilot, screen, text_part('{"a":1.10,"b":[123456789012345678901234567890]}'))
        screen.query_one(ResultView).tab = "JSON"
        await until(pilot, lambda: '"a": 1.10,' in app.seen(), "laid-out JSON")
        assert "123456789012345678901234567890" in app.seen()


async def test_five_megabytes_of_json_are_laid_out_in_pieces() -> None:
    whole = json.dumps([{"name": f"row {n}", "on": True} for n in range(150_000)])
    port = port_with()
    port.answers[ReadResult] = paged({0: whole})
    async with shown(port) as (pilot, screen, app):
        await run(pilot, screen, text_part(whole, truncated=True))
        view = screen.query_one(ResultView)
        view.tab = "JSON"
        await until(pilot, lambda: view.lines.virtual_size.height > 600_000, "all of it, laid out")
        view.lines.scroll_end(animate=False)
        await pilot.pause()
        await pilot.pause()
        assert '"name": "row 149999",' in app.seen()


async def test_structured_content_is_a_tree_that_unfolds() -> None:
    value = {"name": HOSTILE, "rows": [{"n": n} for n in range(500)]}
    port = port_with()
    port.answers[ReadResult] = paged({STRUCTURED: json.dumps(value)})
    part = ContentPart(index=STRUCTURED, kind="structured", text=SafeText("{"), size=100)
    async with shown(port) as (pilot, screen, app):
        await run(pilot, screen, part)
        screen.query_one(ResultView).tab = "structured"
        await until(pilot, lambda: "[500]" in app.seen(), "the tree")
        assert_safe(app)
        tree = screen.query_one(JsonTree)
        await tab_to(pilot, tree)
        await pilot.press("home", "down", "enter")
        await pilot.pause()
        assert len(tree.root.children[1].children) == 201
        await pilot.press("[")
        assert screen.query_one(ResultView).tab == "JSON"


async def test_raw_is_read_by_the_page_as_it_comes_into_sight() -> None:
    whole = "\n".join(f'"line {n}",' for n in range(60_000))
    port = port_with()
    port.answers[ReadResult] = paged({WHOLE: whole})
    async with shown(port) as (pilot, screen, app):
        await run(pilot, screen, text_part("x"))
        view = screen.query_one(ResultView)
        view.tab = "raw"
        await until(pilot, lambda: '"line 0",' in app.seen(), "the first page")
        assert len(app.port.of(ReadResult)) <= 2
        view.focus_view()
        await pilot.pause()
        for _ in range(3):
            count = len(app.port.of(ReadResult))
            await pilot.press("end")
            await until(pilot, lambda: len(app.port.of(ReadResult)) > count, "the next page")  # noqa: B023
        await pilot.pause()
        assert view.lines.text == whole[: len(view.lines.text)]
        assert [c.offset for c in app.port.of(ReadResult)] == sorted(
            {c.offset for c in app.port.of(ReadResult)}
        )


async def test_five_megabytes_are_read_whole_and_a_frame_stays_short() -> None:
    whole = "word " * 1_000_000
    port = port_with()
    port.answers[ReadResult] = paged({0: whole})
    async with shown(port) as (pilot, screen, app):
        await run(pilot, screen, text_part(whole[:8000], truncated=True))
        view = screen.query_one(ResultView)
        pages = 0
        while sum(60_000 for _ in app.port.of(ReadResult)) < len(whole):
            pages += 1
            assert pages < 500
            view.lines.scroll_end(animate=False)
            await pilot.pause()
        await until(pilot, lambda: len(view.lines.text) == len(whole), "the last page")
        assert view.lines.text == whole
        assert view.lines.virtual_size.height > 50_000
        view.lines.scroll_home(animate=False)
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert "word word" in app.seen()


async def test_a_result_that_cannot_be_read_says_why() -> None:
    port = port_with()
    port.answers[ReadResult] = lambda _c: refused("this call has no result")
    async with shown(port) as (pilot, screen, app):
        await run(pilot, screen, text_part("x"))
        for tab in ("raw", "structured", "text", "JSON", "raw"):
            screen.query_one(ResultView).tab = tab
            await pilot.pause()
        await until(pilot, lambda: "this call has no result" in app.seen(), "the reason")


async def test_hostile_results_are_shown_safely() -> None:
    port = port_with(description=safe(HOSTILE), label=safe_line(HOSTILE), annotations=(safe_line(HOSTILE),))
    port.answers[ReadResult] = paged({WHOLE: safe(HOSTILE), 0: safe(HOSTILE)})
    parts = (
        text_part(HOSTILE),
        ContentPart(
            index=1, kind="link", uri=safe_line(HOSTILE), text=safe(HOSTILE), mime=safe_line(HOSTILE)
        ),
        ContentPart(index=2, kind="image", mime=safe_line("[/]"), size=1),
    )
    async with shown(port) as (pilot, screen, app):
        await run(pilot, screen, *parts)
        for tab in ("text", "JSON", "structured", "raw"):
            screen.query_one(ResultView).tab = tab
            await pilot.pause()
            assert_safe(app)
        await pilot.press("f8")
        await pilot.pause()
        assert_safe(app)
        assert "[@click=app.quit]" in app.seen()


# --- saving and copying


async def test_a_part_is_saved_and_a_file_in_the_way_is_replaced_only_on_purpose() -> None:
    port = port_with()
    port.answers[SaveResult] = lambda c: (
        FileSaved(path=c.path, size=5) if c.overwrite else in_the_way(c.path)
    )
    async with shown(port) as (pilot, screen, app):
        await run(pilot, screen, text_part("hello"))
        screen.query_one(ResultView).focus_view()
        await pilot.pause()
        await pilot.press("s")
        await until(pilot, lambda: screen.query(SaveBar), "the bar")
        await pilot.pause()
        await pilot.press("ctrl+y")
        await pilot.pause()
        assert app.port.of(SaveResult) == []
        await pilot.press("ctrl+u", *"a.txt", "enter")
        await until(pilot, lambda: "exists already" in app.seen(), "the file in the way")
        assert [(c.path, c.part, c.overwrite) for c in app.port.of(SaveResult)] == [("a.txt", 0, False)]
        await pilot.press("ctrl+y")
        await until(pilot, lambda: not screen.query(SaveBar), "the file saved")
        assert [(c.path, c.overwrite) for c in app.port.of(SaveResult)] == [
            ("a.txt", False),
            ("a.txt", True),
        ]


async def test_another_path_is_not_replaced_unasked() -> None:
    port = port_with()
    port.answers[SaveResult] = lambda c: in_the_way(c.path)
    async with shown(port) as (pilot, screen, app):
        await run(pilot, screen, text_part("hello"))
        screen.query_one(ResultView).focus_view()
        await pilot.pause()
        await pilot.press("s")
        await until(pilot, lambda: screen.query(SaveBar), "the bar")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: "exists already" in app.seen(), "the file in the way")
        await pilot.press("x", "ctrl+y")
        await pilot.pause()
        assert [c.overwrite for c in app.port.of(SaveResult)] == [False]
        await pilot.press("escape")
        await pilot.pause()
        assert not screen.query(SaveBar)
        assert app.screen is screen


async def test_the_result_is_copied_as_text() -> None:
    async with shown() as (pilot, screen, app):
        await run(pilot, screen, text_part("hello\nthere"))
        screen.query_one(ResultView).focus_view()
        await pilot.pause()
        await pilot.press("y")
        await pilot.pause()
        assert app.copied == ["hello\nthere"]


# --- calls of this session


async def tab_to(pilot: Pilot[None], widget: Widget) -> None:
    """Press Tab until the keys are there; they have to get there within one round."""
    for _ in range(30):
        if widget.has_focus:
            return
        await pilot.press("tab")
    raise AssertionError(f"Tab does not lead to {widget}")


async def to_the_calls(pilot: Pilot[None], screen: ToolScreen) -> None:
    await tab_to(pilot, screen.query_one("PastCalls", Widget))


async def test_a_past_call_is_loaded_again_exactly() -> None:
    history = CallHistory()
    history.apply(proposed("old", '{"path":"then"}'))
    history.apply(finished(text_part("then it was so"), call="old"))
    port = port_with()
    port.answers[ReadArguments] = lambda _c: TextPage(
        call="old", part=0, offset=0, total=15, text=SafeText('{"path":"then"}')
    )
    async with shown(port, history=history) as (pilot, screen, app):
        assert "CALLS 1" in app.seen()
        await to_the_calls(pilot, screen)
        await pilot.press("home", "enter")
        await until(pilot, lambda: "then it was so" in app.seen(), "the result of then")
        await pilot.pause()
        await pilot.press("f9")
        await pilot.pause()
        assert [c.arguments_json for c in app.port.of(CallTool)] == ['{"path":"then"}']


async def test_a_call_by_hand_is_known_exactly_without_asking() -> None:
    async with shown(arguments='{"path":"a\\u001bb"}') as (pilot, screen, app):
        await run(pilot, screen, text_part("x"))
        await to_the_calls(pilot, screen)
        await pilot.press("home", "enter")
        await pilot.pause()
        await pilot.pause()
        assert app.port.of(ReadArguments) == []
        await pilot.press("f9")
        await pilot.pause()
        assert [c.arguments_json for c in app.port.of(CallTool)] == ['{"path":"a\\u001bb"}'] * 2


def test_the_history_keeps_the_last_calls_of_each_tool() -> None:
    history = CallHistory()
    for number in range(CALLS_KEPT + 5):
        history.apply(proposed(f"c{number}"))
    assert [past.call for past in history.of("files", "list")] == [
        f"c{n}" for n in range(5, CALLS_KEPT + 5)
    ]
    assert history.get("c0") is None
    assert history.apply(CallChanged(call="c0", state="approved")) is None


# --- the screen itself


@pytest.mark.parametrize(
    ("risk", "trusted", "words"),
    [
        ("read", False, "CLAIMS: READS ONLY"),
        ("read", True, "reads only"),
        ("write", False, "CLAIMS: WRITES"),
        ("unknown", False, "may write"),
    ],
)
async def test_the_title_tells_a_claim_from_what_is_known(risk: str, trusted: bool, words: str) -> None:
    async with shown(port_with(risk=risk, server_trusted=trusted)) as (_pilot, _screen, app):
        assert words in app.seen()
        assert ("CLAIMS" in app.seen()) == words.startswith("CLAIMS")


async def test_the_tool_is_described_in_the_servers_words() -> None:
    async with shown(port_with(risk="write", trust="changed")) as (pilot, screen, app):
        assert "“Lists what a directory holds.”" in app.seen()
        assert "WRITES" in app.seen()
        assert "changed" in app.seen()
        await pilot.press("f8")
        await pilot.pause()
        assert "INPUT SCHEMA" in app.seen()
        assert '"type": "object"' in app.seen()
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is screen
        assert "INPUT SCHEMA" not in app.seen()


async def test_a_tool_that_cannot_be_described_says_why_and_f9_asks_again() -> None:
    port = port_with()
    port.answers[DescribeTool] = lambda _c: refused("files is not connected")
    async with shown(port) as (pilot, _, app):
        await until(pilot, lambda: "files is not connected" in app.seen(), "the reason")
        port.answers[DescribeTool] = lambda _c: details()
        await pilot.press("f9")
        await until(pilot, lambda: "path" in app.seen(), "the form")
        assert app.port.of(CallTool) == []


async def test_where_there_is_no_room_form_and_result_take_turns() -> None:
    async with shown(size=(80, 24)) as (pilot, screen, app):
        assert "arguments · result" in app.seen()
        assert "No calls yet" not in app.seen()
        await pilot.press("f7")
        await pilot.pause()
        assert "No calls yet" in app.seen()
        await pilot.press("f7")
        await pilot.pause()
        await run(pilot, screen, text_part("hello"))
        assert "hello" in app.seen()
        assert "✓ 14 ms" in app.seen()
        assert max(len(line) for line in app.seen().splitlines()) <= 80


async def test_a_click_on_run_sends() -> None:
    async with shown() as (pilot, _, app):
        await pilot.click("RunButton")
        await until(pilot, lambda: app.port.of(CallTool), "the call")
        assert app.port.of(CallTool)[0].arguments_json == ARGUMENTS


async def test_an_engine_that_does_not_answer_leaves_the_keys_alive() -> None:
    port = port_with()
    never = asyncio.Event()

    class Silent(ScriptedPort):
        async def ask(self, command: Any, *, timeout: float = 30.0) -> Any:
            if isinstance(command, CallTool):
                await never.wait()
            return await super().ask(command, timeout=timeout)

    silent = Silent()
    silent.answers = port.answers
    async with shown(silent) as (pilot, screen, _):
        await pilot.press("f9", "end", *"xyz")
        assert screen.query(Input).first().value == "notesxyz"


# --- wrapping


@pytest.mark.parametrize(
    ("line", "width", "rows"),
    [
        ("", 10, [""]),
        ("short", 10, ["short"]),
        ("two words here", 10, ["two words", "here"]),
        ("a" * 25, 10, ["a" * 10, "a" * 10, "a" * 5]),
        ("漢字漢字漢字", 6, ["漢字漢", "字漢字"]),
        ("漢 字漢字漢", 6, ["漢 字", "漢字漢"]),
    ],
)
def test_lines_break_at_spaces_and_count_cells(line: str, width: int, rows: list[str]) -> None:
    assert [line[start:end] for start, end in breaks(line, width)] == rows


def test_breaking_a_line_loses_nothing_but_spaces() -> None:
    line = "word wörter 漢字 " * 2000 + "x" * 5000
    rows = [line[start:end] for start, end in breaks(line, 37)]
    assert "".join(rows).replace(" ", "") == line.replace(" ", "")
