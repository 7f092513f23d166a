"""Arguments as lines: aligned columns, numbered blocks for long text, diffs for edits.

Every line fits the width; where something is left out, a line says how much.
"""

from __future__ import annotations

import re

from textual.content import Content

from omni_tui.face.approval.differences import diff_pieces
from omni_tui.face.approval.values import (
    JsonLiteral,
    JsonObject,
    JsonValue,
    OwnLabel,
    TextEdit,
    edit_in,
    edits_in,
    exact_text,
    shows_differently,
    spell,
    spell_lines,
)
from omni_tui.face.approval.visible import has_invisible, visible
from omni_tui.face.formats import counted
from omni_tui.face.widgets.lines_view import fold

_LOOKS_LIKE_JSON = re.compile(r'\s|.*\s\Z|-?\d|true\Z|false\Z|null\Z|["\[{]')
_PLAIN_KEY = re.compile(r"[\w.$@/#+*~-][\w.$@/#+*~:\[\]-]*")
_SPACES = re.compile(r" {24,}")
_EMPTY_RUN = 4
_NUMBER = 5
_CONTEXT = 2
"""Unchanged lines that are shown before and after a changed one."""


ArgumentBlock = tuple[list[Content], int]
"""Lines, and how many arguments they hold: 1, or 2 that are drawn as one edit."""


def argument_lines(arguments: JsonObject, width: int) -> list[Content]:
    """Return all arguments, names in one column."""
    return [line for lines, _count in argument_blocks(arguments, width) for line in lines]


def argument_blocks(arguments: JsonObject, width: int) -> list[ArgumentBlock]:
    """Return all arguments, each with its lines, names in one column."""
    whole = edit_in(arguments)
    if whole is not None:
        lines = [*_edit_names(whole, width), *diff_lines(whole.old, whole.new, width)]
        return [*argument_blocks(whole.rest, width), (lines, 2)]
    names = [key_name(key) for key, _value in arguments]
    column = min(max((name.cell_length for name in names), default=0), 14) + 2
    column = max(2, min(max(column, 9), width // 2))
    return [
        (_argument(name, value, column, width), 1)
        for name, (_key, value) in zip(names, arguments, strict=True)
    ]


def key_name(key: str) -> Content:
    """Return a key as it is, quoted if it could be misread, exact if part of it is invisible."""
    if isinstance(key, OwnLabel):
        return Content.styled(visible(key), "$text-2")
    if has_invisible(key) or visible(key) != key:
        return Content.styled(exact_text(key), "$waiting")
    return Content.styled(key if _PLAIN_KEY.fullmatch(key) else spell(key), "$text-2")


def _argument(name: Content, value: JsonValue, column: int, width: int) -> list[Content]:
    changes = edits_in(value)
    if changes:
        count = Content.styled(counted(len(changes), "change"), "$text-3")
        lines = _beside(name, count, column, width)
        for number, edit in enumerate(changes):
            lines += _edit_names(edit, width, further=number > 0)
            lines += argument_lines(edit.rest, width) if edit.rest else []
            lines += diff_lines(edit.old, edit.new, width)
        return lines
    if type(value) is str and "\n" in value:
        count = Content.styled(f"{value.count(chr(10)) + 1} lines", "$text-3")
        return [*_beside(name, count, column, width), *text_block(value, width)]
    return [*_inline(name, value, column, width), *_exactly(value, column, width)]


def _edit_names(edit: TextEdit, width: int, *, further: bool = False) -> list[Content]:
    """Return the line above an edit: the names of the two texts that its lines are of."""
    lead = Content.styled(("⋯" if further else "").rjust(_NUMBER) + " ", "$text-3")
    old = Content.styled("- ", "$fail") + key_name(edit.old_key)
    new = Content.styled("+ ", "$done") + key_name(edit.new_key)
    return _hang(lead + old + Content("  ") + new, width)


def _inline(name: Content, value: JsonValue, column: int, width: int) -> list[Content]:
    """Return a value beside its name, or below it if it is nested and long."""
    if isinstance(value, list) and len(spell(value)) > 2 * (width - column):
        rows = (visible(line) for line in spell_lines(value))
        return [*_hang(name, width), *(piece for row in rows for piece in _json_row(row, width))]
    if type(value) is str:
        shown = spell(value) if _LOOKS_LIKE_JSON.match(value) or not value else value
        text = _marked(shown, "$text-1")
    else:
        style = "$running" if isinstance(value, JsonLiteral) and value[:1] in "-0123456789" else "$text-1"
        text = Content.styled(visible(spell(value)), style)
    return _beside(name, text, column, width)


def _beside(name: Content, text: Content, column: int, width: int) -> list[Content]:
    """Put a text beside its name, or below it if the name leaves no room. Both are complete."""
    if name.cell_length < column:
        first, *rest = fold(text, width - column)
        lines = [name.extend_right(column - name.cell_length) + first]
    elif name.cell_length + 2 + text.cell_length <= width:
        return [name + Content("  ") + text]
    else:
        lines, rest = _hang(name, width), fold(text, width - column)
    return [*lines, *(Content(" " * column) + piece for piece in rest)]


def _hang(text: Content, width: int, indent: int = 2) -> list[Content]:
    """Fold a line; further rows are indented, so that none looks like a line of its own."""
    first, *rest = fold(text, max(2, width - indent))
    return [first, *(Content(" " * indent) + piece for piece in rest)]


def _json_row(row: str, width: int) -> list[Content]:
    """Return one line of JSON below its name, indented by at most a third of the width."""
    text = row.lstrip(" ")
    indent = Content(" " * (2 + min(len(row) - len(text), width // 3)))
    pieces = _hang(Content.styled(text, "$text-1"), width - indent.cell_length)
    return [indent + piece for piece in pieces]


def _exactly(value: JsonValue, column: int, width: int) -> list[Content]:
    """Return what is really sent, if invisible characters were made visible."""
    if not shows_differently(value):
        return []
    head = Content.styled("sent as", "$waiting")
    return _beside(head, Content.styled(exact_text(value), "$waiting"), column, width)


def text_block(text: str, width: int, limit: int | None = None) -> list[Content]:
    """Return a text with line numbers; a run of empty lines is one line with their count.

    With `limit`, it ends soon after so many lines.
    """
    lines: list[Content] = []
    rows = text.split("\n")
    index = 0
    while index < len(rows) and (limit is None or len(lines) < limit):
        end = index
        while end < len(rows) and not rows[end]:
            end += 1
        if end - index >= _EMPTY_RUN:
            lines.append(Content.styled(f"{'⋯':>{_NUMBER}} {end - index} empty lines", "$waiting"))
            index = end
            continue
        lines += _numbered(str(index + 1), _marked(rows[index], "$text-1"), width)
        index += 1
    return [*lines, *_block_exactly(text, width)] if limit is None else lines


def diff_lines(old: str, new: str, width: int) -> list[Content]:
    """Return a diff of two texts: every line of both."""
    before, after = old.split("\n"), new.split("\n")
    lines: list[Content] = []
    for equal, a, b, c, d in diff_pieces(before, after):
        if equal:
            for offset, row in enumerate(before[a:b]):
                text = Content("  ") + _marked(row, "$text-1")
                lines += _numbered(str(c + offset + 1), text, width)
            continue
        for offset, row in enumerate(before[a:b]):
            lines += _changed(str(a + offset + 1), "- ", row, "$fail", "$removed", width)
        for offset, row in enumerate(after[c:d]):
            lines += _changed(str(c + offset + 1), "+ ", row, "$done", "$added", width)
    return [*lines, *_block_exactly(old, width), *_block_exactly(new, width)]


def changed_lines(old: str, new: str, width: int, limit: int) -> list[Content]:
    """Return the lines in which two texts differ, with those around them; others are counted.

    It ends soon after `limit` lines.
    """
    before, after = old.split("\n"), new.split("\n")
    lines: list[Content] = []
    for equal, a, b, c, d in diff_pieces(before, after):
        first, last = a == c == 0, (b, d) == (len(before), len(after))
        if equal:
            lines += _around(after[c:d], c, first=first, last=last, width=width)
            continue
        for sign, rows, start, colour, back in (
            ("- ", before[a:b], a, "$fail", "$removed"),
            ("+ ", after[c:d], c, "$done", "$added"),
        ):
            for offset, row in enumerate(rows):
                if len(lines) >= limit:
                    return lines
                lines += _changed(str(start + offset + 1), sign, row, colour, back, width)
    return lines


def _around(rows: list[str], start: int, *, first: bool, last: bool, width: int) -> list[Content]:
    """Return the unchanged lines next to changed ones, and how many are between."""
    head, tail = 0 if first else _CONTEXT, 0 if last else _CONTEXT
    if len(rows) <= head + tail + 1:
        head, tail = len(rows), 0
    left = len(rows) - head - tail
    lines = []
    for at in [*range(head), *range(head + left, len(rows))]:
        if left and at == head + left:
            lines.append(_unchanged(left))
        text = Content("  ") + _marked(rows[at], "$text-1")
        lines += _numbered(str(start + at + 1), text, width)
    return [*lines, _unchanged(left)] if left and not tail else lines


def _unchanged(count: int) -> Content:
    return Content.styled(f"{'⋯':>{_NUMBER}} {count:,} unchanged lines", "$text-3")


def _block_exactly(text: str, width: int) -> list[Content]:
    """Return, as sent, the lines of a block that are sent differently from how they look."""
    lines: list[Content] = []
    for number, row in enumerate(text.split("\n"), 1):
        if shows_differently(row):
            body = Content.styled(f"line {number} is sent as {exact_text(row)}", "$waiting")
            lines += _hang(body, width, _NUMBER + 1)
    return lines


def _changed(number: str, sign: str, row: str, colour: str, back: str, width: int) -> list[Content]:
    result = []
    for line in _numbered(number, Content.styled(sign, colour) + _marked(row, colour), width):
        gutter, rest = line[: _NUMBER + 1], line[_NUMBER + 1 :]
        rest = rest.extend_right(max(0, width - _NUMBER - 1 - rest.cell_length))
        result.append(gutter + rest.stylize_before(f"on {back}"))
    return result


def _numbered(number: str, body: Content, width: int) -> list[Content]:
    first, *rest = fold(body, max(2, width - _NUMBER - 1))
    lead = Content.styled(number.rjust(_NUMBER) + " ", "$text-3")
    return [lead + first, *(Content(" " * (_NUMBER + 1)) + piece for piece in rest)]


def _marked(row: str, style: str) -> Content:
    """Return one line made safe; long gaps become a count, spaces at the end become visible."""
    text = visible(row)
    end = len(text.rstrip(" "))
    body, tail = text[:end], text[end:]
    content = Content("")
    at = 0
    for gap in _SPACES.finditer(body):
        content += Content.styled(body[at : gap.start()], style)
        content += Content.styled(f" ⋯ {len(gap.group())} spaces ⋯ ", "$waiting")
        at = gap.end()
    content += Content.styled(body[at:], style)
    if tail:
        shown = "·" * len(tail) if len(tail) < 24 else f"⋯ {len(tail)} spaces"
        content += Content.styled(shown, "$waiting")
    return content
