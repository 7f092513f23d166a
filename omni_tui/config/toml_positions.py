"""On which line of a TOML text a key stands. `tomllib` gives values only.

The text has been parsed by `tomllib` before, so this reader may trust its syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

KeyPath = tuple[str | int, ...]

_KEY_PART = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|'([^']*)')[ \t]*""")
_SKIP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)


class TomlPositions:
    """The lines, counted from 1, of a text's tables and keys."""

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        for path, line in _statements(text):
            self._lines.setdefault(path, line)

    def line(self, path: KeyPath) -> int:
        """Return the line of the key, or of the nearest thing around it that has one (else 1)."""
        for length in range(len(path), 0, -1):
            found = self._lines.get(path[:length])
            if found is not None:
                return found
        return 1


def _statements(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield every header, and every key with its whole path, in order."""
    table: KeyPath = ()
    arrays: dict[KeyPath, int] = {}
    at = 0
    while (at := _skip(text, at)) < len(text):
        line = text.count("\n", 0, at) + 1
        double = text.startswith("[[", at)
        header = double or text[at] == "["
        keys, at = _dotted(text, at + header + double)
        if header:
            table = _enter(keys, arrays, double=double)
            for length in range(1, len(keys) + 1):
                yield keys[:length], line
            yield table, line
            at += 1 + double
        else:
            for length in range(1, len(keys) + 1):
                yield table + keys[:length], line
            at = _value_end(text, at + 1)


def _enter(keys: KeyPath, arrays: dict[KeyPath, int], *, double: bool) -> KeyPath:
    """Return the path a header leads to, with the numbers of the arrays of tables on its way."""
    path: KeyPath = ()
    for index, key in enumerate(keys):
        path += (key,)
        if double and index == len(keys) - 1:
            arrays[path] = arrays.get(path, -1) + 1
        if path in arrays:
            path += (arrays[path],)
    return path


def _skip(text: str, at: int) -> int:
    found = _SKIP.match(text, at)
    return found.end() if found else at


def _dotted(text: str, at: int) -> tuple[KeyPath, int]:
    parts: list[str] = []
    while found := _KEY_PART.match(text, at):
        parts.append(next(group for group in found.groups() if group is not None))
        at = found.end()
        if not text.startswith(".", at):
            break
        at += 1
    return tuple(parts), at


def _value_end(text: str, at: int) -> int:
    """Return where the value that begins here ends: at a line's end outside of brackets."""
    depth = 0
    while at < len(text):
        character = text[at]
        if character in "\"'":
            found = _STRING.match(text, at)
            at = found.end() if found else at + 1
            continue
        if character == "#":
            at = text.find("\n", at)
            if at < 0:
                return len(text)
            continue
        if character == "\n" and depth <= 0:
            return at
        depth += (character in "[{") - (character in "]}")
        at += 1
    return at
