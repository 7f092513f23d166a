"""Ends the app after a signal to end, though its terminal takes nothing any more.

A terminal that is there and not read (a connection that died, a multiplexer that was stopped) lets the loop
wait for it in the middle of a write, and then nothing in the loop handles the signal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import threading
from types import FrameType
from typing import Any

PATIENCE_S = 10.0
"""Seconds from the signal until the process is ended without the loop; leaving properly takes less."""


class EndWatch:
    """A thread that waits for signals to end and, if the app does not leave then, ends the process.

    `terminal` gets back its `attributes` (those of `termios.tcgetattr`) first; they were taken before the
    app changed them, None if it did not.
    """

    def __init__(self, terminal: int, attributes: list[Any] | None) -> None:
        self._terminal, self._attributes = terminal, attributes
        self._signals: set[signal.Signals] = set()
        self._told, self._tell = os.pipe()
        threading.Thread(target=self._watch, name="end", daemon=True).start()

    def watch_signal(self, number: signal.Signals) -> None:
        """Watch for a signal that the loop handles; it still does. Call it in the main thread."""
        signal.signal(number, self._signalled)
        self._signals.add(number)

    def left(self) -> None:
        """Stop: the app has left its terminal in time. Call it once, in the main thread."""
        for number in self._signals:  # else a late one would write where something else is by then
            signal.signal(number, _pass)
        os.close(self._tell)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        """Pass a signal on. Nothing but a write: the main thread may hold any lock just now."""
        with contextlib.suppress(OSError):
            os.write(self._tell, bytes((number,)))

    def _watch(self) -> None:
        number = os.read(self._told, 1)
        left = not number
        while not left and select.select([self._told], [], [], PATIENCE_S)[0]:
            left = not os.read(self._told, 1)
        if left:
            os.close(self._told)
            return
        if self._attributes is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._attributes)
        os._exit(128 + number[0])


def _pass(_number: int, _frame: FrameType | None) -> None:
    """Leave a signal to the loop."""
