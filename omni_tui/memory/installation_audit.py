"""The audit of an installation: what concerns no single session, and how far each session's audit reaches.

One line of JSON for each entry in `audit.jsonl` of the state folder, only ever appended to. Each carries a
keyed hash of itself and of the line before. When a session closes, the end of its own audit
(`memory.audit_table`) is noted here, so that putting an older copy of its file back is noticed. The end of
this file is sealed in another one (`memory.audit_seal`), so that lines cut off at the end are missed too.
Somebody with the key can write a new chain: it shows changes by others, it does not prevent them.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from omni_tui.memory.audit_seal import AuditSeal, SealLost, read_seal, write_seal
from omni_tui.memory.crypto import Vault
from omni_tui.memory.private_files import (
    FileLock,
    open_private,
    private_dir,
    read_private,
    sync_dir,
    write_atomic,
)

FILE, SEAL = "audit.jsonl", "audit.seal"
CLOSED, DELETED, RESTORED = "session closed", "session deleted", "session restored"
"""Actions that tell of a session's file."""
UNDONE = "undone"
"""The action of an entry that takes back the one before it about the same: it was not done in the end."""
SEAL_FAULT = "seal lost"
"""The action of an entry that tells that the end was not sealed as it should have been."""
_VERSION = 2
"""The form of an entry; those of form 1 say less and come from before the end was sealed."""
_LOCK_WAIT = 5.0
_TAIL = 1 << 16
_LONGEST = 2_000
"""Characters of one text of an entry: the last one must be found in the tail of the file."""


class InstallationEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry. `ts` in Unix seconds, `subject` a session, server, tool or rule.

    `count` and `head` (of a closed session) are the number and the hash of its last audit entry. `key` is
    the id of the key that `mac` was made with. `actor` is who did it, as in `AuditEntry`, `place` the file
    that says what it is about, and `session` where it was decided, "" on the command line.
    """

    entry: int
    ts: float
    action: str
    subject: str
    detail: str = ""
    count: int = 0
    head: str = ""
    key: str = ""
    previous: str = ""
    mac: str = ""
    v: int = 1
    actor: str = ""
    place: str = ""
    session: str = ""


class AuditRemark(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of a line of the file, or of its end (`line` 0).

    It is a `fault` unless the chain proves that nothing is missing there, or nothing can be told.
    """

    line: int
    what: str
    fault: bool = True

    def __str__(self) -> str:
        """Return place and words in a line."""
        return f"{FILE}, {f'line {self.line}' if self.line else 'its end'}: {self.what}"


class InstallationAudit:
    """Appends to the audit of one state folder, and checks it. Safe with several processes."""

    def __init__(self, state_dir: Path, vault: Vault) -> None:
        self.path = state_dir / FILE
        self.seal_path = state_dir / SEAL
        self._vault = vault

    # --- writing --------------------------------------------------------------------------------

    def add(
        self,
        action: str,
        subject: str,
        *,
        actor: str = "",
        detail: str = "",
        place: str = "",
        session: str = "",
        count: int = 0,
        head: str = "",
    ) -> None:
        """Append an entry; it and the new seal are on disk when this returns.

        Raises `OSError`; then nothing was added, or, on a disk that refuses to put the former seal back, an
        entry of what is not done then.
        """
        entry = InstallationEntry(
            entry=0,
            ts=time.time(),
            action=action,
            subject=_text(subject),
            actor=_text(actor),
            detail=_text(detail),
            place=_text(place),
            session=session,
            count=count,
            head=head,
            v=_VERSION,
        )
        private_dir(self.path.parent)
        with self._locked():
            fd = open_private(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                self._append(fd, entry)
            finally:
                os.close(fd)

    def _append(self, fd: int, entry: InstallationEntry) -> None:
        """Write an entry behind the last one, then seal the end; undo it if either fails.

        Sealing flushes the folder too, in which the file itself may be new.
        """
        size = os.fstat(fd).st_size
        tail = os.pread(fd, _TAIL, max(0, size - _TAIL))
        end, fault = self._end(tail)
        lines = b"" if not tail or tail.endswith(b"\n") else b"\n"
        if fault:
            told = InstallationEntry(
                entry=0, ts=entry.ts, action=SEAL_FAULT, subject=SEAL, detail=fault, v=_VERSION
            )
            line, end = self._linked(told, end)
            lines += line
        line, end = self._linked(entry, end)
        lines += line
        before = self._seal_bytes()
        try:
            # Killed in here, the file is one entry ahead of the seal, or ends with a part of one.
            if os.write(fd, lines) != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(fd)
            write_seal(self.seal_path, end, self._vault)
        except BaseException:
            if self._put_back(before):
                os.ftruncate(fd, size)
            raise

    def _seal_bytes(self) -> bytes | None:
        try:
            return read_private(self.seal_path)
        except FileNotFoundError:
            return None

    def _put_back(self, before: bytes | None) -> bool:
        """Let the seal be as it was before an entry that failed. Return whether it surely is.

        If not, the entry must stay in the file: without it, the seal would be ahead.
        """
        try:
            if self._seal_bytes() == before:
                return True
            if before is not None:
                write_atomic(self.seal_path, before)
            else:
                self.seal_path.unlink()
                sync_dir(self.seal_path.parent)
        except OSError:
            return False
        return True

    def _linked(self, entry: InstallationEntry, after: AuditSeal) -> tuple[bytes, AuditSeal]:
        """Return an entry as a line behind another one, and the end that it makes."""
        entry = msgspec.structs.replace(
            entry, entry=after.entry + 1, previous=after.mac, key=self._vault.id
        )
        mac = self._vault.digest(_signed(entry))
        line = msgspec.json.encode(msgspec.structs.replace(entry, mac=mac)) + b"\n"
        return line, AuditSeal(entry.entry, mac)

    def _end(self, tail: bytes) -> tuple[AuditSeal, str]:
        """Return what the next entry follows, and what is wrong with the seal, "" if nothing.

        `tail` is the end of the file. After a cut, the next entry follows the one that was sealed: the gap
        stays in the file for good.
        """
        try:
            sealed = read_seal(self.seal_path, self._vault)
        except SealLost as lost:
            return self._last(tail, any_key=True), str(lost)
        if sealed is None:
            # The first sealed entry may have been written without its seal when the app was killed.
            last = self._last(tail, any_key=True)
            size = self.path.stat().st_size
            earlier = any(_has_seal(each) and each.entry < last.entry for each in self._entries(size))
            return last, "it is gone" if earlier else ""
        last = self._last(tail)
        return (last if last.entry > sealed.entry else sealed), ""

    def _last(self, tail: bytes, *, any_key: bool = False) -> AuditSeal:
        """Return the last entry in the end of the file.

        With `any_key`, one that cannot be checked because its key is not here counts too.
        """
        for line in reversed(tail.split(b"\n")):
            entry = _read(line)
            if entry is None:
                continue
            if self._is_ours(entry) or (any_key and entry.key not in self._vault.ids):
                return AuditSeal(entry.entry, entry.mac)
        return AuditSeal(0, "")

    def _entries(self, size: int) -> Iterator[InstallationEntry]:
        return (each for each in self._lines(size) if isinstance(each, InstallationEntry))

    def _is_ours(self, entry: InstallationEntry) -> bool:
        return self._vault.verify(_signed(entry), entry.mac, entry.key)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.path.with_suffix(".lock"))
        if not lock.acquire(_LOCK_WAIT):
            raise OSError(f"{self.path} is in use by another omni-tui")
        try:
            yield
        finally:
            lock.release()

    # --- checking -------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[InstallationEntry | AuditRemark]:
        """Yield the entries in order, and remarks on what does not fit or is missing, also at the end."""
        size, sealed, fault = self._state()
        last, sealed_mac, with_seal = AuditSeal(0, ""), "", 0
        for each in self._lines(size):
            if isinstance(each, InstallationEntry):
                last = AuditSeal(each.entry, each.mac)
                with_seal += _has_seal(each)
                if sealed is not None and each.entry == sealed.entry:
                    sealed_mac = each.mac
            yield each
        if fault or sealed is None:
            yield from _unsealed(fault, last.entry, with_seal)
        elif sealed.entry > last.entry:
            yield AuditRemark(line=0, what=_missing(last.entry + 1, sealed.entry))
        elif sealed_mac != sealed.mac:
            what = f"entry {sealed.entry} is not the one that was written last then"
            yield AuditRemark(line=0, what=what)
        elif (behind := last.entry - sealed.entry) == 1:
            what = f"the app ended before entry {last.entry} was sealed; nothing is missing"
            yield AuditRemark(line=0, what=what, fault=False)
        elif behind:
            what = f"its seal is {behind} entries old: an older copy of it, or written by an older omni-tui"
            yield AuditRemark(line=0, what=what)

    def _state(self) -> tuple[int, AuditSeal | None, str]:
        """Return the size of the file with the seal that belongs to it, and what is wrong with the seal."""
        try:
            with self._locked():
                return self._unlocked_state()
        except OSError as error:
            # Nobody writes where nobody can.
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT):
                raise
            return self._unlocked_state()

    def _unlocked_state(self) -> tuple[int, AuditSeal | None, str]:
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        try:
            return size, read_seal(self.seal_path, self._vault), ""
        except SealLost as lost:
            return size, None, str(lost)

    def _lines(self, size: int) -> Iterator[InstallationEntry | AuditRemark]:
        """Yield what the lines up to `size` say. Only what fits the chain carries it on."""
        last = AuditSeal(0, "")
        for number, line in self._numbered(size):
            entry = _read(line)
            if entry is None:
                what = "it is no entry, as when the app is killed while it writes one"
                yield AuditRemark(line=number, what=what, fault=False)
            elif not self._is_ours(entry) or msgspec.json.encode(entry) != line.rstrip(b"\n"):
                yield AuditRemark(line=number, what="it was altered, or its key is not here")
            elif entry.entry <= last.entry:
                yield AuditRemark(line=number, what=f"entry {entry.entry} stands here once more")
            else:
                if entry.entry != last.entry + 1:
                    gap = _missing(last.entry + 1, entry.entry - 1)
                    yield AuditRemark(line=number, what=f"{gap} before it")
                elif entry.previous != last.mac:
                    yield AuditRemark(line=number, what="it follows another entry than the one before it")
                if entry.action == SEAL_FAULT:
                    what = f"when it was written, the end was not sealed as it should be: {entry.detail}"
                    yield AuditRemark(line=number, what=what)
                last = AuditSeal(entry.entry, entry.mac)
                yield entry

    def _numbered(self, size: int) -> Iterator[tuple[int, bytes]]:
        try:
            fd = open_private(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return
        with os.fdopen(fd, "rb") as file:
            for number, line in enumerate(file, 1):
                size -= len(line)
                if size < 0:
                    return
                yield number, line


def _has_seal(entry: InstallationEntry) -> bool:
    """Whether the end was sealed behind an entry."""
    return entry.v >= _VERSION


def _unsealed(fault: str, last: int, with_seal: int) -> Iterator[AuditRemark]:
    """Yield what is to be said of a file whose seal is damaged or not there."""
    if fault:
        yield AuditRemark(line=0, what=fault)
    elif with_seal > 1:
        yield AuditRemark(line=0, what=f"its seal ({SEAL}) is gone")
    elif last:
        what = "it is not sealed, as older versions left it: lines cut off there cannot be noticed"
        yield AuditRemark(line=0, what=what, fault=False)


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _text(value: str) -> str:
    """Return a text that can be written and is not too long; a path may hold what is no Unicode."""
    return value.encode("utf-8", "backslashreplace").decode()[:_LONGEST]


def _read(line: bytes) -> InstallationEntry | None:
    try:
        return msgspec.json.decode(line, type=InstallationEntry)
    except (msgspec.DecodeError, ValueError):
        return None


def _signed(entry: InstallationEntry) -> bytes:
    """Return what the hash of an entry is made of."""
    if entry.v < _VERSION:
        fields = msgspec.structs.astuple(msgspec.structs.replace(entry, mac=""))[:_FIELDS_OF_1]
        return b"installation audit\n" + json.dumps(fields, ensure_ascii=True).encode()
    return b"installation audit 2\n" + msgspec.json.encode(msgspec.structs.replace(entry, mac=""))


_FIELDS_OF_1 = InstallationEntry.__struct_fields__.index("v")
