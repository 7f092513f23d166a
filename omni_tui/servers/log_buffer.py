"""The last lines of a server's log: standard error, logging messages, notes on its connection."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable

from omni_tui.protocol import SafeText
from omni_tui.security.text import safe, safe_line
from omni_tui.servers.exit_reason import LONGEST, find_exit_reason

MAX_LINES = 5000
MAX_BYTES = 512 * 1024
ODD_LINES = 50
"""Lines of standard output that are no messages: so many are repeated per start, the rest is counted."""
_UNSAVED = 500
"""Most lines of one second that are stored on disk."""
_LAST = 200
"""How many lines are searched for the reason of an exit."""
MAX_LINE = 2000
"""Longest line, in bytes; longer ones are cut."""


class ServerLogBuffer:
    """A ring of lines, limited in lines and bytes; `on_growth` is called after lines were added."""

    def __init__(self, on_growth: Callable[[], None] = lambda: None) -> None:
        self.dropped = 0
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._partial = b""
        self._unsaved: deque[bytes | None] = deque(maxlen=_UNSAVED)
        self._left_out = 0
        self._own: deque[bytes] = deque(maxlen=_LAST)
        self._printed: deque[bytes] = deque(maxlen=ODD_LINES)
        self._odd = 0
        self._on_growth = on_growth

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def exit_reason(self) -> SafeText:
        """The server's own words since `begin` that best say why it exited, "" if it wrote nothing."""
        return safe_line(find_exit_reason([*self._printed, *self._own]), limit=LONGEST, joined=True)

    def begin(self) -> None:
        """Note that another process starts."""
        self._to_save(None)
        self._partial = b""
        self._own.clear()
        self._printed.clear()
        self._odd = 0

    def take_over(self, former: ServerLogBuffer) -> None:
        """Start with the lines of another log."""
        self.dropped += former.dropped
        for line in former._lines:
            self._add(line)
        self._unsaved.clear()

    def feed(self, data: bytes) -> None:
        """Add bytes of the server's standard error, in any chunks."""
        data = self._partial + data
        more = data.count(b"\n")
        if more > MAX_LINES:
            self.dropped += more - MAX_LINES
            data = b"\n".join(data.rsplit(b"\n", MAX_LINES + 1)[1:])
        *lines, rest = data.split(b"\n")
        self._partial = rest[:MAX_LINE]
        for line in lines:
            self._add(line[:MAX_LINE].rstrip(b"\r"))
        self._own.extend(line[:MAX_LINE] for line in lines[-_LAST:])
        if lines:
            self._on_growth()

    def flush(self) -> None:
        """Add the unfinished last line: nothing more will come."""
        if self._partial:
            self.feed(b"\n")

    def note(self, text: str) -> None:
        """Add a line of Omni TUI's own, with the time."""
        self._add(f"[{time.strftime('%H:%M:%S')}] {text}".encode("utf-8", "replace"))
        self._on_growth()

    def note_message(self, level: str, logger: str, data: object) -> None:
        """Add a logging message of the server (MCP, server/utilities/logging), cut to one line."""
        text = data if isinstance(data, str) else _json(data)
        where = f" {logger[:60]}:" if logger else ""
        self.note(f"{level}{where} {safe(text[:2000], limit=1500, lines=False)}")

    def odd(self, line: bytes, why: str) -> None:
        """Note a line of standard output that is no message, or a malformed answer."""
        self._odd += 1
        if not line.lstrip().startswith((b"{", b"[")):  # perhaps the reason of its exit
            self._printed.append(line[:MAX_LINE])
        if self._odd <= ODD_LINES:
            text = line[:MAX_LINE].decode("utf-8", "replace").strip()
            self.note(f"on its standard output, {why}: {text}")
        elif str(self._odd).rstrip("0") == "1":  # 100, 1,000, 10,000 …
            self.note(f"{self._odd:,} lines so far on its standard output that are no messages")

    def lines(self) -> list[SafeText]:
        """Return all lines, made safe to show."""
        return [
            safe_line(line.decode("utf-8", "replace"), limit=MAX_LINE, joined=True) for line in self._lines
        ]

    def unsaved(self) -> list[bytes | None]:
        """Return what is new since the last call, to be stored; None is a start. A flood is cut short."""
        lines = list(self._unsaved)
        if self._left_out:
            lines.insert(0, f"… {self._left_out:,} lines are left out here".encode())
        self._unsaved.clear()
        self._left_out = 0
        return lines

    def _to_save(self, line: bytes | None) -> None:
        self._left_out += len(self._unsaved) == _UNSAVED
        self._unsaved.append(line)

    def _add(self, line: bytes) -> None:
        self._to_save(line)
        self._lines.append(line)
        self._size += len(line)
        while len(self._lines) > MAX_LINES or self._size > MAX_BYTES:
            self._size -= len(self._lines.popleft())
            self.dropped += 1


def _json(data: object) -> str:
    pieces: list[str] = []
    size = 0
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(data):
        pieces.append(piece[:2000])
        size += len(piece)
        if size > 2000:
            break
    return "".join(pieces)
