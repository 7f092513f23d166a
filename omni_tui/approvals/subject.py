"""What the gate is asked about: a proposal, and the tool it is for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Self

from omni_tui.approvals.policy import DecisionFacts, Origin, Trust
from omni_tui.memory import CallRow
from omni_tui.protocol import Mode
from omni_tui.protocol.values import CallOrigin, CallState, Risk


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
    first_seen: float | None = None
    """When its definition was accepted, in Unix seconds."""

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

    `unchecked` says why the arguments could not be checked, `confirmed` that the person answered the
    second question of a call by hand.
    """

    call: str
    server: str
    tool: str
    arguments: bytes
    origin: Origin
    made_by: CallOrigin = field(default_factory=CallOrigin)
    confirmed: bool = False
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


def decision_facts(proposal: CallProposal, subject: Subject, mode: Mode, now: Mode) -> DecisionFacts:
    """Return what a decision on a proposal depends on. `mode` is the mode of its turn."""
    return DecisionFacts(
        mode=mode,
        origin=proposal.origin,
        risk=subject.risk,
        server_trust=subject.server_trust,
        tool_trust=subject.tool_trust,
        confirmed=proposal.confirmed,
        unchecked=proposal.unchecked,
        unplanned=bool(proposal.fallback) and proposal.made_by.agent != "root",
        now=now,
        loosened=proposal.loosened,
    )


def has_changed(row: CallRow, subject: Subject) -> bool:
    """Whether a tool or its server has changed since a call was proposed."""
    return (row.server_fp, row.def_hash) != (subject.server_fp, subject.def_hash)
