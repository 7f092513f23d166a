"""Values in events: states, kinds and small structs."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.text import SafeText

Mode = Literal["chat", "auto", "orchestrator"]
ServerState = Literal[
    "not_allowed", "connecting", "active", "idle", "needs_sign_in", "degraded", "failed", "disabled"
]
Risk = Literal["read", "write", "destructive", "unknown"]
CallState = Literal[
    "pending",  # waits for the person
    "held",  # waits for the person because the server or the tool changed
    "approved",
    "dispatching",  # on disk before the first byte is sent
    "succeeded",
    "failed",  # the server answered with an error, or nothing was ever sent
    "result_rejected",  # the tool ran; its result breaks its own schema
    "rejected",
    "denied",  # by policy
    "withheld",  # nobody there to ask
    "expired",
    "cancelled",
    "uncertain",  # cut off: whether it ran is not known
    "cached",  # answered from the cache: nothing was sent (of the table of calls; told as `cached_s`)
]
TurnStatus = Literal["done", "stopped", "failed", "limit", "parked"]
TurnLimit = Literal["", "steps", "output", "requests", "time", "budget", "repeats"]
"""A limit of a turn. `requests`, `time` and `budget` are those of all its agents together."""
PartKind = Literal["text", "image", "audio", "link", "resource", "structured"]


class CallOrigin(msgspec.Struct, frozen=True):
    """Which call of a model it is: the turn, the agent, its step, and the id the provider gave the call.

    Empty for a call by hand.
    """

    turn: str = ""
    agent: str = "root"
    step: int = 0
    id: str = ""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and money of one or more model requests. `cost` is in US dollars, None if unknown."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float | None = None
    estimated: bool = False


class ToolSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the tool tree. `name` is the exact name; `label` the name made safe to show.

    `alike` says which other tools have the same name or one that looks like it. `imitation`: this one
    passes for another by characters that are not what they seem; no model gets it until it is accepted.
    `rule` says whether a rule denies it or asks about it; the face adds it from `ToolRulesRead`.
    `server_trusted` as in `ApprovalRequested`.
    """

    server: str
    name: str
    label: SafeText
    model_name: str
    title: SafeText
    description: SafeText
    risk: Risk
    server_trusted: bool = False
    trust: Literal["unchanged", "new", "changed"] = "unchanged"
    exposed: bool = True
    alike: SafeText = SafeText("")
    imitation: bool = False
    rule: Literal["", "ask", "deny"] = ""


class ContentPart(msgspec.Struct, frozen=True, kw_only=True):
    """A bounded preview of one part of a result. `size` is that of the whole, in bytes."""

    index: int
    kind: PartKind
    text: SafeText = SafeText("")
    mime: SafeText = SafeText("")
    uri: SafeText = SafeText("")
    size: int = 0
    truncated: bool = False


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake: where (file and line, or JSON path), what, and what to do."""

    where: SafeText
    what: SafeText
    todo: SafeText = SafeText("")


SessionState = Literal["closed", "unfinished", "open", "running"]
"""Closed with nothing left; cut off, or something in it waits; open in an omni-tui; a turn runs in it."""


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One saved session. `here`: it is open in this engine."""

    id: str
    title: SafeText
    created: float
    updated: float
    events: int
    open_calls: int = 0
    tags: tuple[SafeText, ...] = ()
    state: SessionState = "closed"
    here: bool = False
