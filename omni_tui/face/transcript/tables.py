"""Tables in a limited width: aligned columns while they fit, else one field to a line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from omni_tui.face.lines import Line, Span, Spans, wrap

_MIN_COLUMN = 8
_BETWEEN = 2
_MAX_ROWS = 500


def table(rows: Sequence[Sequence[Sequence[Span]]], width: int, first: Spans, rest: Spans) -> list[Line]:
    """Return the lines of a table; the first row is its header. Cells are lists of spans."""
    columns = max((len(row) for row in rows), default=0)
    if not columns:
        return []
    gutter = sum(len(span.text) for span in rest)
    room = width - sum(cell_len(span.text) for span in rest)
    filled = [[*row, *([[]] * (columns - len(row)))] for row in rows[:_MAX_ROWS]]
    wants = [max(_size(row[column]) for row in filled) for column in range(columns)]
    widths = _share(wants, room - _BETWEEN * (columns - 1))
    lines = _stacked(filled, width, rest) if widths is None else _aligned(filled, widths, rest, gutter)
    if len(rows) > _MAX_ROWS:
        lines.append(Line((*rest, Span(f"… {len(rows) - _MAX_ROWS} more rows", "dim")), gutter))
    if lines:
        lines[0] = lines[0]._replace(spans=(*first, *lines[0].spans[len(rest) :]))
    return lines


def _size(cell: Sequence[Span]) -> int:
    return max(1, sum(cell_len(span.text) for span in cell))


def _share(wants: Sequence[int], room: int) -> list[int] | None:
    """Give each column a width; None if they would be too narrow to read."""
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
    """One field to a line, named by its column: for windows too narrow for the table."""
    names = ["".join(span.text for span in cell) for cell in rows[0]]
    lines: list[Line] = []
    for row in rows[1:]:
        if lines:
            lines.append(Line(margin, sum(len(span.text) for span in margin)))
        for name, cell in zip(names, row, strict=True):
            label = Span(f"{name}: " if name else "", "dim")
            inset = (*margin, Span("  ", "text"))
            lines.extend(wrap([label, *cell], width, first=margin, rest=inset))
    return lines or wrap([Span(" · ".join(names), "text strong")], width, first=margin, rest=margin)
