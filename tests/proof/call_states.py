"""Every way through the states of calls: `python -m tests.proof.call_states [TRIES] [SEED]`.

Hypothesis drives a gate over a journal on disk: calls are proposed, decided on, edited, withdrawn, expired,
granted, sent, continued, repeated and finished in any order; modes and the tool change, the person leaves,
and the process dies in between. After each step the table says what was done and nothing else, each attempt
was sent at most once, and the audit verifies in the end.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from omni_tui.approvals.further_attempts import MAX_FURTHER
from omni_tui.approvals.gate import Gate
from omni_tui.approvals.grants import Grant, GrantRefused
from omni_tui.approvals.policy import Decision
from omni_tui.approvals.policy_in_force import PolicyInForce
from omni_tui.approvals.subject import CallProposal, Subject
from omni_tui.memory import Journal, call_table, session_path
from omni_tui.memory.audit_table import entries, first_fault
from omni_tui.memory.crypto import Vault
from omni_tui.policy import SEVERITY, Rule
from omni_tui.protocol import Mode, UserError
from omni_tui.protocol.calls import AttemptFailed, AttemptRefused
from omni_tui.protocol.events import CallChanged, CallFinished, CallState
from omni_tui.security.text import safe
from omni_tui.servers.base import Dispatch
from tests.proof.folders import short_lived

SESSION = "01a22500-0000-7000-8000-000000000001"
TRIES = 2_000
STEPS = 50
TOOL = Subject(
    server="box", tool="put", server_fp="fp", def_hash="def", server_trust="unchanged",
    tool_trust="unchanged", risk="write", title="", description="", target="", transport="stdio",
)  # fmt: skip
MODES: st.SearchStrategy[Mode] = st.sampled_from(
    ["chat", "chat", "chat", "auto", "auto", "auto", "auto", "orchestrator"]
)
_T = TypeVar("_T")


BASE: dict[Mode, Decision] = {"chat": "ask", "auto": "allow", "orchestrator": "deny"}
WAITING: tuple[CallState, ...] = ("pending", "held")
DISTURBANCES = (
    "mode",
    "mode",
    "tool",
    "tool",
    "leave",
    "expire",
    "withdraw",
    "halt",
    "stale",
    "stale",
    "cache",
)


class NoRules:
    """The shared rules of a gate that has none: every mode has its usual decision."""

    generation = 0
    cautious = False
    rules: tuple[Rule, ...] = ()
    uses: Mapping[str, int] = {}

    def base(self, _server: str) -> Mapping[Mode, Decision]:
        """Return what each mode does."""
        return BASE

    def trusts(self, _server: str) -> bool:
        """Whether a server is trusted."""
        return True

    def count(self, rules: Iterable[Rule]) -> None:
        """Count nothing."""

    async def save_uses(self) -> None:
        """Save nothing."""


@dataclass
class Expected:
    """What a call must be like now.

    `mode` is that of its turn, `definition` the tool's as it was approved or shown. `by_mode`: a mode let
    it run, and no person. `may_have_run`: an attempt before was cut off.
    `written`: it is in the table, and `late`: not from the beginning. `shown` is the
    digest of its card, `live` the only grant that is good, `grants` are all there ever were, `dispatches`
    all that were open once.
    """

    state: CallState
    mode: Mode
    definition: str
    by_mode: bool = False
    written: bool = True
    late: bool = False
    halted: bool = False
    attempt: int = 1
    repeated: int = 0
    new_token: bool = False
    may_have_run: bool = False
    shown: str = ""
    live: Grant | None = None
    grants: list[Grant] = field(default_factory=list)
    dispatches: list[Dispatch] = field(default_factory=list)


class CallStates(RuleBasedStateMachine):
    """The gate and the journal of one session, and beside them what they must say."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._folder = short_lived("states")
        self._state = Path(self._folder.name)
        self._vault = Vault.open(self._state, {})
        self._calls: dict[str, Expected] = {}
        self._sent: list[tuple[str, int]] = []
        self._rounds = 0
        self._proposed = 0
        self._mode: Mode = "auto"
        self._tool = TOOL
        self._open()

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(work)

    def _open(self) -> None:
        path = session_path(self._state, SESSION)
        self._journal = self._run(Journal.open(path, SESSION, self._vault, _nobody_listens))
        self._gate = Gate(
            self._journal,
            policy=PolicyInForce(NoRules()),
            lookup=self._look_up,
            digest=self._vault.digest,
            now=self._now,
            headless=False,
        )

    def _now(self) -> Mode:
        return self._mode

    def _look_up(self, _server: str, _tool: str) -> Subject:
        return self._tool

    def _any(self, *states: CallState) -> bool:
        return any(each.state in states for each in self._calls.values())

    def _some(self, data: st.DataObject, *states: CallState) -> str:
        return data.draw(
            st.sampled_from([call for call, each in self._calls.items() if each.state in states])
        )

    def _decision(self, mode: Mode) -> Decision:
        """Return what the modes say to a call of a turn in `mode`: the severer of then and now."""
        return max(BASE[mode], BASE[self._mode], key=lambda each: SEVERITY[each])

    def _is_changed(self, expected: Expected) -> bool:
        return expected.definition != self._tool.def_hash

    # --- steps: what comes in between ------------------------------------------------------------

    @precondition(lambda self: self._calls)
    @rule(data=st.data(), kind=st.sampled_from(DISTURBANCES))
    def disturb(self, data: st.DataObject, kind: str) -> None:
        """Let something happen that is not the next thing in the life of a call. One rule: it is rare."""
        call = data.draw(st.sampled_from(list(self._calls)))
        match kind:
            case "mode":
                self._mode = data.draw(MODES)
            case "tool":
                self._tool = replace(TOOL, def_hash=data.draw(st.sampled_from(["def", "def", "another"])))
            case "leave":
                self._leave()
            case "expire":
                self._expire(call)
            case "withdraw":
                self._withdraw(call)
            case "halt":
                self._gate.halt(call)
                self._calls[call].halted = True
            case "stale":
                self._decide_wrongly(call, data.draw(st.booleans()), data.draw(st.booleans()))
            case _:
                self._answer_from_the_cache(call)

    def _leave(self) -> None:
        """Leave, and come back: what waited is withheld."""
        self._gate.headless = True
        self._run(self._gate.withhold())
        self._gate.headless = False
        for each in self._calls.values():
            each.state = "withheld" if each.state in WAITING else each.state

    def _expire(self, call: str) -> None:
        """Let the time of a call be over: it ends what waits, and nothing else."""
        expected = self._calls[call]
        self._run(self._gate.expire(call))
        expected.state = "expired" if expected.state in WAITING else expected.state

    def _withdraw(self, call: str) -> None:
        """Withdraw a call: possible until it was sent."""
        expected = self._calls[call]
        done = self._run(self._gate.withdraw(call, decider="user", reason="not now"))
        assert done == (expected.state in (*WAITING, "approved"))
        if done:
            expected.state = "uncertain" if expected.may_have_run else "cancelled"
            expected.written, expected.live = True, None

    def _decide_wrongly(self, call: str, approve: bool, stale: bool) -> None:
        """Decide on what was shown before, or on a call that does not wait."""
        expected = self._calls[call]
        if expected.state in WAITING and not stale:
            return
        digest = "something else" if stale else expected.shown
        with pytest.raises(UserError):
            self._run(self._gate.decide(call, digest, approve=approve))

    def _answer_from_the_cache(self, call: str) -> None:
        """End an approved call with a result of before: nothing is sent, on the terms of a grant."""
        expected = self._calls[call]
        may = expected.state == "approved" and self._may_go(expected)
        event = self._finished(call, "succeeded", expected.attempt)
        try:
            if expected.attempt == 1:  # only what was never sent is looked up
                self._run(self._gate.finish_unsent(call, event, b"{}"))
        except UserError:
            assert not may
        else:
            if expected.attempt == 1:
                assert may
                expected.state, expected.written, expected.live = "cached", True, None

    def _may_go(self, expected: Expected) -> bool:
        return not expected.halted and not self._is_changed(expected)

    # --- steps: calls ----------------------------------------------------------------------------

    @precondition(lambda self: len(self._calls) < 6)
    @rule(mode=MODES, nobody=st.sampled_from([False] * 9 + [True]))
    def propose(self, mode: Mode, nobody: bool) -> None:
        """Propose a call of a turn in a mode, sometimes while nobody is there."""
        self._proposed += 1
        call = f"c{self._proposed}"
        arguments = f'{{"n":"{call}"}}'.encode()
        proposal = CallProposal(call=call, server="box", tool="put", arguments=arguments, origin="agent")
        self._gate.headless = nobody
        item = self._run(self._gate.propose(proposal, self._tool, mode))
        self._gate.headless = False
        states: dict[Decision, CallState] = {
            "allow": "approved",
            "ask": "withheld" if nobody else "pending",
            "deny": "denied",
        }
        state = states[self._decision(mode)]
        allowed = state == "approved"
        self._calls[call] = Expected(
            state, mode, self._tool.def_hash, by_mode=allowed, written=not allowed, shown=item.digest
        )

    @precondition(lambda self: self._any(*WAITING))
    @rule(data=st.data(), approve=st.sampled_from([True, True, True, False]))
    def decide(self, data: st.DataObject, approve: bool) -> None:
        """Decide on a call that waits, as it is shown."""
        expected = self._calls[call := self._some(data, *WAITING)]
        changed, denied = self._is_changed(expected), self._decision(expected.mode) == "deny"
        try:
            self._run(self._gate.decide(call, expected.shown, approve=approve))
        except UserError:
            assert approve
            assert changed or denied, "the tool or the policy are the only reasons"
            if changed:
                expected.state, expected.definition = "held", self._tool.def_hash
                self._look_at(call, expected)
        else:
            assert not (approve and (changed or denied))
            expected.state = "approved" if approve else "rejected"
            expected.by_mode = False

    def _look_at(self, call: str, expected: Expected) -> None:
        item = self._gate.item(call)
        assert item is not None
        assert item.digest != expected.shown, "what is shown anew has a digest of its own"
        expected.shown = item.digest

    @precondition(lambda self: self._any(*WAITING))
    @rule(data=st.data(), number=st.integers(0, 9))
    def edit(self, data: st.DataObject, number: int) -> None:
        """Edit a call that waits: the digest of before counts no more."""
        call = self._some(data, *WAITING)
        expected, arguments = self._calls[call], f'{{"n":"{call} {number}"}}'.encode()
        denied = not self._is_changed(expected) and self._decision(expected.mode) == "deny"
        item = self._gate.item(call)
        same = item is not None and item.row.args == arguments
        try:
            self._run(self._gate.edit(call, expected.shown, arguments))
        except UserError:
            assert denied
            return
        assert not denied
        if not same:
            self._look_at(call, expected)

    # --- steps: sending --------------------------------------------------------------------------

    @precondition(lambda self: self._any("approved"))
    @rule(data=st.data())
    def judge_again(self, data: st.DataObject) -> None:
        """Ask whether an approved call may still run: what a mode allowed waits again if that tightened."""
        expected = self._calls[call := self._some(data, "approved")]
        tightened = self._tightened(expected)
        assert self._run(self._gate.still_allowed(call)) != tightened
        if tightened:
            self._tighten(call, expected)

    def _tightened(self, expected: Expected) -> bool:
        return (
            expected.by_mode and not self._is_changed(expected) and self._decision(expected.mode) != "allow"
        )

    def _tighten(self, call: str, expected: Expected) -> None:
        expected.state = "pending" if self._decision(expected.mode) == "ask" else "denied"
        if expected.may_have_run:
            expected.state = "uncertain"
        expected.late = not expected.written
        expected.written, expected.live, expected.by_mode = True, None, False
        item = self._gate.item(call)
        expected.shown = item.digest if item is not None else expected.shown

    @precondition(lambda self: self._calls)
    @rule(data=st.data())
    def grant(self, data: st.DataObject) -> None:
        """Ask for a grant: only an approved call of a turn that runs gets one, if its tool is the same."""
        call = data.draw(st.sampled_from(list(self._calls)))
        expected = self._calls[call]
        may = expected.state == "approved" and self._may_go(expected)
        try:
            grant = self._gate.grant(call)
        except UserError:
            assert not may
        else:
            assert may
            expected.live = grant
            expected.grants.append(grant)

    @precondition(lambda self: self._any("approved"))
    @rule(data=st.data())
    def grant_and_send(self, data: st.DataObject) -> None:
        """Do what follows an approval."""
        expected = self._calls[call := self._some(data, "approved")]
        if self._may_go(expected):
            expected.live = self._gate.grant(call)
            expected.grants.append(expected.live)
            self._redeem(call, expected, expected.live)

    @precondition(lambda self: any(each.grants for each in self._calls.values()))
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        """Use a grant up, a used or an old one too: only the last one is honoured, once."""
        held = [call for call, each in self._calls.items() if each.grants]
        expected = self._calls[call := data.draw(st.sampled_from(held))]
        self._redeem(call, expected, data.draw(st.sampled_from(expected.grants)))

    def _redeem(self, call: str, expected: Expected, grant: Grant) -> None:
        good = expected.state == "approved" and grant is expected.live
        good = good and self._may_go(expected) and not self._tightened(expected)
        try:
            dispatch = self._run(self._gate.redeem(grant))
        except GrantRefused:
            assert not good
        else:
            assert good
            assert (call, expected.attempt) not in self._sent
            self._sent.append((call, expected.attempt))
            expected.dispatches.append(dispatch)
            expected.late = expected.late or not expected.written
            expected.state, expected.written = "dispatching", True
        if grant is expected.live:
            expected.live = None

    @precondition(lambda self: any(each.dispatches for each in self._calls.values()))
    @rule(data=st.data())
    def further_round(self, data: st.DataObject) -> None:
        """Continue a call that asked for input: only the dispatch that is open."""
        begun = [call for call, each in self._calls.items() if each.dispatches]
        expected = self._calls[data.draw(st.sampled_from(begun))]
        dispatch = data.draw(st.sampled_from(expected.dispatches))
        is_open = expected.state == "dispatching" and dispatch is expected.dispatches[-1]
        assert (dispatch in self._gate.dispatches) == is_open, "what may be on the wire"
        try:
            self._run(self._gate.dispatches.next_round(dispatch, 1, ("elicitation/create",)))
        except GrantRefused:
            assert not is_open
        else:
            assert is_open
            self._rounds += 1

    @precondition(lambda self: self._any("dispatching"))
    @rule(data=st.data(), token=st.booleans())
    def try_again(self, data: st.DataObject, token: bool) -> None:
        """Begin the next attempt of a call that failed, or whose token was refused."""
        expected = self._calls[call := self._some(data, "dispatching")]
        changed = self._is_changed(expected)
        cut = expected.may_have_run or not token
        used = expected.new_token if token else expected.repeated >= MAX_FURTHER
        used = used or (cut and (changed or self._tightened(expected)))
        failed: AttemptFailed | AttemptRefused = AttemptFailed(
            call=call, attempt=expected.attempt, of=9, elapsed_ms=1.0, reason=safe("cut"), cut=True
        )
        if token:
            failed = AttemptRefused(call=call, attempt=expected.attempt, status=401, elapsed_ms=1.0)
        try:
            again = self._run(self._gate.again(expected.dispatches[-1], failed))
        except UserError:
            assert used
            return
        assert not used
        expected.attempt += 1
        expected.new_token = expected.new_token or token
        expected.repeated += not token
        expected.may_have_run = cut
        expected.state = "approved"
        if changed:
            expected.state, expected.definition = "held", self._tool.def_hash
            self._look_at(call, expected)
        elif self._tightened(expected):
            self._tighten(call, expected)
        assert again == (expected.state == "approved")

    @precondition(lambda self: self._any("dispatching"))
    @rule(data=st.data(), state=st.sampled_from(["succeeded", "failed"]))
    def finish(self, data: st.DataObject, state: Literal["succeeded", "failed"]) -> None:
        """Journal how a call ended."""
        expected = self._calls[call := self._some(data, "dispatching")]
        event = self._finished(call, state, expected.attempt)
        self._run(self._gate.finish(expected.dispatches[-1], event, state, b"{}"))
        expected.state = state

    @staticmethod
    def _finished(call: str, state: Literal["succeeded", "failed"], attempt: int) -> CallFinished:
        return CallFinished(call=call, state=state, parts=(), elapsed_ms=1.0, size=0, attempt=attempt)

    # --- steps: the end --------------------------------------------------------------------------

    @precondition(lambda self: self._any("approved", "dispatching", *WAITING))
    @rule(when=st.sampled_from([0, 1, 2, 3]))
    def crash(self, when: int) -> None:
        """Die without a word, and start again on what is on disk; rarely where nothing was approved."""
        if when and not self._any("approved", "dispatching"):
            return
        self._journal._writer._broken = "the power is gone"  # it closes without any of its goodbyes
        self._run(self._journal.close(clean=False))
        before = [call for call, each in self._calls.items() if each.state in WAITING and not each.late]
        lost = [call for call, each in self._calls.items() if not each.written]
        self._calls = {call: each for call, each in self._calls.items() if call not in lost}
        assert not any(call in lost for call, _ in self._sent), "nothing is sent that is not on disk"
        self._open()
        settled = self._run(self._journal.run(call_table.open_calls))
        sent = {call for call, each in self._calls.items() if each.may_have_run}
        cut = [
            CallChanged(call=row.call, state=to, decider="", attempt=row.attempt)
            for row in settled
            if (to := _after_crash(row.state, row.call in sent)) is not None
        ]
        self._run(self._journal.commit(*cut, change=lambda tx: call_table.mark_after_crash(tx, sent)))
        for each in self._calls.values():
            each.state = _after_crash(each.state, each.may_have_run) or each.state
            each.by_mode = each.halted = each.new_token = False
            each.repeated = 0
            each.live = None
        rows = self._run(self._journal.run(call_table.open_calls))
        assert [row.call for row in rows if row.call in before] == before, "what waits keeps its order"
        for row in rows:
            item = self._run(self._gate.restore(row, self._tool, "chat"))
            self._calls[row.call].shown = item.digest
            self._calls[row.call].mode = "chat"

    # --- what must hold after each step -----------------------------------------------------------

    @invariant()
    def the_table_says_what_was_done(self) -> None:
        """Hold the table of calls against what must be in it."""
        rows = dict(self._run(self._journal.run(_states)))
        assert rows == {call: each.state for call, each in self._calls.items() if each.written}

    @invariant()
    def what_may_have_run_is_never_told_as_unsent(self) -> None:
        """A call of which an attempt was cut off neither waits nor ends as refused or cancelled."""
        told = {each.state for each in self._calls.values() if each.may_have_run}
        assert told <= {"approved", "dispatching", "uncertain", "succeeded", "failed"}

    @invariant()
    def the_queue_is_what_waits(self) -> None:
        """Hold the queue against the calls that wait."""
        waiting = {call for call, each in self._calls.items() if each.state in WAITING}
        assert set(self._gate.pending()) == waiting

    def teardown(self) -> None:
        """Check the audit of the whole life: nothing altered, each attempt sent once."""
        try:
            assert self._run(self._journal.run(first_fault)) is None
            audit = self._run(self._journal.run(lambda tx: list(entries(tx))))
            sent = [(each.subject, each.attempt) for each in audit if each.action == "dispatching"]
            assert sent == self._sent
            assert len(set(sent)) == len(sent)
            assert sum(each.action == "round" for each in audit) == self._rounds
        finally:
            self._run(self._journal.close(clean=False))
            self._runner.close()
            self._folder.cleanup()


def _nobody_listens(_events: object) -> None:
    """Take the events of the journal."""


def _after_crash(state: CallState, may_have_run: bool) -> CallState | None:
    approved: CallState = "uncertain" if may_have_run else "pending"
    changes: dict[CallState, CallState] = {"dispatching": "uncertain", "approved": approved}
    return changes.get(state)


def _states(tx: Any) -> list[tuple[str, str]]:
    return list(tx.execute("SELECT call, state FROM calls").fetchall())


def main(tries: int, number: int) -> None:
    """Let Hypothesis try so many lives of a session; raises what it finds, as small as it can make it."""
    print(f"seed {number}", flush=True)
    began = time.monotonic()
    machine = seed(number)(CallStates)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=tries,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{tries:,} lives of up to {STEPS} steps, {time.monotonic() - began:.0f} s: every rule held")


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else TRIES,
        int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9),
    )
