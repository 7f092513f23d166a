"""`run PROMPT`: one turn of the agent without a face."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from omni_tui.cli.driver import Driver, engine
from omni_tui.cli.failures import Exit, Failure
from omni_tui.cli.options import launch_options
from omni_tui.cli.output import say, say_frame, tell
from omni_tui.protocol import AnyEvent, encode_record
from omni_tui.protocol.commands import SendMessage, StopRun
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    CallChanged,
    CallFinished,
    CallProposed,
    CommandDone,
    Notice,
    Retrying,
    Thought,
    TurnEnded,
)

_STOP_S = 10.0
_STATUS = {
    "done": Exit.DONE,
    "failed": Exit.FAILED,
    "parked": Exit.FAILED,
    "limit": Exit.LIMIT,
    "stopped": Exit.CANCELLED,
}


async def run(arguments: argparse.Namespace) -> int:
    """Send the prompt, tell what happens, and return as design section 5b says.

    0 done, 1 error, 2 usage or configuration, 3 an approval was needed that nobody could give,
    4 a limit was reached, 130 cancelled.
    """
    prompt = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    if not prompt.strip():
        raise Failure("the prompt is empty", todo="Say what to do.", status=Exit.USAGE)
    turn = _Turn(_JsonTeller() if arguments.json else _TextTeller())
    async with engine(launch_options(arguments, headless=True), turn.heard) as driver:
        await driver.connected()
        for server in driver.broken():
            tell(f"{server.label}: {server.state}: {server.reason}. Its tools are not available.")
        reply = await driver.ask(SendMessage(text=prompt))
        assert isinstance(reply, CommandDone)
        await _until_over(driver, turn, reply.id)
    return turn.status(reply.id)


async def _until_over(driver: Driver, turn: _Turn, name: str) -> None:
    """Wait for the end of the turn. Ctrl+C stops it, and a second one gives up waiting."""
    interrupts = asyncio.Event()

    def interrupt() -> None:
        if interrupts.is_set():
            raise KeyboardInterrupt
        interrupts.set()
        driver.send(StopRun())

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    over = asyncio.ensure_future(driver.until(lambda: name in turn.ended))
    stopping = asyncio.ensure_future(interrupts.wait())
    try:
        await asyncio.wait({over, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if interrupts.is_set():
            turn.cancelled = True
            await asyncio.wait({over}, timeout=_STOP_S)
        if over.done():
            over.result()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        for task in (over, stopping):
            task.cancel()
        await asyncio.gather(over, stopping, return_exceptions=True)


class _Turn:
    """What happened so far, handed on to whoever tells it."""

    def __init__(self, teller: _JsonTeller | _TextTeller) -> None:
        self._tell = teller.tell
        self.ended: dict[str, TurnEnded] = {}
        self.withheld = False
        self.cancelled = False

    def heard(self, event: AnyEvent) -> None:
        """Take in one event."""
        if isinstance(event, TurnEnded):
            self.ended[event.turn] = event
        elif isinstance(event, CallChanged) and event.state == "withheld":
            self.withheld = True
        self._tell(event)

    def status(self, name: str) -> Exit:
        """Return the exit status of the turn."""
        if self.cancelled:
            return Exit.CANCELLED
        ended = self.ended.get(name)
        if ended is None:
            return Exit.FAILED
        if self.withheld and ended.status != "stopped":
            return Exit.WITHHELD
        return _STATUS[ended.status]


class _JsonTeller:
    """Prints every public event as one line of JSON."""

    def tell(self, event: AnyEvent) -> None:
        """Print an event."""
        if event.public:
            say_frame(encode_record(event))


class _TextTeller:
    """Streams the answer on stdout and tells on stderr what is done for it."""

    def __init__(self) -> None:
        self._streamed: dict[str, str] = {}
        self._labels: dict[str, str] = {}

    def tell(self, event: AnyEvent) -> None:
        """Print what a person wants to know of an event."""
        if isinstance(event, AnswerDelta):
            self._streamed[event.message] = self._streamed.get(event.message, "") + event.text
            say(event.text, end="")
        elif isinstance(event, Answer):
            self._finish(event)
        elif remark := self._remark(event):
            tell(remark)

    def _finish(self, answer: Answer) -> None:
        """Print what the stream has not shown; deltas may be lost or corrected."""
        streamed = self._streamed.pop(answer.message, "")
        if answer.text.startswith(streamed):
            say(answer.text.removeprefix(streamed))
        else:
            say(f"\n{answer.text}")
        if answer.label:
            tell(f"[{answer.label}]")

    def _remark(self, event: AnyEvent) -> str:
        if isinstance(event, Thought):
            return f"· {event.text}"
        if isinstance(event, CallProposed):
            self._labels[event.call] = f"{event.server}.{event.label}"
            return f"→ {self._labels[event.call]} {_one_line(event.arguments)}"
        if isinstance(event, CallFinished):
            mark = "←" if event.state == "succeeded" else "✗"
            said = event.reason or next((part.text for part in event.parts if part.text), event.state)
            return f"{mark} {self._labels.get(event.call, '')} {_one_line(said)}"
        if isinstance(event, CallChanged):
            return self._decided(event)
        if isinstance(event, Retrying):
            return (
                f"… {event.reason}; trying again in {event.delay_s:.0f} s ({event.attempt} of {event.of})"
            )
        if isinstance(event, Notice) and event.level != "info":
            return " ".join(
                part for part in (f"{event.level}: {event.what}", event.why, event.todo) if part
            )
        if isinstance(event, TurnEnded) and event.status != "done":
            return f"{event.status}: {event.reason} {event.todo}".rstrip()
        return ""

    def _decided(self, event: CallChanged) -> str:
        if event.state in {"approved", "dispatching", "pending"}:
            return ""
        why = f": {event.reason}" if event.reason else ""
        return f"✗ {self._labels.get(event.call, '')} {event.state}{why}"


def _one_line(text: str, limit: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
