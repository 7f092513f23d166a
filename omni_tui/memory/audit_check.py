"""Check the audit of an installation and of its sessions, and read it for export."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from omni_tui.memory.audit_table import (
    AuditEntry,
    AuditFault,
    AuditHead,
    entries,
    first_fault,
    has_audit,
    is_audited,
    mac_of,
    read_head,
)
from omni_tui.memory.crypto import Vault
from omni_tui.memory.installation_audit import (
    CLOSED,
    DELETED,
    FILE,
    RESTORED,
    AuditRemark,
    InstallationAudit,
    InstallationEntry,
)
from omni_tui.memory.saved_session import SavedCopy, saved_copy, saved_events
from omni_tui.memory.session_files import saved_ids, session_path
from omni_tui.memory.sqlite import JournalBroken, JournalBusy, NothingSaved, Transaction

_NAMED = 10
"""Lines of the installation's audit that are named; of the rest the number is told."""


class SessionEntry(AuditEntry, frozen=True, kw_only=True):
    """An audit entry with the session it belongs to."""

    session: str


@dataclass(slots=True)
class AuditReport:
    """`faults` say what was altered or is missing, `unchecked` what could not be looked at.

    `remarks` say what is odd and proved to be no change, such as what a crash leaves.
    """

    entries: int = 0
    sessions: int = 0
    faults: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def check_audit(state_dir: Path, vault: Vault, only: str = "") -> AuditReport:
    """Check all chains of a state folder, or that of the session `only`. Not on the event loop."""
    report = AuditReport()
    closed, restored = _of_installation(state_dir, vault, report)
    ids = [only] if only else saved_ids(state_dir)
    for session in ids:
        try:
            with saved_copy(session_path(state_dir, session), session, vault) as copy:
                _check(copy, session, closed.get(session), report, restored=session in restored)
        except JournalBusy:
            report.unchecked.append(f"session {session} is open in another omni-tui")
        except (JournalBroken, OSError) as error:
            # Killed while a session was being created, the app leaves an empty file: nobody altered it.
            never_was = isinstance(error, NothingSaved) and session not in closed
            (report.unchecked if never_was else report.faults).append(f"session {session}: {error}")
    gone = set() if only else (closed.keys() | restored) - set(ids)
    report.faults += [
        f"session {each}: its file is gone, and it was not deleted here" for each in sorted(gone)
    ]
    return report


def _of_installation(
    state_dir: Path, vault: Vault, report: AuditReport
) -> tuple[dict[str, InstallationEntry], set[str]]:
    """Check the installation's chain.

    Return how each session was closed last, and which were put back from a backup. A session that was
    deleted is in neither, unless it was there again later under the same id.
    """
    closed: dict[str, InstallationEntry] = {}
    restored: set[str] = set()
    more = 0
    for entry in InstallationAudit(state_dir, vault):
        if isinstance(entry, AuditRemark):
            said = report.faults if entry.fault else report.remarks
            if entry.line and len(said) >= _NAMED:
                more += 1
            else:
                said.append(str(entry))
            continue
        report.entries += 1
        if entry.action == CLOSED:
            closed[entry.subject] = entry
        elif entry.action == DELETED:
            closed.pop(entry.subject, None)
            restored.discard(entry.subject)
        elif entry.action == RESTORED:
            restored.add(entry.subject)
            closed.pop(entry.subject, None)
    if more:
        (report.faults or report.remarks).append(f"{FILE}: {more:,} more lines like these")
    return closed, restored


def _check(
    copy: SavedCopy,
    session: str,
    closed: InstallationEntry | None,
    report: AuditReport,
    *,
    restored: bool,
) -> None:
    report.sessions += 1
    tx = copy.tx
    try:
        if not has_audit(tx):
            if closed is not None:
                report.faults.append(f"session {session}: its audit is gone")
            else:
                report.unchecked.append(f"session {session} was saved by a version without an audit")
            return
        fault = first_fault(tx)
        if fault is None and closed is not None and mac_of(tx, closed.count) != closed.head:
            fault = AuditFault(
                entry=closed.count,
                what="the file is not the one that was closed last, or an older copy of it",
            )
        (count,) = tx.execute("SELECT count(*) FROM audit").fetchone()
        left_out = "" if fault is not None else _left_out(tx, copy.expected, restored=restored)
        if fault is None and count and _was_closed(tx) and (closed is None or closed.count != count):
            report.remarks.append(
                f"session {session} was closed, and audit.jsonl does not tell it: the app was killed just "
                "then, or an older copy of audit.jsonl was put back together with its seal"
            )
        if restored:
            report.remarks.append(
                f"session {session} was put back from a backup: what came after it is gone"
            )
        if fault is None and not count and read_head(tx) == AuditHead(0, ""):
            report.remarks.append(
                f"session {session}: the end of its audit is not sealed: its entries could be missing"
            )
    except sqlite3.Error as error:
        report.faults.append(f"session {session}: its audit cannot be read ({error})")
        return
    report.entries += count
    if fault is not None:
        report.faults.append(f"session {session}, entry {fault.entry}: {fault.what}")
    elif left_out:
        report.faults.append(f"session {session}: {left_out}")


def _was_closed(tx: Transaction) -> bool:
    """Whether the session was closed the last time, as its file says."""
    found = tx.execute("SELECT value FROM meta WHERE name = 'closed'").fetchone()
    return found is not None and found[0] in ("clean", "parked")


def _left_out(tx: Transaction, expected: int, *, restored: bool) -> str:
    """Return which event has no entry although it should, in words; "" if there is none.

    `expected` is how many events there were. An older copy of the seal goes with a shorter audit, but not
    with the events. `restored`: the person put a backup back, so events may be missing.
    """
    since = read_head(tx).since
    if since is None:
        return ""
    recorded = {event for (event,) in tx.execute("SELECT event FROM audit")}
    last = since
    for last, event in saved_events(tx, since):
        if last in recorded:
            continue
        if isinstance(event, str):
            if restored:
                continue
            return f"event {last} has no entry, and whether it should have one is lost: {event}"
        if is_audited(event):
            return f"event {last} has no entry in the audit: entries are missing at its end"
    if last < expected and not restored:
        return f"its last {expected - last} of {expected} events are missing, and their entries may be too"
    return ""


def read_audit(
    state_dir: Path, vault: Vault, only: str = ""
) -> Iterator[SessionEntry | InstallationEntry | str]:
    """Yield all entries, the installation's first; a string says what cannot be read."""
    if not only:
        for entry in InstallationAudit(state_dir, vault):
            if isinstance(entry, InstallationEntry):
                yield entry
            elif entry.fault:
                yield str(entry)
    for session in [only] if only else sorted(saved_ids(state_dir)):
        try:
            with saved_copy(session_path(state_dir, session), session, vault) as copy:
                for found in entries(copy.tx) if has_audit(copy.tx) else ():
                    yield SessionEntry(session=session, **msgspec.structs.asdict(found))
        except (JournalBusy, JournalBroken, OSError) as error:
            yield f"session {session}: {error}"
