"""The audit of a whole installation: what was exchanged, cut off or removed behind the app's back."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from omni_tui.memory import (
    CLOSED,
    DELETED,
    RESTORED,
    InstallationAudit,
    Journal,
    Vault,
    back_up,
    check_audit,
    delete_session,
    new_session_id,
    read_audit,
    restore,
    session_path,
)
from omni_tui.protocol import SafeText
from omni_tui.protocol import events as e


class Installation:
    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.vault = Vault.open(self.state, {})
        self.audit = InstallationAudit(self.state, self.vault)

    async def session(self, ident: str = "", changes: int = 2) -> str:
        """Write a session as the engine does, and close it."""
        ident, new = ident or new_session_id(), not ident
        journal = await Journal.open(
            session_path(self.state, ident), ident, self.vault, lambda events: None
        )
        if new:
            await journal.commit(
                e.SessionOpened(title=SafeText("t"), mode="chat", model=SafeText("offline"))
            )
        for _ in range(changes):
            await journal.commit(e.ModeChanged(mode="auto"))
        count, head = await journal.close(clean=True)
        self.audit.add(CLOSED, ident, count=count, head=head)
        return ident

    def faults(self) -> list[str]:
        return check_audit(self.state, self.vault).faults

    def actions(self, only: str = "") -> list[str]:
        found = read_audit(self.state, self.vault, only)
        return [each if isinstance(each, str) else each.action for each in found]

    def lines(self) -> list[bytes]:
        return self.audit.path.read_bytes().splitlines()

    def write(self, lines: list[bytes]) -> None:
        self.audit.path.write_bytes(b"".join(line + b"\n" for line in lines))


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


async def test_an_untouched_installation_is_whole(installation: Installation) -> None:
    for _ in range(3):
        await installation.session()
    report = check_audit(installation.state, installation.vault)
    assert (report.faults, report.unchecked, report.sessions) == ([], [], 3)
    assert report.entries == 3 * 3 + 3
    assert oct(installation.audit.path.stat().st_mode & 0o777) == "0o600"


async def test_an_older_copy_of_a_session_is_noticed(installation: Installation, tmp_path: Path) -> None:
    ident = await installation.session()
    path = session_path(installation.state, ident)
    shutil.copy(path, tmp_path / "older")
    await installation.session(ident)
    assert installation.faults() == []
    shutil.copy(tmp_path / "older", path)
    (fault,) = installation.faults()
    assert "entry 5: the file is not the one that was closed last" in fault


async def test_a_session_that_was_only_copied_away_is_missed(installation: Installation) -> None:
    ident = await installation.session()
    session_path(installation.state, ident).unlink()
    assert installation.faults() == [f"session {ident}: its file is gone, and it was not deleted here"]


async def test_a_deleted_session_is_not_missed(installation: Installation) -> None:
    ident = await installation.session()
    delete_session(installation.state, ident, installation.audit)
    assert installation.faults() == []


@pytest.mark.parametrize("again", ["closed", "put back", "both"])
async def test_a_session_that_was_there_again_after_it_was_deleted_is_missed(
    installation: Installation, again: str
) -> None:
    ident = await installation.session()
    copy = session_path(installation.state, ident).read_bytes()
    delete_session(installation.state, ident, installation.audit)
    if again != "closed":
        session_path(installation.state, ident).write_bytes(copy)
        installation.audit.add(RESTORED, ident, actor="user")
    if again != "put back":
        installation.audit.add(CLOSED, ident, count=3, head="x")
    session_path(installation.state, ident).unlink(missing_ok=True)
    assert installation.faults() == [f"session {ident}: its file is gone, and it was not deleted here"]
    installation.audit.add(DELETED, ident)
    assert installation.faults() == []


async def test_a_changed_line_is_named(installation: Installation) -> None:
    for _ in range(3):
        await installation.session()
    lines = installation.lines()
    values = json.loads(lines[1])
    values["count"] += 1
    installation.write([lines[0], json.dumps(values).encode(), lines[2]])
    assert "audit.jsonl, line 2: it was altered, or its key is not here" in installation.faults()


async def test_a_removed_line_is_named(installation: Installation) -> None:
    for _ in range(3):
        await installation.session()
    first, _, third = installation.lines()
    installation.write([first, third])
    assert installation.faults()[0].startswith("audit.jsonl, line 2: entry 2 is missing before it")


async def test_a_torn_line_does_not_stop_later_ones(installation: Installation) -> None:
    await installation.session()
    with installation.audit.path.open("ab") as file:
        file.write(b'{"entry":2,"ts":1')
    await installation.session()
    found = list(installation.audit)
    assert [type(each).__name__ for each in found] == [
        "InstallationEntry",
        "AuditRemark",
        "InstallationEntry",
    ]
    assert installation.faults() == [], "the chain shows that nothing is missing there"


async def test_lines_of_another_installation_are_not_taken(
    installation: Installation, tmp_path: Path
) -> None:
    other = Installation(tmp_path / "other")
    await other.session()
    await installation.session()
    installation.write(other.lines())
    assert installation.faults()[0].startswith("audit.jsonl, line 1: it was altered")


async def test_everything_can_be_read_out(installation: Installation) -> None:
    ident = await installation.session(changes=1)
    found = [
        each for each in read_audit(installation.state, installation.vault) if not isinstance(each, str)
    ]
    assert [each.action for each in found] == [CLOSED, "session opened", "mode"]
    assert [each.entry for each in read_audit(installation.state, installation.vault, ident)] == [1, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize("what", ["empty", "without tables"])
async def test_a_session_that_was_killed_while_it_was_created_is_no_fault(
    tmp_path: Path, what: str
) -> None:
    here = Installation(tmp_path)
    born, known = new_session_id(), await here.session()
    for ident in (born, known):
        path = session_path(here.state, ident)
        path.unlink(missing_ok=True)
        if what == "empty":
            path.touch(mode=0o600)
        else:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("CREATE TABLE a (b)")
                connection.execute("DROP TABLE a")
            path.chmod(0o600)
    report = check_audit(here.state, here.vault)
    assert [born in each for each in report.unchecked] == [True]
    assert [known in each for each in report.faults] == [True], "of one that was closed, something was"


async def test_the_audit_of_a_damaged_session_is_read_with_it(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    ident = await here.session()
    path = session_path(here.state, ident)
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])
    assert here.faults() == []
    journal = await Journal.open(path, ident, here.vault, lambda events: None)
    assert "could be read" in journal.damage
    await journal.close(True)
    assert here.faults() == []


async def test_an_older_seal_does_not_go_with_a_shorter_audit(tmp_path: Path) -> None:
    """Entries are cut off at the end of a session that was never closed, and the seal of then put back."""
    here, ident = Installation(tmp_path), new_session_id()
    path = session_path(here.state, ident)
    journal = await Journal.open(path, ident, here.vault, lambda events: None)
    await journal.commit(e.SessionOpened(title=SafeText("t"), mode="chat", model=SafeText("offline")))
    seals = []
    for _ in range(4):
        await journal.commit(e.SessionTitled(title=SafeText("not for the audit")))
        await journal.commit(e.ModeChanged(mode="auto"))
        seals.append(await journal.run(_seal))
    await journal.close(clean=False)
    assert here.faults() == []
    whole = path.read_bytes()
    for left, seal in enumerate(seals[:-1], 2):
        path.write_bytes(whole)
        _change(path, f"DELETE FROM audit WHERE entry > {left}", seal)
        event = 1 + 2 * left
        words = f"event {event} has no entry in the audit: entries are missing at its end"
        assert here.faults() == [f"session {ident}: {words}"]
        _change(path, f"UPDATE events SET body = x'00' WHERE seq >= {event}")
        assert here.faults()[0].startswith(f"session {ident}: event {event} has no entry")
        _change(path, f"DELETE FROM events WHERE seq >= {event}")
        assert here.faults(), "of a file without its last events, nothing is sure"


def _seal(tx: Any) -> bytes:
    (found,) = tx.execute("SELECT value FROM meta WHERE name = 'audit'").fetchone()
    return bytes(found)


def _change(path: Path, statement: str, seal: bytes = b"") -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
        if seal:
            connection.execute("UPDATE meta SET value = ? WHERE name = 'audit'", (seal,))


async def test_an_audit_and_its_seal_that_are_gone_are_said(installation: Installation) -> None:
    closed = await installation.session()
    ident = new_session_id()
    path = session_path(installation.state, ident)
    journal = await Journal.open(path, ident, installation.vault, lambda events: None)
    await journal.commit(e.SessionOpened(title=SafeText("t"), mode="chat", model=SafeText("offline")))
    await journal.close(clean=False)
    for each in (path, session_path(installation.state, closed)):
        _change(each, "DELETE FROM audit")
        _change(each, "DELETE FROM meta WHERE name = 'audit'")
    report = check_audit(installation.state, installation.vault)
    assert [closed in fault for fault in report.faults] == [True]
    assert [ident in remark and "not sealed" in remark for remark in report.remarks] == [True]


async def test_the_copies_of_a_branch_need_no_entry_and_what_is_new_in_it_has_one(
    installation: Installation,
) -> None:
    ident = new_session_id()
    path = session_path(installation.state, ident)
    journal = await Journal.open(path, ident, installation.vault, lambda events: None)
    copied = [e.ModeChanged(mode="auto", ts=float(number)) for number in (1, 2, 3)]
    await journal.adopt([*copied, e.ModeChanged(mode="chat"), e.SessionBranched(origin="o", turn="t1")])
    await journal.close(clean=False)
    assert installation.faults() == []
    assert installation.actions(ident) == ["mode", "session branched"]


async def test_a_session_put_back_from_a_backup_is_no_fault_but_what_is_cut_from_it_is(
    installation: Installation,
) -> None:
    ident = await installation.session()
    backup = back_up(installation.state, ident, installation.vault)
    await installation.session(ident)
    restore(installation.state, ident, installation.vault)
    (fault,) = installation.faults()
    assert "not the one that was closed last" in fault, "nobody said that it was put back"
    installation.audit.add(RESTORED, ident, actor="user", detail=f"backup {backup.number}")
    report = check_audit(installation.state, installation.vault)
    assert report.faults == []
    assert [f"session {ident} was put back" in remark for remark in report.remarks] == [True]
    await installation.session(ident)
    assert installation.faults() == []
    _change(session_path(installation.state, ident), "DELETE FROM audit WHERE entry > 3")
    assert installation.faults() == [
        f"session {ident}, entry 4: it is missing, with all after it (there were 5)"
    ]


async def test_an_older_copy_of_the_audit_with_its_seal_shows_in_the_sessions(
    installation: Installation,
) -> None:
    first = await installation.session()
    audit = installation.audit
    older = audit.path.read_bytes(), audit.seal_path.read_bytes()
    second = await installation.session()
    await installation.session(first)
    assert check_audit(installation.state, installation.vault).remarks == []
    audit.path.write_bytes(older[0])
    audit.seal_path.write_bytes(older[1])
    report = check_audit(installation.state, installation.vault)
    assert report.faults == []
    assert sorted(remark.split()[1] for remark in report.remarks) == sorted((first, second))
    assert all("an older copy of audit.jsonl" in remark for remark in report.remarks)
