"""Thinking that a model wrote into its text, between tags.

Only where the answer begins: with an opening tag, or with a closing tag that nothing opened (servers
that put the opening tag into the prompt send the rest only). A tag further on is part of the answer, and
so is one in code.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think")
_PAIRS = (
    *((f"<{name}>", f"</{name}>") for name in _NAMES),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
)
_LONGEST = max(len(opening) for opening, _ in _PAIRS)
_CODE = re.compile(
    r"^[ \t]*(```+|~~~+).*?(?:^[ \t]*\1|\Z)|(`+)(?!`)[^\n]*?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE
)


class SplitAnswer(NamedTuple):
    """An answer's text, and the thinking that stood in front of it."""

    thought: str
    text: str


class ThinkingSplitter:
    """Divides an answer while it comes. What may still be a tag is held back."""

    def __init__(self) -> None:
        self._held = ""
        self._closing = ""
        self._before = ""
        self.thought = False
        """Whether the answer began with a tag."""
        self._answers = False

    def add(self, text: str) -> SplitAnswer:
        """Take more text; return what is known of it to be thinking, and answer."""
        if self._answers:
            return SplitAnswer("", text)
        self._held += text
        thought = ""
        while True:
            if self._closing:
                more, ended = self._think()
                thought += more
                if not ended:
                    return SplitAnswer(thought, "")
                continue
            begins = self._begins()
            if begins == "answer":
                self._answers = True
                held, self._held = self._held, ""
                return SplitAnswer(thought, held)
            if begins == "":
                return SplitAnswer(thought, "")

    def rest(self) -> SplitAnswer:
        """Return what was held back, at the end."""
        held, self._held = self._held, ""
        if self._closing:
            return SplitAnswer(held, "")
        return SplitAnswer("", held.lstrip() if self.thought else held)

    def _begins(self) -> Literal["thinking", "answer", ""]:
        """Look at what begins here, "" if it cannot be said yet."""
        start = self._held.lstrip()
        for opening, closing in _PAIRS:
            if start[: len(opening)].lower() == opening.lower():
                self._held, self._closing, self._before = start[len(opening) :], closing, ""
                self.thought = True
                return "thinking"
        low = start.lower()
        if len(start) < _LONGEST and any(opening.lower().startswith(low) for opening, _ in _PAIRS):
            return ""
        self._held = start if self.thought else self._held
        return "answer"

    def _think(self) -> tuple[str, bool]:
        """Return the thinking that is there, and whether it has ended."""
        at = _closes(self._held, self._closing, self._before)
        if at >= 0:
            thought = self._held[:at]
            self._held, self._closing = self._held[at + len(self._closing) :].lstrip(), ""
            return thought, True
        keep = next(
            (
                size
                for size in range(min(len(self._closing) - 1, len(self._held)), 0, -1)
                if self._closing.lower().startswith(self._held[-size:].lower())
            ),
            0,
        )
        thought, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        self._before = thought[-1:] or self._before
        return thought, False


def _closes(text: str, closing: str, before: str = "") -> int:
    """Return where thinking ends, -1 if it does not. A tag that is quoted in backticks ends nothing."""
    low, tag, at = text.lower(), closing.lower(), -1
    while (at := low.find(tag, at + 1)) >= 0:
        if (text[at - 1] if at else before) != "`":
            return at
    return -1


def split_thinking(text: str, *, whole: bool = True) -> SplitAnswer:
    """Divide a text that has come to its end; `whole` if its model had ended it.

    Where a tag was opened and never closed, all of a whole answer stands behind it: it is the answer.
    """
    thoughts: list[str] = []
    rest = text
    while True:
        start = rest.lstrip()
        pair = next((pair for pair in _PAIRS if start[: len(pair[0])].lower() == pair[0].lower()), None)
        if pair is None:
            break
        inside = start[len(pair[0]) :]
        at = _closes(inside, pair[1])
        if at < 0:
            if whole and not thoughts:
                return SplitAnswer("", text)
            thoughts.append(inside)
            rest = ""
            break
        thoughts.append(inside[:at].strip())
        rest = inside[at + len(pair[1]) :].lstrip()
    if thoughts:
        return SplitAnswer("\n\n".join(each for each in thoughts if each), rest)
    return _behind_a_lone_closing(text)


def _behind_a_lone_closing(text: str) -> SplitAnswer:
    prose = _CODE.sub(lambda code: " " * len(code[0]), text).lower()
    for opening, closing in _PAIRS:
        at = prose.find(closing.lower())
        if at >= 0 and opening.lower() not in prose[:at]:
            return SplitAnswer(text[:at].strip(), text[at + len(closing) :].lstrip())
    return SplitAnswer("", text)
