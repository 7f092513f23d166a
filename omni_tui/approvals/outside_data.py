"""Recognise data from outside: what untrusted servers returned and the person did not type.

It finds what was copied: a passage of `PASSAGE` letters and digits, a short value as a whole, or a name (an
address, a host, an identifier) anywhere in a value. Case, white space, punctuation, escapes of JSON,
percent-encoding, HTML's references and Base64 hide nothing; in Base64 that is not text from its first byte
to its last, passages are found, most names, and no short values. It does not find what a model put in other
words, another language or another encoding, parts shorter than that, and values with fewer than `SHORTEST`
letters and digits, such as small numbers and short first names.

The answer does not depend on how fast a server was: a call is compared with what its agent could have read
when it wrote the call (`could_read`), not with results of the same answer that came before it was sent. Of
other agents that work at the same time, all counts that has come by then: it may have been handed on.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omni_tui.approvals.comparable_text import SHORTEST, decoded, folded, hidden, letters, names
from omni_tui.approvals.known_text import PASSAGE, KnownText, TooMuch, Work, every
from omni_tui.policy import Truth
from omni_tui.protocol.values import CallOrigin

KEPT = 4_000_000
"""Letters and digits of results that a session compares with; after more, every value may be from one."""
LOOKED_AT = 300_000
"""Characters of a call's arguments that are looked at; more may be from outside."""
_STEP = 32_768
"""Characters of a text that are made comparable in one go."""
_CUT_BEFORE = 1_000
"""Within so many characters more, a cut is made at white space, so that it separates no escape."""
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Result:
    """What a server returned, and the call it answers. Without an origin, everybody could read it.

    `text` is None if it cannot be read any more.
    """

    server: str
    text: str | None
    origin: CallOrigin = field(default_factory=CallOrigin)


class OutsideData:
    """The results of untrusted servers in one session, and what the person typed in it.

    `complete` becomes false when something could not be kept: whatever the person did not type is then
    unclear. Adding costs nothing; `step` makes what was added ready. Until then it is unclear too.
    """

    def __init__(self) -> None:
        self.complete = True
        self._new: deque[tuple[str, CallOrigin]] = deque()
        self._waiting = 0
        self._unfinished: CallOrigin | None = None
        """The call whose result is being made ready."""
        self._returned = KnownText()
        self._origins: list[CallOrigin] = []
        self._typed_new: deque[str] = deque()
        self._typed = KnownText()
        self._work: Iterator[None] = iter(())

    def add(self, result: Result) -> None:
        """Note a result."""
        if not self.complete:
            return
        if result.text is None or self._waiting + len(result.text) > 2 * KEPT:
            self.give_up()
            return
        self._waiting += len(result.text)
        self._new.append((result.text, result.origin))

    def typed(self, words: str) -> None:
        """Note words of the person."""
        self._typed_new.append(words)

    def step(self) -> bool:
        """Do a bounded part of the work that makes ready what was added. False if nothing is left to do.

        It goes on where it was, whoever did the steps before.
        """
        if next(self._work, self) is not self:
            return True
        if self._typed_new:
            self._work = _add(self._typed, self._typed_new.popleft())
        elif self._new:
            self._work = self._next_result()
        else:
            return False
        return True

    def in_call(self, origin: CallOrigin) -> OutsideInCall:
        """Return what answers for the arguments of one call."""
        return OutsideInCall(self, origin)

    def judge(self, value: Any, origin: CallOrigin) -> Truth:
        """Say whether a value of a call's arguments, with all it contains, holds data from outside."""
        look = _Look(self._origins, origin)
        ready = self.complete and not self._waits(origin)
        left, unclear, seen = LOOKED_AT, False, set[str]()
        try:
            for text in texts_in(value):
                left -= len(text)
                if left < 0:
                    return Truth.UNCLEAR
                if text in seen:
                    continue
                seen.add(text)
                for reading in _readings(text):
                    if self._is_copied(reading, look):
                        return Truth.HOLDS
                    unclear = unclear or (not ready and not self._was_typed(letters(reading), look))
                inside = hidden(decoded(text))
                if any(self._is_copied(folded(decoded(said)), look) for said in inside.whole) or any(
                    self._is_part_copied(folded(decoded(said)), look) for said in inside.parts
                ):
                    return Truth.HOLDS
        except TooMuch:
            return Truth.UNCLEAR
        return Truth.UNCLEAR if unclear else Truth.FAILS

    def give_up(self) -> None:
        """Forget the results: they are too many to compare with."""
        self.complete = False
        self._new.clear()
        self._waiting = 0
        self._unfinished = None
        self._returned = KnownText()
        self._origins = []

    # --- inside ---------------------------------------------------------------------------------

    def _next_result(self) -> Iterator[None]:
        text, origin = self._new.popleft()
        self._waiting -= len(text)
        self._origins.append(origin)
        self._unfinished = origin
        yield from _add(self._returned, text)
        self._unfinished = None
        if self._returned.size > KEPT:
            self.give_up()

    def _waits(self, call: CallOrigin) -> bool:
        """Whether a result is not ready yet that the agent could have read when it made this call."""
        begun = self._unfinished is not None and could_read(self._unfinished, call)
        return begun or any(could_read(origin, call) for _text, origin in self._new)

    def _is_copied(self, reading: str, look: _Look) -> bool:
        if not self._returned:
            return False
        value = letters(reading)
        if SHORTEST <= len(value) < PASSAGE and self._returned.has_whole(
            value, look.may_see, look.at_returned
        ):
            return not self._was_typed(value, look)
        return self._is_part_copied(reading, look)

    def _is_part_copied(self, reading: str, look: _Look) -> bool:
        """Whether a passage or a name was copied."""
        if not self._returned:
            return False
        value = letters(reading)
        if len(value) >= PASSAGE:
            left = self._typed.without_passages(value, look.at_typed) if self._typed else (value,)
            if any(self._returned.has_passage(each, look.may_see, look.at_returned) for each in left):
                return True
        return any(
            self._returned.has_name(name, look.may_see, look.at_returned)
            and not self._was_typed(name, look)
            for name in names(reading)
        )

    def _was_typed(self, value: str, look: _Look) -> bool:
        """Whether the person typed all of a value, or there is too little of it to tell."""
        return len(value) < SHORTEST or self._typed.has_whole(value, every, look.at_typed)


class OutsideInCall:
    """Says of each value in the arguments of one call whether it holds data from outside; looks once."""

    def __init__(self, data: OutsideData, origin: CallOrigin) -> None:
        self._data = data
        self._origin = origin
        self._known: list[tuple[Any, Truth]] = []

    def __call__(self, value: Any) -> Truth:
        """Say it of a value, with all it contains."""
        for known, truth in self._known:
            if known is value:
                return truth
        truth = self._data.judge(value, self._origin)
        self._known.append((value, truth))
        return truth


class _Look:
    """One look at the arguments of a call: what its agent could have read, and the work that is left."""

    def __init__(self, results: Sequence[CallOrigin], call: CallOrigin) -> None:
        self._results = results
        self._call = call
        self.at_returned = Work()
        self.at_typed = Work()

    def may_see(self, number: int) -> bool:
        return could_read(self._results[number], self._call)


def could_read(result: CallOrigin, call: CallOrigin) -> bool:
    """Whether the agent could have read the result of one call when it made another.

    Not those of the same answer of the model, or of a later one. Steps are counted on over all attempts of
    an agent in a turn.
    """
    same = bool(call.turn) and (result.turn, result.agent) == (call.turn, call.agent)
    return not same or result.step < call.step


def texts_in(value: Any) -> Iterator[str]:
    """Yield the strings of a JSON value, its numbers, and keys that are long enough to hold a passage.

    Shorter keys are names of arguments, which results have too.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if len(str(key)) >= PASSAGE:
                yield str(key)
            yield from texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _readings(text: str) -> Iterator[str]:
    """Yield what a value says, as it stands and decoded."""
    yield folded(text)
    plain = decoded(text)
    if plain != text:
        yield folded(plain)


def _add(known: KnownText, text: str) -> Iterator[None]:
    """Add a text and what its Base64 says, in bounded steps."""
    plain: list[str] = []
    inside: list[str] = []
    named: set[str] = set()
    for part in _parts(text):
        for said, found in ((part, plain), ("\n".join(hidden(part).parts), inside)):
            reading = folded(decoded(said))
            found.append(letters(reading))
            named |= names(reading)
        yield
    yield from known.add("".join(plain + inside), named)


def _parts(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        end = at + _STEP
        if end < len(text):
            space = _SPACE.search(text, end, end + _CUT_BEFORE)
            end = space.end() if space else end
        yield text[at:end]
        at = end
