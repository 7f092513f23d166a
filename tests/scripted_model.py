"""A model for tests that plays scripted turns and records its requests; and a closed history."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence

from omni_tui.models.base import (
    FinishReason,
    Message,
    ModelError,
    ModelEvent,
    ModelRequest,
    Reply,
    TextPart,
    ThoughtPart,
    ToolCall,
)
from omni_tui.models.message_history import ClosedHistory, estimate
from omni_tui.protocol.events import Usage

Item = TextPart | ThoughtPart | Reply | Exception | Awaitable[object]
"""What a scripted turn consists of: parts, one `Reply`, an error to raise, a gate to wait at."""


def reply(
    text: str = "",
    *calls: ToolCall,
    finish: FinishReason | None = None,
    complete: bool = True,
    usage: Usage | None = None,
) -> Reply:
    """Return the end of a stream: a message with `text` and `calls`."""
    return Reply(
        message=Message(role="assistant", text=text, calls=calls),
        finish=finish or ("tool_calls" if calls else "stop"),
        usage=usage or Usage(input=10, output=5),
        complete=complete,
    )


def close_history(messages: Sequence[Message], states: Mapping[str, str] | None = None) -> list[Message]:
    """Return the messages as `ClosedHistory` has them."""
    closing = ClosedHistory(states)
    closing.update(messages)
    return closing.messages


class ScriptedModel:
    """Plays one scripted turn per request. More requests than turns are an error of the test.

    `requests` are the requests so far; `closed` counts the streams that were closed.
    """

    def __init__(
        self, *turns: Sequence[Item], name: str = "scripted", label: str = "", window: int | None = None
    ) -> None:
        self._turns = list(turns)
        self._name = name
        self._label = label
        self._window = window
        self.requests: list[ModelRequest] = []
        self.closed = 0

    @property
    def name(self) -> str:
        """The name it is chosen by."""
        return self._name

    @property
    def label(self) -> str:
        """What must be said about it."""
        return self._label

    @property
    def left(self) -> int:
        """Scripted turns that were not asked for yet."""
        return len(self._turns) - len(self.requests)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Play the next turn."""
        self.requests.append(request)
        if len(self.requests) > len(self._turns):
            raise AssertionError(f"request {len(self.requests)} was not scripted")
        try:
            for item in self._turns[len(self.requests) - 1]:
                if isinstance(item, TextPart | ThoughtPart | Reply):
                    yield item
                elif isinstance(item, Exception):
                    raise item
                else:
                    await item
        finally:
            self.closed += 1

    def context_window(self) -> int | None:
        """Tokens the model takes."""
        return self._window

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens."""
        return estimate(request.messages)


__all__ = ["Item", "ModelError", "ScriptedModel", "close_history", "reply"]
