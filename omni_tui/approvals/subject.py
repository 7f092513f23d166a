"""What the gate is asked about: a proposal, and the tool it is for."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Literal, Self

from omni_tui.approvals.policy import Origin, Trust
from omni_tui.memory import CallRow
from omni_tui.protocol import SafeText
from omni_tui.protocol.values import CallOrigin, CallState, Risk

NONE_ALIKE = SafeText("")


@dataclass(frozen=True, slots=True)
class Subject:
    """A tool as the gate sees it: what decides, and what the card quotes."""

    server: str
    tool: str
    server_fp: str
    def_hash: str
    server_trust: Trust
    tool_trust: Trust
    risk: Risk
    title: str
    description: str
    target: str
    transport: str
    says: str = ""
    """The hash of what its server says about its use."""
    cwd: str = ""
    """Where the server's relative paths start, "" if that is not known."""
    first_seen: float | None = None
    """When its definition was accepted, in Unix seconds."""
    alike: SafeText = NONE_ALIKE
    """Which other tools have its name or one that looks like it, in words."""
    imitation: bool = False
    """Whether it passes for another tool by characters that are not what they seem."""
    server_trusted: bool = False
    """Whether what its server claims of it counts; else `risk` is a claim where it is low."""

    @property
    def held(self) -> bool:
        """Whether the tool or its server has changed, so that every call asks."""
        return "changed" in (self.server_trust, self.tool_trust)

    @property
    def news(self) -> Literal["", "new", "changed"]:
        """Whether there is something to compare with what the person accepted."""
        if not self.transport:
            return ""
        if self.held:
            return "changed"
        return "new" if self.tool_trust == "new" else ""

    def is_same(self, other: Subject) -> bool:
        """Whether two are of the same tool: how its server is started, what it says, the definition."""
        mine = (self.server, self.tool, self.server_fp, self.def_hash, self.says)
        return mine == (other.server, other.tool, other.server_fp, other.def_hash, other.says)

    @classmethod
    def missing(cls, server: str, tool: str) -> Self:
        """Stand in for a tool whose server is not connected: nothing about it can be trusted."""
        return cls(
            server=server,
            tool=tool,
            server_fp="",
            def_hash="",
            server_trust="changed",
            tool_trust="changed",
            risk="unknown",
            title="",
            description="",
            target="",
            transport="",
        )


@dataclass(frozen=True, slots=True)
class CallProposal:
    """A call that an agent or the person wants to make. `arguments` is checked, canonical JSON.

    `unchecked` says why the arguments could not be checked. `confirms` is the digest of the question about
    a call by hand that the person said yes to, "" if there was none.
    """

    call: str
    server: str
    tool: str
    arguments: bytes
    origin: Origin
    made_by: CallOrigin = field(default_factory=CallOrigin)
    confirms: str = ""
    unchecked: str = ""
    fallback: str = ""
    """For what the call stands in, in words for the card; "" if it was wanted itself."""
    loosened: str = ""
    """What the person allowed only after the message this answers, in words for the card."""

    @classmethod
    def from_row(cls, row: CallRow) -> Self:
        """Rebuild the proposal of a call that was waiting when the app ended."""
        return cls(
            call=row.call,
            server=row.server,
            tool=row.tool,
            arguments=row.args,
            origin="hand" if row.origin == "hand" else "agent",
            made_by=row.made_by,
        )

    def row(self, subject: Subject, state: CallState, args_hash: str) -> CallRow:
        """Return the first attempt of the call, for the journal."""
        return CallRow(
            call=self.call,
            turn=self.made_by.turn,
            step=self.made_by.step,
            agent=self.made_by.agent,
            origin=self.origin,
            server=self.server,
            tool=self.tool,
            server_fp=subject.server_fp,
            def_hash=subject.def_hash,
            args=self.arguments,
            args_hash=args_hash,
            state=state,
            provider_call_id=self.made_by.id,
            created=time.time(),
        )


@dataclass(frozen=True, slots=True)
class Question:
    """What a call by hand is asked about once more.

    `digest` names everything that is asked and what would be called with what; a yes counts for that
    alone. `held`: the tool or its server has changed.
    """

    why: tuple[str, ...]
    held: bool
    digest: str


def require_canonical(arguments: bytes) -> None:
    """Raise `ValueError` for arguments that are not in the one form that is approved, hashed and sent.

    The last check before the wire compares bytes: any other form would be approved and then not sent.
    """
    value = json.loads(arguments)
    form = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    if form.encode() != arguments:
        raise ValueError("the arguments of this call are not canonical JSON")


def has_changed(row: CallRow, subject: Subject) -> bool:
    """Whether a tool or its server has changed since a call was proposed."""
    return (row.server_fp, row.def_hash) != (subject.server_fp, subject.def_hash)
