"""Text cut into lines of a given width, before it has colours.

A `Line` says what stands in a row and which role each piece plays; the view turns roles into
styles. So a change of theme redraws without cutting the text again, and copying knows which
characters are decoration and which line ends are only there because the window is narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, get_character_cell_size

from omni_tui.face.cells import fitting, graphemes

CONTINUES_WORD = ""
CONTINUES_TEXT = " "


class Span(NamedTuple):
    """A piece of a line. `role` is a component class without its prefix, or several, space-separated."""

    text: str
    role: str = "text"


class Line(NamedTuple):
    """One row.

    `gutter` is the number of leading characters that are decoration and are not copied. `glue` is
    None where a new line begins, else what stood between this row and the one before it. `fill` is
    the role of the rest of the row. `target` names what a click on the row does ("" nothing), `tail`
    is the number of characters of decoration at its end.
    """

    spans: tuple[Span, ...]
    gutter: int = 0
    glue: str | None = None
    fill: str = ""
    target: str = ""
    tail: int = 0

    @property
    def body(self) -> str:
        """The characters of the row without decoration: what copying it gives."""
        text = self.text
        return text[self.gutter : len(text) - self.tail]

    @property
    def text(self) -> str:
        """The characters of the row, decoration included."""
        return "".join([span.text for span in self.spans])

    @property
    def width(self) -> int:
        """The width in cells."""
        return sum(cell_len(span.text) for span in self.spans)


BLANK = Line(())
Spans = tuple[Span, ...]


def single_span(text: str, role: str = "text") -> Spans:
    """Return a single span as a tuple; empty text gives no span."""
    return (Span(text, role),) if text else ()


def wrap(
    spans: Iterable[Span],
    width: int,
    *,
    first: Spans = (),
    rest: Spans = (),
    hard: bool = False,
    fill: str = "",
) -> list[Line]:
    """Cut spans into lines of at most `width` cells, prefixes included.

    `first` stands before the first line and `rest` before all others; both count as decoration.
    Words stay whole where they fit; with `hard` (code) rows are cut at the width.
    """
    lines: list[Line] = []
    prefix = first
    for source in split_lines(spans):
        room = max(1, width - _width(prefix))
        after = max(1, width - _width(rest))
        text = "".join(span.text for span in source)
        glue: str | None = None
        for start, end, joint in row_breaks(text, room, after, hard=hard):
            body = slice_spans(source, start, end) if end > start else ()
            lines.append(Line((*prefix, *body), _length(prefix), glue if start else None, fill))
            glue, prefix = joint, rest
    return lines


def split_lines(spans: Iterable[Span]) -> list[list[Span]]:
    """Split spans at their line ends. There is always at least one line."""
    lines: list[list[Span]] = [[]]
    for span in spans:
        if "\n" not in span.text:
            lines[-1].append(span)
            continue
        head, *others = span.text.split("\n")
        if head:
            lines[-1].append(Span(head, span.role))
        for part in others:
            lines.append([Span(part, span.role)] if part else [])
    return lines


def slice_spans(spans: Sequence[Span], start: int, end: int) -> Spans:
    """Return the characters from `start` to `end` of a line's spans."""
    if len(spans) == 1:
        return (Span(spans[0].text[start:end], spans[0].role),)
    out: list[Span] = []
    at = 0
    for text, role in spans:
        stop = at + len(text)
        if stop > start and at < end:
            out.append(Span(text[max(0, start - at) : end - at], role))
        if stop >= end:
            break
        at = stop
    return tuple(out)


def row_breaks(text: str, first: int, rest: int, *, hard: bool = False) -> Iterable[tuple[int, int, str]]:
    """Yield (start, end, joint) of each row of one source line.

    `first` and `rest` are the widths in cells of the first row and of the others. `joint` is what is
    left out between this row and the next.
    """
    if len(text) * 2 <= first or cell_len(text) <= first:
        return [(0, len(text), "")]
    if text.isascii():
        return _cut_narrow(text, first, rest, hard)
    return _cut_wide(text, first, rest, hard)


def _cut_narrow(text: str, first: int, rest: int, hard: bool) -> Iterable[tuple[int, int, str]]:
    start, width, size = 0, first, len(text)
    while size - start > width:
        end = start + width
        space = -1 if hard else text.rfind(" ", start, end + 1)
        if space > start and text[start:space].strip():
            after = space + 1
            while after < size and text[after] == " ":
                after += 1
            yield start, space, text[space:after]
            start = after
        else:
            yield start, end, CONTINUES_WORD
            start = end
        width = rest
    if start < size:
        yield start, size, ""


def _cut_wide(text: str, first: int, rest: int, hard: bool) -> Iterable[tuple[int, int, str]]:
    """Cut by graphemes: a wide character or a letter with its marks is never torn apart.

    A row may also end after a wide character: scripts without spaces break anywhere.
    """
    start, width, cells = 0, min(first, rest), 0
    space, space_cells, drop = -1, 0, False
    for left, right, size in graphemes(text):
        if cells + size > width and left > start and text[left:right] == " " and not hard:
            yield start, left, " "
            start, cells, width, space = right, 0, rest, -1
            continue
        while cells + size > width and left > start:
            if space > start:
                yield start, space, " " if drop else CONTINUES_WORD
                start = space + (1 if drop else 0)
                cells -= space_cells
            else:
                yield start, left, CONTINUES_WORD
                start, cells = left, 0
            width, space = rest, -1
        cells += size
        if hard:
            continue
        if text[left:right] == " " and cells >= 2 and text[start:left].strip():
            space, space_cells, drop = left, cells, True
        elif size >= 2 and get_character_cell_size(text[left]) == 2:
            space, space_cells, drop = right, cells, False
    if start < len(text):
        yield start, len(text), ""


def fit(text: str, width: int) -> str:
    """Return text of at most `width` cells, ending in … where something was left out."""
    if width <= 0:
        return ""
    if len(text) * 2 <= width or cell_len(text[: width * 4 + 4]) <= width >= cell_len(text):
        return text
    kept = text[: fitting(text, 0, width - 1)] if width > 1 else ""
    return kept + "…" if cell_len(kept) < width else "…"


def pad(text: str, width: int) -> str:
    """Return text filled with spaces up to `width` cells."""
    return text + " " * max(0, width - cell_len(text))


def _width(spans: Spans) -> int:
    return sum(cell_len(span.text) for span in spans)


def _length(spans: Spans) -> int:
    return sum(len(span.text) for span in spans)


def copied_text(lines: Sequence[Line]) -> str:
    """Return the text of lines without decoration, rows of one source line joined again."""
    parts: list[str] = []
    for line in lines:
        if parts:
            parts.append("\n" if line.glue is None else line.glue)
        parts.append(line.body)
    return "".join(parts)
