"""Where a session is stored besides its journal: in Redis, or nowhere else."""

from __future__ import annotations

from typing import Literal

from omni_tui.protocol.base import Command, Event
from omni_tui.protocol.text import SafeText

MemoryWord = Literal["off", "connecting", "on", "away", "full", "refused", "elsewhere"]


class MemoryChanged(Event):
    """How far the session is mirrored to Redis. Everything is in the journal in any case.

    `word`: `off` (the journal only), `connecting`, `on`, `away` (not reachable), `full` (it takes no more),
    `refused` (somebody has to change something), `elsewhere` (another machine has the session now).
    `behind`: how many events are not there yet. `since`: when the word became true, in Unix seconds.
    `where`: the address.
    """

    word: MemoryWord
    behind: int = 0
    since: float = 0.0
    where: SafeText = SafeText("")
    why: SafeText = SafeText("")
    todo: SafeText = SafeText("")


class SetMemory(Command):
    """Mirror the open sessions to Redis from now on, or no more; nothing that is stored is removed."""

    on: bool
