"""A call's way from the proposal over the approval to its result."""

from __future__ import annotations

from typing import Literal

from omni_tui.protocol.base import Event, Journalled
from omni_tui.protocol.commands import Mode
from omni_tui.protocol.text import JsonText, SafeText
from omni_tui.protocol.values import CallState, ContentPart, Risk


class CallProposed(Journalled):
    """Somebody wants to call a tool. Nothing has been sent.

    `arguments` is a bounded, safe, pretty preview; `digest` names the exact arguments and tool
    definition, and `size` is the length of the exact canonical JSON in bytes. `fallback` says
    for what it stands in, where another server's tool should have answered.
    """

    call: str
    server: str
    tool: str
    label: SafeText
    arguments: SafeText
    size: int
    digest: str
    origin: Literal["agent", "hand"]
    turn: str = ""
    agent: str = "root"
    risk: Risk = "unknown"
    fallback: SafeText = SafeText("")


class ApprovalRequested(Journalled):
    """A call waits for the person. Sent again with a new digest after an edit or a restart.

    `arguments_json` is exact if `complete`, else only its beginning (fetch the rest with
    `ReadArguments`). `differs` says that what is shown is not, character for character, what is
    sent, because characters that do not show were made visible. `mode` is the mode under which the
    call waits: the severer of the mode its turn began with and the mode at that time; None for a call
    by hand.
    """

    call: str
    server: str
    tool: str
    label: SafeText
    digest: str
    risk: Risk
    why: tuple[SafeText, ...]
    arguments: SafeText
    arguments_json: JsonText
    size: int
    complete: bool
    differs: bool
    held: bool
    description: SafeText
    title: SafeText
    target: SafeText
    transport: str
    trust: SafeText
    turn: str = ""
    agent: str = "root"
    origin: Literal["agent", "hand"] = "agent"
    edited: bool = False
    restored: bool = False
    mode: Mode | None = None


class CallChanged(Journalled):
    """A call moved to another state without a result: decided, dispatching, cancelled, uncertain, …

    `decider` is `user`, `user (by hand)`, `policy`, `mode`, `headless`, `restart` or `stop`.
    """

    call: str
    state: CallState
    decider: str = ""
    reason: SafeText = SafeText("")
    feedback: SafeText = SafeText("")
    attempt: int = 1


class CallProgress(Event):
    """Progress as the server reports it, at most ten a second."""

    call: str
    progress: float
    total: float | None = None
    message: SafeText = SafeText("")


class CallFinished(Journalled):
    """A call has an answer. `parts` are previews; the whole is read with `ReadResult`.

    `cached_s`: nothing was sent, the answer is one that came that many seconds ago.
    """

    call: str
    state: Literal["succeeded", "failed", "result_rejected"]
    parts: tuple[ContentPart, ...]
    elapsed_ms: float
    size: int
    reason: SafeText = SafeText("")
    attempt: int = 1
    cached_s: float | None = None


class CallRound(Journalled):
    """The server asked for input in the course of a call and got it: the same call goes on.

    On disk before the frame that carries the answers. `round` counts from 1; `asked` are the methods
    of what it asked for. Source: MCP 2026-07-28, multi-round-trip requests.
    """

    call: str
    round: int
    asked: tuple[SafeText, ...] = ()
    attempt: int = 1
