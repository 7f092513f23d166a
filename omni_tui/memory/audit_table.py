"""The audit of a session: who or what decided on which bytes, and what came of it.

An entry is written in the transaction of its event, so it costs no further flush and cannot be missing.
Each entry carries a keyed hash (HMAC-SHA-256) of itself and of the entry before: an entry that was edited,
moved or removed breaks the chain. The end of the chain is sealed in the session's facts, so that entries
cannot be cut off at the end either; and since each event of that kind has an entry (see `is_audited`), not
even together with an older copy of the seal.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from omni_tui.memory.crypto import SealBroken
from omni_tui.memory.sqlite import Transaction, Value
from omni_tui.protocol import AnyEvent
from omni_tui.protocol import events as e
from omni_tui.protocol.calls import CallDeferred, CallEdited
from omni_tui.protocol.plan import PlanDecided, PlanProposed
from omni_tui.protocol.rules import RuleAdded, RuleRevoked
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened

HEAD = "audit"
"""The session's fact that holds the end of the chain, sealed."""
_INSERT = f"INSERT INTO audit VALUES ({', '.join('?' * 16)})"
_LOST = "lost"
"""Stands for the hash of an entry whose place in the chain is not known any more."""
_DETAIL = 2_000
"""Characters of a reason or of feedback that an entry keeps."""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry.

    `entry` counts from 1, `event` is the number of the journal's event, `ts` in Unix seconds. `actor` is
    who or what acted, such as `user`, `user (by hand)`, `rule:ID`, `mode`, `headless`, `timeout`, `repeat`
    (rejected twice before), `stop`, `restart`, `agent`, `server`, `cache` or `gate`; `protocol.deciders`
    has the words. `subject` is the id of
    the call, plan, server request or rule. The hashes are those of the server's way to start, of the
    tool's definition and of the exact arguments (keyed, so they tell nothing without the key); for a plan
    or a server request `args_hash` is the digest of what was shown; of an answer to a server request it is
    that of what was sent, and `def_hash` that of what was shown. `detail` are reasons or feedback, of a
    rule its place.
    """

    entry: int
    event: int
    ts: float
    action: str
    actor: str = ""
    subject: str = ""
    attempt: int = 0
    server: str = ""
    tool: str = ""
    server_fp: str = ""
    def_hash: str = ""
    args_hash: str = ""
    state: str = ""
    detail: str = ""


class AuditFault(msgspec.Struct, frozen=True, kw_only=True):
    """The first entry at which a chain is broken, and how."""

    entry: int
    what: str


class _Act(msgspec.Struct, frozen=True, kw_only=True):
    """What an event means for the audit. The hashes are only set where no call is concerned."""

    action: str
    actor: str
    subject: str = ""
    state: str = ""
    detail: str = ""
    server: str = ""
    def_hash: str = ""
    args_hash: str = ""
    attempt: int = 0


class _CallFacts(NamedTuple):
    """What an entry says of its call beside what happened to it."""

    server: str
    tool: str
    server_fp: str
    def_hash: str
    args_hash: str
    attempt: int


class AuditHead(NamedTuple):
    """The end of a chain: the number and the hash of its last entry, `(0, "")` before the first.

    The events after number `since` have entries; those before are older than the audit, or copies of
    another session's. None: an older version wrote the seal and did not say.
    """

    entry: int
    mac: str
    since: int | None = None


class AuditChain:
    """The end of a session's chain, in memory. Used by the thread that owns the session's database."""

    def __init__(self, tx: Transaction) -> None:
        """Continue the chain in the file. Where its end is lost, the next entry shows it as broken."""
        last = last_entry(tx)
        try:
            head = read_head(tx)
        except (SealBroken, ValueError):
            head = AuditHead(0, _LOST)
        if head.entry < last:
            head = AuditHead(last, _LOST, head.since)
        if head.since is None:
            (events,) = tx.execute("SELECT ifnull(max(seq), 0) FROM events").fetchone()
            head = head._replace(since=int(events))
        self.end = head
        self._stored = head

    def skip(self, event: int) -> None:
        """Take note that an event is a copy, whose entry is in the audit of another session."""
        self.end = self.end._replace(since=event)

    def record(self, tx: Transaction, events: Iterable[AnyEvent]) -> None:
        """Add the entries of events that decide something or tell what came of it.

        Called once for all events of a change, in their transaction, after their change in the table of
        calls.
        """
        rows, calls, end = [], dict[str, _CallFacts | None](), self.end
        for event in events:
            act = _act(event)
            if act is None:
                continue
            if act.subject not in calls:
                calls[act.subject] = _call(tx, act.subject)
            number, previous = end.entry + 1, end.mac
            fields = _fields(number, event, act, calls[act.subject])
            detail = b""
            if act.detail:
                detail = tx.seal(act.detail[:_DETAIL].encode(), f"audit/{number!r}/detail")
            mac = _mac(tx, fields, detail, previous)
            rows.append((*fields, detail, previous, mac))
            end = AuditHead(number, mac, end.since)
        if rows:
            tx.execute_many(_INSERT, rows)
            self.end = end

    def store(self, tx: Transaction) -> None:
        """Write the end of the chain, in the transaction of the entries."""
        if self.end != self._stored:
            sealed = tx.seal(json.dumps(self.end).encode(), f"meta/{HEAD}")
            if not tx.execute("UPDATE meta SET value = ? WHERE name = ?", (sealed, HEAD)).rowcount:
                tx.execute("INSERT INTO meta VALUES (?, ?)", (HEAD, sealed))
            self._stored = self.end


def is_audited(event: AnyEvent) -> bool:
    """Whether an event has an entry in the audit of its session."""
    return _act(event) is not None


def _act(event: AnyEvent) -> _Act | None:
    return _of_call(event) or _of_plan(event) or _of_request(event) or _of_session(event)


def _of_call(event: AnyEvent) -> _Act | None:
    match event:
        case e.CallProposed():
            return _Act(action="proposed", actor=event.origin, subject=event.call, attempt=1)
        case e.ApprovalRequested():
            return _Act(
                action="asked", actor="gate", subject=event.call, state="held" if event.held else "pending",
                detail="; ".join(event.why),
            )  # fmt: skip
        case e.CallChanged():
            return _Act(
                action=_decision(event), actor=event.decider, subject=event.call, state=event.state,
                detail=event.feedback or event.reason, attempt=event.attempt,
            )  # fmt: skip
        case CallEdited():
            return _Act(
                action="edited", actor="user", subject=event.call, state="pending",
                detail=f"the arguments before: {event.before}",
            )  # fmt: skip
        case CallDeferred():
            return _Act(action="deferred", actor="user", subject=event.call, state="pending")
        case e.CallFinished():
            actor = "server" if event.cached_s is None else "cache"
            return _Act(
                action="finished", actor=actor, subject=event.call, state=event.state, detail=event.reason,
                attempt=event.attempt,
            )  # fmt: skip
        case e.CallRound():
            return _Act(
                action="round", actor="server", subject=event.call, detail=f"round {event.round}",
                attempt=event.attempt,
            )  # fmt: skip
        case e.AttemptRefused() | e.AttemptFailed():
            return _Act(
                action="attempt failed", actor="server", subject=event.call, detail=event.reason,
                attempt=event.attempt,
            )  # fmt: skip
        case _:
            return None


def _decision(event: e.CallChanged) -> str:
    """Return a decision on a call in words, a different one for each kind."""
    words = f"{event.state} in a batch of {event.batch}" if event.batch else event.state
    return f"{words} with feedback" if event.state == "rejected" and event.feedback else words


def _of_plan(event: AnyEvent) -> _Act | None:
    match event:
        case PlanProposed() if event.former:
            return _Act(
                action="plan edited", actor="user", subject=event.plan, args_hash=event.digest,
                detail=f"the plan before: {event.former}",
            )  # fmt: skip
        case PlanProposed():
            return _Act(action="plan proposed", actor="agent", subject=event.plan, args_hash=event.digest)
        case PlanDecided():
            return _Act(
                action=f"plan {event.verdict}",
                actor=event.decider,
                subject=event.plan,
                args_hash=event.digest,
                detail=event.feedback,
            )
        case _:
            return None


def _of_request(event: AnyEvent) -> _Act | None:
    match event:
        case ServerRequestOpened() if event.former:
            done = "accepted" if event.stage == "answering" else "edited"
            return _Act(
                action=f"{event.kind} request {done}", actor="user", subject=event.ask, server=event.server,
                state=event.stage, args_hash=event.digest, detail=f"what was shown before: {event.former}",
            )  # fmt: skip
        case ServerRequestOpened():
            asks = "model" if event.stage == "review" else "server"
            return _Act(
                action=f"{event.kind} request", actor=asks, subject=event.ask, server=event.server,
                state=event.stage, args_hash=event.digest,
            )  # fmt: skip
        case ServerRequestClosed():
            return _Act(
                action="request closed", actor=event.decider, subject=event.ask, state=event.outcome,
                def_hash=event.shown, args_hash=event.sent, detail=event.reason,
            )  # fmt: skip
        case _:
            return None


def _of_session(event: AnyEvent) -> _Act | None:
    match event:
        case e.ModeChanged():
            return _Act(action="mode", actor="user", state=event.mode)
        case e.SessionOpened():
            return _Act(action="session opened", actor="user", state=event.mode)
        case e.SessionBranched():
            return _Act(action="session branched", actor="user", subject=event.origin, detail=event.turn)
        case RuleAdded():
            return _Act(
                action="rule added", actor="user", subject=event.id, state=event.scope, detail=event.place
            )
        case RuleRevoked():
            return _Act(
                action="rule revoked", actor="user", subject=event.id, state=event.scope, detail=event.place
            )
        case _:
            return None


def _call(tx: Transaction, subject: str) -> _CallFacts | None:
    found = tx.execute(
        "SELECT server, tool, server_fp, def_hash, args_hash, attempt FROM calls WHERE call = ?", (subject,)
    ).fetchone()
    return _CallFacts(*found) if found else None


def _fields(number: int, event: AnyEvent, act: _Act, call: _CallFacts | None) -> tuple[Value, ...]:
    """Return the fields of an entry in their order, without its detail; `call` is None if it is of none."""
    facts = call if call is not None else _CallFacts(act.server, "", "", act.def_hash, act.args_hash, 0)
    return (
        number,
        event.seq,
        event.ts,
        act.action,
        act.actor,
        act.subject,
        act.attempt or facts.attempt,
        facts.server,
        facts.tool,
        facts.server_fp,
        facts.def_hash,
        facts.args_hash,
        act.state,
    )


def _mac(tx: Transaction, fields: Sequence[Value], detail: bytes, previous: str) -> str:
    signed = [*fields, detail.hex(), previous]
    return tx.digest(json.dumps(signed, ensure_ascii=True).encode(), "audit")


def read_head(tx: Transaction) -> AuditHead:
    """Return the end of the chain as it was sealed.

    Raises `SealBroken` or `ValueError` if it was altered.
    """
    found = tx.execute("SELECT value FROM meta WHERE name = ?", (HEAD,)).fetchone()
    if found is None:
        return AuditHead(0, "")
    count, mac, *since = json.loads(tx.open(found[0], f"meta/{HEAD}"))
    return AuditHead(int(count), str(mac), int(since[0]) if since else None)


def entries(tx: Transaction, after: int = 0) -> Iterator[AuditEntry]:
    """Yield the entries after number `after`, oldest first. A detail that cannot be read says so."""
    for row in tx.execute("SELECT * FROM audit WHERE entry > ? ORDER BY entry", (after,)):
        yield _read(tx, row)


def newest(tx: Transaction, before: int = 0) -> Iterator[AuditEntry]:
    """Yield the entries before number `before` (0: all of them), newest first."""
    until = before or last_entry(tx) + 1
    for row in tx.execute("SELECT * FROM audit WHERE entry < ? ORDER BY entry DESC", (until,)):
        yield _read(tx, row)


def last_entry(tx: Transaction) -> int:
    """Return the number of the last entry, 0 if there is none."""
    (last,) = tx.execute("SELECT ifnull(max(entry), 0) FROM audit").fetchone()
    return int(last)


def _read(tx: Transaction, row: tuple[Value, ...]) -> AuditEntry:
    *fields, sealed, _, _ = row
    try:
        detail = tx.open(sealed, f"audit/{fields[0]!r}/detail").decode() if sealed else ""
    except SealBroken:
        detail = "(cannot be read)"
    return msgspec.convert(
        {**dict(zip(AuditEntry.__struct_fields__, fields, strict=False)), "detail": detail}, AuditEntry
    )


def has_audit(tx: Transaction) -> bool:
    """Whether the session has an audit: older versions wrote none."""
    return bool(tx.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit'").fetchone())


def mac_of(tx: Transaction, entry: int) -> str | None:
    """Return the hash of an entry, None if there is no such entry."""
    found = tx.execute("SELECT mac FROM audit WHERE entry = ?", (entry,)).fetchone()
    return str(found[0]) if found else None


def first_fault(tx: Transaction) -> AuditFault | None:
    """Check the whole chain. Return the first entry that is missing, altered or out of place."""
    expected, previous = 1, ""
    for row in tx.execute("SELECT * FROM audit ORDER BY entry"):
        number, *_, detail, before, mac = row
        if number != expected:
            return AuditFault(entry=expected, what="it is missing")
        if before != previous or not hmac.compare_digest(_mac(tx, row[:-3], detail, previous), mac):
            return AuditFault(entry=number, what="it was altered, or is not the one that was written here")
        expected, previous = number + 1, mac
    try:
        count, mac, _ = read_head(tx)
    except (SealBroken, ValueError):
        return AuditFault(entry=expected - 1, what="the end of the audit was altered")
    if count >= expected:
        return AuditFault(entry=expected, what=f"it is missing, with all after it (there were {count})")
    if (count, mac) != (expected - 1, previous):
        return AuditFault(entry=count + 1, what="it was not written by this program")
    return None
