"""The table of calls, as the gate's authority: what cannot happen to a call, whatever is tried."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from omni_tui.memory import CallMoved, CallRow, GrantSpent, SealBroken, Sealer, Transaction, call_table
from omni_tui.memory.sqlite import SCHEMA
from omni_tui.protocol.events import CallState
from omni_tui.protocol.values import CallOrigin
from tests.lengths import examples

STATES: tuple[CallState, ...] = get_args(CallState)
FINAL: set[CallState] = set(STATES) - set(call_table.MOVES)
ROW = CallRow(
    call="c1",
    turn="t1",
    step=1,
    agent="root",
    origin="agent",
    server="files",
    tool="delete",
    server_fp="fp",
    def_hash="def",
    args=b'{"path":"/x"}',
    args_hash="hash",
    state="approved",
    nonce="nonce",
    decider="user",
    provider_call_id="p1",
    created=1.5,
)


def fresh() -> tuple[sqlite3.Connection, Transaction]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    return connection, Transaction(connection, Sealer(bytes(32)), "session")


@pytest.fixture
def tx() -> Iterator[Transaction]:
    connection, made = fresh()
    with closing(connection):
        yield made


def spend(tx: Transaction, **other: object) -> bytes:
    bound: dict[str, object] = {
        "call": "c1",
        "attempt": 1,
        "nonce": "nonce",
        "server_fp": "fp",
        "def_hash": "def",
        "args_hash": "hash",
        **other,
    }
    return call_table.consume(tx, **bound)  # type: ignore[arg-type]


def put(tx: Transaction, state: CallState, call: str = "c1") -> None:
    """Put a call into any state, past all checks, as a crash or a fault could have left it."""
    call_table.insert(tx, replace(ROW, call=call, state="pending"))
    tx.execute("UPDATE calls SET state = ?, nonce = 'nonce' WHERE call = ?", (state, call))


# --- the grant's compare-and-set --------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"call": "c2"},
        {"attempt": 2},
        {"nonce": "forged"},
        {"nonce": ""},
        {"server_fp": "other"},
        {"def_hash": "other"},
        {"args_hash": "other"},
    ],
)
def test_a_grant_that_differs_in_anything_is_spent(tx: Transaction, other: dict[str, object]) -> None:
    call_table.insert(tx, ROW)
    with pytest.raises(GrantSpent, match="nothing was sent"):
        spend(tx, **other)
    assert call_table.load(tx, "c1") == ROW


def test_a_grant_works_once_and_yields_the_exact_bytes(tx: Transaction) -> None:
    call_table.insert(tx, ROW)
    assert spend(tx) == b'{"path":"/x"}'
    with pytest.raises(GrantSpent, match="the call is dispatching"):
        spend(tx)


def test_no_grant_works_without_a_nonce(tx: Transaction) -> None:
    call_table.insert(tx, replace(ROW, nonce=""))
    with pytest.raises(GrantSpent):
        spend(tx, nonce="")


@pytest.mark.parametrize("state", [state for state in STATES if state != "approved"])
def test_only_an_approved_call_can_be_sent(tx: Transaction, state: CallState) -> None:
    put(tx, state)
    with pytest.raises(GrantSpent, match=f"the call is {state}"):
        spend(tx)


def test_edited_arguments_need_a_new_grant(tx: Transaction) -> None:
    call_table.insert(tx, replace(ROW, state="pending"))
    call_table.move(tx, "c1", "pending", expect=("pending",), args=b"{}", args_hash="new")
    call_table.move(tx, "c1", "approved", expect=("pending",), nonce="nonce")
    with pytest.raises(GrantSpent):
        spend(tx)
    assert spend(tx, args_hash="new") == b"{}"


def test_damaged_arguments_are_not_sent(tx: Transaction) -> None:
    call_table.insert(tx, ROW)
    tx.execute("UPDATE calls SET args = zeroblob(50)")
    with pytest.raises(GrantSpent, match="cannot be read"):
        spend(tx)


def test_arguments_of_another_call_or_an_earlier_edit_do_not_open(tx: Transaction) -> None:
    call_table.insert(tx, ROW)
    call_table.insert(tx, replace(ROW, call="c2", args=b"[2]"))
    tx.execute("UPDATE calls SET args = (SELECT args FROM calls WHERE call = 'c2') WHERE call = 'c1'")
    with pytest.raises(SealBroken):
        call_table.load(tx, "c1")
    call_table.insert(tx, replace(ROW, call="c3", state="pending"))
    (old,) = tx.execute("SELECT args FROM calls WHERE call = 'c3'").fetchone()
    call_table.move(tx, "c3", "pending", expect=("pending",), args=b"{}", args_hash="new")
    tx.execute("UPDATE calls SET args = ? WHERE call = 'c3'", (old,))
    with pytest.raises(SealBroken):
        call_table.load(tx, "c3")


# --- moves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["dispatching", "uncertain", "succeeded", "result_rejected"])
def test_no_call_begins_as_sent(tx: Transaction, state: CallState) -> None:
    with pytest.raises(ValueError, match="cannot begin"):
        call_table.insert(tx, replace(ROW, state=state))


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("to", STATES)
def test_every_move_is_allowed_or_refused_as_the_table_says(
    tx: Transaction, before: CallState, to: CallState
) -> None:
    put(tx, before)
    allowed = to in call_table.MOVES.get(before, ()) and (before, to) != ("approved", "uncertain")
    try:
        call_table.move(tx, "c1", to, expect=STATES, attempt=2)
    except CallMoved:
        assert not allowed
        assert tx.execute("SELECT state, attempt FROM calls").fetchone() == (before, 1)
    else:
        assert allowed
        assert to != "dispatching"
        assert tx.execute("SELECT state FROM calls").fetchone() == (to,)


def test_only_a_call_that_was_tried_before_is_uncertain_without_being_sent_again(tx: Transaction) -> None:
    put(tx, "dispatching")
    call_table.move(tx, "c1", "approved", expect=("dispatching",), attempt=2)
    call_table.move(tx, "c1", "uncertain", expect=("approved",))


def test_what_is_final_stays_and_nothing_sent_waits_again() -> None:
    assert {
        "succeeded",
        "result_rejected",
        "rejected",
        "denied",
        "withheld",
        "expired",
        "cancelled",
    } <= FINAL
    waiting = {"pending", "held"}
    assert all(not waiting & call_table.MOVES[state] for state in ("dispatching", "uncertain", "failed"))
    assert all("dispatching" not in targets for targets in call_table.MOVES.values())


def test_the_second_of_two_deciders_is_told(tx: Transaction) -> None:
    call_table.insert(tx, replace(ROW, state="pending"))
    call_table.move(tx, "c1", "rejected", expect=("pending", "held"), decider="user")
    with pytest.raises(CallMoved, match="c1 is rejected"):
        call_table.move(tx, "c1", "approved", expect=("pending", "held"), decider="timeout")
    with pytest.raises(CallMoved, match="not known"):
        call_table.move(tx, "none", "approved", expect=STATES)


def test_a_retry_counts_up_by_one(tx: Transaction) -> None:
    call_table.insert(tx, ROW)
    spend(tx)
    for attempt in (0, 1, 3):
        with pytest.raises(CallMoved, match="next attempt"):
            call_table.move(tx, "c1", "approved", expect=("dispatching",), attempt=attempt, nonce="two")
    call_table.move(tx, "c1", "approved", expect=("dispatching",), attempt=2, nonce="two")
    with pytest.raises(GrantSpent):
        spend(tx)
    assert spend(tx, attempt=2, nonce="two") == ROW.args


def test_leaving_approved_takes_the_nonce_away(tx: Transaction) -> None:
    call_table.insert(tx, ROW)
    call_table.move(tx, "c1", "pending", expect=("approved",))
    call_table.move(tx, "c1", "approved", expect=("pending",))
    with pytest.raises(GrantSpent):
        spend(tx)


def test_moves_that_make_no_sense_are_refused(tx: Transaction) -> None:
    call_table.insert(tx, ROW)
    with pytest.raises(ValueError, match="tool of a call cannot change"):
        call_table.move(tx, "c1", "pending", expect=("approved",), tool="x")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="together"):
        call_table.move(tx, "c1", "pending", expect=("approved",), args=b"{}")
    with pytest.raises(CallMoved, match="already"):
        call_table.insert(tx, ROW)


# --- finding, results, after a crash ----------------------------------------------------------------


def test_a_call_comes_back_as_it_was(tx: Transaction) -> None:
    call_table.insert(tx, ROW)
    assert call_table.load(tx, "c1") == ROW
    assert call_table.load(tx, "c2") is None
    call_table.insert(tx, replace(ROW, call="c2"))
    assert call_table.find(tx, CallOrigin("t1", step=1, id="p1")) == replace(ROW, call="c2")
    assert call_table.find(tx, CallOrigin("t1", step=2, id="p1")) is None


def test_arguments_and_results_do_not_stand_in_the_clear(tx: Transaction) -> None:
    call_table.insert(tx, replace(ROW, args=b'{"secret":"canary"}'))
    call_table.put_result(tx, "c1", 1, b"canary result")
    stored = repr(tx.execute("SELECT * FROM calls, results").fetchall())
    assert "canary" not in stored


def test_results_are_listed_newest_first_with_the_call_they_answer(tx: Transaction) -> None:
    for call, size in (("c1", 10), ("c2", 3_000_000), ("c3", 0)):
        put(tx, "succeeded", call)
        call_table.put_result(tx, call, 1, bytes(size))
    call_table.put_result(tx, "c1", 2, bytes(20))
    listed = call_table.kept_results(tx)
    assert [(each.call, each.attempt, each.size) for each in listed] == [
        ("c3", 1, 0),
        ("c2", 1, 3_000_000),
        ("c1", 2, 20),
        ("c1", 1, 10),
    ]
    assert {(each.server, each.made_by) for each in listed} == {(ROW.server, ROW.made_by)}


def test_each_attempt_has_one_result(tx: Transaction) -> None:
    call_table.put_result(tx, "c1", 1, b"")
    big = bytes(5_000_000)
    call_table.put_result(tx, "c1", 2, big)
    assert call_table.get_result(tx, "c1", 2) == big
    assert call_table.get_result(tx, "c1", 3) == b""
    with pytest.raises(CallMoved, match="has a result"):
        call_table.put_result(tx, "c1", 2, b"other")
    tx.execute("UPDATE results SET data = (SELECT data FROM results WHERE attempt = 1) WHERE attempt = 2")
    with pytest.raises(SealBroken):
        call_table.get_result(tx, "c1", 2)


def test_a_crash_leaves_every_call_where_nothing_runs_twice(tx: Transaction) -> None:
    for state in STATES:
        put(tx, state, call=f"call-{state}")
    changed = {row.call: row for row in call_table.mark_after_crash(tx)}
    assert {call: row.state for call, row in changed.items()} == {
        "call-approved": "pending",
        "call-dispatching": "uncertain",
    }
    assert changed["call-approved"].nonce == changed["call-approved"].decider == ""
    assert [row.call for row in call_table.open_calls(tx)] == ["call-pending", "call-held", "call-approved"]
    assert call_table.mark_after_crash(tx) == []


@pytest.mark.parametrize("damage", ["", "UPDATE calls SET args = zeroblob(60)"])
def test_a_crash_before_the_next_attempt_forgets_no_attempt_that_was_cut_off(
    tx: Transaction, damage: str
) -> None:
    for call in ("cut", "unsent"):
        put(tx, "dispatching", call=call)
        call_table.move(tx, call, "approved", expect=("dispatching",), attempt=2)
    tx.execute(damage)
    changed = {row.call: row.state for row in call_table.mark_after_crash(tx, {"cut"})}
    assert changed == {"cut": "uncertain", "unsent": "failed" if damage else "pending"}


def test_damaged_arguments_never_stop_the_others(tx: Transaction) -> None:
    for state in ("pending", "approved", "dispatching"):
        put(tx, state, call=f"bad-{state}")
    put(tx, "pending", call="good")
    tx.execute("UPDATE calls SET args = zeroblob(60) WHERE call LIKE 'bad-%'")
    assert [row.call for row in call_table.open_calls(tx)] == ["good"]
    changed = {row.call: (row.state, row.args) for row in call_table.mark_after_crash(tx)}
    assert changed == {
        "bad-pending": ("failed", b""),
        "bad-approved": ("failed", b""),
        "bad-dispatching": ("uncertain", b""),
    }
    assert [row.call for row in call_table.open_calls(tx)] == ["good"]


class Calls(RuleBasedStateMachine):
    """Whatever is tried, in whatever order, with crashes in between: no grant works twice."""

    names = Bundle("names")
    grants = Bundle("grants")

    def __init__(self) -> None:
        super().__init__()
        self.connection, self.tx = fresh()
        self.count = 0
        self.sent: list[tuple[str, int]] = []
        self.ended: dict[str, CallState] = {}

    def teardown(self) -> None:
        self.connection.close()

    @rule(target=names, state=st.sampled_from(("pending", "held", "approved", "denied")))
    def propose(self, state: CallState) -> str:
        self.count += 1
        call = f"c{self.count}"
        call_table.insert(self.tx, replace(ROW, call=call, state=state, nonce=""))
        return call

    @rule(target=grants, call=names)
    def approve(self, call: str) -> tuple[str, int, str]:
        self.count += 1
        nonce = f"n{self.count}"
        row = call_table.load(self.tx, call)
        assert row is not None
        attempt = row.attempt + (row.state in ("failed", "dispatching"))
        try:
            call_table.move(self.tx, call, "approved", expect=STATES, nonce=nonce, attempt=attempt)
        except CallMoved:
            nonce = "refused"
        return (call, attempt, nonce)

    @rule(grant=grants, changed=st.sampled_from(("", "server_fp", "def_hash", "args_hash")))
    def send(self, grant: tuple[str, int, str], changed: str) -> None:
        call, attempt, nonce = grant
        try:
            spend(self.tx, call=call, attempt=attempt, nonce=nonce, **({changed: "x"} if changed else {}))
        except GrantSpent:
            return
        assert not changed
        self.sent.append((call, attempt))

    @rule(call=names, to=st.sampled_from(STATES))
    def end(self, call: str, to: CallState) -> None:
        try:
            call_table.move(self.tx, call, to, expect=STATES)
        except CallMoved:
            return
        if to in FINAL:
            self.ended[call] = to

    @rule(call=consumes(names))
    def edit(self, call: str) -> None:
        try:
            call_table.move(
                self.tx, call, "pending", expect=("pending", "held"), args=b"{}", args_hash="edited"
            )
        except CallMoved:
            return

    @rule()
    def crash(self) -> None:
        for row in call_table.mark_after_crash(self.tx):
            assert row.state in ("uncertain", "pending")

    @invariant()
    def no_attempt_is_sent_twice(self) -> None:
        assert len(self.sent) == len(set(self.sent))

    @invariant()
    def what_ended_stays_ended(self) -> None:
        for call, state in self.ended.items():
            assert self.tx.execute("SELECT state FROM calls WHERE call = ?", (call,)).fetchone() == (state,)

    @invariant()
    def what_was_sent_is_known(self) -> None:
        for call, attempt in self.sent:
            row = call_table.load(self.tx, call)
            assert row is not None
            assert row.attempt >= attempt
            assert (
                row.state not in ("pending", "held", "denied", "withheld", "rejected", "expired")
                or row.attempt > attempt
            )


Calls.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40)
TestCalls = Calls.TestCase
