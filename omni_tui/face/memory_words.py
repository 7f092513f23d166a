"""How far a session is mirrored to Redis, in words."""

from __future__ import annotations

import time

from omni_tui.protocol.memory import MemoryChanged

MANY_BEHIND = 100
"""Events from which it counts as catching up: fewer are on their way."""

_WORDS = {
    "off": "Redis off",
    "connecting": "Redis: connecting",
    "on": "Redis",
    "away": "Redis unreachable",
    "full": "Redis full",
    "refused": "Redis refused",
    "elsewhere": "Redis: taken over",
}


def memory_words(memory: MemoryChanged, *, wide: bool) -> str:
    """Return the state for the status line; `wide` has since when, too."""
    words = _WORDS[memory.word]
    if memory.word == "on" and memory.behind >= MANY_BEHIND:
        return f"Redis: catching up {memory.behind:,}"
    if wide and memory.word in ("away", "full") and memory.since:
        words += f" since {_clock(memory.since)}"
    return words


def memory_sentence(memory: MemoryChanged | None) -> str:
    """Return the state in whole sentences."""
    if memory is None or memory.word == "off":
        return "This session is saved in its journal on this machine only. /memory on mirrors it to Redis."
    where, behind = memory.where, f"{memory.behind:,} event{'' if memory.behind == 1 else 's'}"
    why = f" ({memory.why})" if memory.why else ""
    todo = f" To do: {memory.todo}." if memory.todo else ""
    if memory.word == "on":
        left = f"; {behind} to go" if memory.behind else ""
        return f"This session is saved here and mirrored to {where}{left}."
    if memory.word == "connecting":
        return f"This session is saved here; connecting to {where}."
    if memory.word in ("away", "full"):
        since = _clock(memory.since)
        return (
            f"This session is saved here. Redis at {where} takes nothing since {since}{why}; {behind} will "
            f"follow when it does.{todo}"
        )
    if memory.word == "refused":
        return f"This session is saved here and not mirrored to Redis{why}.{todo}"
    return f"This session is saved here and mirrored no more{why}; {memory.todo}."


def _clock(moment: float) -> str:
    return time.strftime("%H:%M", time.localtime(moment))
