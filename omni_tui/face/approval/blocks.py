"""Drawing arguments: aligned columns, numbered blocks for long text, diffs where the shape allows one.

Every function returns lines that fit the width; nothing is left out without saying how much.
"""

from __future__ import annotations

import json
import re
from difflib import SequenceMatcher

from textual.content import Content

from omni_tui.face.approval.values import (
    Lexeme,
    Pairs,
    Value,
    change_in,
    changes_in,
    differs,
    exact,
    spell,
    spell_lines,
)
from omni_tui.face.widgets.lines import fold
from omni_tui.security.text import safe

_LOOKS_LIKE_JSON = re.compile(r'\s|.*\s\Z|-?\d|true\Z|false\Z|null\Z|["\[{]')
_SPACES = re.compile(r" {24,}")
_EMPTY_RUN = 4
_NUMBER = 5


def argument_lines(arguments: Pairs, width: int) -> list[Content]:
    """Return all arguments, names in one column."""
    whole = change_in(arguments)
    if whole is not None:
        old, new, rest = whole
        return [*argument_lines(rest, width), *diff_lines(old, new, width)]
    column = min(max((len(safe(key)) for key, _value in arguments), default=0), 14) + 2
    lines: list[Content] = []
    for key, value in arguments:
        lines += _argument(key, value, max(column, 9), width)
    return lines


def _argument(key: str, value: Value, column: int, width: int) -> list[Content]:
    name = Content.styled(safe(key, lines=False), "$text-2")
    label = name.extend_right(max(1, column - name.cell_length))
    changes = changes_in(value)
    if changes:
        count = f"{len(changes)} change" + ("" if len(changes) == 1 else "s")
        lines = [label + Content.styled(count, "$text-3"), Content("")]
        for number, (old, new, rest) in enumerate(changes):
            if number:
                lines.append(Content.styled("⋯".rjust(_NUMBER), "$text-3"))
            lines += argument_lines(rest, width) if rest else []
            lines += diff_lines(old, new, width)
        return lines
    if type(value) is str and "\n" in value:
        rows = value.count("\n") + 1
        return [label + Content.styled(f"{rows} lines", "$text-3"), *text_block(value, width)]
    return [*_inline(label, value, column, width), *_exactly(value, column, width)]


def _inline(label: Content, value: Value, column: int, width: int) -> list[Content]:
    """Return a value beside its name, or below it if it is deep and long."""
    if isinstance(value, list) and len(spell(value)) > 2 * (width - column):
        rows = [Content.styled(safe(line, lines=False), "$text-1") for line in spell_lines(value)]
        return [label, *(piece for row in rows for piece in _fold(Content("  ") + row, width))]
    if type(value) is str:
        shown = (
            json.dumps(value, ensure_ascii=False) if _LOOKS_LIKE_JSON.match(value) or not value else value
        )
        text = _marked(shown, "$text-1")
    else:
        style = "$running" if isinstance(value, Lexeme) and value[:1] in "-0123456789" else "$text-1"
        text = Content.styled(safe(spell(value), lines=False), style)
    first, *rest = _fold(text, max(8, width - column)) or [Content("")]
    indent = Content(" " * column)
    return [label + first, *(indent + piece for piece in rest)]


def _exactly(value: Value, column: int, width: int) -> list[Content]:
    """Return what is really sent, where characters that do not show were made visible."""
    if not differs(value):
        return []
    head = Content.styled("sent as".ljust(column), "$waiting")
    first, *rest = _fold(Content.styled(exact(value), "$waiting"), max(8, width - column))
    return [head + first, *(Content(" " * column) + piece for piece in rest)]


def text_block(text: str, width: int) -> list[Content]:
    """Return a text with line numbers; runs of empty lines are folded with their count."""
    lines: list[Content] = []
    rows = text.split("\n")
    index = 0
    while index < len(rows):
        end = index
        while end < len(rows) and not rows[end].strip():
            end += 1
        if end - index >= _EMPTY_RUN:
            lines.append(Content.styled(f"{'⋯':>{_NUMBER}} {end - index} empty lines", "$waiting"))
            index = end
            continue
        lines += _numbered(str(index + 1), _marked(rows[index], "$text-1"), width)
        index += 1
    return [*lines, *_block_exactly(text, width)]


def diff_lines(old: str, new: str, width: int) -> list[Content]:
    """Return a diff of two texts: every line of both, what stays in grey."""
    before, after = old.split("\n"), new.split("\n")
    lines: list[Content] = []
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            for offset, row in enumerate(before[a:b]):
                text = Content("  ") + _marked(row, "$text-1")
                lines += _numbered(str(c + offset + 1), text, width)
            continue
        for offset, row in enumerate(before[a:b]):
            lines += _changed(str(a + offset + 1), "- ", row, "$fail", "$removed", width)
        for offset, row in enumerate(after[c:d]):
            lines += _changed(str(c + offset + 1), "+ ", row, "$done", "$added", width)
    return [*lines, *_block_exactly(old, width), *_block_exactly(new, width)]


def _block_exactly(text: str, width: int) -> list[Content]:
    """Return the lines of a block that are sent differently from how they show, as sent."""
    lines: list[Content] = []
    for number, row in enumerate(text.split("\n"), 1):
        if differs(row):
            body = Content.styled(f"line {number} is sent as {exact(row)}", "$waiting")
            lines += _fold(body, width)
    return lines


def _changed(number: str, sign: str, row: str, colour: str, back: str, width: int) -> list[Content]:
    body = Content.styled(sign, colour) + _marked(row, colour)
    numbered = _numbered(number, body, width)
    result = []
    for line in numbered:
        gutter, rest = line[: _NUMBER + 1], line[_NUMBER + 1 :]
        rest = rest.extend_right(max(0, width - _NUMBER - 1 - rest.cell_length)).stylize_before(
            f"on {back}"
        )
        result.append(gutter + rest)
    return result


def _numbered(number: str, body: Content, width: int) -> list[Content]:
    pieces = _fold(body, max(8, width - _NUMBER - 1)) or [Content("")]
    lines = [Content.styled(number.rjust(_NUMBER) + " ", "$text-3") + pieces[0]]
    lines += [Content(" " * (_NUMBER + 1)) + piece for piece in pieces[1:]]
    return lines


def _marked(row: str, style: str) -> Content:
    """Return one line made safe, long gaps folded with a count, spaces at its end made visible."""
    text = safe(row, limit=1_000_000, lines=False)
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


def _fold(text: Content, width: int) -> list[Content]:
    return fold(text, width)
