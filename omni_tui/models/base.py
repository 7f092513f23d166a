"""The interface of models: messages in, a stream of events out, one typed error. Provider-neutral."""

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
"""`length`: the output limit was reached; `window`: the context window is full."""
UNFINISHED: frozenset[FinishReason] = frozenset({"length", "window", "filtered"})
"""Finish reasons of an incomplete answer: its last call may be cut off or not meant."""
ErrorKind = Literal["transient", "cut", "quota", "auth", "request", "overflow", "tools", "permanent"]
"""`tools`: no native tool calling; `cut`: the answer was cut off; `request`: the request was refused."""


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as a model sees it: its model name, a description, a JSON Schema of type object.

    `title` is only for the search; it is not sent. `label` is the name for people, as `server › tool`.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    read_only: bool = False
    title: str = ""
    label: str = ""

    @property
    def shown(self) -> str:
        """The name for people."""
        return self.label or self.name


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call as a model wrote it. `arguments` is unparsed text, maybe not JSON.

    `problem` tells the model why it is not a valid call.
    """

    id: str
    name: str
    arguments: str
    problem: str = ""


class Image(msgspec.Struct, frozen=True):
    """An image: its MIME type, and its bytes in base64."""

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


class Reply(msgspec.Struct, frozen=True):
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


ModelEvent = TextPart | ThoughtPart | Reply


class ModelError(Exception):
    """A request that failed, classified. `what` and `todo` are for the person; raw text is for the log.

    `detail`: the provider's own text, to search and never to show. `window`: the context window that the
    provider reports, in tokens, None if it does not. `usage`: what was used anyway, None if unknown.
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
        """A note shown with its answers; "" for an ordinary language model."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Stream one answer: parts, then exactly one `Reply`. Raises `ModelError`.

        Closing the generator closes the provider's connection at once; callers always do.
        """
        ...

    def context_window(self) -> int | None:
        """The context window in tokens, None if unknown."""
        ...

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens. Fast, never raises, never uses the network.

        It is the sum over the messages and tools, which are counted one by one, and once.
        """
        ...


@runtime_checkable
class WindowFinder(Protocol):
    """A model whose context window may have to be looked up."""

    async def look_up_window(self) -> None:
        """Look it up, if it is unknown. Bounded in time, never raises."""
        ...

    def assumed_window(self) -> int | None:
        """The window, in tokens, to assume if it is unknown; None to assume nothing."""
        ...
