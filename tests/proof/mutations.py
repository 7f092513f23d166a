"""The gate broken on purpose, to see that the runs find it: `python -m tests.proof.mutations`.

Each function breaks one thing in the process of each engine. What is checked afterwards, and the check
itself, are as they are. A mutation that no run finds is a hole in the proof. Behind the command: after how
many runs one counts as not found, the seed, and the only mutation to try.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

from omni_tui.approvals.dispatches import Dispatches
from omni_tui.approvals.gate import Gate
from omni_tui.approvals.grants import Grant
from omni_tui.approvals.pending import PendingCall, PendingItems, Resolution
from omni_tui.approvals.policy_in_force import PolicyInForce
from omni_tui.approvals.subject import Subject
from omni_tui.engine.call_service import CallService
from omni_tui.memory import call_table
from omni_tui.memory.audit_table import AuditChain, entries
from omni_tui.memory.call_table import CallRow
from omni_tui.protocol.events import CallChanged
from omni_tui.servers import Connection, tap
from omni_tui.servers.base import CallError, Dispatch
from tests.proof.folders import short_lived
from tests.proof.runs import do_runs

RUNS = 2_000
"""Runs after which a mutation counts as not found."""
PART = 25
"""Runs on one state folder, after which it is checked."""


class _Forgets(WeakSet[Dispatch]):
    """Remembers nothing: the tap lets a dispatch pass as often as it is opened."""

    def add(self, item: Dispatch) -> None:
        """Do not keep it."""


def send_twice() -> None:
    """Send the frame of a dispatch a second time, past a tap that does not know that it was sent."""
    call_tool, tap._sent = Connection.call_tool, _Forgets()

    async def twice(self: Connection, dispatch: Dispatch, **more: Any) -> Any:
        await call_tool(self, dispatch, **more)
        return await call_tool(self, dispatch, **more)

    Connection.call_tool = twice  # type: ignore[method-assign]


def send_again_after_a_cut() -> None:
    """Try a call again that was cut off, under the grant of the attempt before."""
    call_tool, tap._sent = Connection.call_tool, _Forgets()

    async def stubborn(self: Connection, dispatch: Dispatch, **more: Any) -> Any:
        try:
            return await call_tool(self, dispatch, **more)
        except CallError as error:
            if error.answered or not error.sent:
                raise
            return await call_tool(self, dispatch, **more)

    Connection.call_tool = stubborn  # type: ignore[method-assign]


def send_without_a_grant() -> None:
    """Send an approved call without writing that its grant is used up."""

    async def redeem(self: Dispatches, item: PendingCall, grant: Grant) -> Dispatch:
        dispatch = Dispatch(grant.call, grant.attempt, item.row.server, item.row.tool, item.row.args)
        self._open.add(dispatch)
        return dispatch

    Dispatches.redeem = redeem  # type: ignore[method-assign]


def send_before_it_is_written() -> None:
    """Send a call while `dispatching` is still on its way to the disk."""
    consumed = Dispatches._consumed

    async def hasty(self: Dispatches, item: PendingCall, grant: Grant) -> bytes:
        async def write() -> bytes:
            await asyncio.sleep(0.005)
            return await consumed(self, item, grant)

        writing.append(asyncio.ensure_future(write()))
        return item.row.args

    writing: list[asyncio.Future[bytes]] = []
    Dispatches._consumed = hasty  # type: ignore[method-assign]


def send_other_bytes() -> None:
    """Send arguments other than those that were approved."""
    redeem = Dispatches.redeem

    async def altered(self: Dispatches, item: PendingCall, grant: Grant) -> Dispatch:
        dispatch = await redeem(self, item, grant)
        self._open.discard(dispatch)
        other = replace(dispatch, arguments=dispatch.arguments.replace(b'"n":"', b'"n":"x'))
        self._open.add(other)
        return other

    Dispatches.redeem = altered  # type: ignore[method-assign]


def lose_an_audit_entry() -> None:
    """Leave the sending of calls out of the audit."""
    record = AuditChain.record

    def forgetful(self: AuditChain, tx: Any, events: Any) -> None:
        kept = (
            each for each in events if not (isinstance(each, CallChanged) and each.state == "dispatching")
        )
        record(self, tx, kept)

    AuditChain.record = forgetful  # type: ignore[method-assign]


def lose_an_approval() -> None:
    """Leave approvals out of the audit."""
    record = AuditChain.record

    def forgetful(self: AuditChain, tx: Any, events: Any) -> None:
        kept = (each for each in events if not (isinstance(each, CallChanged) and each.state == "approved"))
        record(self, tx, kept)

    AuditChain.record = forgetful  # type: ignore[method-assign]


def continue_unrecorded() -> None:
    """Send the further rounds of a call without writing them down."""

    async def silent(self: Dispatches, dispatch: Dispatch, number: int, asked: tuple[str, ...]) -> None:
        return None

    Dispatches.next_round = silent  # type: ignore[method-assign]


def take_any_digest() -> None:
    """Take a decision on a call however it was shown."""
    waiting = PendingItems.waiting

    def careless(self: Any, ident: str, digest: str) -> Any:
        item = self.get(ident)
        return waiting(self, ident, item.digest if item is not None else digest)

    PendingItems.waiting = careless  # type: ignore[method-assign]


def keep_the_digest_of_an_edited_call() -> None:
    """Let a decision on the arguments of before count for those of after an edit."""

    def shown(self: Gate, row: CallRow, subject: Subject) -> str:
        return self._digest(f"{row.call}|{row.server_fp}|{row.def_hash}|{subject.says}".encode())

    Gate._shown = shown  # type: ignore[method-assign]


def let_the_time_approve() -> None:
    """Approve a call that nobody decided on in time."""

    async def expire(self: Gate, call: str) -> None:
        async with self._open.lock:
            item = self._open.get(call)
            if item is not None and item.waits:
                await self._resolve(item, Resolution("approved", "timeout"))

    Gate.expire = expire  # type: ignore[method-assign]


def ask_before_nothing() -> None:
    """Let every call run that would be asked about."""
    assess = Gate.assess

    def trusting(self: Gate, *facts: Any, **more: Any) -> Any:
        found = assess(self, *facts, **more)
        return replace(found, decision="allow", held=False) if found.decision == "ask" else found

    Gate.assess = trusting  # type: ignore[method-assign]


def forget_the_mode_of_now() -> None:
    """Judge a call under the mode of its message only."""
    decision_facts = Gate.decision_facts

    def stale(self: Gate, proposal: Any, subject: Any, mode: Any, counted: Any = ()) -> Any:
        return replace(decision_facts(self, proposal, subject, mode, counted), now=mode)

    Gate.decision_facts = stale  # type: ignore[method-assign]


def forget_strict_rules() -> None:
    """Take a rule that asks or denies, and let it count for nothing."""

    def add(self: PolicyInForce, rule: Any) -> None:
        if rule.decision == "allow":
            add_rule(self, rule)

    add_rule = PolicyInForce.add
    PolicyInForce.add = add  # type: ignore[method-assign]


def keep_revoked_rules() -> None:
    """Let a rule of the session hold after it was revoked."""

    def revoke(self: PolicyInForce, rule: str) -> None:
        return None

    PolicyInForce.revoke = revoke  # type: ignore[method-assign]


def repeat_after_a_restart() -> None:
    """Make the calls of a turn again that were made before a restart."""

    async def forgotten(self: CallService, active: Any, origin: Any) -> None:
        return None

    CallService._earlier = forgotten  # type: ignore[method-assign]


def keep_approvals_over_a_restart() -> None:
    """Send a call after a restart that was approved and not sent before it."""
    restore = Gate.restore

    async def approved(self: Gate, row: CallRow, *more: Any) -> PendingCall:
        item = await restore(self, row, *more)
        audit = await self._journal.run(lambda tx: list(entries(tx)))
        before = {each.subject for each in audit if each.action == "approved"}
        if item.id in before:
            await self._journal.run(
                lambda tx: call_table.move(tx, item.id, "approved", expect=("pending",), decider="user")
            )
            item.row = replace(item.row, state="approved", decider="user")
            self._settle(item, Resolution("approved", "user"))
        return item

    Gate.restore = approved  # type: ignore[method-assign, assignment]


MUTATIONS: tuple[Callable[[], None], ...] = (
    send_twice,
    send_again_after_a_cut,
    send_without_a_grant,
    send_before_it_is_written,
    send_other_bytes,
    lose_an_audit_entry,
    lose_an_approval,
    continue_unrecorded,
    take_any_digest,
    keep_the_digest_of_an_edited_call,
    let_the_time_approve,
    ask_before_nothing,
    forget_the_mode_of_now,
    forget_strict_rules,
    keep_revoked_rules,
    repeat_after_a_restart,
    keep_approvals_over_a_restart,
)


def found_after(mutation: Callable[[], None], runs: int, seed: int) -> tuple[int, str]:
    """Return after how many runs a mutation was found, and how; 0 if it was not."""
    done = 0
    while done < runs:
        with short_lived("mutation") as name:
            part = min(PART, runs - done)
            _, found = do_runs(Path(name), part, seed + done, mutation)
        done += part
        if found.faults:
            return done, found.faults[0]
    return 0, ""


def main(runs: int, seed: int, name: str = "") -> int:
    """Try all mutations, or one, and print how each was found. Returns how many were not."""
    print(f"seed {seed}", flush=True)
    missed, started = 0, time.monotonic()
    tried = [each for each in MUTATIONS if name in ("", each.__name__)]
    for mutation in tried:
        after, how = found_after(mutation, runs, seed)
        missed += not after
        said = f"found within {after} runs: {how.splitlines()[0]}" if after else f"not found in {runs} runs"
        print(f"{mutation.__name__}: {said}", flush=True)
    print(f"{len(tried) - missed} of {len(tried)} mutations found, {time.monotonic() - started:.0f} s")
    return missed


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    drawn = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9)
    sys.exit(min(1, main(number, drawn, *sys.argv[3:4])))
