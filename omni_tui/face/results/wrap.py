"""Where long lines break: at spaces if there are any, measured in terminal cells. Pure."""

from __future__ import annotations

from omni_tui.face import cells

CharRange = tuple[int, int]
"""Start and end of a row within its line, in characters."""


def breaks(line: str, width: int) -> list[CharRange]:
    """Return the rows a line takes at a width in cells; an empty line takes one.

    Linear in the length of the line, also for megabytes without a space.
    """
    width = max(width, 2)
    if len(line) * 2 <= width or (len(line) <= width and line.isascii()):
        return [(0, len(line))]
    if line.isascii():
        return _ascii_breaks(line, width)
    return [(0, len(line))] if cells.fits(line, width) else list(cells.breaks(line, width))


def _ascii_breaks(line: str, width: int) -> list[CharRange]:
    rows: list[CharRange] = []
    start, length = 0, len(line)
    while length - start > width:
        space = line.rfind(" ", start + width // 3, start + width + 1)
        end = space if space > 0 else start + width
        rows.append((start, end))
        start = end + (space > 0)
    rows.append((start, length))
    return rows
