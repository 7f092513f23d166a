"""The life of a call: proposed, approved, tried, running as a task, finished.

Source of tasks: MCP extension `io.modelcontextprotocol/tasks` for protocol 2026-07-28 (SEP-2663), and the
experimental tasks of 2025-11-25.
"""

from __future__ import annotations

from typing import Literal

from omni_tui.protocol.base import Event, Journalled
from omni_tui.protocol.text import JsonText, SafeText
from omni_tui.protocol.values import CallState, ContentPart, Mode, Risk


class CallProposed(Journalled):
    """A call was proposed. Nothing has been sent.

    `arguments` is a bounded, safe, formatted preview; `digest` identifies the exact arguments and tool
    definition; `size` is the length of the exact canonical JSON in bytes. `fallback`: which tool of another
    server it replaces. `server_trusted` as in `ApprovalRequested`.
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
    server_trusted: bool = False


class ApprovalRequested(Journalled):
    """A call waits for the person. Sent again with a new digest after an edit or a restart.

    `arguments_json` is exact if `complete`, else only its beginning (fetch the rest with
    `ReadArguments`). `differs` says that what is shown is not, character for character, what is
    sent, because characters that do not show were made visible. `mode` is the mode under which the
    call waits: the severer of the mode its turn began with and the mode at that time; None for a call
    by hand. `server_trusted`: the person trusts the server, so `risk` counts as it is; else a low risk is
    only what the server claims. `news` says whether its tool or server can be compared with what was
    accepted. `alike` as in `ToolSummary`.
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
    news: Literal["", "new", "changed"] = ""
    alike: SafeText = SafeText("")
    expires: float = 0.0
    """When it ends by itself, unapproved, as Unix time; 0 for never."""
    server_trusted: bool = False


class CallChanged(Journalled):
    """A call changed its state without a result: decided, dispatching, cancelled, uncertain, …

    `decider` is `user`, `user (by hand)`, `rule:ID`, `mode`, `headless`, `restart`, `stop`, `timeout`
    (nobody decided in time) or `repeat` (the person had rejected the same call twice); its words are in
    `protocol.deciders`. `rule_toml` is the narrowest rule that would let a withheld call pass, "" if there
    is none. `batch`: how many calls the person decided on together, 0 if this one alone.
    """

    call: str
    state: CallState
    decider: str = ""
    reason: SafeText = SafeText("")
    feedback: SafeText = SafeText("")
    attempt: int = 1
    rule_toml: str = ""
    batch: int = 0


class CallEdited(Journalled):
    """The person replaced the arguments of a waiting call, which goes on waiting.

    `before` and `after` are the keyed hashes of the arguments, `digest` is that of the card that they
    changed. The card with the new arguments follows.
    """

    call: str
    before: str
    after: str
    digest: str


class CallDeferred(Journalled):
    """The person looked at the card with this `digest` and left the call waiting, to decide later."""

    call: str
    digest: str


class CallProgress(Event):
    """Progress as the server reports it, at most ten a second."""

    call: str
    progress: float
    total: float | None = None
    message: SafeText = SafeText("")


class CallFinished(Journalled):
    """A call has a result. `parts` are previews; the whole is read with `ReadResult`.

    `cached_s`: nothing was sent, the result is this many seconds old.
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
    """The server asked for input during a call and got it: the same call continues.

    On disk before the frame that carries the answers. `round` counts from 1; `asked` are the methods
    of what it asked for. Source: MCP 2026-07-28, multi-round-trip requests.
    """

    call: str
    round: int
    asked: tuple[SafeText, ...] = ()
    attempt: int = 1


class AttemptRefused(Journalled):
    """The server refused an attempt before running it, and a further attempt of the call was made.

    On disk in the transaction that makes the further attempt, so before anything of that is sent. What
    it waits for stands in the `CallChanged` or `ApprovalRequested` that follows. `status` is that of
    HTTP (401 or 403). Source: RFC 6750, section 3.1.
    """

    call: str
    attempt: int
    status: int
    elapsed_ms: float
    reason: SafeText = SafeText("")


class AttemptFailed(Journalled):
    """An attempt failed in a way that makes repeating it safe, and a further attempt of the call was made.

    On disk in the transaction that makes the further attempt. Either nothing of it ran, or (`cut`) that is
    not known and the tool may be repeated: it only reads, or the person said so. `of` is the number of
    attempts there can be.
    """

    call: str
    attempt: int
    of: int
    cut: bool
    elapsed_ms: float
    reason: SafeText = SafeText("")


class AttemptScheduled(Event, tag="attempt_ahead"):
    """A failed call will be retried in `delay_s` seconds, as attempt `attempt` of `of`."""

    call: str
    attempt: int
    of: int
    delay_s: float
    reason: SafeText = SafeText("")


TaskStatus = Literal["working", "input_required", "completed", "failed", "cancelled"]


class CallTask(Journalled):
    """A call became a task at its server, which is polled until it ends.

    On disk, with the exact id of the task, before the first poll. `task` is that id made safe to show;
    `poll_ms` the interval, `ttl_s` how long the server keeps the task (None: unknown).
    """

    call: str
    task: SafeText
    status: TaskStatus
    message: SafeText = SafeText("")
    poll_ms: int = 0
    ttl_s: float | None = None
    attempt: int = 1


class TaskProgress(Event):
    """The state of a running task. `away`: the server cannot be reached now; the task may continue."""

    call: str
    status: TaskStatus
    message: SafeText = SafeText("")
    away: bool = False
