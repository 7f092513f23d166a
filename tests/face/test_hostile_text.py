"""Hostile text in every place that shows text from outside: literal, no crash, nothing a terminal obeys."""

from __future__ import annotations

import json
import unicodedata

import msgspec
import pytest
from rich.segment import Segment
from textual.color import Color

from omni_tui.face.app import OmniApp
from omni_tui.face.messages import OpenTool
from omni_tui.face.output_filter import SafeOutputFilter
from omni_tui.protocol import AnyEvent, JsonText, SafeText
from omni_tui.protocol.commands import DescribeTool, ListSessions, ReadServerLog
from omni_tui.protocol.events import (
    Answer,
    CallFinished,
    CommandFailed,
    ConfigProblems,
    ContentPart,
    Notice,
    Problem,
    ServerChanged,
    ServerLogRead,
    SessionInfo,
    SessionOpened,
    SessionsListed,
    Thought,
    ToolDetails,
    ToolsListed,
    ToolSummary,
    UserMessage,
)
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.lengths import some

HOSTILE = [
    "[@click=app.quit]x[/]",
    "[link=http://evil]x[/]",
    "[/]",
    "[bold",
    "[/path]",
    '{"a":[true,false]}',
    "\x1b]52;c;ZXZpbA==\x1b\\",
    "\x1b]8;;http://evil\x1b\\x",
    "\x9b2J\x9d52;c;x\x9c",
    "\x1b]0;title\x07 \x1bP1$r\x1b\\ \x1b_x\x1b\\",
    "file\u202egpj.exe",
    "re\u200bad\u2066x\u2069",
    "".join(chr(0xE0000 + ord(c)) for c in "ignore all"),
    "a" + "\u0301" * 300,
    "x" * 5000,
    "\r\n\x00\x08\ufeff\ufffe",
]
BAD = {"Cc", "Cf", "Cs", "Co", "Cn"}
TEXTS = some(HOSTILE, 4)


def drawn(app: OmniApp) -> str:
    """Return everything on the screen, as it would be written to a terminal."""
    return "\n".join(
        "".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()
    )


def assert_harmless(text: str) -> None:
    found = {f"U+{ord(c):04X}" for c in text if c != "\n" and unicodedata.category(c) in BAD}
    assert found == set()


def everywhere(text: str) -> list[AnyEvent]:
    """Return a session in which every field that holds outside text holds this one.

    The engine would have made it safe; here it has forgotten to.
    """
    bad = SafeText(text)
    return [
        scenario.ready(model=bad, model_label=bad),
        ServerChanged(name="evil", state="failed", since=0.0, label=bad, transport="stdio", target=bad,
                      source="user", reason=bad, todo=bad, server_version=bad),
        ToolsListed(server="evil", generation=1, last=True, tools=(
            ToolSummary(server="evil", name="t", label=bad, model_name="t", title=bad, description=bad,
                        risk="unknown"),)),
        SessionOpened(title=bad, mode="chat", model=bad),
        UserMessage(turn="t1", text=bad),
        Thought(turn="t1", message="m1", text=bad),
        scenario.proposed("c9", "evil", text, {"x": text}, "unknown", label=bad, arguments=bad),
        CallFinished(call="c9", state="failed", parts=(ContentPart(index=0, kind="text", text=bad),),
                     elapsed_ms=1.0, size=3, reason=bad),
        Answer(turn="t1", message="m2", text=bad, label=bad),
        scenario.approval("c1", {"path": text, text[:200]: text, "edits": [{"old": text, "new": "b"}]},
                          server="evil", tool=text, label=bad, why=(bad,), description=bad, title=bad,
                          target=bad, trust=bad, differs=True),
        scenario.approval("c2", server=text, complete=False, arguments=bad, arguments_json=JsonText("{"),
                          label=bad),
        Notice(level="error", what=bad, why=bad, todo=bad),
        ConfigProblems(problems=(Problem(where=bad, what=bad, todo=bad),)),
    ]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("size", [(160, 45), (80, 24)], ids=["wide", "narrow"])
async def test_no_place_lets_it_through(text: str, size: tuple[int, int]) -> None:
    face = Face(*everywhere(text))
    async with face.app.run_test(size=size, notifications=True) as pilot:
        await face.settle(pilot)
        assert face.app.main.pane("approvals").count == 2
        for key in ("f2", "down", "f3", "f4", "f5", "down", "v"):
            await pilot.press(key)
            await pilot.pause()
            assert_harmless(drawn(face.app))
        await pilot.press("escape", "f1")
        await pilot.pause()
        assert_harmless(drawn(face.app))
        assert face.app.is_running
        assert_harmless(face.app.title)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
async def test_screens_and_toasts_let_nothing_through(text: str) -> None:
    face = Face(*scenario.whole())
    bad = SafeText(text)
    face.link.answers[ReadServerLog] = lambda _c: [ServerLogRead(server="git", lines=(bad, bad))]
    info = SessionInfo(id="s", title=bad, created=1.0, updated=1.0, events=1)
    face.link.answers[ListSessions] = lambda _c: [SessionsListed(sessions=(info,))]
    schema = JsonText(json.dumps({"type": "object", "properties": {text[:80]: {"description": text}}}))
    details = ToolDetails(
        server="git", tool="t", label=bad, title=bad, description=bad, risk="unknown", annotations=(bad,),
        input_schema_json=schema,
    )  # fmt: skip
    face.link.answers[DescribeTool] = lambda _c: [details]
    async with face.app.run_test(size=(120, 40), notifications=True) as pilot:
        await face.settle(pilot)
        face.app.failed(CommandFailed(what=bad, why=bad, todo=bad))
        face.app.say(text)
        await pilot.pause()
        assert_harmless(drawn(face.app))
        for open_it in (
            lambda: face.app.run_named("log", "git"),
            lambda: face.app.run_named("sessions"),
            lambda: face.app.post_message(OpenTool("git", "t")),
            lambda: face.app.confirm(text, text, "yes", print),
            lambda: face.app.open_palette(),
        ):
            open_it()
            await until(pilot, lambda: len(face.app.screen_stack) == 2)
            await pilot.pause()
            assert_harmless(drawn(face.app))
            await pilot.press("escape")
            await until(pilot, lambda: len(face.app.screen_stack) == 1)


async def test_a_markup_action_in_a_name_is_no_action() -> None:
    face = Face(*everywhere("[@click=app.quit]xxxxxxxx[/]"))
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        for y in some(range(45), 15):
            for x in (8, 40, 60, 112, 130):
                if drawn(face.app).splitlines()[y][x : x + 1].strip():
                    await pilot.click(offset=(x, y))
        assert face.app.is_running


def test_the_second_ring_is_installed_and_replaces_what_a_terminal_obeys() -> None:
    app = OmniApp(Face().link)
    ring = [one for one in app.get_line_filters() if isinstance(one, SafeOutputFilter)]
    assert len(ring) == 1
    for text in HOSTILE:
        out = ring[0].apply([Segment("ok "), Segment(text.replace("\n", ""))], Color(0, 0, 0))
        assert_harmless("".join(segment.text for segment in out))
    clean = [Segment("plain"), Segment("schön ✓ 漢字")]
    assert ring[0].apply(clean, Color(0, 0, 0)) is clean


async def test_without_the_second_ring_the_guard_of_this_test_would_bite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SafeOutputFilter, "apply", lambda _self, segments, _background: segments)
    face = Face(*everywhere("\x1b]52;c;x\x1b\\"))
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        with pytest.raises(AssertionError):
            assert_harmless(drawn(face.app))


async def test_what_differs_is_shown_both_ways() -> None:
    item = scenario.approval("c1", {"path": "file\u202egpj.exe"}, differs=True)
    face = Face(scenario.ready(), msgspec.structs.replace(item, why=(SafeText("chat mode asks"),)))
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        text = drawn(face.app)
        assert "file<U+202E>gpj.exe" in text
        assert '"file\\u202egpj.exe"' in text


async def test_a_payload_pushed_off_the_screen_is_found() -> None:
    payload = "first" + "\n" * 5000 + "rm -rf /" + " " * 200 + "hidden"
    face = Face(scenario.ready(), scenario.approval("c1", {"script": payload}))
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        text = drawn(face.app)
        assert "4999 empty lines" in text
        assert "rm -rf /" in text
        assert "200 spaces" in text
        assert "hidden" in text


async def test_combining_marks_do_not_cut_a_line_off() -> None:
    value = "a\u0301" * 120 + " the end of it"
    face = Face(scenario.ready(), scenario.approval("c1", {"text": value}))
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        assert "the end of it" in drawn(face.app).replace("\n", "")
