"""The app's own log: what it tells of turns, calls, decisions and connections, searched by words."""

from __future__ import annotations

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText


class AppLogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `at` is Unix time, 0 where it has none; `text` is the whole line, cut if it is long."""

    at: float
    level: SafeText
    event: SafeText
    facts: SafeText
    text: SafeText


class ReadAppLog(Command):
    """Ask for `AppLogRead`: lines with all of these words, the newest first, after the first `skip`."""

    words: str = ""
    skip: int = 0


class AppLogRead(CommandReply):
    """Lines of the log, the newest first. `file`: where it is."""

    lines: tuple[AppLogLine, ...]
    more: bool
    file: SafeText
