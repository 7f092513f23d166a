"""What a model is to the rest of Omni TUI: messages in, a stream of events out, one typed error.

Provider-neutral: `litellm` and the offline rules both sit behind `Model`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from omni_tui.protocol.events import Usage

Role = Literal["system", "user", "assistant", "tool"]
Purpose = Literal["answer", "plan", "task", "report", "summary", "sampling"]
"""What a request is for: an answer to the person, one of the three steps of a plan, a summary, a server."""
TASK_FAILED = "FAILED:"
"""How the answer to a task of a plan begins when the task could not be done."""
FinishReason = Literal["stop", "tool_calls", "length", "window", "filtered"]
"""`length`: the output limit was reached; `window`: the model's window is full."""
UNFINISHED: frozenset[FinishReason] = frozenset({"length", "window", "filtered"})
"""Reasons to stop that are no end: a call that came before them may be half of one, or not be meant."""
ErrorKind = Literal["transient", "cut", "quota", "auth", "request", "overflow", "tools", "permanent"]
"""`tools`: the model takes none in its provider's way; `cut`: the answer broke off; `request`: refused."""


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as a model sees it: its model name, a description, a JSON Schema of type object.

    `title` is for finding it only; it is not sent. `label` is what people call it, as `server › tool`:
    its model name is never shown to them.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    read_only: bool = False
    title: str = ""
    label: str = ""

    @property
    def shown(self) -> str:
        """What people call it."""
        return self.label or self.name


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call as a model wrote it. `arguments` is its text, not parsed, perhaps not JSON.

    `problem` says, for the model, why it was recognised as a call but cannot be one.
    """

    id: str
    name: str
    arguments: str
    problem: str = ""


class Image(msgspec.Struct, frozen=True):
    """A picture: its MIME type, and its bytes in base64."""

    mime: str
    data: str


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a conversation.

    An assistant message may have `calls`; each is answered by a `tool` message with the same
    `call_id` before the next request. `thinking` holds a provider's own signed blocks and `reasoning`
    what it thought in the open; both go back verbatim, but only to `origin`, the place the answer came
    from (`models.origin`). Of a result, `ref` is the id under
    which the journal keeps the whole ("" if it does not), `size` the characters of the whole where
    the text is only a part of it, `status` how the call ended ("" in messages of old journals, see
    `message_history.decode_message`). None of these is sent. `images` are pictures of a message of the
    person or of a result; a model that takes none is told that they were left out.
    """

    role: Role
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    name: str = ""
    thinking: tuple[dict[str, Any], ...] = ()
    ref: str = ""
    size: int = 0
    status: str = ""
    images: tuple[Image, ...] = ()
    reasoning: str = ""
    origin: str = ""
    raw: str = ""


class ModelRequest(msgspec.Struct, frozen=True):
    """One request: the whole conversation, the tools on offer, and what the answer is for."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    purpose: Purpose = "answer"


class TextPart(msgspec.Struct, frozen=True):
    """More text of the answer."""

    text: str


class ThoughtPart(msgspec.Struct, frozen=True):
    """More text of the reasoning."""

    text: str


class ModelReply(msgspec.Struct, frozen=True):
    """The last event of a stream that really finished: the whole message.

    `complete` is False where the provider claims to have finished but the message shows it did
    not (a call cut off, arguments that do not parse after a `stop`): nothing of it may be run.
    `thought` are words that were streamed as text and turned out to be reasoning.
    """

    message: Message
    finish: FinishReason
    usage: Usage
    complete: bool = True
    label: str = ""
    thought: str = ""


ModelEvent = TextPart | ThoughtPart | ModelReply


class ModelError(Exception):
    """A request that failed, classified. `what` and `todo` are for the person; raw text is for the log.

    `detail` are the provider's words as they came, to be searched and never shown. `window` is the
    number of tokens that the provider says it takes, None where it does not say.
    `usage` is what it used all the same, None where nothing is known to have been used.
    """

    def __init__(
        self,
        kind: ErrorKind,
        what: str,
        *,
        todo: str = "",
        status: int | None = None,
        retry_after_s: float | None = None,
        detail: str = "",
        window: int | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(what)
        self.kind: ErrorKind = kind
        self.what = what
        self.todo = todo
        self.status = status
        self.retry_after_s = retry_after_s
        self.detail = detail
        self.window = window
        self.usage = usage


class Model(Protocol):
    """A model that answers by streaming."""

    @property
    def name(self) -> str:
        """The name it is chosen by."""
        ...

    @property
    def label(self) -> str:
        """What must be said about it wherever it speaks; "" for an ordinary language model."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Stream one answer: parts, then exactly one `ModelReply`. Raises `ModelError`.

        Closing the generator closes the provider's connection at once; callers always do.
        """
        ...

    def context_window(self) -> int | None:
        """Tokens the model takes, None if unknown."""
        ...

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens. Fast, never raises, never touches the network.

        What a request costs is the sum of what its messages and its tools cost: they are counted
        one by one, and once.
        """
        ...


@runtime_checkable
class WindowFinder(Protocol):
    """A model whose window may have to be found out."""

    async def look_up_window(self) -> None:
        """Ask where it can be known, if it is not known yet. Bounded in time, never raises."""
        ...

    def assumed_window(self) -> int | None:
        """Tokens to reckon with where nobody knows; None where that is no use."""
        ...
