"""A history without loose ends, kept up to date as it grows: what was closed before is not closed again."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import msgspec

from omni_tui.models.base import Message, ToolCall
from omni_tui.models.message_history import arguments_of, missing_result, plain_arguments


class ClosedHistory:
    """The messages of a history so that any provider takes them.

    Each call has exactly one result, right behind its message and in the order of the calls. Results
    that nobody asked for, or that came twice, are left out; missing ones are made up from `states`
    (call id → state of the call), "outcome unknown" where that says nothing, until they come.
    Arguments that are not a JSON object are sent as `{}`. Assistant messages without text and calls
    are left out. A message keeps its place for good; only a made-up result is ever replaced.
    """

    def __init__(self, states: Mapping[str, str] | None = None) -> None:
        self.messages: list[Message] = []
        self.rebuilt = 0
        """How often it had to begin again, because what came was not what went before and more."""
        self._states = states or {}
        self._raw: tuple[Message, ...] = ()
        self._open: dict[str, deque[int]] = {}

    def update(self, history: Sequence[Message]) -> list[int]:
        """Take the whole history as it is now; return the places that are new or changed, in order."""
        history = tuple(history)
        known = len(self._raw)
        # Compared by identity first, so an unchanged prefix costs next to nothing.
        if history[:known] != self._raw:
            known = 0
            self.messages, self._raw, self._open = [], (), {}
            self.rebuilt += 1
        changed: set[int] = set()
        for message in history[known:]:
            self._add(message, changed)
        self._raw = history
        return sorted(changed)

    def _add(self, message: Message, changed: set[int]) -> None:
        if message.role == "tool":
            waiting = self._open.get(message.call_id)
            if waiting:
                place = waiting.popleft()
                self.messages[place] = message
                changed.add(place)
            return
        if message.role == "assistant" and not message.calls and not message.text:
            return
        # A call never takes the result of a later one of the same id.
        for call in message.calls:
            self._open.pop(call.id, None)
        changed.add(len(self.messages))
        self.messages.append(_sendable(message))
        for call in message.calls:
            self._open.setdefault(call.id, deque()).append(len(self.messages))
            changed.add(len(self.messages))
            self.messages.append(missing_result(call, self._states.get(call.id, "uncertain")))


def close_history(messages: Sequence[Message], states: Mapping[str, str] | None = None) -> list[Message]:
    """Return the messages so that any provider takes them; what that means, `ClosedHistory` says."""
    closing = ClosedHistory(states)
    closing.update(messages)
    return closing.messages


def _sendable(message: Message) -> Message:
    calls = tuple(_plain(call) for call in message.calls)
    return message if calls == message.calls else msgspec.structs.replace(message, calls=calls)


def _plain(call: ToolCall) -> ToolCall:
    """Return a call with an object for its arguments, the call itself if it has one."""
    if arguments_of(call) is None:
        return ToolCall(call.id, call.name, "{}")
    text = plain_arguments(call.arguments)
    return call if text == call.arguments else ToolCall(call.id, call.name, text)
