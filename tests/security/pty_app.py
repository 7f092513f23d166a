"""The real app on a real pseudo-terminal: keys go in, a screen and a tape of every byte come out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyte

from tests.security.terminal_bytes import Control, Text, read

WIDE = (160, 45)
NARROW = (80, 24)

F1, F2, F3, F4, F5 = "\x1bOP", "\x1bOQ", "\x1bOR", "\x1bOS", "\x1b[15~"
F7, F8, F9 = "\x1b[18~", "\x1b[19~", "\x1b[20~"
UP, DOWN, HOME, END, ESC, ENTER = "\x1b[A", "\x1b[B", "\x1b[H", "\x1b[F", "\x1b", "\r"
PAGE_DOWN = "\x1b[6~"
CTRL_P, CTRL_Q, CTRL_U = "\x10", "\x11", "\x15"

BETWEEN_KEYS_S = 0.04
"""What comes closer together than a hand can press is taken for a paste."""
PATIENCE_S = 60.0
"""Longest wait for something to stand on the screen."""

Holds = Callable[[str], bool]


class PtyApp:
    """A running app. `tape` is every byte it wrote to its terminal."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: tuple[int, int] = WIDE,
        env: Mapping[str, str] | None = None,
        controlling: bool = False,
    ) -> None:
        self.columns, self.rows = size
        self.tape = bytearray()
        self._screen = pyte.Screen(self.columns, self.rows)
        self._lines = [""] * self.rows
        self._stream = pyte.ByteStream(self._screen)
        self._fd, terminal = os.openpty()
        self._terminal = os.ttyname(terminal)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))
        environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        for name in ("COLUMNS", "LINES", "TERM_PROGRAM", "TEXTUAL_DRIVER"):
            environ.pop(name, None)
        try:
            self.process = subprocess.Popen(
                command,
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                start_new_session=True,
                env=environ,
                preexec_fn=lambda: _begin(controlling),
            )
        finally:
            os.close(terminal)

    # --- what is on the screen

    @property
    def text(self) -> str:
        """The screen, a line each row."""
        for row in self._screen.dirty:  # a test looks often, and all lines cost as much as a picture
            line = self._screen.buffer[row]
            self._lines[row] = "".join(line[column].data for column in range(self.columns)).rstrip()
        self._screen.dirty.clear()
        return "\n".join(self._lines)

    def where(self, words: str) -> tuple[int, int]:
        """Return row and column (from 0) of words on the screen. Raises `AssertionError`."""
        for row, line in enumerate(self.text.splitlines()):
            column = line.find(words)
            if column >= 0:
                return row, column
        raise AssertionError(f"{words!r} is not on the screen:\n{self.text}")

    # --- keys

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, as fast as a hand; what is one string comes in one go.

        The next key comes only after the app has read the one before, however busy the machine is.
        """
        for key in keys:
            self.send(key)
            self.read_all()
            end = time.monotonic() + BETWEEN_KEYS_S
            while (left := end - time.monotonic()) > 0:
                self.pump(left)

    def send(self, keys: str) -> None:
        """Send keys without waiting: the app may be stopped, or busy."""
        self._write(keys.encode())

    def read_all(self) -> None:
        """Wait until the app has read its keys, however busy the machine is."""
        end = time.monotonic() + PATIENCE_S
        while self._unread() and time.monotonic() < end:
            self.pump(0.005)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self.columns, self.rows = columns, rows
        self._screen.resize(rows, columns)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def click(self, row: int, column: int) -> None:
        """Press and release the left button on a cell (from 0)."""
        self.press(f"\x1b[<0;{column + 1};{row + 1}M", f"\x1b[<0;{column + 1};{row + 1}m")

    def paste(self, text: str) -> None:
        """Paste as a terminal with bracketed paste does."""
        self.press(f"\x1b[200~{text}\x1b[201~")

    def _unread(self) -> int:
        """Return how many bytes the app has not read yet; 0 if it has left its terminal."""
        try:
            terminal = os.open(self._terminal, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            return 0
        try:
            count = fcntl.ioctl(terminal, termios.FIONREAD, bytes(4))
        finally:
            os.close(terminal)
        return int.from_bytes(count, sys.byteorder)

    def unread_output(self) -> int:
        """Return how many bytes the terminal holds that the app has written and nobody has read."""
        return int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)), sys.byteorder)

    def read_nothing(self) -> None:
        """Let the app work for a moment while nobody reads its terminal."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.01)

    def _write(self, data: bytes) -> None:
        # A terminal takes 4 KiB at a time: read on while the app has not taken the rest yet.
        end = time.monotonic() + PATIENCE_S
        while data:
            assert time.monotonic() < end, "the app does not read its keys"
            self.pump(0.0)
            _, ready, _ = select.select([], [self._fd], [], 0.05)
            if ready:
                data = data[os.write(self._fd, data[:512]) :]

    # --- waiting

    def pump(self, seconds: float) -> bool:
        """Take in what the app wrote, waiting at most so long for it; False if there was nothing."""
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux says so when the last process has closed the terminal
            data = b""
        if not data:
            return False
        self.tape += data
        self._stream.feed(data)
        if b"\x1b[?2026$p" in data:  # as a terminal answers that can show a frame at once
            os.write(self._fd, b"\x1b[?2026;2$y")
        return True

    def until(self, what: str | Holds, *, within: float = PATIENCE_S) -> str:
        """Wait until words stand on the screen, or until a condition holds for it; return the screen."""
        holds: Holds = (lambda text: what in text) if isinstance(what, str) else what
        end = time.monotonic() + within
        while True:
            if holds(text := self.text):
                return text
            left = end - time.monotonic()
            assert self.process.poll() is None, (
                f"the app has ended: {self.process.returncode}\n{self.end()}"
            )
            assert left > 0, f"waited {within} s for {what!r}; on the screen:\n{text}"
            self.pump(min(left, 0.5))
            while self.pump(0.0):  # what is there already belongs to the same picture
                pass

    def press_until(self, key: str, what: str) -> str:
        """Press a key again and again until words stand on the screen.

        What comes in one read with the end of a paste belongs to the paste, so the first press may be lost.
        """
        end = time.monotonic() + PATIENCE_S
        while what not in self.text:
            assert time.monotonic() < end, f"{key!r} does not bring {what!r}; on the screen:\n{self.text}"
            self.press(key)
            self.pump(0.5)
            while self.pump(0.0):
                pass
        return self.text

    def gone(self, words: str) -> str:
        """Wait until words stand on the screen no longer."""
        return self.until(lambda text: words not in text)

    def ready(self) -> None:
        """Wait until all four panes and the composer stand, and the engine has answered."""
        self.until(lambda text: "CHAT" in text and "offline" in text)

    # --- the end

    def end(self) -> str:
        """Take in what is left on the terminal and return the end of it, for a person to read."""
        while self.pump(0.2):
            pass
        return bytes(self.tape[-3000:]).decode("utf-8", "replace").replace("\x1b", "␛")

    def ended(self) -> str:
        """Wait until the app has ended; return the end of what it wrote.

        Read on meanwhile: a terminal takes 4 KiB, and an app that cannot write its last picture waits.
        """
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end:\n{self.text}"
            self.pump(0.1)
        return self.end()

    def leave(self) -> None:
        """Leave as a person does; the app must end with 0, say nothing more, and restore the screen."""
        self.press(CTRL_Q)
        said = self.ended()
        assert self.process.returncode == 0, said
        assert "Traceback" not in said, said

    def close_terminal(self) -> None:
        """Close the window, and wait until the app has ended."""
        os.close(self._fd)
        self._fd = -1
        self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it whatever it does, and close the terminal."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self._fd >= 0:
            os.close(self._fd)

    # --- the tape

    def controls(self) -> list[Control]:
        """Return everything the terminal was told to do."""
        return [item for item in read(bytes(self.tape)) if isinstance(item, Control)]

    def shown(self) -> str:
        """Return every character the terminal was told to show, one after the other."""
        return "".join(item for item in read(bytes(self.tape)) if isinstance(item, Text))


def _begin(controlling: bool) -> None:
    """Begin as a person's program does: what a script runs in the background has Ctrl-C ignored."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    if controlling:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def app(
    *arguments: str,
    size: tuple[int, int] = WIDE,
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "omni_tui"),
    controlling: bool = False,
) -> Iterator[PtyApp]:
    """Run `omni-tui ARGUMENTS` (or another program of Python's) until the block is left.

    With `controlling` the terminal is the program's own: closing it sends SIGHUP.
    """
    running = PtyApp([sys.executable, *program, *arguments], size=size, env=env, controlling=controlling)
    try:
        yield running
    finally:
        running.kill()


def started(folder: Path, config: str, *more: str) -> list[str]:
    """Write a config file into a folder and return the arguments that start the app on it."""
    file = folder / "config.toml"
    file.write_text(config, encoding="utf-8")
    return ["--config", str(file), "--state-dir", str(folder / "state"), *more]
