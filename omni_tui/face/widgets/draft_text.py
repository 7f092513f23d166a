"""What is written and what was: pastes held aside, and the messages sent before."""

from __future__ import annotations

import re

import msgspec

LARGE_PASTE = 8_000
"""Longer pastes, in characters, are held aside: wrapping a megabyte at every key would freeze the keys."""
LARGE_LINES = 200
MAX_HISTORY = 500
_MARK = re.compile(r"⟦paste (\d+): [^⟧\n]*⟧")


class MessageHistory(msgspec.Struct):
    """What was sent before, oldest first, and the place in it while the person looks through it."""

    entries: list[str] = msgspec.field(default_factory=list)
    at: int | None = None
    draft: str = ""

    def add(self, text: str) -> None:
        """Remember a message; the same one twice running counts once."""
        self.at = None
        if text and (not self.entries or self.entries[-1] != text):
            self.entries.append(text)
            del self.entries[:-MAX_HISTORY]

    def older(self, now: str) -> str | None:
        """Return the entry before, keeping what is being written. None at the oldest."""
        if self.at is None:
            self.draft, self.at = now, len(self.entries)
        if self.at == 0:
            return None
        self.at -= 1
        return self.entries[self.at]

    def newer(self) -> str | None:
        """Return the entry after, at last what was being written. None if not looking back."""
        if self.at is None:
            return None
        self.at += 1
        if self.at < len(self.entries):
            return self.entries[self.at]
        self.at = None
        return self.draft


class Pastes(msgspec.Struct):
    """Large pastes, each with a short mark that stands for it in the text."""

    held: dict[int, str] = msgspec.field(default_factory=dict)

    def shorten(self, text: str) -> str:
        """Return the text itself, or the mark of a text too large to edit."""
        if len(text) <= LARGE_PASTE and text.count("\n") <= LARGE_LINES:
            return text
        number = len(self.held) + 1
        self.held[number] = text
        lines = text.count("\n") + 1
        size = f"{len(text):,} characters" + (f", {lines:,} lines" if lines > 1 else "")
        return f"⟦paste {number}: {size}⟧"

    def in_full(self, text: str) -> str:
        """Return a text with every mark replaced by what it stands for."""
        return _MARK.sub(lambda mark: self.held.get(int(mark[1]), mark[0]), text)

    def lost(self, text: str) -> list[int]:
        """Return the numbers of pastes whose marks are not in a text: deleted or changed."""
        there = {int(mark[1]) for mark in _MARK.finditer(text)}
        return [number for number in self.held if number not in there]
