"""Where long lines break: at spaces if there are any, measured in terminal cells. Pure."""

from __future__ import annotations

from rich.cells import cell_len, get_character_cell_size

Span = tuple[int, int]
"""Start and end of a row within its line, in characters."""


def breaks(line: str, width: int) -> list[Span]:
    """Return the rows a line takes at a width in cells; an empty line takes one.

    Linear in the length of the line, also for megabytes without a space.
    """
    width = max(width, 2)
    if len(line) * 2 <= width or (len(line) <= width and line.isascii()):
        return [(0, len(line))]
    if line.isascii():
        return _ascii_breaks(line, width)
    if len(line) <= width and cell_len(line) <= width:
        return [(0, len(line))]
    return _wide_breaks(line, width)


def _ascii_breaks(line: str, width: int) -> list[Span]:
    rows: list[Span] = []
    start, length = 0, len(line)
    while length - start > width:
        space = line.rfind(" ", start + width // 3, start + width + 1)
        end = space if space > 0 else start + width
        rows.append((start, end))
        start = end + (space > 0)
    rows.append((start, length))
    return rows


def _wide_breaks(line: str, width: int) -> list[Span]:
    rows: list[Span] = []
    start = used = 0
    space = -1
    index, length = 0, len(line)
    while index < length:
        cells = get_character_cell_size(line[index])
        if used + cells > width and index > start:
            end = space if space > start + width // 3 else index
            rows.append((start, end))
            start = index = end + (line[end] == " ")
            used, space = 0, -1
            continue
        if line[index] == " ":
            space = index
        used += cells
        index += 1
    rows.append((start, length))
    return rows
