"""What servers and tools say to each other: definitions, dispatches, raw results, typed failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool exactly as its server listed it (schemas as parsed JSON, names untouched)."""

    server: str
    name: str
    title: str = ""
    description: str = ""
    input_schema: dict[str, Any] = field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    annotations: dict[str, Any] = field(default_factory=dict)
    only_as_task: bool = False
    """Whether a server of the handshake versions runs it as a task only (2025-11-25, `taskSupport`)."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Its `_meta`, which is used for nothing here but for noticing that it has changed."""


@dataclass(frozen=True, slots=True, eq=False)
class Dispatch:
    """The right to put one `tools/call` frame on the wire, made by the gate from a used-up grant.

    `arguments` is the exact canonical JSON object, in bytes, that was approved.
    """

    call: str
    attempt: int
    server: str
    tool: str
    arguments: bytes


@dataclass(frozen=True, slots=True)
class RawResult:
    """What a server answered to `tools/call`: content blocks as JSON objects, not validated by us yet."""

    content: list[dict[str, Any]]
    structured: Any = None
    has_structured: bool = False
    is_error: bool = False


class CallError(Exception):
    """A call without a usable answer. `sent` tells whether the request may have reached the server.

    `sent=False`: surely nothing happened. `sent=True`: the outcome is unknown unless `answered`,
    in which case the server itself refused (a JSON-RPC error) and said so in `what`. `refused`: it was
    turned away before it could run, by what the protocol says of such an answer.
    """

    def __init__(
        self, what: str, *, sent: bool, answered: bool = False, todo: str = "", refused: bool = False
    ) -> None:
        super().__init__(what)
        self.what = what
        self.sent = sent
        self.answered = answered
        self.todo = todo
        self.refused = refused

    @property
    def did_not_run(self) -> bool:
        """Whether the tool surely did not run."""
        return not self.sent or self.refused


class TokenRenewed(CallError):
    """The server refused a call unseen for its token (`status` 401 or 403), and now there is another token.

    Nothing ran, so a further attempt is safe; it needs a grant of its own.
    """

    def __init__(self, status: int) -> None:
        super().__init__("refused before running, token renewed", sent=True, answered=True, refused=True)
        self.status = status


class DispatchRefused(Exception):
    """A `tools/call` frame met the tap on the transport without an open dispatch for those bytes."""
