"""Which call a streamed fragment belongs to.

Providers number, name and identify the pieces of their calls in many ways: an index only on the first
piece, every call numbered 0, a new id on each piece, the name in parts or repeated on every piece. The
rules here are the same for all of them. Where they leave a doubt, pieces stay together: arguments that
are no JSON are a mistake that is told, two calls where one was meant would both run.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field

from omni_tui.models.base import ToolCall
from omni_tui.models.message_history import arguments_of, plain_arguments


@dataclass(slots=True)
class StreamedCall:
    """A call as its fragments come. `slot` is its number, one for each call."""

    slot: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    def arguments(self) -> str:
        """Return the text of the arguments, as it was meant."""
        text = "".join(self.pieces)
        half = text[: len(text) // 2]
        if half + half == text and not _is_whole(text) and _is_whole(half):
            text = half
        if not _is_whole(text) and len(self.pieces) > 1:
            last = self.pieces[-1]
            again = "".join(self.pieces[:-1]) == last
            grows = all(b.startswith(a) for a, b in zip(self.pieces, self.pieces[1:], strict=False))
            # Some send all that came before once more, at the end or with every piece.
            if (again or grows) and _is_whole(last):
                text = last
        return plain_arguments(text)

    def is_whole(self) -> bool:
        """Whether arguments have come, and are an object."""
        return bool(self.pieces) and _is_whole("".join(self.pieces))


def _is_whole(text: str) -> bool:
    return bool(text.strip()) and arguments_of(ToolCall("", "", text)) is not None


def as_text(arguments: object) -> str:
    """Return arguments as the text they should have been."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


class CallFragments:
    """The calls of one answer. `names` are those of the tools on offer."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = frozenset(names)
        self._by_index: dict[int, StreamedCall] = {}
        self._by_id: dict[str, StreamedCall] = {}
        self.calls: list[StreamedCall] = []

    def add(self, index: int | None, ident: str, name: str, arguments: str) -> StreamedCall:
        """Take a fragment; return the call it belongs to."""
        call = self._found(index, ident, bool(name), bool(arguments))
        if call is not None and name and self._begins(call, ident, name, arguments):
            call = None
        if call is not None and not name and not arguments and self._follows(call, ident):
            call = None
        if call is None:
            call = self._open(index)
        if index is not None:
            self._by_index[index] = call
        if ident:
            call.id = call.id or ident
            self._by_id[ident] = call
        call.name = self._name(call.name, name)
        if arguments:
            call.pieces.append(arguments)
        return call

    def _found(self, index: int | None, ident: str, named: bool, filled: bool) -> StreamedCall | None:
        if index is not None:
            known = self._by_index.get(index)
            return known if known is not None or named else self._by_id.get(ident)
        if ident and ident in self._by_id:
            return self._by_id[ident]
        if not self.calls or (ident and (named or not filled)):
            return None
        return self.calls[-1]

    def _open(self, index: int | None) -> StreamedCall:
        used = {call.slot for call in self.calls}
        slot = (
            index if index is not None and index >= 0 and index not in used else max(used, default=-1) + 1
        )
        call = StreamedCall(slot)
        self.calls.append(call)
        return call

    def _begins(self, call: StreamedCall, ident: str, name: str, arguments: str) -> bool:
        """Whether a fragment with a name is another call than the one in its place."""
        if not call.name:
            return False
        if ident and call.id:
            if ident == call.id:
                return False
            goes_on = bool(call.pieces) and not call.is_whole() and not arguments.lstrip().startswith("{")
            return not (name == call.name and goes_on)
        if call.name not in self._names and self._completes(call.name, name):
            return False
        if call.is_whole():
            # An empty object may stand in front of the arguments that are meant.
            empty = arguments_of(ToolCall("", "", "".join(call.pieces))) == {}
            return name != call.name or (bool(arguments) and not empty)
        if call.pieces:
            return name != call.name
        return name != call.name and not self._continues(call.name, name)

    def _follows(self, call: StreamedCall, ident: str) -> bool:
        """Whether a fragment with nothing but an id opens another call, whose name comes later."""
        return bool(ident and call.id and call.name) and ident not in self._by_id and call.is_whole()

    def _continues(self, first: str, piece: str) -> bool:
        """Whether `piece` is more of a name, and not another name."""
        if piece in self._names and (first in self._names or not self._is_start(first + piece)):
            return not first or (piece.startswith(first) and first not in self._names)
        return self._is_start(first + piece) or not (first in self._names or piece in self._names)

    def _completes(self, first: str, piece: str) -> bool:
        """Whether a name that is no tool's yet becomes one's, or the start of one, with `piece`."""
        grown = piece != first and piece.startswith(first)
        return self._is_start(first + piece) or (grown and self._is_start(piece))

    def _is_start(self, name: str) -> bool:
        return any(each.startswith(name) for each in self._names)

    def _name(self, first: str, piece: str) -> str:
        if not first or not piece:
            return first or piece
        if first not in self._names and self._is_start(first + piece):
            return first + piece
        if piece == first:
            return first
        if piece.startswith(first) and first not in self._names:
            return piece
        return first + piece if self._continues(first, piece) else first
