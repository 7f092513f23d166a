"""A conversation as a recording for asciinema's players (asciicast v2), made from the transcript.

It is no recording of the terminal: texts appear line by line at a reading pace, and long pauses are left
out. A marker stands at each message of the person. The only control sequences in it are colours from here.
Source: https://docs.asciinema.org/manual/asciicast/v2/
"""

from __future__ import annotations

import json
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
    # The rows of an item are kept as one text: a row each would be hundreds of thousands of objects.
    parts: list[tuple[str, str]] = []
    seconds = 0.0
    for item in conversation.items:
        rows = list(_rows(item))
        seconds += _ITEM_S + _LINE_S * len(rows)
        parts.append((item.text[:60].replace("\n", " ") if item.kind == "you" else "", "\n".join(rows)))
    faster = min(1.0, _LONGEST_S / seconds) if seconds else 1.0
    yield f"{json.dumps(header)}\n".encode("ascii")
    yield _event(0.0, "o", f"\x1b[1m{conversation.title}{_RESET}\r\n")
    for fact in conversation.facts:
        yield _event(0.0, "o", f"{_QUIET}{fact}{_RESET}\r\n")
    now = 0.0
    for marker, text in parts:
        now += _ITEM_S
        made = [_event(now * faster, "m", marker)] if marker else []
        made.append(_event(now * faster, "o", "\r\n"))
        for row in text.split("\n"):
            now += _LINE_S
            made.append(_event(now * faster, "o", f"{row}\r\n"))
        yield b"".join(made)


def _event(at: float, kind: str, text: str) -> bytes:
    return f"{json.dumps([round(at, 3), kind, text])}\n".encode("ascii")


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
    """Yield the rows of a text, broken after spaces where there are some, indented as their line is."""
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" "))][: WIDTH // 2]
        head, start = before, 0
        while len(line) - start > (room := WIDTH - len(head)):
            space = line.rfind(" ", start + len(indent), start + room)
            end = space + 1 if space > start else start + room
            yield f"{head}{line[start:end]}"
            head, start = before + indent, end
        yield f"{head}{line[start:]}" if line else before.rstrip()


def _cut(text: str, before: str) -> Iterator[str]:
    """Yield the first rows of a text, and how much of it is not among them."""
    room = _SHOWN_ROWS * WIDTH
    rows = list(islice(_wrapped(text[:room], before), _SHOWN_ROWS + 1))
    yield from rows[:_SHOWN_ROWS]
    if len(rows) > _SHOWN_ROWS or len(text) > room:
        yield f"    … of {len(text):,} characters"


def _coloured(rows: Iterable[str], colour: str) -> Iterator[str]:
    return (f"{colour}{row}{_RESET}" for row in rows)
