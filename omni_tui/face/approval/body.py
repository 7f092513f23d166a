"""The parts every card has, and how they are fitted into the room there is."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content

from omni_tui.face.widgets.lines import wrap

LABEL = 9
"""Cells of the words at the left of what is said about an item."""
_BLANK = Content("")


@dataclass(frozen=True, slots=True)
class Body:
    """The parts of a card at one width. `more` says how to see what `arguments` has no room for."""

    head: list[Content]
    arguments: list[Content]
    verdict: list[Content]
    origin: list[Content]
    says: list[Content]
    more: str = "A opens the whole of it"


def hanging(text: Content, width: int) -> list[Content]:
    """Wrap a text whose first `LABEL` cells name it; what follows stands under the rest of it."""
    first, *_rest = wrap(text, width)
    remains = text[len(first.plain) :]
    if not remains:
        return [first]
    if remains.plain.startswith(" "):
        remains = remains[1:]
    return [first, *(Content(" " * LABEL) + piece for piece in wrap(remains, width - LABEL))]


def arrange(body: Body, keys: list[Content], height: int) -> tuple[list[Content], bool]:
    """Fit a card into `height` lines; False if some of the arguments had to be left out.

    What is said about the server goes first, then the air, and the arguments last of all.
    """
    says = [*body.origin, *body.says]
    attempts: list[list[list[Content]]] = [
        [
            body.head,
            [_BLANK],
            body.arguments,
            [_BLANK, *body.verdict, _BLANK],
            says,
            [_BLANK, _BLANK],
            keys,
        ],
        [body.head, [_BLANK], body.arguments, [_BLANK, *body.verdict, _BLANK], body.origin, [_BLANK], keys],
        [body.head, [_BLANK], body.arguments, body.verdict, body.origin[:1], [_BLANK], keys],
        [body.head, body.arguments, body.verdict, keys],
    ]
    for attempt in attempts:
        lines = [line for part in attempt for line in part]
        if len(lines) <= height:
            return lines, True
    room = max(0, min(height - len(body.head) - len(keys) - 1, len(body.arguments) - 1))
    left = len(body.arguments) - room
    more = Content.styled(f"… {left} more line{'' if left == 1 else 's'}: {body.more}", "$waiting")
    return [*body.head, *body.arguments[:room], more, *keys][:height], False
