"""The terminal driver: what one read of the keyboard means, and leaving the terminal as it was found.

Mends five things of Textual 8.2.8:

- An escape sequence inside a bracketed paste is taken apart into key presses. Here everything from the
  opening mark to the closing one is one paste.
- A terminal without bracketed paste sends a paste as keys. Here a read that no person can type is a
  paste (`is_burst`), and so is what follows it at once.
- Bytes that are not UTF-8 end the input thread. Here they are replaced.
- The keys of xterm's modifyOtherKeys (`CSI 27 ; modifier ; code ~`) are read as single characters.
- The signals to stop and to go on are handled in the middle of anything. Here the loop handles them.

All keys of one read carry the same time, so that `approval.arming` can tell that they came together.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import selectors
import signal
import termios
from codecs import getincrementaldecoder
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Any

from textual import events
from textual._parser import ParseEOF, ParseError, ParseTimeout, Peek1, Read1
from textual._time import get_time
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.keys import Keys
from textual.message import Message

from omni_tui.face.attention import TerminalWindow
from omni_tui.face.end_watch import EndWatch

BURST = 6
"""Characters in one read from which on it can be a paste."""
BURST_PRINTABLE = 5
"""How many of them must be printable: held arrows, Enter and backspace stay keys."""
FOLLOWS_S = 0.005
"""Seconds after a paste in which a read still belongs to it."""
LARGE, FOLLOWS_LARGE_S = 1000, 0.05
"""The same for a large read, which is a piece of a longer paste."""
UNFINISHED_S = 1.0
"""Seconds to wait for the rest of a bracketed paste before inserting what came."""
MAX_PASTE = 8_000_000
"""Longest paste in characters; the rest is dropped."""

_SHIFT = 1
_START, _END = "\x1b[200~", "\x1b[201~"
_SEQUENCE = re.compile(
    r"\x1b(?:\[M.{3}|\[[0-?]*[ -/]*[@-~]|O[ -~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|(?=\x1b)|[^\x1b\[])",
    re.DOTALL,
)
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*)?\Z")
"""A sequence that is not complete yet."""
_ANSWER = re.compile(r"\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)")
"""Replies of a terminal about its colours and the like: nobody typed them."""
_REPORT = re.compile(r"\x1b\[(?:M.{3}|<?[-\d;]+[mM]|[IO]|\?\d+;\d\$y|48;[\d:;]+t)", re.DOTALL)
"""Reports of mouse, focus, modes and sizes: never keys."""
_STYLE = re.compile(r"\x1b\[[0-9;:]*m")
_OTHER_KEY = re.compile(r"\x1b\[27;(\d+);(\d+)~")


def is_burst(text: str) -> bool:
    """Return whether one read holds more characters than a person types at once."""
    return len(text) >= BURST and sum(map(_is_text, text)) >= BURST_PRINTABLE


def _is_text(one: str) -> bool:
    """Return whether a character is text; joiners and emoji newer than Python's tables are too."""
    return one.isprintable() or one > "\x9f"


class GuardedParser(XTermParser):
    """Textual's parser, which recognises every paste."""

    def __init__(self, debug: bool = False) -> None:
        self._pasted_at, self._pasted_size = float("-inf"), 0
        self._inside = False
        super().__init__(debug)

    # --- a read

    def feed(self, data: str) -> Iterable[Message]:
        """Return the events of one read. Text right after a paste, in the same read, is text too."""
        if not data:
            yield from super().feed(data)
            return
        now = get_time()
        size = len(data)
        while data:
            inside = self._inside
            if inside or self._awaiting.timeout is not None:
                step = (data.find("~") + 1 or len(data)) if inside else 1
                messages = super().feed(data[:step])
            elif data.startswith(_START):
                step = len(_START)
                messages = super().feed(_START)
            else:
                start = data.find(_START)
                step = len(data) if start < 0 else start
                messages = self._typed(_ANSWER.sub("", data[:step]), now)
            for message in messages:
                if isinstance(message, events.Key):
                    yield _key_or_text(message, now)
                    continue
                if isinstance(message, events.Paste):
                    self._pasted_at, self._pasted_size = now, size
                yield message
            if inside and not self._inside:
                self._pasted_at, self._pasted_size = now, size
            data = data[step:]

    def tick(self) -> Iterable[Message]:
        """Return the events of a key or sequence that is not continued."""
        now = get_time()
        for message in super().tick():
            yield _key_or_text(message, now) if isinstance(message, events.Key) else message

    def _typed(self, data: str, now: float) -> Iterator[Message]:
        """Return keys, or a paste that came without marks."""
        if not data:  # the answer of a terminal was all of it
            return
        burst = is_burst(_SEQUENCE.sub("", data))
        follows_s = FOLLOWS_LARGE_S if self._pasted_size >= LARGE else FOLLOWS_S
        if not burst and now - self._pasted_at > follows_s:
            yield from super().feed(data)
            return
        begun = _BEGUN.search(data)
        end = begun.start() if begun else len(data)
        text = ""
        at = 0
        while burst and (key := _SEQUENCE.match(data, at, end)) and not _STYLE.fullmatch(key.group()):
            at = key.end()  # a key before the text, such as the one that leads to where it belongs
            yield from super().feed(key.group())
        for sequence in _SEQUENCE.finditer(data, at, end):
            text += data[at : sequence.start()]
            at = sequence.end()
            if sequence.group() == _END:
                continue
            if _STYLE.fullmatch(sequence.group()) or not _REPORT.fullmatch(sequence.group()):
                text += sequence.group() if burst else ""  # a log with colours; the keys in it are nobody's
                continue
            if text:
                yield events.Paste(_clean(text))
                text = ""
            yield from super().feed(sequence.group())
        text += data[at:end]
        if text:
            yield events.Paste(_clean(text))
        if end < len(data):
            yield from super().feed(data[end:])

    # --- a bracketed paste

    def parse(self, token_callback: Callable[[Message], None]) -> Generator[Read1 | Peek1, str, None]:
        """Give everything to Textual's parser except text between the marks of a paste."""

        def out(token: Message) -> None:
            if not (isinstance(token, events.Paste) and not token.text):
                token_callback(token)

        inner = super().parse(out)
        want = next(inner)
        last = ""
        buffer: list[str] = []
        while True:
            try:
                character = yield Read1(UNFINISHED_S) if self._inside else want
            except (ParseTimeout, ParseEOF) as error:
                if self._inside:
                    want = self._finish(inner, out, "".join(buffer))
                    buffer, last = [], ""
                    if isinstance(error, ParseTimeout):
                        continue
                try:
                    want = inner.throw(error)
                except StopIteration:
                    return
                continue
            if not self._inside:
                want = inner.send(character)
                last = (last + character)[-len(_START) :]
                self._inside = last == _START
                continue
            buffer.append(character)
            if character == "~" and "".join(buffer[-len(_END) :]) == _END:
                want = self._finish(inner, out, "".join(buffer[: -len(_END)]))
                buffer, last = [], ""

    def _finish(
        self, inner: Generator[Read1 | Peek1, str, None], out: Callable[[Message], None], text: str
    ) -> Read1 | Peek1:
        self._inside = False
        out(events.Paste(_clean(text)))
        for character in _END[:-1]:
            inner.send(character)
        return inner.send(_END[-1])

    # --- keys

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        if (match := _OTHER_KEY.fullmatch(sequence)) is None:
            return super()._sequence_to_key_events(sequence, alt)
        modifiers, code = (int(number) for number in match.groups())
        if not 0 < code < 0x110000 or not 0 < modifiers <= 256:
            return [events.Key(Keys.Ignore, sequence)]
        if modifiers - 1 in (0, _SHIFT) and chr(code).isprintable():  # a letter as it is
            return super()._sequence_to_key_events(chr(code))
        return [key.copy() for key in self._parse_extended_key(f"\x1b[{code};{modifiers}u") or ()]


def _key_or_text(key: events.Key, now: float) -> Message:
    """Return the key with the time of its read; text that Textual would drop stays text."""
    one = key.character or ""
    if len(one) == 1 and one > "\x9f" and not one.isprintable():
        return events.Paste(one)
    key.time = now
    return key


def _clean(text: str) -> str:
    """Drop NUL, as Textual does, and text beyond the longest paste."""
    return text[:MAX_PASTE].replace("\x00", "")


class TerminalDriver(LinuxDriver):
    """Textual's driver with the parser above; it restores the terminal at every signal to end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.window = TerminalWindow(self.write)
        self._reading = False
        self._read_at = float("-inf")
        self._taken = False
        self._stop_due = False
        self._end_watch: EndWatch | None = None
        self._suspending = False

    # --- taking the terminal, and giving it back

    def start_application_mode(self) -> None:
        """Take the terminal. A signal to end acts like ctrl+q from here on: leave, and park the turn.

        From here on the loop handles signals. Textual handles those to stop and to go on wherever the
        program is just then: in the middle of a write, whose lock it would wait for, or of taking the
        terminal, which it would then do twice, with two threads that read it.
        """
        loop = asyncio.get_running_loop()
        with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                loop.add_signal_handler(number, partial(self._app.exit, return_code=128 + number))
            loop.add_signal_handler(signal.SIGTSTP, self._stop_soon)
            loop.add_signal_handler(signal.SIGCONT, self._go_on)
            self._watch_signals()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        # In the background it cannot be taken.
        self._taken = self._key_thread is not None and self._key_thread.is_alive()
        if self._taken:
            self.window.terminal_taken()

    def stop_application_mode(self) -> None:
        """Give the terminal back, with its title."""
        self._taken = False
        self.window.terminal_left()
        super().stop_application_mode()

    def suspend_application_mode(self) -> None:
        """Give the terminal back for a while; a signal to end is watched for all the same."""
        self._suspending = True
        try:
            super().suspend_application_mode()
        finally:
            self._suspending = False

    def close(self) -> None:
        """Wait until all is written."""
        super().close()
        if self._end_watch is not None and not self._suspending:
            self._end_watch.left()
            self._end_watch = None

    def _watch_signals(self) -> None:
        """Have a signal to end do so though the loop waits for the terminal. In the main thread only."""
        if self._end_watch is None:
            attributes = None
            with contextlib.suppress(termios.error, OSError):
                attributes = termios.tcgetattr(self.fileno)
            self._end_watch = EndWatch(self.fileno, attributes)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            self._end_watch.watch_signal(number)

    def _stop_soon(self) -> None:
        """Stop when the signals that have come by now are handled: one to go on ends the wait to stop."""
        self._stop_due = True
        asyncio.get_running_loop().call_soon(self._stop)

    def _stop(self) -> None:
        if not self._stop_due:
            return
        self._stop_due = False
        if self._taken and self._auto_restart:
            self.suspend_application_mode()
            self._must_signal_resume = True
        os.kill(os.getpid(), signal.SIGSTOP)

    def _go_on(self) -> None:
        """Take the terminal again, if it was given back before the stop.

        A hang-up comes with SIGCONT too, and `kill -CONT` to a program that runs. What goes on in the
        background cannot take the terminal, and tries again when it goes on the next time.
        """
        self._stop_due = False
        if self._must_signal_resume:
            self.resume_application_mode()
        elif self._taken:
            self._app.post_message(self.SignalResume())

    def input_since(self, stamp: float) -> bool:
        """Return whether anything came after the read whose keys have the time `stamp`.

        That includes what the terminal holds and nobody has read yet. The order of the looks matters:
        what is not in the terminal any more was taken out while `_reading` was set.
        """
        try:
            unread, _, _ = select.select([self.fileno], [], [], 0)
        except (OSError, ValueError):
            return True
        return bool(unread) or self._reading or self._read_at > stamp

    def _bytes(self) -> bytes:
        """Return available input; b"" if the other end of the terminal was closed."""
        try:
            return os.read(self.fileno, 4096)
        except OSError:
            return b""

    def run_input_thread(self) -> None:
        """Wait for input and parse it: Textual's own loop with another parser and decoder."""
        parser = GuardedParser(self._debug)
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)

            def look(*, final: bool = False) -> bool:
                """Return False once the terminal is gone: it would be readable for ever."""
                there = True
                for _ready in selector.select(0.1):
                    self._reading = True
                    data = self._bytes()
                    self._read_at = get_time()
                    there = bool(data)
                    text = decode(data, final=final)
                    for message in parser.feed(text) if text else ():
                        self.process_message(message)
                    self._reading = False
                for message in parser.tick():
                    self.process_message(message)
                return there

            try:
                while not self.exit_event.is_set():
                    if not look():
                        self._app.call_later(self._app.exit)
                        return
                look(final=True)
            finally:
                try:
                    for _message in parser.feed(""):
                        pass
                except (EOFError, ParseError):
                    pass


def has_job_control() -> bool:
    """Whether a shell waits that can bring a stopped program back.

    Without one (a terminal window or a tmux pane that runs the app itself) being stopped would be for ever.
    """
    try:
        parents = os.getsid(os.getppid())
    except (OSError, AttributeError):
        return False
    return parents == os.getsid(0) and os.getpid() != os.getsid(0)
