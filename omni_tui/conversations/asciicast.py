"""A conversation as a recording for asciinema's players (asciicast v2), made from the transcript.

It is no recording of the terminal: texts appear line by line at a reading pace, and long pauses are left
out. A marker stands at each message of the person. The only control sequences in it are colours from here.
Source: https://docs.asciinema.org/manual/asciicast/v2/
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from itertools import islice

from omni_tui.conversations.shown import ShownConversation, ShownItem

WIDTH, HEIGHT = 100, 30
_LINE_S = 0.06
_ITEM_S = 0.8
_LONGEST_S = 600.0
"""Seconds of a recording; a longer one goes faster."""
_SHOWN_ROWS = 40
"""Rows of one thought, call or result; of the others is only told how long the whole is."""
_RESET = "\x1b[0m"
_COLOURS = {"you": "\x1b[1;34m", "thought": "\x1b[3;90m", "call": "\x1b[36m", "note": "\x1b[90m"}
_BAD = "\x1b[31m"
_QUIET = "\x1b[90m"


def as_asciicast(conversation: ShownConversation) -> Iterator[bytes]:
    """Yield a conversation as a recording: a line of JSON for the header, then one for each event."""
    header = {
        "version": 2,
        "width": WIDTH,
        "height": HEIGHT,
        "timestamp": int(conversation.created),
        "title": conversation.title,
        "env": {"TERM": "xterm-256color"},
    }
    timed: list[tuple[float, str, str]] = []
    now = 0.0
    timed.append((now, "o", f"\x1b[1m{conversation.title}{_RESET}\r\n"))
    timed += [(now, "o", f"{_QUIET}{fact}{_RESET}\r\n") for fact in conversation.facts]
    for item in conversation.items:
        now += _ITEM_S
        if item.kind == "you":
            timed.append((now, "m", item.text[:60].replace("\n", " ")))
        timed.append((now, "o", "\r\n"))
        for row in _rows(item):
            now += _LINE_S
            timed.append((now, "o", f"{row}\r\n"))
    faster = min(1.0, _LONGEST_S / now) if now else 1.0
    yield f"{json.dumps(header)}\n".encode("ascii")
    for at, kind, text in timed:
        yield f"{json.dumps([round(at * faster, 3), kind, text])}\n".encode("ascii")


def _rows(item: ShownItem) -> Iterator[str]:
    colour = _COLOURS.get(item.kind, "") if item.good or item.kind != "note" else _BAD
    match item.kind:
        case "you":
            yield from _coloured(_wrapped(item.text, "> "), colour)
        case "answer":
            yield from _wrapped(item.text, "")
        case "call":
            mark = item.mark if item.good else f"{_BAD}{item.mark}{colour}"
            yield f"{colour}{mark} {item.name}{_RESET} {_QUIET}{item.about}{_RESET}"
            yield from _coloured(_cut(item.text, "    "), _QUIET)
            for result in item.results:
                yield from _cut(result, "  │ ")
        case _:
            yield from _coloured(_cut(item.text, "  "), colour)


def _wrapped(text: str, before: str) -> Iterator[str]:
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" "))][: WIDTH // 2]
        yield from textwrap.wrap(
            line,
            WIDTH,
            initial_indent=before,
            subsequent_indent=before + indent,
            drop_whitespace=False,
            replace_whitespace=False,
        ) or [before.rstrip()]


def _cut(text: str, before: str) -> Iterator[str]:
    """Yield the first rows of a text, and how much of it is not among them."""
    room = _SHOWN_ROWS * WIDTH
    rows = list(islice(_wrapped(text[:room], before), _SHOWN_ROWS + 1))
    yield from rows[:_SHOWN_ROWS]
    if len(rows) > _SHOWN_ROWS or len(text) > room:
        yield f"    … of {len(text):,} characters"


def _coloured(rows: Iterable[str], colour: str) -> Iterator[str]:
    return (f"{colour}{row}{_RESET}" for row in rows)
