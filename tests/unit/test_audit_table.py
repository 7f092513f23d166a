"""The audit of a session: complete, in order, and broken visibly by whatever is changed in the file."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from omni_tui.memory import CallRow, Journal, Vault, call_table
from omni_tui.memory.audit_table import AuditEntry, AuditFault, entries, first_fault
from omni_tui.protocol import SafeText
from omni_tui.protocol import events as e

SESSION = "0198c0de-0000-7000-8000-000000000001"


def row(call: str, state: e.CallState = "pending") -> CallRow:
    return CallRow(
        call=call,
        turn="t1",
        step=1,
        agent="root",
        origin="agent",
        server="files",
        tool="delete",
        server_fp="fp",
        def_hash="def",
        args=b'{"path":"/a"}',
        args_hash="hash",
        state=state,
    )


class Rig:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "sessions" / f"{SESSION}.db"
        self.vault = Vault.open(folder, {})

    async def journal(self) -> Journal:
        return await Journal.open(self.path, SESSION, self.vault, lambda events: None)

    async def write(self, calls: int = 3) -> None:
        """Let some calls be decided, the middle one rejected with feedback."""
        journal = await self.journal()
        await journal.commit(e.SessionOpened(title=SafeText(""), mode="chat", model=SafeText("offline")))
        for number in range(calls):
            await self.decide(journal, f"c{number}", rejected=number == 1)
        await journal.close(False)

    @staticmethod
    async def decide(journal: Journal, call: str, *, rejected: bool) -> None:
        state: e.CallState = "rejected" if rejected else "approved"
        await journal.commit(change=lambda tx: call_table.insert(tx, row(call)))
        await journal.commit(
            e.CallChanged(call=call, state=state, decider="user", feedback=SafeText("no" * rejected)),
            change=lambda tx: call_table.move(tx, call, state, expect=("pending",), decider="user"),
        )

    async def read(self) -> tuple[list[AuditEntry], AuditFault | None]:
        journal = await self.journal()
        found = await journal.run(lambda tx: (list(entries(tx)), first_fault(tx)))
        await journal.close(False)
        return found

    def change(self, *statements: str) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    await made.write()
    return made


async def test_an_entry_says_who_decided_what_on_which_bytes(rig: Rig) -> None:
    found, fault = await rig.read()
    assert fault is None
    assert [(each.entry, each.action, each.actor, each.subject) for each in found] == [
        (1, "session opened", "user", ""),
        (2, "approved", "user", "c0"),
        (3, "rejected with feedback", "user", "c1"),
        (4, "approved", "user", "c2"),
    ]
    second = found[2]
    assert (second.server, second.tool, second.server_fp) == ("files", "delete", "fp")
    assert (second.def_hash, second.args_hash, second.detail, second.event) == ("def", "hash", "no", 3)


async def test_the_words_of_a_person_are_not_in_the_file(rig: Rig) -> None:
    journal = await rig.journal()
    await journal.commit(
        e.CallChanged(call="c0", state="cancelled", decider="user", reason=SafeText("canary words"))
    )
    await journal.close(False)
    assert b"canary words" not in rig.path.read_bytes()


async def test_what_was_undone_leaves_no_entry(rig: Rig) -> None:
    journal = await rig.journal()

    def broken(tx: Any) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await journal.commit(e.CallChanged(call="c0", state="cancelled", decider="user"), change=broken)
    await journal.commit(e.ModeChanged(mode="auto"))
    await journal.close(False)
    found, fault = await rig.read()
    assert fault is None
    assert [each.action for each in found[4:]] == ["mode"]
    assert [each.entry for each in found] == [1, 2, 3, 4, 5]


async def test_entries_of_one_commit_stay_in_order(rig: Rig) -> None:
    journal = await rig.journal()
    await asyncio.gather(*(journal.commit(e.ModeChanged(mode="auto")) for _ in range(50)))
    await journal.close(False)
    found, fault = await rig.read()
    assert (fault, len(found)) == (None, 54)


TAMPERED: dict[str, tuple[tuple[str, ...], int]] = {
    "an actor": (("UPDATE audit SET actor = 'mode' WHERE entry = 3",), 3),
    "the hash of the bytes": (("UPDATE audit SET args_hash = 'other' WHERE entry = 2",), 2),
    "the time": (("UPDATE audit SET ts = ts + 1 WHERE entry = 4",), 4),
    "a reason is put elsewhere": (
        ("UPDATE audit SET detail = (SELECT detail FROM audit WHERE entry = 3) WHERE entry = 2",),
        2,
    ),
    "an entry in the middle": (("DELETE FROM audit WHERE entry = 2",), 2),
    "the first entry": (("DELETE FROM audit WHERE entry = 1",), 1),
    "the last entry": (("DELETE FROM audit WHERE entry = 4",), 4),
    "all entries": (("DELETE FROM audit",), 1),
    "two change places": (
        (
            "UPDATE audit SET entry = 99 WHERE entry = 2",
            "UPDATE audit SET entry = 2 WHERE entry = 3",
            "UPDATE audit SET entry = 3 WHERE entry = 99",
        ),
        2,
    ),
    "the end and its seal": (
        ("DELETE FROM audit WHERE entry = 4", "UPDATE meta SET value = x'00' WHERE name = 'audit'"),
        3,
    ),
    "an entry is made up": (
        (
            "INSERT INTO audit SELECT 5, event, ts, action, actor, subject, attempt, server, tool, "
            "server_fp, def_hash, args_hash, state, detail, mac, mac FROM audit WHERE entry = 4",
        ),
        5,
    ),
}


@pytest.mark.parametrize(("statements", "entry"), TAMPERED.values(), ids=list(TAMPERED))
async def test_the_first_changed_entry_is_named(rig: Rig, statements: tuple[str, ...], entry: int) -> None:
    rig.change(*statements)
    _, fault = await rig.read()
    assert fault is not None
    assert fault.entry == entry


@pytest.mark.parametrize(("statements", "entry"), TAMPERED.values(), ids=list(TAMPERED))
async def test_a_broken_chain_stays_broken_and_goes_on(
    rig: Rig, statements: tuple[str, ...], entry: int
) -> None:
    """Neither does damage stop the session, nor do later entries hide it."""
    rig.change(*statements)
    journal = await rig.journal()
    await journal.commit(e.ModeChanged(mode="auto"))
    await journal.close(False)
    found, fault = await rig.read()
    assert fault is not None
    assert fault.entry <= max(entry, 5)
    assert found[-1].action == "mode"


async def test_a_session_of_an_older_version_gets_an_audit(rig: Rig) -> None:
    rig.change(
        "DROP TABLE audit",
        "DELETE FROM meta WHERE name = 'audit'",
        "UPDATE meta SET value = 2 WHERE name = 'schema'",
    )
    journal = await rig.journal()
    await journal.commit(e.ModeChanged(mode="auto"))
    await journal.close(False)
    found, fault = await rig.read()
    assert fault is None
    assert [(each.entry, each.action) for each in found] == [(1, "mode")]
    assert found[0].event > 1, "what came before is in the journal, but not in the audit"


async def test_a_damaged_file_keeps_its_audit(rig: Rig) -> None:
    data = bytearray(rig.path.read_bytes())
    data[-200:] = bytes(200)
    rig.path.write_bytes(data)
    journal = await rig.journal()
    await journal.commit(e.ModeChanged(mode="auto"))
    await journal.close(False)
    found, _ = await rig.read()
    assert found[-1].action == "mode"
