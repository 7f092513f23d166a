"""The longest step of the face's loop in every place that paints text from outside, for texts of any shape.

`python -m tests.bench.stalls [PLACE…]`; `OMNI_TUI_SHAPES=all` tries every shape.

The real face runs without a terminal over an engine that is a
script. For each place and shape of a text it prints the processor time of the longest single step of the
loop, in ms, and how often that is the longest step of the same place with a short text (the control of the
same run). Steps above the budget are marked; the last column says whose they are.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from asyncio import events as loop_events
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from textual.pilot import Pilot

from omni_tui.face.app import FaceOptions, OmniApp
from omni_tui.face.garbage_collector import GarbageCollector
from omni_tui.face.messages import CopyText, OpenTool, ShowServerLog
from omni_tui.face.screens.reader import ReaderScreen
from omni_tui.protocol import JsonText, SafeText
from omni_tui.protocol import events as e
from omni_tui.protocol.commands import DescribeTool, ReadResult, ReadServerLog
from omni_tui.protocol.server_requests import ServerRequestKind, ServerRequestOpened
from omni_tui.protocol.trust import ChangeRead, ReadChange
from omni_tui.protocol.wire_log import ReadWire, ReadWireFrame, WireFrame, WireRead, WireText
from tests.face import scenario
from tests.face.fake import FakeClock, FakeLink

BUDGET_MS = 100
FRAME = 200_000
"""About the longest text that one frame of the protocol carries, in bytes."""
SHORT = "short"
ONLY = os.environ.get("OMNI_TUI_SHAPES", "one line,empty lines,marks,emoji,brackets,keys").split(",")
"""The shapes to try, `all` for each."""


def shapes(size: int = FRAME) -> dict[str, str]:
    """Return texts of at most `size` bytes that cost much in one way each."""
    return {
        "one line": "x" * size,
        "words": "word " * (size // 5),
        "empty lines": "\n" * (size - 1) + "x",
        "lines": "".join(f"line {number}\n" for number in range(size // 11)),
        "marks": "a" + "\u0301" * (size // 2 - 1),
        "marks on letters": "a\u0301" * (size // 3),
        "wide": "漢" * (size // 3),
        "emoji": "👩\u200d👩\u200d👧" * (size // 18),
        "joined": "क्" * (size // 6),
        "spaces": " " * size,
        "tabs": "\t" * size,
        "brackets": "[" * size,
        "list": "* " * (size // 2),
        "quotes": "> " * (size // 2),
        "code": "```python\n" + "x = [\n" * (size // 6),
        "code in one line": "```json\n" + '{"a":' * (size // 5),
        "table": "|a" * 200 + "\n" + "|-" * 200 + ("\n" + "|b" * 200) * (size // 401 - 2),
        "paragraphs": "some *words* with `code`\n\n" * (size // 26),
        "JSON": json.dumps({"value": "v" * (size - 20)}),
        "keys": json.dumps({f"k{number}": number for number in range(size // 16)}),
        "nested": '{"a":' * (size // 6) + "1" + "}" * (size // 6),
        "diff": "--- a\n+++ b\n" + "".join(f"-old {n}\n+new {n}\n" for n in range(size // 24)),
    }


@dataclass
class Longest:
    """The longest step of the loop: processor time of its thread in ms, and what it was."""

    ms: float = 0.0
    what: str = ""


@contextmanager
def watched() -> Iterator[Longest]:
    """Time every step that the loop of this thread makes."""
    longest, run = Longest(), loop_events.Handle._run

    def timed(handle: Any) -> None:
        before = time.thread_time()
        try:
            run(handle)
        finally:
            took = (time.thread_time() - before) * 1000
            if took > longest.ms:
                longest.ms, longest.what = took, _named(handle)

    loop_events.Handle._run = timed  # type: ignore[assignment, method-assign]
    try:
        yield longest
    finally:
        loop_events.Handle._run = run  # type: ignore[method-assign]


def _named(handle: Any) -> str:
    owner = getattr(handle._callback, "__self__", None)
    return owner.get_name() if isinstance(owner, asyncio.Task) else repr(handle._callback)[:60]


_DRAWING = ("card", "draw", "result", "reader", "change")
"""Groups of workers that lay something out or fetch it."""


class Probe:
    """One app and what is done with it."""

    def __init__(self) -> None:
        self.link = FakeLink([scenario.ready(), *scenario.servers(), *scenario.tools()], now=scenario.NOW)
        self.answers: dict[Any, Any] = self.link.answers
        self.app = OmniApp(self.link, FaceOptions(theme="omni-dark"), clock=FakeClock(scenario.NOW))
        self.pilot: Pilot[None]

    async def drawn(self) -> None:
        """Wait until all has been delivered, drawn, and laid out by threads."""
        while not self.link._queue.empty():
            await self.pilot.pause(0.01)
        for _ in range(6):
            await self.pilot.pause(0.02)
        while any(one.group in _DRAWING and not one.is_finished for one in self.app.workers):
            await self.pilot.pause(0.02)

    async def keys(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.drawn()

    async def say(self, *events: Any) -> None:
        self.link.emit(*events)
        await self.drawn()


class _NoCollector(GarbageCollector):
    """Collects nothing: that is for quiet times, of which there are none here."""

    def begin(self) -> None:
        """Leave the collector off."""

    def tick(self, now: float) -> bool:
        """Collect nothing."""
        return False


Place = Callable[[Probe, str], Awaitable[None]]
PLACES: dict[str, Place] = {}


def place(name: str) -> Callable[[Place], Place]:
    def keep(made: Place) -> Place:
        PLACES[name] = made
        return made

    return keep


_READ = ("up", "space", "end", "home", "pagedown", "space")


@place("message of the person")
async def _message(probe: Probe, text: str) -> None:
    await probe.say(e.UserMessage(turn="t1", text=SafeText(text)))
    await probe.keys("f4", "shift+tab", *_READ)


@place("answer")
async def _answer(probe: Probe, text: str) -> None:
    await probe.say(e.Answer(turn="t1", message="m1", text=SafeText(text)))
    await probe.keys("f4", "shift+tab", *_READ)


@place("thought")
async def _thought(probe: Probe, text: str) -> None:
    await probe.say(e.Thought(turn="t1", message="m1", text=SafeText(text)))
    await probe.keys("f4", "shift+tab", *_READ)


@place("streaming answer")
async def _stream(probe: Probe, text: str) -> None:
    await probe.keys("f4")
    await probe.say(e.TurnStarted(turn="t1", mode="chat", model=SafeText("m")))
    for start in range(0, len(text), 20_000):
        await probe.say(e.AnswerDelta(turn="t1", message="m1", text=SafeText(text[start : start + 20_000])))
    probe.app.main.chat.transcript.fold.items[-1].folded = False
    await probe.say(e.Answer(turn="t1", message="m1", text=SafeText(text)))


@place("streaming thought")
async def _stream_thought(probe: Probe, text: str) -> None:
    await probe.keys("f4")
    await probe.say(e.TurnStarted(turn="t1", mode="chat", model=SafeText("m")))
    for start in range(0, len(text), 20_000):
        await probe.say(
            e.ThoughtDelta(turn="t1", message="m1", text=SafeText(text[start : start + 20_000]))
        )


@place("call and result")
async def _call(probe: Probe, text: str) -> None:
    part = e.ContentPart(index=0, kind="text", text=SafeText(text), size=len(text))
    await probe.say(
        scenario.proposed("c1", "files", "read", {"text": text[:60_000]}, "read"),
        e.CallFinished(
            call="c1",
            state="failed",
            elapsed_ms=1.0,
            size=len(text),
            parts=(part,),
            reason=SafeText(text[:8000]),
        ),
    )
    await probe.keys("f4", "shift+tab", *_READ)


@place("notice and notification")
async def _notice(probe: Probe, text: str) -> None:
    words = SafeText(text[:60_000])
    await probe.say(e.Notice(level="error", what=words, why=words, todo=words))
    probe.app.failed(e.CommandFailed(what=words, why=words, todo=words))
    probe.app.say(text)
    await probe.drawn()
    probe.app.run_named("messages")
    await probe.drawn()
    await probe.keys("end")


@place("card and full view")
async def _card(probe: Probe, text: str) -> None:
    await probe.say(scenario.approval("c1", {"text": text[:60_000], "n": 1}))
    await probe.keys("f5", "down", "v", "pagedown", "end", "home")


@place("card of an edit")
async def _edit(probe: Probe, text: str) -> None:
    half = text[:30_000]
    edit = {"oldText": half, "newText": half[1:]}
    await probe.say(scenario.approval("c1", {"path": "a", "edits": [edit]}))
    await probe.keys("f5", "v", "pagedown", "end", "home")


@place("full view in pages")
async def _pages(probe: Probe, text: str) -> None:
    arguments = {"text": text}
    event = scenario.approval("c1", arguments, complete=False, arguments_json=JsonText("{"))
    await probe.say(event)
    await probe.keys("f5", "v", "pagedown", "end", "end", "home")


@place("card with keys")
async def _keys(probe: Probe, text: str) -> None:
    arguments = {f"{text[:20]}{n}": text[n * 40 : n * 40 + 40] for n in range(1_500)}
    await probe.say(scenario.approval("c1", arguments))
    await probe.keys("f5", "v", "end", "home")


@place("batch")
async def _batch(probe: Probe, text: str) -> None:
    for number in range(4):
        await probe.say(scenario.approval(f"c{number}", {"text": text[:40_000]}))
    await probe.keys("f5", "m", "down", "m", "down", "m", "M", "pagedown", "end")


@place("server request")
async def _ask(probe: Probe, text: str) -> None:
    words = text[:30_000]
    field = {"type": "string", "description": words, "default": words}
    said = {"role": "user", "content": {"type": "text", "text": text[:60_000]}}
    contents: dict[ServerRequestKind, object] = {
        "form": {"type": "object", "properties": {"a": field}},
        "url": {"url": "https://example.org/" + text[:2_000]},
        "sampling": {"messages": [said], "maxTokens": 1},
    }
    for kind, content in contents.items():
        await probe.say(
            ServerRequestOpened(
                ask=kind, server="files", kind=kind, stage="asked", label=SafeText("asks"),
                message=SafeText(words), digest="d", content=SafeText(text[:60_000]),
                content_json=JsonText(json.dumps(content)), size=len(text), complete=True, differs=False,
            )
        )  # fmt: skip
    for _ in contents:
        await probe.keys("f5", "v", "end", "escape", "down")
    await probe.keys("A", "tab")


@place("change")
async def _change(probe: Probe, text: str) -> None:
    document = json.dumps(
        [
            {
                "what": "definition",
                "trust": "changed",
                "former": text[:100_000],
                "present": text[1:100_000],
                "cut": 0,
            }
        ]
    )
    probe.answers[ReadChange] = lambda c: [
        ChangeRead(server="files", tool="edit_file", offset=c.offset, total=len(document), digest="d",
                   text=JsonText(document[c.offset : c.offset + 60_000]), label=SafeText("edit_file"))
    ]  # fmt: skip
    await probe.say(scenario.approval(held=True, news="changed"))
    await probe.keys("f5", "c", "pagedown", "end", "home")


@place("composer")
async def _composer(probe: Probe, text: str) -> None:
    await probe.keys("f4")
    probe.app.main.chat.composer.paste(text)
    await probe.drawn()
    probe.app.main.chat.draft = text
    await probe.drawn()
    await probe.keys("x", "end", "home", "ctrl+end", "y")


@place("palette")
async def _palette(probe: Probe, text: str) -> None:
    probe.app.open_palette(text[:60_000])
    await probe.drawn()


@place("title and copy")
async def _title(probe: Probe, text: str) -> None:
    probe.app.title = text
    probe.app.post_message(CopyText(text, text[:60_000]))
    await probe.say(
        e.SessionOpened(title=SafeText(text[:60_000]), mode="chat", model=SafeText(text[:60_000]))
    )
    probe.app.confirm(text[:60_000], text[:60_000], "yes", print)
    await probe.drawn()


@place("servers and tools")
async def _servers(probe: Probe, text: str) -> None:
    words = SafeText(text[:30_000])
    tools = tuple(
        e.ToolSummary(
            server="files", name=f"t{n}", label=SafeText(text[:128]), model_name="t", risk="unknown",
            title=SafeText(text[:128]), description=SafeText(text[:400]),
        )
        for n in range(200)
    )  # fmt: skip
    await probe.say(
        e.ServerChanged(
            name="files", state="failed", since=0.0, label=words, transport="stdio", target=words,
            source="user", reason=words, todo=words, server_version=words,
        ),
        e.ToolsListed(server="files", generation=2, last=True, tools=tools),
    )  # fmt: skip
    await probe.keys("f2", "down", "up", "f3", "down", "end", "/", "w", "o", "escape")


@place("tool's screen")
async def _tool(probe: Probe, text: str) -> None:
    field = {"type": "string", "description": text[:30_000], "default": text[:30_000], "title": text[:300]}
    choice = {"enum": [text[:5_000] + str(n) for n in range(12)]}
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(30):
        deep = {"type": "object", "properties": {"a": deep}}
    many = {f"k{n}": {"type": "string", "description": text[:60]} for n in range(1_000)}
    schema = {"type": "object", "properties": {"a": field, "b": choice, "deep": deep, **many}}
    if len(json.dumps(schema)) > 190_000:
        schema = {"type": "object", "properties": {"a": field, "b": choice, "deep": deep}}
    probe.answers[DescribeTool] = lambda _c: [
        e.ToolDetails(
            server="files", tool="edit_file", label=SafeText("edit_file"), title=SafeText(text[:128]),
            description=SafeText(text[:16_000]), risk="read", annotations=(SafeText(text[:300]),),
            input_schema_json=JsonText(json.dumps(schema)), not_checked=(SafeText(text[:2_000]),),
        )
    ]  # fmt: skip
    probe.app.post_message(OpenTool("files", "edit_file"))
    await probe.drawn()
    await probe.keys("f8", "end", "home", "f8", "tab", "tab", "x", "tab", "ctrl+r", "end", "x")


@place("result of a call by hand")
async def _result(probe: Probe, text: str) -> None:
    from omni_tui.face.screens.tool import ToolScreen

    probe.answers[DescribeTool] = lambda _c: [
        e.ToolDetails(server="files", tool="edit_file", label=SafeText("edit_file"), title=SafeText(""),
                      description=SafeText(""), risk="read", annotations=(),
                      input_schema_json=JsonText('{"type":"object"}'))
    ]  # fmt: skip
    _serve_pages(probe, text)
    probe.app.post_message(OpenTool("files", "edit_file"))
    await probe.drawn()
    screen = probe.app.screen
    assert isinstance(screen, ToolScreen)
    from omni_tui.face.results.view import ResultView

    view = screen.query_one(ResultView)
    kinds: dict[int, e.PartKind] = {0: "text", -1: "structured"}
    parts = tuple(
        e.ContentPart(index=n, kind=kind, text=SafeText(text[:8_000]), size=5_000_000, truncated=True)
        for n, kind in kinds.items()
    )
    view.show(e.CallFinished(call="c1", state="succeeded", elapsed_ms=1.0, size=5_000_000, parts=parts))
    await probe.drawn()
    for _ in range(4):
        view.action_turn(1)
        await probe.drawn()
        await probe.keys("end", "pagedown", "home")


def _serve_pages(probe: Probe, text: str) -> None:
    whole = text if len(text) < 100 or text[:1] == "{" else text * 10

    def page(command: ReadResult) -> list[e.TextPage]:
        read = SafeText(whole[command.offset : command.offset + command.limit])
        place: dict[str, Any] = {"call": command.call, "part": command.part, "offset": command.offset}
        return [e.TextPage(**place, total=len(whole), text=read)]

    probe.answers[ReadResult] = page


@place("reader")
async def _reader(probe: Probe, text: str) -> None:
    _serve_pages(probe, text)
    probe.app.push_screen(ReaderScreen("c1", title=text[:3_000], parts=2))
    await probe.drawn()
    await probe.keys("pagedown", "end", "end", "end", "home", "/", "q", "q", "enter")


@place("log")
async def _log(probe: Probe, text: str) -> None:
    lines = tuple(map(SafeText, text.split("\n")))[:20_000]
    probe.answers[ReadServerLog] = lambda c: [e.ServerLogRead(server=c.server, lines=lines)]
    probe.app.post_message(ShowServerLog("files"))
    await probe.drawn()
    await probe.keys("end", "home", "pagedown")


@place("wire")
async def _wire(probe: Probe, text: str) -> None:
    frames = tuple(
        WireFrame(
            number=n, ts=0.0, sent=True, kind="request", method=SafeText(text[:200]),
            id=SafeText(text[:200]), size=9, exact=True, text=SafeText(text[:400]),
        )
        for n in range(1, 300)
    )  # fmt: skip
    probe.answers[ReadWire] = lambda c: [
        WireRead(server=c.server, on=True, frames=frames if c.after < 299 else ())
    ]
    probe.answers[ReadWireFrame] = lambda c: [
        WireText(server=c.server, number=c.number, text=SafeText(text))
    ]
    probe.app.run_named("wire", "files")
    await probe.drawn()
    await probe.keys("up", "tab", "end", "home")


async def measured(name: str, text: str) -> Longest:
    """Go through one place with one text; return the longest step, the start of the app left out."""
    gc.collect()
    gc.disable()
    probe = Probe()
    probe.app._collector = _NoCollector(0.0)
    async with probe.app.run_test(size=(120, 40), notifications=True) as probe.pilot:
        await probe.drawn()
        await probe.keys("f2", "f3", "f5", "f4")
        with watched() as longest:
            await PLACES[name](probe, text)
    gc.enable()
    return longest


def main() -> int:
    """Measure and print."""
    names = [name for name in PLACES if not sys.argv[1:] or any(word in name for word in sys.argv[1:])]
    asyncio.run(measured(names[0], SHORT))  # imports
    over = 0
    for name in names:
        control = asyncio.run(measured(name, SHORT))
        print(f"{name}: control {control.ms:.0f} ms")
        for shape, text in shapes().items():
            if shape not in ONLY and "all" not in ONLY:
                continue
            found = asyncio.run(measured(name, text))
            mark = "  OVER" if found.ms > BUDGET_MS else ""
            over += bool(mark)
            print(
                f"  {shape:18} {found.ms:6.0f} ms  x{found.ms / control.ms:5.1f}  {found.what[:70]}{mark}",
                flush=True,
            )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
