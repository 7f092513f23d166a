"""The pages of the guide, and what a reader of a page types and puts into files.

A comment above a block of code says what it is for; a reader of the page does not see it:

    <!-- file: NAME -->      the block is this file: `config.toml` and `themes/…` of the config folder, or
                             one of the current folder
    <!-- exit: 3 -->         its command ends with this status, not with 0
    <!-- needs: redis -->    a part of `tests/conftest.py` that its commands need
    <!-- terminal: WORDS --> its command opens the app, which shows these words
    <!-- skip: REASON -->    its commands are not run
    <!-- mistaken -->        the block is a config with mistakes
    <!-- theme -->           the block is a theme

Of a block of `console` each line after `$ ` is a command, and what follows is what it prints: `…` in a line
stands for any text, a line of nothing but `…` for any lines. A block of `sh` has commands only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "guide"
REFERENCE = FOLDER / "reference"
RUN = ("console", "sh")
"""The languages of the blocks that are run."""
MARKS = frozenset({"file", "exit", "needs", "terminal", "skip", "mistaken", "theme"})
_BLOCK = re.compile(
    r"(?P<marks>(?:<!-- .*? -->\n)*)```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_MARK = re.compile(r"<!-- (\w+)(?:: (.*?))? -->\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code of a page, with the line that it begins in."""

    page: str
    line: int
    language: str
    text: str
    marks: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Step:
    """A command that the reader types, and the lines that it should print."""

    command: str
    lines: tuple[str, ...]


def pages() -> list[Path]:
    """Return the pages that a person writes: all but the reference."""
    return sorted(path for path in FOLDER.rglob("*.md") if REFERENCE not in path.parents)


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of code of a page. Raises `ValueError` for a mark that means nothing."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        marks = {name: value or "" for name, value in _MARK.findall(found["marks"])}
        line = text.count("\n", 0, found.start("text"))
        if unknown := set(marks) - MARKS:
            raise ValueError(f"{page.name}:{line}: there is no mark {min(unknown)}")
        yield Block(page.name, line, found["language"], found["text"], marks)


def steps(block: Block) -> Iterator[Step]:
    """Yield the commands of a block."""
    if block.language == "sh":
        yield from (Step(line, ()) for line in block.text.splitlines() if line)
        return
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *lines = part.rstrip("\n").split("\n")
        yield Step(command, tuple(lines))


def prints(step: Step, output: str) -> bool:
    """Return whether a command printed what the page says; True if the page says nothing.

    Columns may be wider or narrower than on the page.
    """
    if not step.lines:
        return True
    pattern = "".join(
        r"(?:.*\n)*" if line == "…" else re.escape(_narrow(line)).replace("…", ".*") + r" *\n"
        for line in step.lines
    )
    return re.fullmatch(pattern, _narrow(output.rstrip("\n") + "\n")) is not None


def _narrow(text: str) -> str:
    return re.sub(r" {2,}", "  ", text)
