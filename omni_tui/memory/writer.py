"""The thread that owns a session's database.

It commits all jobs in its queue together, so that many callers share one flush of the disk.
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

from omni_tui.memory.audit_table import AuditChain
from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.private_files import FileLock, private_dir, read_private
from omni_tui.memory.snapshot import closed_here
from omni_tui.memory.sqlite import Database, JournalBroken, JournalBusy, Transaction, is_fatal, reason
from omni_tui.protocol import AnyEvent, encode_record
from omni_tui.protocol.events import ModeChanged, ModelChanged, SessionOpened, SessionTagged, SessionTitled

logger = logging.getLogger(__name__)

_GROUP_MAX = 1000
_IDLE_SECONDS = 1.0
_INFO_SECONDS = 1.0
_LOCK_WAIT = 0.5
OPEN_STATES = ("pending", "held", "approved", "dispatching")
"""Call states that are not final."""

JobFuture = asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class AppendJob:
    """Events and their change, committed together. If `adopted`, those with a time keep it."""

    events: tuple[AnyEvent, ...]
    change: Callable[[Transaction], object] | None
    answer: JobFuture
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

    answer: JobFuture
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
        *,
        draft: bool = False,
        background: bool = False,
    ) -> None:
        super().__init__(name=f"journal {session[:8]}", daemon=True)
        self._path = path
        self._session = session
        self._vault = vault
        self._loop = loop
        self._listener = listener
        self._draft = draft
        self._background = background
        self._marked = False
        self._lock = FileLock(path.with_suffix(".lock"))
        self.jobs: queue.SimpleQueue[JournalJob] = queue.SimpleQueue()
        """Where work for the thread is put."""
        self._held: JournalJob | None = None
        self._database: Database
        self._audit: AuditChain
        self._head = 0
        self._broken = ""
        self._title = ""
        self._tags: tuple[str, ...] = ()
        self._renamed = False
        self._summary_at = 0.0
        self._moment = 0.0
        self._dirty = False
        self.opened: JobFuture = loop.create_future()
        """An `OpenedJournal`; or `JournalBusy`, `JournalBroken`, `OSError`."""

    # --- the thread -----------------------------------------------------------------------------

    def run(self) -> None:
        """Open, work until `CloseJob`, close."""
        try:
            self._open()
        except Exception as error:
            closed_here(self._path)
            self._lock.release(remove=self._leaves_no_lock())
            self._answer(JobResult(self.opened, error=error))
            return
        opened = OpenedJournal(self._head, self._database.crashed, self._database.damage)
        self._answer(JobResult(self.opened, opened))
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
        self._marked = self._path.with_suffix(".lock").exists()
        if not self._lock.acquire(_LOCK_WAIT):
            raise JournalBusy(
                f"session {self._session} is open in another omni-tui; "
                "close it there, or start a new session"
            )
        expected = event_count_in_lock(self._path.with_suffix(".lock"), self._session, self._vault)
        self._database = Database(
            self._path,
            self._session,
            self._vault,
            expected,
            draft=self._draft,
            background=self._background,
        )
        self._audit = AuditChain(self._database.tx)
        self._head = self._database.head()
        self._moment = self._database.last_moment()
        self._write_summary(force=True)

    def _leaves_no_lock(self) -> bool:
        """Whether the lock's file goes again after an opening that failed.

        Without it the session was closed, and stays so if nobody asked for it. But one that says how many
        events there were stays, the more so if the session's file is gone: it tells of the loss.
        """
        if self._background and not self._marked:
            return True
        try:
            return not self._path.exists() and not self._path.with_suffix(".lock").stat().st_size
        except OSError:  # it was not even made
            return False

    def _close(self, job: CloseJob) -> None:
        error: Exception | None = None
        clean = job.clean and not self._broken
        end = self._audit.end[:2]
        try:
            if self._draft and not self._broken and not _holds_anything(self._database.tx):
                end = (0, "")
                self._database.discard()
                clean = True
                return
            clean = clean and not count_open_calls(self._database.tx)
            if self._broken:
                self._database.connection.close()  # the next start finds it as after a crash
            else:
                self._database.close("clean" if clean else "parked")
        except (sqlite3.Error, OSError) as failed:
            clean = False
            error = JournalBroken(
                f"the session was not closed properly: {reason(failed, self._path.parent)}. "
                "Nothing saved is lost"
            )
        finally:
            closed_here(self._path)
            self._lock.release(remove=clean or self._database.draft)
            self._answer(JobResult(job.answer, end, error))

    def _next(self) -> JournalJob:
        if self._held is not None:
            job, self._held = self._held, None
            return job
        if self._dirty:
            try:
                return self.jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                self._rest()
        return self.jobs.get()

    def _rest(self) -> None:
        """While idle, shorten the log and update the session's summary."""
        self._dirty = False
        if not self._broken:
            self._write_summary(force=True)
            try:
                self._database.checkpoint()
                self._database.begin_log()
            except sqlite3.Error:
                # Nothing is lost: what was committed stays in the log.
                logger.warning("the log of session %s cannot be shortened", self._session, exc_info=True)

    def _gather(self, first: AppendJob) -> list[AppendJob]:
        """Return the jobs to commit together."""
        batch = [first]
        while len(batch) < _GROUP_MAX:
            try:
                job = self.jobs.get_nowait()
            except queue.Empty:
                break
            if not isinstance(job, AppendJob):
                self._held = job
                break
            batch.append(job)
        return batch

    # --- writing --------------------------------------------------------------------------------

    def _commit(self, batch: list[AppendJob]) -> None:
        if self._broken:
            self._refuse(batch)
            return
        written: list[AnyEvent] = []
        settled: list[JobResult] = []
        try:
            if self._database.draft and not all(
                isinstance(event, SessionOpened) for job in batch for event in job.events
            ):
                self._database.keep()
            run = self._database.connection.execute
            run("BEGIN IMMEDIATE")
            for job in batch:
                settled.append(self._append(job, written))
            self._audit.store(self._database.tx)
            run("COMMIT")
        except Exception as error:
            self._break(error)
            self._refuse(batch)
            return
        self._head += len(written)
        self._dirty = True
        if self._renamed:
            # A listener may list the sessions as soon as it gets the title; the rest may be a second late.
            self._write_summary(force=True)
        self._call(self._listener.committed, written, self._head, settled)
        self._write_summary()

    def _append(self, job: AppendJob, written: list[AnyEvent]) -> JobResult:
        """Write one job's events and its change, all or nothing; extends `written`."""
        database = self._database
        before, audited = len(written), self._audit.end
        database.connection.execute("SAVEPOINT job")
        try:
            for event in job.events:
                seq = self._head + len(written) + 1
                written.append(self._insert(event, seq, event.ts if job.adopted else 0.0))
            value = job.change(database.tx) if job.change else None
            self._record(job, written[before:])
        except Exception as error:
            if is_fatal(error) or not database.connection.in_transaction:
                raise
            del written[before:]
            self._audit.end = audited
            database.connection.execute("ROLLBACK TO job")
            database.connection.execute("RELEASE job")
            return JobResult(job.answer, error=error)
        database.connection.execute("RELEASE job")
        return JobResult(job.answer, value)

    def _record(self, job: AppendJob, written: list[AnyEvent]) -> None:
        """Write what the events of a job are in the audit."""
        if not job.adopted:
            self._audit.record(self._database.tx, written)
            return
        for given, event in zip(job.events, written, strict=True):
            if given.ts:  # it is in the audit of the session it comes from
                self._audit.skip(event.seq)
            else:
                self._audit.record(self._database.tx, (event,))

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
        if isinstance(event, SessionTagged):
            self._database.set_meta("tags", tx.seal(json.dumps(event.tags).encode(), "meta/tags"))
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
            self._answer(JobResult(job.answer, error=failed))
        else:
            self._answer(JobResult(job.answer, value))

    def _break(self, error: Exception) -> None:
        """Stop writing for good. What was not acknowledged was not done."""
        logger.error("session %s can no longer be written", self._session, exc_info=error)
        self._broken = (
            f"the session can no longer be saved: {reason(error, self._path.parent)}. "
            "Nothing more is sent to servers. "
            f"Free space or repair {self._path.parent}, then open the session again"
        )
        self._undo()
        try:
            self._database.connection.execute("PRAGMA query_only=ON").close()
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
        self._answer(*(JobResult(job.answer, error=JournalBroken(self._broken)) for job in batch))

    # --- reports -------------------------------------------------------------------------

    def _write_summary(self, *, force: bool = False) -> None:
        """Write the session's summary into the lock file, for lists of sessions while this one is open."""
        now = time.monotonic()
        if self._database.draft:
            return  # an empty lock file is no session
        if not force and now - self._summary_at < _INFO_SECONDS:
            return
        renamed, self._summary_at, self._renamed = self._renamed, now, False
        try:
            if renamed or force:
                self._title, self._tags = read_title(self._database.tx), read_tags(self._database.tx)
            info = {
                "title": self._title,
                "tags": self._tags,
                "created": self._database.created(),
                "updated": time.time(),
                "events": self._head,
                "open_calls": count_open_calls(self._database.tx),
                "used": self._database.used,
            }
            sealed = self._vault.seal(json.dumps(info).encode(), f"info of {self._session}")
            self._lock.write(f"{os.getpid()}\n{sealed.hex()}\n".encode())
        except (OSError, sqlite3.Error):
            # Only a list of sessions is out of date; callers of `commit` must still get their answers.
            logger.warning("the summary of session %s cannot be written", self._session, exc_info=True)

    def _answer(self, *settled: JobResult) -> None:
        self._call(deliver_results, settled)

    def _call(self, function: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            logger.debug("the loop ended before the journal")


def _holds_anything(tx: Transaction) -> bool:
    """Whether a session holds more than how it was set."""
    settings = [str(kind.__struct_config__.tag) for kind in (SessionOpened, ModeChanged, ModelChanged)]
    found = tx.execute("SELECT 1 FROM events WHERE type NOT IN (?, ?, ?) LIMIT 1", settings).fetchone()
    return found is not None


def read_title(tx: Transaction) -> str:
    """Return the session's title, "" if it has none or it is damaged."""
    (sealed,) = tx.execute("SELECT value FROM meta WHERE name = 'title'").fetchone()
    try:
        return tx.open(sealed, "meta/title").decode() if sealed else ""
    except SealBroken:
        return ""


def read_tags(tx: Transaction) -> tuple[str, ...]:
    """Return the session's tags, none if it has none or they are damaged."""
    found = tx.execute("SELECT value FROM meta WHERE name = 'tags'").fetchone()
    try:
        return tuple(map(str, json.loads(tx.open(found[0], "meta/tags")))) if found else ()
    except (SealBroken, ValueError, TypeError):
        return ()


def count_open_calls(tx: Transaction) -> int:
    """Return how many calls are not in a final state."""
    marks = ", ".join("?" * len(OPEN_STATES))
    found = tx.execute(f"SELECT count(*) FROM calls WHERE state IN ({marks})", OPEN_STATES).fetchone()
    return int(found[0])


def read_lock_info(path: Path, session: str, vault: Vault) -> dict[str, Any]:
    """Return the summary in a session's lock file.

    It has `title`, `tags`, `created`, `updated`, `events`, `open_calls`, and `used`, which tells the order
    of use.

    Raises `OSError`, `SealBroken`, `ValueError`, `IndexError` if it cannot be read.
    """
    sealed = bytes.fromhex(read_private(path).split(b"\n")[1].decode())
    info: dict[str, Any] = json.loads(vault.unseal(sealed, f"info of {session}"))
    return info


def event_count_in_lock(path: Path, session: str, vault: Vault) -> int:
    """Return the number of events in a lock file, 0 if the session was closed or it is unknown."""
    try:
        return int(read_lock_info(path, session, vault)["events"])
    except (OSError, SealBroken, ValueError, LookupError, TypeError):
        return 0


def deliver_results(settled: Sequence[JobResult]) -> None:
    """Give every caller its answer."""
    for each in settled:
        if each.answer.done():
            continue
        if each.error is not None:
            each.answer.set_exception(each.error)
        else:
            each.answer.set_result(each.value)
