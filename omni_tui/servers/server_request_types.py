"""Requests of servers to the person or the model (elicitation, sampling), and their answers.

The SDK brings such requests in two ways: as requests of the server (handshake versions) and inside of a
result that asks for input (2026-07-28). Both become a `ServerRequest`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from omni_tui.protocol.server_requests import ServerRequestAction, ServerRequestKind


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request of a server.

    `body` belongs to `message`, as JSON: a form's schema, `{"url": …}`, or the parameters of a sampling
    request in the words of the specification. `call` is the call during which it came, "" if that is
    not known. `waits` is False for a page that the server wants visited before a call is made again:
    it gets no answer.
    """

    server: str
    kind: ServerRequestKind
    message: str
    body: dict[str, Any]
    call: str = ""
    waits: bool = True


@dataclass(frozen=True, slots=True)
class ServerRequestAnswer:
    """The answer to a server request. `content` are the values of a form.

    For an accepted sampling request: `text`, the `model` it is from, and why that stopped.
    """

    action: ServerRequestAction
    content: dict[str, Any] | None = None
    text: str = ""
    model: str = ""
    stop: Literal["endTurn", "stopSequence", "maxTokens"] = "endTurn"
    reason: str = ""
