"""What the engine tells of a server's settings and of its wire. All of it is redacted and safe to show."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Reply
from omni_tui.protocol.server_settings import ServerSettings
from omni_tui.protocol.text import SafeText
from omni_tui.protocol.values import Problem

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


class ServerRead(Reply, frozen=True):
    """A server's settings. `revision` names what stands in the config file now, "" if nothing does.

    `fixed` says why they cannot be changed here, "" if they can; `unsaved` why they can be changed for
    this session only, "" if the person's config file may hold them.
    """

    name: str
    settings: ServerSettings
    revision: str = ""
    fixed: SafeText = SafeText("")
    unsaved: SafeText = SafeText("")


class ServerChecked(Reply, frozen=True):
    """What is wrong with settings; `where` is the setting's name, or `env.NAME` and `headers.NAME`.

    `warnings` are worth telling and stand in nobody's way.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
