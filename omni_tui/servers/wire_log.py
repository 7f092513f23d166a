"""The wire log of a server: its frames, recorded on request, in memory only, limited.

Recording must not slow the connection down: of each frame a limited copy is made, without encoding it and
without looking beyond the limit. Redacting and formatting happen when the log is read.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omni_tui.protocol import SafeText
from omni_tui.protocol.wire_log import WireFrame, WireKind
from omni_tui.security.text import safe, safe_line
from omni_tui.servers.frame_meter import FrameMeter
from omni_tui.servers.wire_frames import MAX_FRAME, FrameCopier, message_parts

if TYPE_CHECKING:
    from mcp.shared.message import SessionMessage

MAX_FRAMES = 2000
MAX_KEPT = 4 * 1024 * 1024
"""Limit of all frames together, in characters."""
PREVIEW = 400
"""Limit of a frame in the list, in characters."""

_OPEN = 512
"""Most requests that wait for an answer; answers to older ones have no method."""

Redact = Callable[[Any], Any]
"""Takes secrets out of a JSON value."""


@dataclass(slots=True, eq=False)
class LoggedFrame:
    """One recorded frame."""

    number: int
    ts: float
    sent: bool
    kind: WireKind
    method: str
    id: str
    body: Any
    kept: int
    size: int
    exact: bool
    cut: bool
    after_ms: float | None = None
    lost: bool = False


class WireLog:
    """The frames of one connection, newest last. Off at first; call `note` only while it is on."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self.on = False
        self.dropped = 0
        self.meter = FrameMeter()
        """Tells of messages without keeping them."""
        self._on_change = on_change
        self._frames: deque[LoggedFrame] = deque()
        self._kept = 0
        self._number = 0
        self._open: OrderedDict[tuple[bool, str], tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._frames)

    def switch(self, on: bool) -> None:
        """Start to record frames, or stop and forget them."""
        if on == self.on:
            return
        self.on = on
        self._frames.clear()
        self._open.clear()
        self._kept = self.dropped = 0
        self._on_change()

    def note(self, item: SessionMessage | Exception, *, sent: bool, size: int = 0) -> LoggedFrame:
        """Record a frame. `size` is its length in bytes if the transport knows it."""
        now = time.time()
        kind, method, key, body = message_parts(item)
        cutter = FrameCopier()
        kept = cutter.take(body)
        self._number += 1
        noted = LoggedFrame(
            number=self._number,
            ts=now,
            sent=sent,
            kind=kind,
            method=method,
            id=key,
            body=kept,
            kept=cutter.kept,
            size=size or cutter.size,
            exact=bool(size) or not cutter.cut,
            cut=cutter.cut,
        )
        if key and kind == "request":
            self._open[(sent, key)] = (method, now)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        elif key and (asked := self._open.pop((not sent, key), None)) is not None:
            noted.method, noted.after_ms = asked[0], (now - asked[1]) * 1000
        self._frames.append(noted)
        self._kept += noted.kept
        while len(self._frames) > MAX_FRAMES or self._kept > MAX_KEPT:
            self._kept -= self._frames.popleft().kept
            self.dropped += 1
        return noted

    def after(self, number: int) -> list[LoggedFrame]:
        """Return the frames with higher numbers, oldest first."""
        newer: list[LoggedFrame] = []
        for noted in reversed(self._frames):
            if noted.number <= number:
                break
            newer.append(noted)
        return newer[::-1]

    def get(self, number: int) -> LoggedFrame | None:
        """Return one frame, None if it is gone."""
        place = number - self._frames[0].number if self._frames else -1
        return self._frames[place] if 0 <= place < len(self._frames) else None


def wire_frame(noted: LoggedFrame, redact: Redact) -> WireFrame:
    """Return a frame for the list."""
    text = safe_line(frame_json(noted, redact)[: PREVIEW + 1], limit=PREVIEW)
    return WireFrame(
        number=noted.number,
        ts=noted.ts,
        sent=noted.sent,
        kind=noted.kind,
        method=safe_line(str(redact(noted.method)), limit=120),
        id=safe_line(noted.id, limit=60),
        size=noted.size,
        exact=noted.exact,
        text=text,
        after_ms=noted.after_ms,
        cut=noted.cut,
        lost=noted.lost,
    )


def frame_json(noted: LoggedFrame, redact: Redact, *, indent: int | None = None) -> str:
    """Return the recorded part of a frame as JSON, without secrets; not safe to show yet."""
    separators = None if indent else (",", ":")
    text = json.dumps(redact(noted.body), ensure_ascii=False, indent=indent, separators=separators)
    return text[:MAX_FRAME]


def frame_text(noted: LoggedFrame, redact: Redact) -> tuple[SafeText, bool]:
    """Return a frame as indented JSON, and whether a part is missing."""
    text = frame_json(noted, redact, indent=2)
    return safe(text, limit=2 * MAX_FRAME), noted.cut or len(text) == MAX_FRAME


def frame_record(noted: LoggedFrame, redact: Redact) -> dict[str, Any]:
    """Return a frame as a line of a saved log."""
    return {
        "number": noted.number,
        "ts": noted.ts,
        "direction": "sent" if noted.sent else "received",
        "method": redact(noted.method),
        "size": noted.size,
        "cut": noted.cut,
        "lost": noted.lost,
        "frame": redact(noted.body),
    }
