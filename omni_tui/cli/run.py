"""`run PROMPT`: one turn of the agent without a screen."""

from __future__ import annotations

import argparse
import asyncio
import codecs
import signal
import sys
from collections.abc import Callable

from omni_tui.cli.engine_client import EngineClient, open_client
from omni_tui.cli.options import launch_options
from omni_tui.cli.output import CliError, ExitStatus, print_note
from omni_tui.cli.printers import TextPrinter, print_event_json
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.commands import SendMessage, StopRun
from omni_tui.protocol.events import CallChanged, CommandDone, JournalFailed, TurnEnded, UserMessage
from omni_tui.protocol.plan import PlanDecided

_STOP_S = 10.0
_STATUS = {
    "done": ExitStatus.DONE,
    "failed": ExitStatus.FAILED,
    "parked": ExitStatus.FAILED,
    "limit": ExitStatus.LIMIT,
    "stopped": ExitStatus.CANCELLED,
}


async def run(arguments: argparse.Namespace) -> int:
    """Send the prompt, print what happens, and return the exit status.

    0 done, 1 error, 2 usage or configuration, 3 approval needed but nobody could give it, 4 limit reached,
    130 cancelled.
    """
    prompt = _read_input() if arguments.prompt == "-" else arguments.prompt
    if not prompt.strip():
        raise CliError("the prompt is empty", todo="Say what to do.", status=ExitStatus.USAGE)
    turn = PromptTurn(print_event_json if arguments.json else TextPrinter().print)
    async with open_client(launch_options(arguments, headless=True), turn.heard) as driver:
        await driver.connected()
        for server in driver.broken():
            print_note(f"{server.label}: {server.state}: {server.reason}. Its tools are not available.")
        reply = await driver.ask(SendMessage(text=prompt))
        assert isinstance(reply, CommandDone)
        await _until_over(driver, turn, reply.id)
        turn.leaving = True  # if the end could not be saved: that of the servers is not part of the run
    if reply.id not in turn.ended and turn.unsaved:
        raise CliError("the run ended", why=turn.unsaved)
    if turn.rules and not arguments.json:
        print_note("\nThese rules in your config would let exactly these calls run:\n")
        print_note("\n".join(dict.fromkeys(turn.rules)).rstrip())
    return turn.status(reply.id)


def _read_input() -> str:
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        encoding, why = "LATIN1", f"byte 0x{data[error.start]:02X} in line {line}"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # neither can begin UTF-8
        encoding, why = "UTF-16", "it is UTF-16"
    todo = f"Convert it first, for example: iconv -f {encoding} -t UTF-8 FILE | omni-tui run -"
    raise CliError("the input is not UTF-8 text", why=why, todo=todo, status=ExitStatus.USAGE)


async def _until_over(driver: EngineClient, turn: PromptTurn, name: str) -> None:
    """Wait for the end of the turn. Ctrl+C stops it; a second one stops waiting."""
    interrupts = asyncio.Event()

    def interrupt() -> None:
        if interrupts.is_set():
            raise KeyboardInterrupt
        interrupts.set()
        driver.send(StopRun())

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    over = asyncio.ensure_future(driver.until(lambda: turn.is_over(name)))
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


class PromptTurn:
    """Follows the turn of the prompt and prints the events of the session until it ends."""

    def __init__(self, print_event: Callable[[AnyEvent], None]) -> None:
        self._print = print_event
        self.ended: dict[str, TurnEnded] = {}
        self.first = ""
        """The turn of the session's first message, which is the prompt."""
        self.unsaved = ""
        self.withheld = False
        self.rules: list[str] = []
        """Rules that would let the withheld calls pass, as TOML."""
        self.cancelled = False
        self.leaving = False

    def heard(self, event: AnyEvent) -> None:
        """Take one event. The end of the prompt's turn is the last that is printed."""
        if isinstance(event, UserMessage):
            self.first = self.first or event.turn
        elif isinstance(event, TurnEnded):
            self.ended[event.turn] = event
        elif isinstance(event, JournalFailed):
            self.unsaved = event.what
        elif (isinstance(event, CallChanged) and event.state == "withheld") or (
            isinstance(event, PlanDecided) and event.decider == "headless"
        ):
            self.withheld = True
            if isinstance(event, CallChanged) and event.rule_toml:
                self.rules.append(event.rule_toml)
        if not self.leaving:
            self._print(event)
        if self.first in self.ended:
            self.leaving = True

    def is_over(self, name: str) -> bool:
        """Whether the turn ended, or its end can no longer be saved."""
        return name in self.ended or bool(self.unsaved)

    def status(self, name: str) -> ExitStatus:
        """Return the exit status of the turn."""
        if self.cancelled:
            return ExitStatus.CANCELLED
        ended = self.ended.get(name)
        if ended is None:
            return ExitStatus.FAILED
        if self.withheld and ended.status != "stopped":
            return ExitStatus.WITHHELD
        return _STATUS[ended.status]
