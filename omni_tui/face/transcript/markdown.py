"""Markdown as lines: headings, lists, quotes, tables and highlighted code, with blank lines between.

Nothing in the text becomes a clickable link or Textual markup: a link shows its address, HTML and images
are shown as text. The parser is imported at the first use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from rich.cells import cell_len

from omni_tui.face.lines import BLANK, Line, Span, Spans, single_span, spans_length, spans_width, wrap
from omni_tui.face.transcript.code import highlight

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_MAX_NESTING = 20
_MIN_COLUMN = 8
_BETWEEN = 2
_MAX_ROWS = 500
MAX_CHARS = 100_000
MAX_LINE = 8_000
"""A longer text, or one with a longer line, is shown as it is: parsing it would block the screen."""


def markdown(text: str, width: int, *, indent: int = 0, most: int | None = None) -> list[Line]:
    """Return the lines of a Markdown text, each at most `width` cells wide, `indent` included.

    With `most`, a text that is shown as it is ends after so many rows.
    """
    margin = single_span(" " * indent)
    tokens = _parser().parse(text) if _readable(text) else []
    if not tokens or max(token.level for token in tokens) >= _MAX_NESTING - 2:  # deeper ones are missing
        return wrap([Span(text)], width, first=margin, rest=margin, most=most)
    page = _Page(width)
    page.blocks(tokens, _Place(margin, margin))
    return page.lines


def _readable(text: str) -> bool:
    return len(text) <= MAX_CHARS and max(map(len, text.split("\n"))) <= MAX_LINE


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING})
    parser.enable(["table", "strikethrough"])
    parser.parse("x")  # it gathers its rules at the first use, which two threads must not do at once
    return parser


class _Place(msgspec.Struct):
    """Where a block is: the prefixes of its first line and of the others, and its role."""

    first: Spans
    rest: Spans
    role: str = "text"
    tight: bool = False

    def inside(self, first: str, rest: str, role: str, *, tight: bool = False, text: str = "") -> _Place:
        return _Place(
            (*self.first, Span(first, role)), (*self.rest, Span(rest, role)), text or self.role, tight
        )


class _Page(msgspec.Struct):
    width: int
    lines: list[Line] = msgspec.field(default_factory=list)

    def blocks(self, tokens: Sequence[Token], place: _Place) -> None:
        for at, end in _children(tokens):
            if at and not place.tight:
                self.gap(place)
            self.block(tokens[at], tokens[at + 1 : end], place)

    def gap(self, place: _Place) -> None:
        bars = tuple(span for span in place.rest if span.text.strip())
        self.lines.append(Line(place.rest, spans_length(place.rest)) if bars else BLANK)

    def block(self, token: Token, inner: Sequence[Token], place: _Place) -> None:
        match token.type:
            case "paragraph_open":
                self.wrapped(_inline(inner[0].children or [], place.role), place)
            case "heading_open":
                role = f"h{min(3, int(token.tag[1:]))}"
                self.wrapped(_inline(inner[0].children or [], role), place)
            case "fence" | "code_block":
                self.code(token.content, "".join(token.info.split()[:1]), place)
            case "bullet_list_open" | "ordered_list_open":
                self.items(token, inner, place)
            case "blockquote_open":
                self.blocks(inner, place.inside("▎ ", "▎ ", "quote-bar", text="quote"))
            case "hr":
                room = max(1, self.width - spans_width(place.first))
                rule = Span("─" * min(room, 40), "rule")
                self.put([Line((*place.first, rule), spans_length(place.first))], place)
            case "table_open":
                rows = [[_inline(cell.children or [], place.role) for cell in row] for row in _rows(inner)]
                self.put(_table(rows, self.width, place.first, place.rest), place)
            case _:
                self.wrapped([Span(token.content.rstrip("\n"), place.role)], place)

    def items(self, token: Token, inner: Sequence[Token], place: _Place) -> None:
        ordered = token.type == "ordered_list_open"
        number = int(token.attrGet("start") or 1) if ordered else 0
        spans = list(_children(inner))
        digits = len(str(number + len(spans)))
        loose = any(
            t.type == "paragraph_open" and not t.hidden and t.level == token.level + 2 for t in inner
        )
        for count, (start, end) in enumerate(spans):
            if count and loose:
                self.gap(place)
            mark = f"{number + count:>{digits}}. " if ordered else "• "
            item = place.inside(mark, " " * len(mark), "bullet", tight=not loose)
            if start + 1 >= end:
                self.put([Line(item.first, spans_length(item.first) - len(mark))], place)
                continue
            before = len(self.lines)
            self.blocks(inner[start + 1 : end], item)
            if before < len(self.lines):  # the mark belongs to what is copied
                self.lines[before] = self.lines[before]._replace(gutter=spans_length(place.first))
            place.first = place.rest

    def code(self, source: str, language: str, place: _Place) -> None:
        source = source.rstrip("\n")
        edge = Span("  ", "code")
        first, rest = (*place.first, edge), (*place.rest, edge)
        spans = highlight(source, language)
        lines = wrap(spans, self.width, first=first, rest=rest, hard=True, fill="code")
        room = self.width - lines[0].width - 1
        if language and cell_len(language) < room and len(language) <= 16:
            tag = Span(" " * (room - cell_len(language)) + language, "code code-tag")
            lines[0] = lines[0]._replace(spans=(*lines[0].spans, tag), tail=len(tag.text))
        self.put([line._replace(target="code") for line in lines], place)

    def wrapped(self, spans: Iterable[Span], place: _Place) -> None:
        self.put(wrap(spans, self.width, first=place.first, rest=place.rest), place)

    def put(self, lines: Iterable[Line], place: _Place) -> None:
        self.lines.extend(lines)
        place.first = place.rest  # what follows is not its first line


_PLAIN = {"softbreak": " ", "hardbreak": "\n"}


def _inline(children: Sequence[Token], role: str) -> list[Span]:
    spans: list[Span] = []
    style: list[str] = []
    links: list[tuple[str, int]] = []
    for token in children:
        if token.nesting == 1:
            style.append(token.type.removesuffix("_open"))
            if style[-1] == "link":
                links.append((str(token.attrGet("href") or ""), len(spans)))
        elif token.nesting == -1 and style:
            if style.pop() == "link":
                spans.extend(_address(*links.pop(), spans, role))
        else:
            spans.append(_leaf(token, " ".join([role, *style])))
    return [span for span in spans if span.text]


def _leaf(token: Token, roles: str) -> Span:
    if token.type == "code_inline":
        return Span(token.content, f"{roles} code-inline")
    if token.type == "image":
        return Span(f"▣ {token.content or 'image'} ({token.attrGet('src') or ''})", f"{roles} url")
    return Span(_PLAIN.get(token.type, token.content), roles)


def _address(href: str, start: int, spans: Sequence[Span], role: str) -> list[Span]:
    """Return the address of a link unless its text is the address."""
    shown = "".join(span.text for span in spans[start:])
    if not href or shown in (href, href.removeprefix("mailto:")):
        return []
    return [Span(f" ({href})", f"{role} url")]


def _closing(tokens: Sequence[Token], at: int) -> int:
    """Return the index of the token that closes the one at `at` (itself if it stands alone)."""
    if tokens[at].nesting != 1:
        return at
    depth = 0
    for index in range(at, len(tokens)):
        depth += tokens[index].nesting
        if depth == 0:
            return index
    return len(tokens)


def _children(tokens: Sequence[Token]) -> Iterable[tuple[int, int]]:
    """Yield (opening, closing) of each child block."""
    at = 0
    while at < len(tokens):
        end = _closing(tokens, at)
        yield at, end
        at = end + 1


def _rows(tokens: Sequence[Token]) -> Iterable[list[Token]]:
    row: list[Token] = []
    for token in tokens:
        if token.type == "tr_open":
            row = []
        elif token.type == "inline":
            row.append(token)
        elif token.type == "tr_close":
            yield row


def warm_up() -> None:
    """Import the parser and the most common lexers. Call it in a thread: the first time is slow."""
    for language in ("python", "json", "bash", "diff"):
        markdown(f"*x* `y`\n\n```{language}\n1\n```", 20)


def code_blocks(text: str) -> list[str]:
    """Return the contents of the code blocks of a Markdown text, in order."""
    if not _readable(text):
        return []
    return [t.content.rstrip("\n") for t in _parser().parse(text) if t.type in ("fence", "code_block")]


# --- tables


def _table(rows: Sequence[Sequence[Sequence[Span]]], width: int, first: Spans, rest: Spans) -> list[Line]:
    """Return a table in aligned columns, or with one field a line if they do not fit."""
    columns = max((len(row) for row in rows), default=0)
    if not columns:
        return []
    gutter = spans_length(rest)
    room = width - spans_width(rest)
    filled = [[*row, *([[]] * (columns - len(row)))] for row in rows[:_MAX_ROWS]]
    wants = [max(1, *(spans_width(row[column]) for row in filled)) for column in range(columns)]
    widths = _share(wants, room - _BETWEEN * (columns - 1))
    lines = _stacked(filled, width, rest) if widths is None else _aligned(filled, widths, rest, gutter)
    if len(rows) > _MAX_ROWS:
        lines.append(Line((*rest, Span(f"… {len(rows) - _MAX_ROWS} more rows", "dim")), gutter))
    if lines:
        lines[0] = lines[0]._replace(spans=(*first, *lines[0].spans[len(rest) :]))
    return lines


def _share(wants: Sequence[int], room: int) -> list[int] | None:
    """Return the width of each column, None if they would be too narrow to read."""
    if sum(wants) <= room:
        return list(wants)
    if room < sum(min(want, _MIN_COLUMN) for want in wants):
        return None
    widths = [min(want, _MIN_COLUMN) for want in wants]
    left = room - sum(widths)
    while left > 0:
        short = [i for i, want in enumerate(wants) if widths[i] < want]
        if not short:
            break
        step = max(1, left // len(short))
        for i in short:
            more = min(step, wants[i] - widths[i], left)
            widths[i] += more
            left -= more
    return widths


def _aligned(
    rows: Sequence[Sequence[Sequence[Span]]], widths: Sequence[int], margin: Spans, gutter: int
) -> list[Line]:
    lines: list[Line] = []
    for number, row in enumerate(rows):
        cells = [wrap(cell, size) for cell, size in zip(row, widths, strict=True)]
        for level in range(max(len(cell) for cell in cells)):
            spans: list[Span] = list(margin)
            for column, (cell, size) in enumerate(zip(cells, widths, strict=True)):
                line = cell[level] if level < len(cell) else Line(())
                spans.extend(
                    Span(text, f"{role} strong") if number == 0 else Span(text, role)
                    for text, role in line.spans
                )
                if column < len(cells) - 1:
                    spans.append(Span(" " * (size - line.width + _BETWEEN), "text"))
            lines.append(Line(tuple(spans), gutter))
        if number == 0:
            rule = (" " * _BETWEEN).join("─" * size for size in widths)
            lines.append(Line((*margin, Span(rule, "rule")), gutter))
    return lines


def _stacked(rows: Sequence[Sequence[Sequence[Span]]], width: int, margin: Spans) -> list[Line]:
    names = ["".join(span.text for span in cell) for cell in rows[0]]
    lines: list[Line] = []
    for row in rows[1:]:
        if lines:
            lines.append(Line(margin, spans_length(margin)))
        for name, cell in zip(names, row, strict=True):
            label = Span(f"{name}: " if name else "", "dim")
            inset = (*margin, Span("  ", "text"))
            lines.extend(wrap([label, *cell], width, first=margin, rest=inset))
    return lines or wrap([Span(" · ".join(names), "text strong")], width, first=margin, rest=margin)
