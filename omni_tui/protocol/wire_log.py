"""The wire log of a server: the frames that are recorded, and the commands that record and read them.

All text is redacted and safe to show.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText

WireKind = Literal["request", "answer", "error", "note", "broken"]


class WireFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One JSON-RPC frame. `sent`: to the server; `ts` is in Unix seconds.

    `size` is in bytes, a minimum if not `exact`. An answer has the `method` of its request, and `after_ms`,
    the time since then. `text` is the beginning of the frame on one line. `lost`: the transport refused it.
    """

    number: int
    ts: float
    sent: bool
    kind: WireKind
    method: SafeText
    id: SafeText
    size: int
    exact: bool
    text: SafeText
    after_ms: float | None = None
    cut: bool = False
    lost: bool = False


class WireRead(CommandReply, frozen=True):
    """Recorded frames. `dropped` older ones are gone; with `more`, ask again after the last one."""

    server: str
    on: bool
    frames: tuple[WireFrame, ...]
    dropped: int = 0
    more: bool = False


class WireText(CommandReply, frozen=True):
    """One frame, indented. `cut`: the frame was longer."""

    server: str
    number: int
    text: SafeText
    cut: bool = False


class SetWireLog(Command, frozen=True):
    """Start or stop recording a server's frames. Stopping deletes what was recorded."""

    server: str
    on: bool


class ReadWire(Command, frozen=True):
    """Ask for `WireRead`: the recorded frames after a number, oldest first, as many as fit."""

    server: str
    after: int = 0


class ReadWireFrame(Command, frozen=True):
    """Ask for `WireText`: one recorded frame, as far as it was kept."""

    server: str
    number: int


class SaveWire(Command, frozen=True):
    """Save all recorded frames to a new private file; answered by `FileSaved`."""

    server: str
