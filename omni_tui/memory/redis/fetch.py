"""Sessions in Redis, listed and fetched into a journal here, so that they go on on this machine.

Fetching takes a session over: whoever had it can no longer write it in Redis, and says so there. Nothing is
sent to any server. What may have been sent is uncertain here; other approved calls wait again. No call
waits at two places: what waits where the session is open may be approved there, and is uncertain here.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from omni_tui.config.redis_address import RedisAddress
from omni_tui.memory import call_table
from omni_tui.memory.call_table import CallRow
from omni_tui.memory.crypto import SealBroken, Sealer, Vault
from omni_tui.memory.journal import Journal
from omni_tui.memory.private_files import sync_dir
from omni_tui.memory.redis.client import connection, load_library
from omni_tui.memory.redis.layout import (
    CLAIM,
    FORMAT,
    INDEX,
    Entry,
    Info,
    MirroredCall,
    MirroredResult,
    as_text,
    events_key,
    facts_key,
    open_entry,
    open_info,
    run_script,
    seal_info,
)
from omni_tui.memory.redis.memory_key import IMPORT
from omni_tui.memory.redis.mirrored_rows import read_record
from omni_tui.memory.redis_claim import Claim, read_claim, write_claim
from omni_tui.memory.session_files import new_session_id, session_path
from omni_tui.memory.sqlite import JournalBroken, JournalBusy, Transaction
from omni_tui.memory.writer import OPEN_STATES
from omni_tui.protocol import AnyEvent, ProtocolError, decode_event
from omni_tui.protocol.events import CallChanged, CallFinished, CallProposed, CallState, ModeChanged
from omni_tui.security.text import safe

if TYPE_CHECKING:
    from redis.asyncio import Redis

_PAGE = 100
_ROOM = 3_000_000
"""Bytes that a page of entries may well have: they get the time to arrive."""
_NOT_SENT: tuple[CallState, ...] = ("pending", "held", "approved")
"""The open states in which nothing was sent."""
_MOST_AHEAD = 100_000
"""Events that may be there beyond what the sealed facts say: those are written again every few seconds."""
_DIGITS = 18
_HARMED = "somebody changed it there"
_TAKE = 500
"""Events that are written together into a new journal."""


class FetchRefused(Exception):
    """A session cannot be fetched; the text says why and what to do. Nothing has changed."""


@dataclass(frozen=True, slots=True)
class RemoteSession:
    """A session in Redis. `info` is None where its key is not here; then `why` says so."""

    id: str
    events: int
    info: Info | None
    why: str = ""


@dataclass(slots=True)
class FetchReport:
    """What fetching did.

    `session` is its id here. `events` are in the journal now, `new` of them were fetched. `trimmed`: how
    many of the first ones were not in Redis any more. `unreadable`: the numbers of others that could not be
    read. `uncertain` calls were being sent elsewhere, `waiting` ones wait for the person. `info` is what
    Redis said of the session.
    """

    session: str
    info: Info
    events: int = 0
    new: int = 0
    trimmed: int = 0
    unreadable: list[int] = field(default_factory=list)
    uncertain: int = 0
    waiting: int = 0


@dataclass(slots=True)
class _Facts:
    owner: str
    epoch: int
    gen: str
    head: int
    info: Info


async def list_remote(address: RedisAddress, sealers: dict[str, Sealer]) -> list[RemoteSession]:
    """Return the sessions in Redis, last used first, those with another key last. Raises `RedisTrouble`."""
    await asyncio.to_thread(load_library)
    found: list[RemoteSession] = []
    async with connection(address, size=_ROOM) as redis:
        known: Any = await redis.hgetall(INDEX)
        for key in known:
            session = as_text(key)
            version, head, info = await redis.hmget(facts_key(session), "v", "head", "info")
            if version is None:  # its time to live is over
                await redis.hdel(INDEX, session)
                continue
            try:
                if as_text(version) != FORMAT:
                    raise FetchRefused("it was written by another version of Omni TUI")
                shown, why = _open_info(sealers, session, info), ""
                events = _head(head, shown)
            except FetchRefused as refused:
                shown, why, events = None, str(refused), 0
            found.append(RemoteSession(session, events, shown, why))
    return sorted(found, key=lambda each: each.info.updated if each.info else 0.0, reverse=True)


async def fetch_session(
    address: RedisAddress,
    sealers: dict[str, Sealer],
    session: str,
    state_dir: Path,
    vault: Vault,
    *,
    copy: bool = False,
) -> FetchReport:
    """Fetch what a session has in Redis and not here, and take it over.

    With `copy` it becomes another session here, and whoever has it keeps it; what is open in it is closed
    in the copy, as in a branch. Raises `FetchRefused`, `RedisTrouble`, `ValueError` for an invalid id,
    `OSError`.
    """
    session_path(state_dir, session)
    await asyncio.to_thread(load_library)
    ident = new_session_id() if copy else session
    path = session_path(state_dir, ident)
    here = await asyncio.to_thread(path.exists)
    target = path if here else path.with_name(f".fetched-{ident}.db")
    if not here:
        await asyncio.to_thread(_remove, target)
    async with connection(address, size=_ROOM) as redis:
        await _facts(redis, sealers, session)  # before a file is made
        try:
            journal = await Journal.open(target, ident, vault, _ignore)
        except (JournalBusy, JournalBroken) as error:
            raise FetchRefused(str(error)) from error
        try:
            report = await _Fetching(redis, sealers, session, journal, vault).run()
        except BaseException:
            await _close(journal)
            if not here:
                await asyncio.to_thread(_remove, target)
            raise
        try:
            await journal.close(clean=True)
        except JournalBroken as error:
            if not here:
                await asyncio.to_thread(_remove, target)
            raise FetchRefused(f"{error}; fetch it again") from error
    if not here:
        await asyncio.to_thread(_put_in_place, target, path)
    return report


class _Fetching:
    """The work of one fetch: entries into the journal, the session taken over."""

    def __init__(
        self, redis: Redis, sealers: dict[str, Sealer], session: str, journal: Journal, vault: Vault
    ) -> None:
        self._redis = redis
        self._sealers = sealers
        self._session = session
        self._journal = journal
        self._vault = vault
        self._copy = journal.session != session
        self._ours = False
        """Whether this journal had the session in Redis before: then it is open nowhere else."""
        self._old = journal.head
        """The last event that was here before."""
        self._events: list[AnyEvent] = []
        self._lost: list[int] = []
        self._all_lost: list[int] = []
        self._last_ts = 1.0
        self._results: list[MirroredResult] = []
        self._rows: dict[str, MirroredCall] = {}
        self._states: dict[str, tuple[int, CallState]] = {}
        """The last known state of each call, with the number of the event that says so."""
        self._next = journal.head + 1

    async def run(self) -> FetchReport:
        facts = await _facts(self._redis, self._sealers, self._session)
        report = FetchReport(self._journal.session, facts.info)
        noted = await self._journal.run(read_claim)
        self._ours = facts.owner in noted.names
        await self._check_common(facts)
        await self._read_to(facts, facts.head)
        if self._copy:
            await self._finish(facts, None, report)
            return report
        name = secrets.token_hex(8)
        kept, epoch, gen, head, _ = await run_script(
            self._redis, self._session, CLAIM, FORMAT, name, facts.epoch, facts.gen, "", facts.owner
        )
        if kept != 1 or as_text(gen) != facts.gen:
            raise FetchRefused("the session was taken over by another machine just now; try again")
        await self._read_to(facts, _head(head, facts.info))  # nobody else writes any more
        if not self._old and not self._journal.head and not self._events:
            raise FetchRefused(f"Redis has no events of session {self._session}")
        await self._finish(facts, Claim(epoch=int(epoch), names=(name,)), report)
        mine = msgspec.structs.replace(
            facts.info, machine=platform.node() or "another machine", updated=time.time(), open=False
        )
        sealed = seal_info(next(iter(self._sealers.values())), self._session, mine)
        await self._redis.hset(facts_key(self._session), "info", sealed)
        return report

    async def _check_common(self, facts: _Facts) -> None:
        """Raise `FetchRefused` if this journal went on by itself: it does not begin what is there."""
        last = min(self._old, facts.head)
        if not last:
            return
        found: Any = await self._redis.xrange(events_key(self._session), f"{last}-0", f"{last}-0")
        if not found:
            return  # trimmed there; the gap is reported
        there = open_entry(self._sealers, self._session, facts.gen, last, found[0][1][b"e"]).event
        if await self._journal.run(lambda tx: read_record(tx, last)) != there:
            raise FetchRefused(
                f"this session went on here and at {facts.info.machine}, each by itself, and event "
                f"{last} is not the same any more; both are kept as they are. To have the other one here "
                f"as a session of its own: omni-tui sessions resume --copy {self._session}"
            )

    async def _read_to(self, facts: _Facts, head: int) -> None:
        """Read the entries up to a number; what is missing or unreadable is lost."""
        async for seq, sealed in _entries(self._redis, self._session, self._next, head):
            self._lose_up_to(seq - 1)
            try:
                entry = open_entry(self._sealers, self._session, facts.gen, seq, sealed)
                if entry.lost:
                    raise SealBroken(entry.lost)
                event = decode_event(entry.event)
            except (SealBroken, ProtocolError):
                self._lose_up_to(seq)
                continue
            self._take(event, entry)
            if not self._old and len(self._events) >= _TAKE:
                await self._write_events()
        self._lose_up_to(head)

    def _lose_up_to(self, seq: int) -> None:
        while self._next <= seq:
            self._lost.append(self._next)
            # It keeps the number, and its row is emptied.
            self._events.append(ModeChanged(mode="chat", ts=self._last_ts))
            self._next += 1

    def _take(self, event: AnyEvent, entry: Entry) -> None:
        seq = self._next
        self._events.append(event)
        self._next += 1
        self._last_ts = event.ts
        if entry.call is not None:
            before = self._rows.get(entry.call.call)
            row = entry.call
            if row.args is None and before is not None and before.args_hash == row.args_hash:
                row = msgspec.structs.replace(row, args=before.args)
            self._rows[row.call] = row
        if entry.result is not None:
            self._results.append(entry.result)
        if isinstance(event, CallProposed):
            self._states[event.call] = seq, "pending"
        elif isinstance(event, CallChanged):
            self._states[event.call] = seq, event.state
        elif isinstance(event, CallFinished):
            self._states[event.call] = seq, "cached" if event.cached_s is not None else event.state

    async def _write_events(self) -> None:
        """Write what was read so far into a journal that nobody sees before it is whole."""
        events, lost, results = self._events, self._lost, self._results
        self._events, self._results, self._lost = [], [], []
        self._all_lost += lost
        await self._journal.adopt(events, lambda tx: _write_read(tx, lost, results))

    async def _finish(self, facts: _Facts, claim: Claim | None, report: FetchReport) -> None:
        """Write the rest, the calls, and who this journal is in Redis now, all or nothing."""
        lost, results = self._lost, self._results
        self._all_lost += lost
        trimmed = 0
        while trimmed < len(self._all_lost) and self._all_lost[trimmed] == self._old + trimmed + 1:
            trimmed += 1
        begins = None if self._old else facts.info

        def write(tx: Transaction) -> list[CallChanged]:
            _write_read(tx, lost, results)
            if claim is not None:
                write_claim(tx, claim)
            if begins is not None:
                tx.execute("UPDATE meta SET value = ? WHERE name = 'created'", (begins.created,))
            if begins is not None and trimmed:
                title = tx.seal(begins.title.encode("utf-8", "replace"), "meta/title")
                tx.execute("INSERT OR REPLACE INTO meta VALUES ('title', ?)", (title,))
            elsewhere = facts.info.open and not self._ours and not self._copy
            for row in call_table.open_calls(tx) if self._all_lost or elsewhere else ():
                if row.state in _NOT_SENT:  # what is lost, or not in Redis yet, may have told more of it
                    self._states.setdefault(row.call, (self._old, row.state))
            written = [self._write_call(tx, call, is_open=facts.info.open) for call in self._states]
            return [change for change in written if change is not None]

        changes: list[CallChanged] = []
        await self._journal.adopt(self._events, lambda tx: changes.extend(write(tx)))
        if changes:
            await self._journal.commit(*changes)
        report.events = self._journal.head
        report.new = report.events - self._old - len(changes)
        report.trimmed, report.unreadable = trimmed, self._all_lost[trimmed:]
        report.uncertain = sum(change.state == "uncertain" for change in changes)
        report.waiting = await self._journal.run(lambda tx: len(call_table.open_calls(tx)))

    def _write_call(self, tx: Transaction, call: str, *, is_open: bool) -> CallChanged | None:
        """Write a call as it is here now; return the event of a change that fetching makes."""
        try:
            before = call_table.load(tx, call)
        except SealBroken:
            before = None
        stored = self._rows.get(call)
        args = b"" if before is None else before.args
        lacks_args = False
        if stored is not None:
            lacks_args = stored.args is None and before is None
            row = _row(stored, args if stored.args is None else stored.args, self._vault)
        elif before is not None:
            row = before
        else:
            return None  # it was proposed in what is lost, and belongs to that
        seq, known = self._states[call]
        # What this machine's own journal says of a call is not behind, unless another one had it since.
        told_open = is_open and (seq > self._old or not self._ours)
        sent = self._may_be_sent(seq, known, is_open=told_open)
        state, reason = self._state_here(known, sent=sent, lacks_args=lacks_args)
        tx.execute("DELETE FROM calls WHERE call = ?", (call,))
        row = replace(row, state=state, nonce="")
        (call_table.insert if state in OPEN_STATES else call_table.adopt)(tx, row)
        if not reason:
            return None
        return CallChanged(
            call=call, state=state, decider="restart", reason=safe(reason), attempt=row.attempt
        )

    def _may_be_sent(self, seq: int, state: CallState, *, is_open: bool) -> bool:
        """Whether a call, last known of by an event, may have been sent since without a word here.

        Where the session is open, that may happen at any time, also after this. (In a copy what waits is
        cancelled in any case.)
        """
        lost_since = bool(self._all_lost) and self._all_lost[-1] > seq
        may_yet = is_open and (state == "approved" or not self._copy)
        return state in _NOT_SENT and (lost_since or may_yet)

    def _state_here(self, state: CallState, *, sent: bool, lacks_args: bool) -> tuple[CallState, str]:
        """Return what fetching makes of a state, and why ("" if nothing)."""
        if sent:
            return (
                "uncertain",
                "it may or may not have been sent where this session was open, or may be sent there yet: "
                "what happened next is not in Redis",
            )
        if state == "dispatching":
            return "uncertain", "another machine was running this; it may or may not have happened"
        if state in _NOT_SENT and self._copy:
            return "cancelled", "this is a copy; where it was fetched from, it may still wait"
        if state in _NOT_SENT and lacks_args:
            return "cancelled", "its arguments are not in Redis any more; nothing was sent from here"
        if state == "approved":
            return "pending", "you approved this on another machine; confirm it again"
        return state, ""


def _write_read(tx: Transaction, lost: Sequence[int], results: Sequence[MirroredResult]) -> None:
    for seq in lost:
        tx.execute("UPDATE events SET body = zeroblob(0) WHERE seq = ?", (seq,))
    for result in results:
        if not call_table.get_result(tx, result.call, result.attempt):
            call_table.put_result(tx, result.call, result.attempt, result.data)


def _row(stored: MirroredCall, args: bytes, vault: Vault) -> CallRow:
    """Return a call for the table here; hashes of arguments are keyed by the installation."""
    return CallRow(
        call=stored.call,
        turn=stored.turn,
        step=stored.step,
        agent=stored.agent,
        origin=stored.origin,
        server=stored.server,
        tool=stored.tool,
        server_fp=stored.server_fp,
        def_hash=stored.def_hash,
        args=args,
        args_hash=vault.digest(args),
        state="cancelled",
        attempt=stored.attempt,
        decider=stored.decider,
        provider_call_id=stored.provider_call_id,
        created=stored.created,
    )


async def _facts(redis: Redis, sealers: dict[str, Sealer], session: str) -> _Facts:
    """Return who has a session in Redis, and how far. Raises `FetchRefused`."""
    found: Any = await redis.hmget(facts_key(session), "v", "owner", "epoch", "gen", "head", "info")
    version, owner, epoch, gen, head, info = found
    if version is None:
        raise FetchRefused(f"Redis has no session {session}; it was never there, or its time there is over")
    if as_text(version) != FORMAT:
        raise FetchRefused(
            "another version of Omni TUI wrote this session to Redis; update, then try again"
        )
    shown = _open_info(sealers, session, info)
    return _Facts(as_text(owner), _number(epoch), as_text(gen), _head(head, shown), shown)


def _head(value: Any, info: Info) -> int:
    """Return the number of the last event, which is not sealed: `info` is. Raises `FetchRefused`."""
    head = _number(value)
    if head > info.events + _MOST_AHEAD:
        raise FetchRefused(
            f"Redis says that it has {head} events, and {info.events} were written; {_HARMED}"
        )
    return head


def _number(value: Any) -> int:
    """Return a number that Redis has in clear. Raises `FetchRefused`."""
    text = as_text(value)
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise FetchRefused(f"Redis has no number where one belongs; {_HARMED}")
    return int(text)


def _open_info(sealers: dict[str, Sealer], session: str, sealed: Any) -> Info:
    """Return what a list shows. Raises `FetchRefused` for another key."""
    key = Sealer.key_id(sealed or b"")
    if sealed and key not in sealers:
        raise FetchRefused(
            f"it was written with another key ({key}); export that where it was made, and bring it with "
            f"`{IMPORT}`"
        )
    try:
        return open_info(sealers, session, sealed or b"")
    except SealBroken as error:
        raise FetchRefused(f"what Redis says of session {session} cannot be read: {error}") from error


async def _entries(redis: Redis, session: str, first: int, head: int) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the entries from number `first` to `head`, in order, without those that are missing."""
    after = f"{first - 1}-0"
    while True:
        page: Any = await redis.xrange(events_key(session), f"({after}", f"{head}-0", count=_PAGE)
        for ident, values in page:
            after = as_text(ident)
            seq, _, part = after.partition("-")
            if part == "0":  # no other entry is from a mirror
                yield int(seq), values.get(b"e", b"")
        if len(page) < _PAGE:
            return


async def _close(journal: Journal) -> None:
    with contextlib.suppress(JournalBroken):
        await journal.close(clean=True)


def _ignore(_events: Sequence[AnyEvent]) -> None:
    """Nobody listens to a session before it is opened."""


def _remove(target: Path) -> None:
    for each in target.parent.glob(f"{target.stem}.*"):
        each.unlink(missing_ok=True)


def _put_in_place(target: Path, path: Path) -> None:
    """Give a fetched session its name, its lock's file first: without the file that means nothing."""
    log = target.with_name(f"{target.name}-wal")
    if log.exists() and log.stat().st_size:  # what is in it would be lost with its name
        raise OSError(f"what was fetched is not whole in {target}")
    lock = target.with_suffix(".lock")
    if lock.exists():
        lock.replace(path.with_suffix(".lock"))
    target.replace(path)
    sync_dir(path.parent)
