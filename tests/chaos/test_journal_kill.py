"""The journal under `kill -9`: what was acknowledged is there, and no call is in two minds.

A child process writes as fast as it can, on many tasks at once, and reports what it was promised.
It is killed in the middle of that, again and again, on the same session.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from omni_tui.memory import CallRow, Journal, Transaction, Vault, call_table, last_unclean, session_path
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CallChanged, CallState, UserMessage
from omni_tui.security.text import safe
from tests.lengths import times

SESSION = "0192f3a4-5b6c-7d8e-9f00-112233445566"
ROUNDS = times(3, 8)
WORKERS = 6


# --- the child --------------------------------------------------------------------------------------


def report(**said: Any) -> None:
    os.write(1, json.dumps(said).encode() + b"\n")


def heard(events: Sequence[AnyEvent]) -> None:
    for event in events:
        text = event.text if isinstance(event, UserMessage) else ""
        report(seq=event.seq, type=type(event).__name__, text=text)


def row(call: str, state: CallState) -> CallRow:
    return CallRow(
        call=call,
        turn="t",
        step=1,
        agent="root",
        origin="agent",
        server="files",
        tool="write",
        server_fp="fp",
        def_hash="def",
        args=json.dumps({"call": call}).encode(),
        args_hash=f"hash of {call}",
        state=state,
        nonce="nonce" if state == "approved" else "",
    )


def changed(call: str, state: CallState) -> CallChanged:
    return CallChanged(call=call, state=state)


def spend(tx: Transaction, call: str) -> bytes:
    return call_table.consume(tx, call, 1, "nonce", "fp", "def", f"hash of {call}")


async def one_call(journal: Journal, call: str) -> None:
    """Take a call through its life; report each promise once it is given."""
    await journal.commit(
        changed(call, "approved"), change=lambda tx: call_table.insert(tx, row(call, "approved"))
    )
    report(call=call, state="approved")
    sent = await journal.commit(changed(call, "dispatching"), change=lambda tx: spend(tx, call))
    report(call=call, state="dispatching", sent=(sent or b"").decode())

    def end(tx: Transaction) -> None:
        call_table.move(tx, call, "succeeded", expect=("dispatching",))
        call_table.put_result(tx, call, 1, f"result of {call}".encode() * 50)

    await journal.commit(changed(call, "succeeded"), change=end)
    report(call=call, state="succeeded")


async def work(journal: Journal, prefix: str) -> None:
    for n in range(10**9):
        await journal.commit(UserMessage(turn="t", text=safe(f"{prefix} sent {n}")))
        await one_call(journal, f"{prefix}-{n}")


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def child(state: Path, mode: str) -> None:
    vault = await asyncio.to_thread(Vault.open, state, {})
    path = session_path(state, SESSION)
    journal = await Journal.open(path, SESSION, vault, die if mode == "heard" else heard)
    report(ready=True)
    if mode == "change":

        def insert_and_die(tx: Transaction) -> None:
            call_table.insert(tx, row("c", "approved"))
            die()

        await journal.commit(changed("c", "approved"), change=insert_and_die)
    elif mode == "heard":
        await journal.commit(
            changed("c", "approved"), change=lambda tx: call_table.insert(tx, row("c", "approved"))
        )
    elif mode == "sent":
        await journal.commit(
            changed("c", "approved"), change=lambda tx: call_table.insert(tx, row("c", "approved"))
        )
        await journal.commit(changed("c", "dispatching"), change=lambda tx: spend(tx, "c"))
        die()
    elif mode == "closing":
        await journal.commit(UserMessage(turn="t", text=safe("sent before the end")))
        await journal.close(clean=True)
        die()
    else:
        await asyncio.gather(*(work(journal, f"{mode}.{n}") for n in range(WORKERS)))


# --- the parent -------------------------------------------------------------------------------------


def run_child(state: Path, mode: str, reports: int) -> list[dict[str, Any]]:
    """Run a child until it has reported so often, kill it, and return every promise it gave."""
    with subprocess.Popen([sys.executable, __file__, str(state), mode], stdout=subprocess.PIPE) as process:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if len(lines) == reports:
                process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


async def reopen(state: Path) -> Journal:
    vault = await asyncio.to_thread(Vault.open, state, {})
    return await Journal.open(session_path(state, SESSION), SESSION, vault, lambda events: None)


async def whole(journal: Journal) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    while page := await journal.read(len(events), 500):
        events += page
    return events


def all_calls(tx: Transaction) -> dict[str, CallState]:
    return dict(tx.execute("SELECT call, state FROM calls").fetchall())


@pytest.mark.slow
async def test_whatever_was_acknowledged_survives_being_killed_again_and_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    chance = random.Random(20)
    promised: list[dict[str, Any]] = []
    kept: list[AnyEvent] = []
    for turn in range(ROUNDS):
        promised += run_child(state, f"round{turn}", chance.randint(2, 500))
        assert last_unclean(state) == SESSION
        journal = await reopen(state)
        try:
            assert journal.recovered
            events = await whole(journal)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert journal.head == len(events)
            assert journal.damaged == 0
            assert events[: len(kept)] == kept
            kept = events
            rows = await journal.run(all_calls)
            await check_promises(journal, promised, events, rows)
            states = {event.call: event.state for event in events if isinstance(event, CallChanged)}
            assert states == rows, "an event and its change are one"
            for settled in await journal.run(call_table.mark_after_crash):
                assert (
                    settled.state == {"approved": "pending", "dispatching": "uncertain"}[rows[settled.call]]
                )
                await journal.commit(changed(settled.call, settled.state))
            kept = await whole(journal)
        finally:
            await journal.close(clean=False)
    assert len(kept) > 100


async def check_promises(
    journal: Journal, promised: list[dict[str, Any]], events: list[AnyEvent], rows: dict[str, CallState]
) -> None:
    order = ["approved", "dispatching", "succeeded"]
    for promise in promised:
        if "seq" in promise:
            event = events[promise["seq"] - 1]
            assert type(event).__name__ == promise["type"]
            assert not promise["text"] or (isinstance(event, UserMessage) and event.text == promise["text"])
        if "call" not in promise:
            continue
        call, now = promise["call"], rows[promise["call"]]
        assert order.index(
            {"pending": "approved", "uncertain": "dispatching"}.get(now, now)
        ) >= order.index(promise["state"])
        if promise["state"] == "dispatching":
            assert json.loads(promise["sent"]) == {"call": call}
        if promise["state"] == "succeeded":
            assert await journal.run(lambda tx, call=call: call_table.get_result(tx, call, 1))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("mode", "events", "after"),
    [
        ("change", 0, {}),
        ("heard", 1, {"c": "pending"}),
        ("sent", 2, {"c": "uncertain"}),
    ],
)
async def test_killed_at_a_certain_point(
    tmp_path: Path, mode: str, events: int, after: dict[str, str]
) -> None:
    run_child(tmp_path / "state", mode, reports=10**9)
    journal = await reopen(tmp_path / "state")
    try:
        assert journal.recovered
        assert journal.head == events
        await journal.run(call_table.mark_after_crash)
        assert await journal.run(all_calls) == after
    finally:
        await journal.close(clean=True)


async def test_killed_after_closing_nothing_is_left_to_take_up(tmp_path: Path) -> None:
    state = tmp_path / "state"
    run_child(state, "closing", reports=10**9)
    assert last_unclean(state) is None
    journal = await reopen(state)
    try:
        assert (journal.recovered, journal.head) == (False, 1)
    finally:
        await journal.close(clean=True)


if __name__ == "__main__":
    asyncio.run(child(Path(sys.argv[1]), sys.argv[2]))
