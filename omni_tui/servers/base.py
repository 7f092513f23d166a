"""What servers and tools exchange: definitions, dispatches, raw results, errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CHECK_FIRST = "Check with the server before you call it again."


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool exactly as its server listed it (schemas as parsed JSON, names unchanged)."""

    server: str
    name: str
    title: str = ""
    description: str = ""
    input_schema: dict[str, Any] = field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    annotations: dict[str, Any] = field(default_factory=dict)
    only_as_task: bool = False
    """Whether a server of the handshake versions runs it only as a task (2025-11-25, `taskSupport`)."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Its `_meta`, used only to notice changes."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Dispatch:
    """The permission to send one `tools/call` frame, made by the gate from a used grant.

    `arguments` is the approved canonical JSON object, in bytes. The tap remembers which were sent.
    """

    call: str
    attempt: int
    server: str
    tool: str
    arguments: bytes


@dataclass(frozen=True, slots=True)
class RawResult:
    """A server's answer to `tools/call`: content blocks as JSON objects, not validated yet."""

    content: list[dict[str, Any]]
    structured: Any = None
    has_structured: bool = False
    is_error: bool = False


class CallError(Exception):
    """A call without a usable answer. `sent`: the request may have reached the server.

    Not sent: nothing happened. Sent: the outcome is unknown, unless `answered`: the server itself
    refused with a JSON-RPC error, whose text is in `what`. `refused`: the protocol says of such an
    answer that the call did not run.
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
        """Whether it is certain that the tool did not run."""
        return not self.sent or self.refused


class TokenRenewed(CallError):
    """The server refused a call for its token (`status` 401 or 403), and another token is available now.

    Nothing ran, so a further attempt is safe; it needs its own grant.
    """

    def __init__(self, status: int) -> None:
        super().__init__("refused before running, token renewed", sent=True, answered=True, refused=True)
        self.status = status


class DispatchRefused(Exception):
    """A `tools/call` frame without an open dispatch for its bytes; the tap did not let it pass."""
