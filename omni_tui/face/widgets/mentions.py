"""Resources named in a message with `@`: what is being typed, and what was picked."""

from __future__ import annotations

import re

import msgspec

from omni_tui.protocol.prompts_and_resources import MAX_ATTACHMENTS, Attachment

LISTED = 50
"""Resources that are offered at once."""
_KEPT = 200
_TYPING = re.compile(r"(?:^|\s)@([^\s@⟦⟧]{0,60})\Z")
_MARK = re.compile(r"⟦@[^⟦⟧\n]{1,240}⟧")


def typed_mention(before: str) -> str | None:
    """Return what is typed after an `@` that begins a word, "" for nothing yet; None if none is.

    `before` is the line up to the cursor. An address like `a@b` is none.
    """
    found = _TYPING.search(before[-80:]) if "@" in before[-80:] else None
    return None if found is None else found[1]


class Mentions(msgspec.Struct):
    """Resources that were picked, each with the mark that stands for it in the text."""

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
        """Return the resources whose marks stand in a text, each once."""
        if "⟦@" not in text:
            return ()
        found = (self.held.get(mark[0]) for mark in _MARK.finditer(text))
        return tuple(dict.fromkeys(one for one in found if one is not None))


def too_many(attachments: tuple[Attachment, ...]) -> str:
    """Say so if that is more than may go with one message, else ""."""
    if len(attachments) <= MAX_ATTACHMENTS:
        return ""
    return f"{len(attachments)} resources are attached; at most {MAX_ATTACHMENTS} can go with one message"
