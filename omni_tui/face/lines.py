"""Rows of text before they have colours: spans with roles, wrapped at a width.

A view turns roles into styles, so a change of theme needs no wrapping. A `Line` also knows which of its
characters are decoration, which copying leaves out, and whether it continues the row before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from rich.cells import cell_len

from omni_tui.face.cells import breaks, fit, fits


class Span(NamedTuple):
    """A piece of a line. `role` is one or several component classes without prefix, space-separated."""

    text: str
    role: str = "text"


Spans = tuple[Span, ...]


class Line(NamedTuple):
    """One row.

    `gutter` and `tail` are the numbers of characters of decoration at its start and end. `glue` is None
    if the row starts a new line, else the text left out between the row before and this one. `fill` is
    the role of the rest of the row. `target` names what a click does, "" for nothing.
    """

    spans: Spans
    gutter: int = 0
    glue: str | None = None
    fill: str = ""
    target: str = ""
    tail: int = 0

    @property
    def body(self) -> str:
        """The text without decoration: what is copied."""
        text = self.text
        return text[self.gutter : len(text) - self.tail]

    @property
    def text(self) -> str:
        """The text with decoration."""
        return "".join([span.text for span in self.spans])

    @property
    def width(self) -> int:
        """The width in cells."""
        return spans_width(self.spans)


BLANK = Line(())


def single_span(text: str, role: str = "text") -> Spans:
    """Return a tuple of one span, or none for an empty text."""
    return (Span(text, role),) if text else ()


def spans_width(spans: Iterable[Span]) -> int:
    """Return the width of spans in cells."""
    return sum(cell_len(span.text) for span in spans)


def spans_length(spans: Iterable[Span]) -> int:
    """Return the number of characters of spans."""
    return sum(len(span.text) for span in spans)


def wrap(
    spans: Iterable[Span],
    width: int,
    *,
    first: Spans = (),
    rest: Spans = (),
    hard: bool = False,
    fill: str = "",
    most: int | None = None,
) -> list[Line]:
    """Wrap spans to lines of at most `width` cells, prefixes included.

    `first` is the prefix of the first line, `rest` that of the others; both are decoration. Words stay
    whole where they fit; with `hard` (code) every row is filled. With `most`, no more rows are laid out
    than that, however long the text is.
    """
    return list(islice(_wrapped(spans, width, first, rest, hard, fill), most))


def _wrapped(
    spans: Iterable[Span], width: int, first: Spans, rest: Spans, hard: bool, fill: str
) -> Iterator[Line]:
    prefix = first
    gutter, room = spans_length(first), max(1, width - spans_width(first))
    gutter_after, room_after = spans_length(rest), max(1, width - spans_width(rest))
    for source in split_lines(spans):
        text = "".join([span.text for span in source])
        if fits(text, room):
            yield Line((*prefix, *source), gutter, None, fill)
            prefix, gutter, room = rest, gutter_after, room_after
            continue
        last = 0
        for start, end in breaks(text, room, room_after, hard=hard):
            if start and start == len(text):  # only the space at the end of the text is left
                break
            glue = text[last:start] if start else None
            body = slice_spans(source, start, end)
            yield Line((*prefix, *body), gutter, glue, fill)
            last, prefix, gutter, room = end, rest, gutter_after, room_after


def wrap_beginning(
    spans: Sequence[Span],
    most: int,
    width: int,
    *,
    first: Spans = (),
    rest: Spans = (),
    hard: bool = False,
    fill: str = "",
    todo: str = "",
) -> list[Line]:
    """Wrap the beginning of a text of any length: `most` rows, and one that counts what they leave out.

    `todo` says in that row how to see the rest. The other arguments are those of `wrap`.
    """
    lines = wrap(spans, width, first=first, rest=rest, hard=hard, fill=fill, most=most + 1)
    if len(lines) <= most:
        return lines
    kept = lines[:most]
    left = spans_length(spans) - len(copied_text(kept))
    lead = " " * spans_width(rest)
    hint = fit(f"{lead}… {left:,} more characters{todo}", width)
    return [*kept, Line((Span(hint, "hint"),), len(hint))]


def row_with_end(left: Sequence[Span], end: Span, width: int) -> Line:
    """Return one row with `end` at its right end. The first span of `left` is decoration."""
    gap = Span(" " * max(1, width - spans_width(left) - cell_len(end.text)))
    return Line(tuple(span for span in (*left, gap, end) if span.text), gutter=len(left[0].text))


def split_lines(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Yield the lines of spans, at least one, each when it is asked for."""
    line: list[Span] = []
    for span in spans:
        text, role = span
        at = 0
        while (end := text.find("\n", at)) >= 0:
            if end > at:
                line.append(Span(text[at:end], role))
            yield line
            line, at = [], end + 1
        if not at:
            line.append(span)
        elif at < len(text):
            line.append(Span(text[at:], role))
    yield line


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


def copied_text(lines: Sequence[Line]) -> str:
    """Return the text of lines without decoration, with wrapped rows joined again."""
    parts: list[str] = []
    for line in lines:
        if parts:
            parts.append("\n" if line.glue is None else line.glue)
        parts.append(line.body)
    return "".join(parts)
