"""The parts of a card, and how they are fitted into the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.content import Content

from omni_tui.face.formats import counted
from omni_tui.face.widgets.lines_view import wrap, wrap_rows

LABEL = 9
"""Cells of the labels at the left."""
_BLANK = Content("")


@dataclass(frozen=True, slots=True)
class CardBody:
    """The parts of a card at one width. `opens` is the action that shows `arguments` that have no room.

    `blocks` has the number of lines and of arguments of each piece of `arguments`.
    """

    head: list[Content]
    arguments: list[Content]
    verdict: list[Content]
    origin: list[Content]
    says: list[Content]
    opens: str = "approve"
    blocks: Sequence[tuple[int, int]] = ()


def head_lines(name: Content, chip: Content, width: int) -> list[Content]:
    """Return name and chip on one line, or one below the other where they do not fit."""
    line = name + Content("   ") + chip
    return [line] if line.cell_length <= width else [*wrap(name, width), *wrap(chip, width)]


def labelled(label: str, *text: tuple[str, str], width: int, style: str = "$text-2") -> list[Content]:
    """Wrap styled text beside a label of `LABEL` cells."""
    line = Content.assemble((label.ljust(LABEL), style), *text)
    first, *_rest = wrap(line, width)
    remains = line[len(first.plain) :]
    if not remains:
        return [first]
    if remains.plain.startswith(" "):
        remains = remains[1:]
    return [first, *(Content(" " * LABEL) + piece for piece in wrap(remains, width - LABEL))]


def labelled_rows(label: str, text: str, width: int) -> list[Content]:
    """Wrap a text of several lines beside a label, its own line breaks kept."""
    first, *rest = [Content.styled(row, "$text-1") for row in wrap_rows(text, width - LABEL)]
    margin = Content.styled(label.ljust(LABEL), "$text-2")
    return [margin + first, *(Content(" " * LABEL) + line for line in rest)]


def fit_card(
    body: CardBody,
    keys: list[Content],
    size: tuple[int, int],
    painted: Callable[[Content], bool],
    how: str,
) -> tuple[list[Content], bool]:
    """Fit a card into (width, height); False if some of the arguments had to be left out.

    The lines about the server are dropped first, then blank lines, and the arguments last. `painted`
    tells whether the cells of a row hold all of a line; the verdict, which says that all is shown, is
    there only if they do for every line of the arguments. `how` says how to see the
    whole.
    """
    width, height = size
    loose = [*body.head, _BLANK, *body.arguments, _BLANK, *body.verdict, _BLANK, *body.origin]
    attempts = [
        [*loose, *body.says, _BLANK, _BLANK, *keys],
        [*loose, _BLANK, *keys],
        [*body.head, _BLANK, *body.arguments, *body.verdict, *body.origin[:1], _BLANK, *keys],
        [*body.head, *body.arguments, *body.verdict, *keys],
    ]
    lines = next((lines for lines in attempts if len(lines) <= height), None)
    if lines is not None and all(painted(line) for line in (*body.head, *body.arguments, *body.verdict)):
        return lines, True
    return _cut(body, keys, width, height, painted, how), False


def _cut(
    body: CardBody,
    keys: list[Content],
    width: int,
    height: int,
    painted: Callable[[Content], bool],
    how: str,
) -> list[Content]:
    """Return the beginning of the arguments, how much of them is missing, and `how` to see it."""
    head = body.head
    room = 0
    more = _more(body, 0, width, painted, how)
    for _again in range(3):  # the count itself takes room
        fixed = len(more) + len(keys)
        head = body.head[: max(0, height - fixed)]
        room = max(0, min(height - fixed - len(head), len(body.arguments) - 1))
        more = _more(body, room, width, painted, how)
    return [*head, *body.arguments[:room], *more, *keys][:height]


def _more(
    body: CardBody, room: int, width: int, painted: Callable[[Content], bool], how: str
) -> list[Content]:
    left = len(body.arguments) - room
    count = counted(left, "more line") if left else "not all of it can be drawn here"
    total = sum(arguments for _lines, arguments in body.blocks)
    missing = total - _whole(body, room, painted)
    if total > 1 and missing:
        count += f", {missing} of {total} arguments not shown whole"
    return wrap(Content.styled(f"… {count}: {how}", "$waiting"), width)


def _whole(body: CardBody, room: int, painted: Callable[[Content], bool]) -> int:
    """Return how many arguments are in the first `room` lines with all their cells."""
    whole = at = 0
    for lines, arguments in body.blocks:
        end = at + lines
        if end <= room and all(painted(line) for line in body.arguments[at:end]):
            whole += arguments
        at = end
    return whole
