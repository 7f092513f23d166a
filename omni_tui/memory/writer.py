"""The thread that owns a session's database: it takes jobs from a queue and commits them in groups.

Urgent jobs are committed at once, with everything in the queue, so that many callers share one flush of
the disk. Posted events wait up to 50 ms for others.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.private_files import FileLock, private_dir, read_private
from omni_tui.memory.sqlite import Database, JournalBroken, JournalBusy, Transaction, is_fatal, reason
from omni_tui.protocol import AnyEvent, encode_record
from omni_tui.protocol.events import SessionOpened, SessionTitled

logger = logging.getLogger(__name__)

GROUP_SECONDS = 0.05
_GROUP_MAX = 1000
_IDLE_SECONDS = 1.0
_INFO_SECONDS = 1.0
_LOCK_WAIT = 0.5
OPEN_STATES = ("pending", "held", "approved", "dispatching")
"""Call states that are not final."""

JobFuture = asyncio.Future[object]


@dataclass(frozen=True, slots=True)
class AppendJob:
    """Events and their change, committed together. `adopted` events keep their times."""

    events: tuple[AnyEvent, ...]
    change: Callable[[Transaction], object] | None
    answer: JobFuture | None
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class TransactionJob:
    """A function to run in its own transaction."""

    question: Callable[[Transaction], object]
    answer: JobFuture


@dataclass(frozen=True, slots=True)
class CloseJob:
    """The last job. `clean`: nothing in the session is open."""

    clean: bool
    answer: JobFuture


JournalJob = AppendJob | TransactionJob | CloseJob


@dataclass(frozen=True, slots=True)
class OpenedJournal:
    """What opening found: the last event's number, a crash, and damage ("" if there is none)."""

    head: int
    crashed: bool
    damage: str = ""


@dataclass(frozen=True, slots=True)
class JobResult:
    """How one job ended: the value or the exception for its caller."""

    answer: JobFuture | None
    value: object = None
    error: BaseException | None = None


class JournalListener(Protocol):
    """Receives reports of the writer, in the event loop's thread."""

    def committed(self, events: Sequence[AnyEvent], head: int, settled: Sequence[JobResult]) -> None:
        """These events are on disk, in this order."""

    def broke(self, why: str) -> None:
        """Nothing can be written any more."""


class JournalWriter(threading.Thread):
    """Owns the lock, connection and numbering of one session. A daemon: what it acknowledged is on disk."""

    def __init__(
        self,
        path: Path,
        session: str,
        vault: Vault,
        loop: asyncio.AbstractEventLoop,
        listener: JournalListener,
    ) -> None:
        super().__init__(name=f"journal {session[:8]}", daemon=True)
        self._path = path
        self._session = session
        self._vault = vault
        self._loop = loop
        self._listener = listener
        self._lock = FileLock(path.with_suffix(".lock"))
        self._jobs: queue.SimpleQueue[JournalJob] = queue.SimpleQueue()
        self._held: JournalJob | None = None
        self._database: Database
        self._head = 0
        self._broken = ""
        self._title = ""
        self._renamed = False
        self._told = 0.0
        self._moment = 0.0
        self._expected = 0
        self._dirty = False
        self.opened: asyncio.Future[OpenedJournal] = loop.create_future()
        """The result of opening; or `JournalBusy`, `JournalBroken`, `OSError`."""

    def put(self, job: JournalJob) -> None:
        """Queue a job."""
        self._jobs.put(job)

    # --- the thread -----------------------------------------------------------------------------

    def run(self) -> None:
        """Open, work until `CloseJob`, close."""
        try:
            self._open()
        except Exception as error:
            self._lock.release(remove=not self._path.exists())
            self._call(_open_with, self.opened, error)
            return
        self._call(
            _open_with, self.opened, OpenedJournal(self._head, self._database.crashed, self._damage())
        )
        while not isinstance(job := self._next(), CloseJob):
            try:
                if isinstance(job, TransactionJob):
                    self._ask(job)
                else:
                    self._commit(self._gather(job))
            except Exception as error:
                # Only `CloseJob` may end this thread: callers would wait for ever.
                self._break(error)
        self._close(job)

    def _open(self) -> None:
        private_dir(self._path.parent)
        if not self._lock.acquire(_LOCK_WAIT):
            raise JournalBusy(
                f"session {self._session} is open in another omni-tui; "
                "close it there, or start a new session"
            )
        self._expected = event_count_in_lock(self._path.with_suffix(".lock"), self._session, self._vault)
        self._database = Database(self._path, self._session, self._vault)
        self._expected = max(self._expected, self._database.told())
        self._head = self._database.head()
        self._moment = self._database.last_moment()
        self._tell(force=True)

    def _damage(self) -> str:
        """Return what opening found damaged; a lost log shows in the number of events in the lock."""
        parts = [self._database.damage] if self._database.damage else []
        if self._head < self._expected:
            parts.append(
                f"the last {self._expected - self._head} of {self._expected} saved events are not in the "
                "file any more"
            )
        return ". ".join(parts)

    def _close(self, job: CloseJob) -> None:
        error: Exception | None = None
        clean = job.clean and not self._broken
        try:
            clean = clean and not count_open_calls(self._database.tx)
            if self._broken:
                self._database.abandon()
            else:
                self._database.close("clean" if clean else "parked")
        except sqlite3.Error as failed:
            clean = False
            error = JournalBroken(
                f"the session was not closed properly: {reason(failed)}. Nothing saved is lost"
            )
        self._lock.release(remove=clean)
        self._call(deliver_results, [JobResult(job.answer, error=error)])

    def _next(self) -> JournalJob:
        if self._held is not None:
            job, self._held = self._held, None
            return job
        if self._dirty:
            try:
                return self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                self._rest()
        return self._jobs.get()

    def _rest(self) -> None:
        """While idle, shorten the log and update the session's summary."""
        self._dirty = False
        if not self._broken:
            self._tell(force=True)
            try:
                self._database.checkpoint()
            except sqlite3.Error:
                # Nothing is lost: what was committed stays in the log.
                logger.warning("the log of session %s cannot be shortened", self._session, exc_info=True)

    def _gather(self, first: AppendJob) -> list[AppendJob]:
        """Return the jobs to commit together: all in the queue, and more while no caller waits."""
        batch = [first]
        urgent = first.answer is not None
        until = time.monotonic() + GROUP_SECONDS
        while len(batch) < _GROUP_MAX:
            try:
                job = (
                    self._jobs.get_nowait()
                    if urgent
                    else self._jobs.get(timeout=max(0.0, until - time.monotonic()))
                )
            except queue.Empty:
                break
            if not isinstance(job, AppendJob):
                self._held = job
                break
            batch.append(job)
            urgent = urgent or job.answer is not None
        return batch

    # --- writing --------------------------------------------------------------------------------

    def _commit(self, batch: list[AppendJob]) -> None:
        if self._broken:
            self._refuse(batch)
            return
        written: list[AnyEvent] = []
        settled: list[JobResult] = []
        run = self._database.connection.execute
        try:
            run("BEGIN IMMEDIATE")
            for job in batch:
                settled.append(self._append(job, written))
            run("COMMIT")
        except Exception as error:
            self._break(error)
            self._refuse(batch)
            return
        self._head += len(written)
        self._dirty = True
        if self._renamed:
            # A listener may list the sessions as soon as it gets the title; the rest may be a second late.
            self._tell(force=True)
        self._call(self._listener.committed, written, self._head, settled)
        self._tell()

    def _append(self, job: AppendJob, written: list[AnyEvent]) -> JobResult:
        """Write one job's events and its change, all or nothing; extends `written`."""
        database = self._database
        before = len(written)
        database.connection.execute("SAVEPOINT job")
        try:
            for event in job.events:
                seq = self._head + len(written) + 1
                written.append(self._insert(event, seq, event.ts if job.adopted else 0.0))
            value = job.change(database.tx) if job.change else None
        except Exception as error:
            if is_fatal(error) or not database.connection.in_transaction:
                raise
            del written[before:]
            database.connection.execute("ROLLBACK TO job")
            database.connection.execute("RELEASE job")
            if job.answer is None:
                logger.error("events could not be written down", exc_info=error)
            return JobResult(job.answer, error=error)
        database.connection.execute("RELEASE job")
        return JobResult(job.answer, value)

    def _insert(self, event: AnyEvent, seq: int, happened: float) -> AnyEvent:
        # A clock that is set back must not reverse the order.
        self._moment = max(self._moment, happened or time.time())
        event = msgspec.structs.replace(event, seq=seq, ts=self._moment, session=self._session)
        tx = self._database.tx
        body = tx.seal(encode_record(event), f"events/{seq}/body")
        tx.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
            (seq, event.ts, str(type(event).__struct_config__.tag), getattr(event, "call", ""), body),
        )
        if isinstance(event, SessionOpened | SessionTitled):
            self._database.set_meta("title", tx.seal(event.title.encode("utf-8", "replace"), "meta/title"))
            self._renamed = True
        return event

    def _ask(self, job: TransactionJob) -> None:
        run = self._database.connection.execute
        try:
            run("BEGIN")
            value = job.question(self._database.tx)
            run("COMMIT")
        except Exception as error:
            if is_fatal(error) and not self._broken:
                self._break(error)
            else:
                self._undo()
            failed = JournalBroken(self._broken) if is_fatal(error) else error
            self._call(deliver_results, [JobResult(job.answer, error=failed)])
        else:
            self._call(deliver_results, [JobResult(job.answer, value)])

    def _break(self, error: Exception) -> None:
        """Stop writing for good. What was not acknowledged was not done."""
        logger.error("session %s can no longer be written", self._session, exc_info=error)
        self._broken = (
            f"the session can no longer be saved: {reason(error)}. Nothing more is sent to servers. "
            f"Free space or repair {self._path.parent}, then open the session again"
        )
        self._undo()
        try:
            self._database.freeze()
        except sqlite3.Error:
            logger.warning("the database could not be made read-only", exc_info=True)
        self._call(self._listener.broke, self._broken)

    def _undo(self) -> None:
        try:
            if self._database.connection.in_transaction:
                self._database.connection.execute("ROLLBACK")
        except sqlite3.Error:
            logger.warning("a broken transaction could not be rolled back", exc_info=True)

    def _refuse(self, batch: list[AppendJob]) -> None:
        self._call(
            deliver_results, [JobResult(job.answer, error=JournalBroken(self._broken)) for job in batch]
        )

    # --- telling others -------------------------------------------------------------------------

    def _tell(self, *, force: bool = False) -> None:
        """Write the session's summary into the lock file, for lists of sessions while this one is open."""
        now = time.monotonic()
        if not force and now - self._told < _INFO_SECONDS:
            return
        renamed, self._told, self._renamed = self._renamed, now, False
        try:
            if renamed or force:
                self._title = read_title(self._database.tx)
            info = {
                "title": self._title,
                "created": self._database.created(),
                "updated": time.time(),
                "events": self._head,
                "open_calls": count_open_calls(self._database.tx),
            }
            sealed = self._vault.seal(json.dumps(info).encode(), f"info of {self._session}")
            self._lock.write(f"{os.getpid()}\n{sealed.hex()}\n".encode())
        except (OSError, sqlite3.Error):
            # Only a list of sessions is out of date; callers of `commit` must still get their answers.
            logger.warning("the summary of session %s cannot be written", self._session, exc_info=True)

    def _call(self, function: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            logger.debug("the loop ended before the journal")


def read_title(tx: Transaction) -> str:
    """Return the session's title, "" if it has none or it is damaged."""
    (sealed,) = tx.execute("SELECT value FROM meta WHERE name = 'title'").fetchone()
    try:
        return tx.open(sealed, "meta/title").decode() if sealed else ""
    except SealBroken:
        return ""


def count_open_calls(tx: Transaction) -> int:
    """Return how many calls are not in a final state."""
    marks = ", ".join("?" * len(OPEN_STATES))
    found = tx.execute(f"SELECT count(*) FROM calls WHERE state IN ({marks})", OPEN_STATES).fetchone()
    return int(found[0])


def read_lock_info(path: Path, session: str, vault: Vault) -> dict[str, Any]:
    """Return the summary in a session's lock file: `title`, `created`, `updated`, `events`, `open_calls`.

    Raises `OSError`, `SealBroken`, `ValueError`, `IndexError` if it cannot be read.
    """
    sealed = bytes.fromhex(read_private(path).split(b"\n")[1].decode())
    told: dict[str, Any] = json.loads(vault.unseal(sealed, f"info of {session}"))
    return told


def event_count_in_lock(path: Path, session: str, vault: Vault) -> int:
    """Return the number of events in a lock file, 0 if the session was closed or it is unknown."""
    try:
        return int(read_lock_info(path, session, vault)["events"])
    except (OSError, SealBroken, ValueError, LookupError, TypeError):
        return 0


def _open_with(answer: asyncio.Future[OpenedJournal], value: OpenedJournal | Exception) -> None:
    if answer.done():
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)


def deliver_results(settled: Sequence[JobResult]) -> None:
    """Give every caller its answer."""
    for each in settled:
        if each.answer is None or each.answer.done():
            continue
        if each.error is not None:
            each.answer.set_exception(each.error)
        else:
            each.answer.set_result(each.value)
