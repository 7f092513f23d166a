"""A call that waits too long ends unapproved. The time can only refuse, and one outcome counts."""

from __future__ import annotations

import ast
import asyncio
import inspect
import random
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_tui.approvals import expiry
from omni_tui.approvals.expiry import Expiry
from omni_tui.approvals.gate import Gate
from omni_tui.approvals.policy_in_force import PolicyInForce
from omni_tui.approvals.subject import CallProposal, Subject
from omni_tui.engine import pending_plans
from omni_tui.engine.pending_plans import PendingPlans
from omni_tui.engine.pending_server_requests import PendingServerRequests
from omni_tui.memory import Journal, Vault, call_table
from omni_tui.memory.crypto import FoundKey
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.values import CallOrigin
from tests.engine.rig import rig
from tests.engine.test_told_model import NOTE, WRITE, asked, decide, results, say
from tests.lengths import examples, times
from tests.scripted_model import ScriptedModel, reply

AFTER = "\n[policy]\nexpire_after = {}\n"
SOON = AFTER.format(0.3)
LATE = AFTER.format(600)


async def test_a_call_nobody_decides_on_ends_unsent_and_the_model_hears_it_was_not_refused(
    tmp_path: Path,
) -> None:
    model = ScriptedModel([reply("", WRITE)], [reply("I see")])
    async with rig(tmp_path, model=model, config=SOON) as running:
        await running.connected()
        await say(running)
        shown = await asked(running)
        assert shown.expires > shown.ts
        over = await running.until(e.CallChanged, lambda event: event.state == "expired")
        assert (over.decider, over.reason) == ("timeout", "nobody decided in time")
        await running.until(e.TurnEnded)
        (result,) = results(model)
        assert result.status == "expired"
        assert "The approval timed out; it was not refused. You may ask again later." in result.text
        late = await running.ask(c.DecideCall(call=shown.call, digest=shown.digest, verdict="approve"))
        assert isinstance(late, e.CommandFailed)
        assert running.session.gate.expiry.timers == 0
        assert list((tmp_path / "notes").glob("*")) == []


async def test_by_default_nothing_expires_and_no_timer_runs(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("", WRITE)])) as running:
        await running.connected()
        await say(running)
        shown = await asked(running)
        assert shown.expires == 0.0
        assert running.session.gate.expiry.timers == 0


async def test_a_decision_ends_the_time_and_an_edit_begins_it_again(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", WRITE)], [reply("ok")])
    async with rig(tmp_path, model=model, config=LATE) as running:
        await running.connected()
        await say(running)
        shown = await asked(running)
        gate = running.session.gate
        assert gate.expiry.timers == 1
        before = gate.expiry._timers[shown.call].when()
        edited = c.EditCall(call=shown.call, digest=shown.digest, arguments_json=NOTE)  # type: ignore[arg-type]
        await running.ask(edited)
        again = await asked(running, 2)
        assert again.expires > shown.expires
        assert gate.expiry._timers[shown.call].when() > before
        await gate.expire(shown.call)  # a timer of before the edit: its time runs anew
        assert gate.pending() == [shown.call]
        await decide(running, again, "approve")
        await running.until(e.TurnEnded)
        assert gate.expiry.timers == 0


async def test_nobody_there_is_no_wait_and_has_no_timer(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", WRITE)], [reply("ok")])
    async with rig(tmp_path, model=model, config=SOON, headless=True) as running:
        await running.connected()
        await say(running)
        await running.until(e.TurnEnded)
        assert running.session.gate.expiry.timers == 0
        assert [event.state for event in running.of(e.CallChanged)] == ["withheld"]


async def test_a_restored_call_has_no_time_while_nobody_is_there(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("", WRITE)]), config=LATE) as running:
        await running.connected()
        await say(running)
        await asked(running)
        session = running.session.journal.session
    async with rig(tmp_path, model=ScriptedModel(), config=LATE, resume=session, headless=True) as running:
        await running.connected()
        assert running.session.gate.pending() != []
        assert running.session.gate.expiry.timers == 0


async def test_the_time_of_a_restored_call_begins_when_it_is_shown_again(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("", WRITE)]), config=LATE) as running:
        await running.connected()
        await say(running)
        first = await asked(running)
        session = running.session.journal.session
        gate = running.session.gate
    assert gate.expiry.timers == 0
    model = ScriptedModel([reply("ok")])
    async with rig(tmp_path, model=model, config=LATE, resume=session) as running:
        await running.connected()
        again = await running.until(e.ApprovalRequested, lambda card: card.restored and bool(card.target))
        assert again.expires > first.expires
        gate = running.session.gate
        assert gate.expiry.timers == 1
        gate.expiry.stop(again.call)
        await gate.expire(again.call)
        await running.ask(c.ContinueRun())
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        assert results(model)[-1].status == "expired"


def made_by(function: object, name: str) -> ast.Call:
    """Return the only call of `name` in the code of a function."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))  # type: ignore[arg-type]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (made,) = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == name]
    return made


def test_no_code_leads_from_the_time_to_an_approval() -> None:
    """The timer knows one thing to do, and that says no: written out, in the word of each kind of item."""
    tree = ast.parse(inspect.getsource(expiry))
    words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not words & {"Gate", "Resolution", "DecideCall", "Grant"}
    assert [name for name in vars(expiry.Expires) if not name.startswith("_")] == ["expire"]
    for expires, makes, no in (
        (Gate.expire, "Resolution", "expired"),
        (PendingServerRequests.expire, "ServerRequestAnswer", "cancel"),
    ):
        word = made_by(expires, makes).args[0]
        assert isinstance(word, ast.Constant)
        assert word.value == no
    made_by(PendingPlans.expire, "_withdrawn")
    assert pending_plans._withdrawn("p", "t", "timeout", "digest").verdict == "withdrawn"


# --- the very instant ---------------------------------------------------------------------------


WHO = ["approve", "reject", "expire", "expire", "withdraw"]


class NoRules:
    """A policy without rules, which asks about everything."""

    generation = 0
    cautious = False
    rules = ()
    uses: dict[str, int] = {}

    def base(self, _server: str) -> dict[str, str]:
        return dict.fromkeys(("chat", "auto", "orchestrator"), "ask")

    def trusts(self, _server: str) -> bool:
        return True

    def count(self, _rules: object) -> None: ...

    async def save_uses(self) -> None: ...


SUBJECT = Subject(
    server="s",
    tool="t",
    server_fp="fp",
    def_hash="def",
    server_trust="unchanged",
    tool_trust="unchanged",
    risk="write",
    title="",
    description="",
    target="somewhere",
    transport="stdio",
)


class Deciders:
    """A gate over a real journal, and everybody who may decide on a call, at the same instant."""

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
        self._loop = loop
        self._number = 0
        self._events: list[AnyEvent] = []
        vault = Vault(FoundKey("key file", bytes(32)))
        path = folder / "sessions" / "s.db"
        session = "0192f3a4-5b6c-7d8e-9f00-112233445566"
        self.journal = loop.run_until_complete(Journal.open(path, session, vault, self._events.extend))
        self.gate = loop.run_until_complete(self._gate(vault))

    async def _gate(self, vault: Vault) -> Gate:
        return Gate(
            self.journal,
            policy=PolicyInForce(NoRules()),  # type: ignore[arg-type]
            lookup=lambda _server, _tool: SUBJECT,
            digest=vault.digest,
            now=lambda: "chat",
            headless=False,
        )

    def race(self, who: list[str], order: int) -> tuple[list[str], str]:
        """Let some decide on a new call at once; return the states it was told to have, and its row's."""
        return self._loop.run_until_complete(self._race(who, random.Random(order)))

    async def _race(self, who: list[str], chance: random.Random) -> tuple[list[str], str]:
        self._number += 1
        call = f"c-{self._number}"
        origin = CallOrigin(f"t-{self._number}", "root", 1, "p")
        proposal = CallProposal(
            call=call, server="s", tool="t", arguments=b'{"a":1}', origin="agent", made_by=origin
        )
        item = await self.gate.propose(proposal, SUBJECT, "chat")
        before = len(self._events)

        async def act(what: str, turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            if what == "expire":
                await self.gate.expire(call)
            elif what == "withdraw":
                await self.gate.withdraw(call, decider="stop", reason="stopped")
            else:
                await self.gate.decide(call, item.digest, approve=what == "approve")

        acts = [act(what, chance.randrange(6)) for what in who]
        done = await asyncio.gather(*acts, return_exceptions=True)
        assert all(each is None or isinstance(each, UserError) for each in done), done
        states = [
            event.state
            for event in self._events[before:]
            if isinstance(event, e.CallChanged) and event.call == call
        ]
        row = await self.journal.run(lambda tx: call_table.load(tx, call))
        assert row is not None
        verdict = (await item.verdict()).state
        assert verdict == states[0]
        return list(states), row.state

    def close(self) -> None:
        self._loop.run_until_complete(self.journal.close(clean=False))


@pytest.fixture
def deciders(tmp_path: Path) -> Iterator[Deciders]:
    loop = asyncio.new_event_loop()
    made = Deciders(loop, tmp_path)
    yield made
    made.close()
    loop.close()


def test_at_one_instant_one_outcome_counts_and_the_time_never_approves(deciders: Deciders) -> None:
    @settings(max_examples=examples(500), deadline=None)
    @given(
        st.lists(
            st.sampled_from(["approve", "reject", "expire", "expire", "withdraw"]), min_size=1, max_size=6
        ),
        st.integers(0, 2**16),
    )
    def holds(who: list[str], order: int) -> None:
        states, row = deciders.race(who, order)
        # What was approved and not sent may still be withdrawn; nothing else follows a decision.
        assert row == states[-1]
        assert len(states) == 1 or (states == ["approved", "cancelled"] and "withdraw" in who)
        assert "approved" not in states or "approve" in who
        assert "expired" not in states or "expire" in who

    holds()


def test_two_deciders_race_and_one_counts(deciders: Deciders) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    seen = set()
    for _ in range(times(300, 10_000)):
        states, row = deciders.race(["approve", "expire"], chance.randrange(2**16))
        assert states == [row], f"seed {seed}"
        seen.add(row)
    assert seen == {"approved", "expired"}


async def test_a_timer_that_is_stopped_never_fires() -> None:
    fired: list[str] = []

    class Recorder:
        async def expire(self, call: str) -> None:
            fired.append(call)

    times_ = Expiry(Recorder(), 0.02)
    times_.begin("kept")
    times_.begin("stopped")
    times_.stop("stopped")
    times_.begin("again")
    times_.begin("again")
    await asyncio.sleep(0.1)
    assert sorted(fired) == ["again", "kept"]
    assert times_.timers == 0
    times_.begin("closed")
    times_.close()
    await asyncio.sleep(0.05)
    assert "closed" not in fired
