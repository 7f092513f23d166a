"""Marks in a message that stand for something: large pastes, and resources named with `@`."""

from __future__ import annotations

import re

import msgspec

from omni_tui.protocol.prompts_and_resources import MAX_ATTACHMENTS, Attachment

LARGE_PASTE = 8_000
"""Longer pastes, in characters, get a mark: wrapping a megabyte at every key would freeze the keys."""
LARGE_LINES = 200
LISTED = 50
"""Resources that are suggested at once."""
_KEPT = 200
_PASTE = re.compile(r"⟦paste (\d+): [^⟧\n]*⟧")
_TYPING = re.compile(r"(?:^|\s)@([^\s@⟦⟧]{0,60})\Z")
_RESOURCE = re.compile(r"⟦@[^⟦⟧\n]{1,240}⟧")


class Pastes(msgspec.Struct):
    """Large pastes, by the number in their marks."""

    held: dict[int, str] = msgspec.field(default_factory=dict)

    def shorten(self, text: str) -> str:
        """Return the text itself, or a mark for a text that is too large to edit."""
        if len(text) <= LARGE_PASTE and text.count("\n") <= LARGE_LINES:
            return text
        number = len(self.held) + 1
        self.held[number] = text
        lines = text.count("\n") + 1
        size = f"{len(text):,} characters" + (f", {lines:,} lines" if lines > 1 else "")
        return f"⟦paste {number}: {size}⟧"

    def in_full(self, text: str) -> str:
        """Return a text with every mark replaced by its paste."""
        return _PASTE.sub(lambda mark: self.held.get(int(mark[1]), mark[0]), text)

    def lost(self, text: str) -> list[int]:
        """Return the numbers of pastes whose marks were deleted or changed in a text."""
        there = {int(mark[1]) for mark in _PASTE.finditer(text)}
        return [number for number in self.held if number not in there]


def typed_mention(before: str) -> str | None:
    """Return what is typed after an `@` that begins a word, None if there is no such `@`.

    `before` is the line up to the cursor. `a@b` is not a mention.
    """
    found = _TYPING.search(before[-80:]) if "@" in before[-80:] else None
    return None if found is None else found[1]


class Mentions(msgspec.Struct):
    """Resources that were picked, by their marks."""

    held: dict[str, Attachment] = msgspec.field(default_factory=dict)

    def mark(self, server: str, uri: str, label: str) -> str:
        """Return the mark of a resource."""
        name = re.sub(r"[⟦⟧\n]", " ", f"{server} › {label}")[:200]
        wanted = Attachment(server=server, uri=uri)
        mark, number = f"⟦@{name}⟧", 2
        while self.held.get(mark, wanted) != wanted:
            mark, number = f"⟦@{name} {number}⟧", number + 1
        self.held[mark] = wanted
        while len(self.held) > _KEPT:
            del self.held[next(iter(self.held))]
        return mark

    def within(self, text: str) -> tuple[Attachment, ...]:
        """Return the resources whose marks are in a text, each once."""
        if "⟦@" not in text:
            return ()
        found = (self.held.get(mark[0]) for mark in _RESOURCE.finditer(text))
        return tuple(dict.fromkeys(one for one in found if one is not None))


def too_many(attachments: tuple[Attachment, ...]) -> str:
    """Return why these are too many for one message, "" if they are not."""
    if len(attachments) <= MAX_ATTACHMENTS:
        return ""
    return f"{len(attachments)} resources are attached; at most {MAX_ATTACHMENTS} can go with one message"
