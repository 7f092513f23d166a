"""The wire log of a server: the frames that are recorded, and the commands that record and read them.

All text is redacted and safe to show.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, Reply
from omni_tui.protocol.text import SafeText

WireKind = Literal["request", "answer", "error", "note", "broken"]


class WireFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One JSON-RPC frame. `sent` is from us to the server; `ts` is Unix time.

    `size` is in bytes, at least that many if not `exact`. `method` of an answer is that of its request;
    `after_ms` how long that took. `text` is the beginning of the frame on one line. `lost` says that
    the transport did not take it.
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


class WireRead(Reply, frozen=True):
    """Noted frames. `dropped` older ones are gone; with `more`, ask again after the last one."""

    server: str
    on: bool
    frames: tuple[WireFrame, ...]
    dropped: int = 0
    more: bool = False


class WireText(Reply, frozen=True):
    """One frame, indented. `cut`: it was longer than what is kept of a frame."""

    server: str
    number: int
    text: SafeText
    cut: bool = False


class SetWireLog(Command, frozen=True):
    """Begin or end to note what goes over a server's wire. Ending forgets what was noted."""

    server: str
    on: bool


class ReadWire(Command, frozen=True):
    """Ask for `WireRead`: the noted frames after a number, oldest first, as many as fit."""

    server: str
    after: int = 0


class ReadWireFrame(Command, frozen=True):
    """Ask for `WireText`: one noted frame, as far as it was kept."""

    server: str
    number: int


class SaveWire(Command, frozen=True):
    """Write all that is noted to a new file that only this person can read; answered by `FileSaved`."""

    server: str
