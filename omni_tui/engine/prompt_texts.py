"""The texts of servers' prompts that clients got, found again in the messages that they send.

A prompt is put into the message that is being written, where nothing tells it from what the person types.
So the engine remembers what it handed out, and looks for it in each message: a passage of `PASSAGE` equal
characters, wherever it stands, or a whole line. What the person changed in between counts as theirs.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from omni_tui.protocol.conversation import PromptPassage

PASSAGE = 24
"""Equal characters from which on a part of a message is of a prompt."""
_PIECE = PASSAGE // 2
"""Each passage holds a whole piece that begins at a multiple of this in the prompt."""
_SHORTEST = 6
"""Characters of the shortest line that is looked for."""
_MOST_PLACES = 4
"""Places of one piece that are compared; what repeats itself more often is found all the same."""
KEPT = 2_000_000
"""Characters of prompts that are remembered; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A prompt's text, and who sent it. Compared by identity only, as its place among others."""

    server: str
    text: str


class PromptTexts:
    """The texts of prompts, and of passages of prompts in earlier messages."""

    def __init__(self) -> None:
        self._kept: deque[_Prompt] = deque()
        self._size = 0
        self._places: dict[str, list[tuple[_Prompt, int]]] = {}
        self._lines: dict[str, str] = {}
        self._stale = False

    def __bool__(self) -> bool:
        return bool(self._kept)

    def note_prompt(self, server: str, text: str, values: Iterable[str]) -> None:
        """Remember a prompt's text as a client gets it, without the `values` that the person filled in."""
        filled_in = "|".join(re.escape(each) for each in values if len(each) >= _SHORTEST)
        for part in re.split(filled_in, text) if filled_in else (text,):
            self.note(server, part)

    def note(self, server: str, text: str) -> None:
        """Remember text of a server's prompt."""
        prompt = _Prompt(server, text)
        if not text.strip() or prompt in self._kept:
            return
        self._kept.append(prompt)
        self._size += len(text)
        while self._size > KEPT and len(self._kept) > 1:
            self._size -= len(self._kept.popleft().text)
        self._stale = True

    def note_message(self, words: str, passages: Iterable[PromptPassage]) -> None:
        """Remember the passages of an earlier message, which may be sent again."""
        for each in passages:
            self.note(each.server, words[each.start : each.end])

    def passages(self, words: str) -> tuple[PromptPassage, ...]:
        """Return what of a message is of a prompt: in order, without overlaps, in characters of `words`."""
        if not self._kept:
            return ()
        self._index()
        found = sorted((*self._long(words), *self._whole_lines(words)), key=_order)
        apart: list[PromptPassage] = []
        for each in found:
            if not apart or each.start >= apart[-1].end:
                apart.append(each)
            elif each.end > apart[-1].end:
                apart.append(PromptPassage(server=each.server, start=apart[-1].end, end=each.end))
        return tuple(apart)

    def _index(self) -> None:
        if not self._stale:
            return
        self._stale, self._places, self._lines = False, {}, {}
        for prompt in self._kept:
            for at in range(0, len(prompt.text) - _PIECE + 1, _PIECE):
                places = self._places.setdefault(prompt.text[at : at + _PIECE], [])
                if len(places) < _MOST_PLACES:
                    places.append((prompt, at))
            for line in prompt.text.splitlines():
                if len(line.strip()) >= _SHORTEST:
                    self._lines[line.strip()] = prompt.server

    def _long(self, words: str) -> Iterator[PromptPassage]:
        at = floor = 0
        while at <= len(words) - _PIECE:
            longest = floor, floor, ""
            for prompt, place in self._places.get(words[at : at + _PIECE], ()):
                start, end = _widened(words, at, prompt.text, place, floor)
                if end - start > longest[1] - longest[0]:
                    longest = start, end, prompt.server
            start, end, server = longest
            if end - start >= PASSAGE:
                yield PromptPassage(server=server, start=start, end=end)
                at = floor = end
            else:
                at += 1

    def _whole_lines(self, words: str) -> Iterator[PromptPassage]:
        start = 0
        for line in words.splitlines(keepends=True):
            stripped = line.strip()
            if server := self._lines.get(stripped):
                begin = start + line.index(stripped)
                yield PromptPassage(server=server, start=begin, end=begin + len(stripped))
            start += len(line)


def _order(passage: PromptPassage) -> tuple[int, int]:
    return passage.start, -passage.end


def _widened(words: str, at: int, text: str, place: int, floor: int) -> tuple[int, int]:
    """Return how far two texts are equal around a place, in characters of `words`, not before `floor`."""
    back = 0  # never more than a piece: the one before would have been found
    while back < min(at - floor, place) and words[at - back - 1] == text[place - back - 1]:
        back += 1
    on = _PIECE
    for step in (4_096, 256, 16, 1):
        while (next_ := words[at + on : at + on + step]) == text[place + on : place + on + step]:
            if len(next_) < step:
                break
            on += step
    return at - back, at + on
