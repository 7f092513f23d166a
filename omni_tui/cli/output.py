"""Output of commands: results on stdout, everything else on stderr, nothing that controls a terminal."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, TextIO
from unicodedata import combining, east_asian_width

from omni_tui.security.text import safe


class ExitStatus(IntEnum):
    """Exit statuses; `LIMIT` is for `run` only."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    WITHHELD = 3
    LIMIT = 4
    CANCELLED = 130


class CliError(Exception):
    """A command failed: what happened, why, and what to do. Printed on stderr as it is."""

    def __init__(
        self, what: str, *, why: str = "", todo: str = "", status: ExitStatus = ExitStatus.FAILED
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.todo = todo
        self.status = status

    def __str__(self) -> str:
        text = self.what + (f": {self.why}" if self.why else "")
        return f"{text}\n{self.todo}" if self.todo else text


def print_result(text: str = "", *, end: str = "\n") -> None:
    """Print a result."""
    _write(sys.stdout, text + end)


def print_note(text: str) -> None:
    """Print a note or an error, which is not part of the result."""
    _write(sys.stderr, text + "\n")


def print_json(value: Any) -> None:
    """Print a JSON document, indented, in ASCII."""
    _write(sys.stdout, json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def print_document(text: str) -> None:
    """Print a document that was made safe already, whose escapes must not be escaped again."""
    _write_safe(sys.stdout, text)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under headings, with columns aligned by display width."""
    lines: list[list[str]] = [list(headings)]
    lines += [[safe(cell, lines=False) for cell in row] for row in rows]
    widths = [max(text_width(line[column]) for line in lines) for column in range(len(headings))]
    out = []
    for line in lines:
        cells = [cell + " " * (widths[column] - text_width(cell)) for column, cell in enumerate(line)]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def text_width(text: str) -> int:
    """Return the display width of a text, in columns."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def shortened(line: str, limit: int) -> str:
    """Return a line of at most `limit` characters."""
    return line if len(line) <= limit else line[: limit - 1] + "…"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the known one most like it, else some of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names[:40]) or 'none'}"


def _write(stream: TextIO, text: str) -> None:
    """Write safe text; escape characters that the stream's encoding lacks."""
    _write_safe(stream, safe(text, limit=sys.maxsize))


def _write_safe(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
