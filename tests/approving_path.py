"""Which functions of Omni TUI are entered between the key that approves a call and its first byte.

A real face, an engine in the same loop, a real server on pipes. From the press of the key until the
frame of the call is written, every function that begins in any thread is noted; of the face, until its
command is sent, and not what it draws. What was not entered every time (timers, caches) does not count.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from inspect import CO_COROUTINE
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import omni_tui

ROOT = f"{Path(omni_tui.__file__).parent}{os.sep}"
KEY = "A"
QUIET_S = 1.2
"""How long the card stands still before the key."""
PATIENCE_S = 20.0
_MARK = b'"tools/call"'
_NOT_FUNCTIONS = {"<module>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
_BOTH = ("protocol", "links", "security")
"""Folders that face and engine have in common."""


class Found(NamedTuple):
    """Distinct functions, as `file:name`, and the deepest chain of nested coroutines, outermost first."""

    functions: list[str]
    chain: list[str]

    def of(self, *rooms: str) -> list[str]:
        """Return the functions of these folders of `omni_tui`."""
        return [each for each in self.functions if each.split("/")[0] in rooms]

    @property
    def engine(self) -> list[str]:
        """The functions that only an engine has."""
        return [each for each in self.functions if each not in self.of("face", *_BOTH)]

    @property
    def engine_files(self) -> list[str]:
        """The files that these are in."""
        return sorted({each.split(":")[0] for each in self.engine})


class Tracer:
    """Notes the functions of Omni TUI that are entered while it is `on`."""

    def __init__(self) -> None:
        self.on = False
        self.sent = False
        self.entered: dict[CodeType, None] = {}
        self.chain: list[CodeType] = []

    @contextmanager
    def installed(self) -> Iterator[Tracer]:
        """Watch this thread, and all that are begun meanwhile."""
        write = os.write

        def watched(descriptor: int, data: Any) -> int:
            if self.on and _MARK in bytes(data):
                self.on = False
            return write(descriptor, data)

        os.write = watched
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        try:
            yield self
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            os.write = write

    def begin(self) -> None:
        """Forget everything and note from now on."""
        self.entered.clear()
        self.chain = []
        self.sent = False
        self.on = True

    def _profile(self, frame: FrameType, event: str, _argument: object) -> None:
        if not self.on or event != "call" or not _is_ours(frame.f_code):
            return
        room = _room(frame.f_code)
        if (room == "face" and self.sent) or (room in ("face", *_BOTH) and _draws(frame)):
            return
        self.entered[frame.f_code] = None
        if frame.f_code.co_flags & CO_COROUTINE:
            chain = [code for code in _callers(frame) if code.co_flags & CO_COROUTINE and _is_ours(code)]
            if len(chain) > len(self.chain):
                self.chain = chain

    def found(self) -> Found:
        """Return what was noted."""
        functions = [_name(code) for code in self.entered if code.co_name not in _NOT_FUNCTIONS]
        return Found(functions, [_name(code) for code in reversed(self.chain)])


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(ROOT)


def _room(code: CodeType) -> str:
    return code.co_filename.removeprefix(ROOT).split(os.sep)[0]


def _name(code: CodeType) -> str:
    return f"{code.co_filename.removeprefix(ROOT)}:{code.co_qualname}"


def _draws(frame: FrameType) -> bool:
    """Whether it was Textual's compositor that called, however far up."""
    return any(code.co_filename.endswith("textual/_compositor.py") for code in _callers(frame))


def _callers(frame: FrameType | None) -> Iterator[CodeType]:
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


def trace(times: int = 4) -> Found:
    """Approve calls and return what was entered for each of them. Takes some seconds."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    runs: list[Found] = []
    for _ in range(times):
        tracer = Tracer()
        with tempfile.TemporaryDirectory(prefix="omni-path-") as folder, tracer.installed():
            asyncio.run(_approve(Path(folder), tracer))
        runs.append(tracer.found())
    last = runs[-1]
    every = [each for each in last.functions if all(each in run.functions for run in runs)]
    return Found(every, last.chain)


async def _approve(folder: Path, tracer: Tracer) -> None:
    from omni_tui.face.app import FaceOptions, OmniApp
    from omni_tui.models.base import ToolCall
    from omni_tui.protocol import commands as c
    from omni_tui.protocol import events as e
    from tests.engine.rig import rig
    from tests.face.test_shell import screen_text
    from tests.scripted_model import ScriptedModel, reply

    call = ToolCall("p1", "demo__write_note", '{"name":"a","text":"1"}')
    model = ScriptedModel([reply("", call)], [reply("done")])
    async with rig(folder, model=model, mode="chat") as running:
        await running.connected()
        app = OmniApp(RigLink(running, tracer), FaceOptions())
        async with app.run_test(size=(160, 45)) as pilot:
            await running.ask(c.SendMessage(text="write a note"))
            await running.until(e.ApprovalRequested)
            await _let_pass(PATIENCE_S, pilot.pause, lambda: "write_note" in screen_text(app))
            for _ in range(5):
                await pilot.press("f5")
                await _let_pass(QUIET_S, pilot.pause)
                tracer.begin()
                await pilot.press(KEY)
                await _let_pass(5.0, pilot.pause, lambda: not tracer.on)
                if not tracer.on:
                    break
            else:
                raise RuntimeError(f"{KEY} did not send the call")
            await running.until(e.TurnEnded)


async def _let_pass(
    seconds: float, turn: Callable[[float], Any], until: Callable[[], bool] | None = None
) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (until and until()):
        await turn(0.01)


class RigLink:
    """A second face at an engine that a test runs already."""

    def __init__(self, running: Any, tracer: Tracer) -> None:
        self._running = running
        self._tracer = tracer
        self._at = len(running.seen)

    def send(self, command: Any) -> None:
        """Hand a command over; what the face does after it is no part of the call's way."""
        self._tracer.sent = True
        self._running.link.send(command)

    async def events(self) -> AsyncIterator[Any]:
        """Yield what the engine says from now on."""
        while True:
            event = await self._running.until(object, after=self._at)
            self._at += 1
            yield event

    async def close(self) -> None:
        """The engine is ended by whoever runs it."""
