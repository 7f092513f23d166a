"""What servers returned is remembered, by whatever way it came, once a rule asks for it and no sooner."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from omni_tui.approvals.outside_data import Result
from omni_tui.approvals.policy_in_force import PolicyInForce
from omni_tui.engine.call_service import CallService
from omni_tui.policy import Rule, Truth
from omni_tui.policy.rule import RuleOrigin
from omni_tui.policy.rule_table import rule_from_table
from omni_tui.protocol.values import CallOrigin
from omni_tui.tools.executor import CallBecameTask, CallOutcome

COPIED = "words that nobody else would have written in this way"
CALL = CallOrigin("t1", "root", 2, "p")
EARLIER = CallOrigin("t1", "root", 1, "p")


class Shared:
    generation = 0
    cautious = False

    def __init__(self) -> None:
        self.rules: tuple[Any, ...] = ()

    def trusts(self, server: str) -> bool:
        return server == "trusted"


class Journalled:
    """The earlier results of a session; counts how often they are read."""

    def __init__(self, *results: Result) -> None:
        self.results = results
        self.reads = 0
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def read(self) -> Iterable[Result]:
        self.reads += 1
        self.begun.set()
        await self.go.wait()
        return self.results


def asking(**table: Any) -> Rule:
    return rule_from_table({"id": "r", "decision": "ask", "tool": "a", **table}, RuleOrigin())


async def test_nothing_is_read_or_kept_before_a_rule_asks_and_then_all_of_it() -> None:
    journal = Journalled(
        Result("demo", COPIED, EARLIER),
        Result("trusted", "what the person trusts, which is not from outside", EARLIER),
    )
    policy = PolicyInForce(Shared(), (asking(),), journal)  # type: ignore[arg-type]
    policy.remember_result(Result("demo", "a result that stands in the journal too", EARLIER))
    await policy.prepare()
    assert journal.reads == 0
    assert not policy._outside._new
    assert policy.outside(CALL)({"text": COPIED}) is Truth.FAILS
    for rule in (asking(outside=True), asking(args=[{"path": "/text", "op": "outside"}])):
        policy = PolicyInForce(Shared(), (), journal)  # type: ignore[arg-type]
        policy.add(rule)
        assert policy.outside(CALL)({"text": "anything"}) is Truth.UNCLEAR, "before it was read"
        before = journal.reads
        await asyncio.gather(policy.prepare(), policy.prepare())
        await policy.prepare()
        assert journal.reads == before + 1
        assert policy.outside(CALL)({"text": COPIED}) is Truth.HOLDS
        assert (
            policy.outside(CALL)({"t": "what the person trusts, which is not from outside"}) is Truth.FAILS
        )
        policy.revoke("r")
        assert policy.outside(CALL)({"text": COPIED}) is Truth.FAILS


async def test_what_comes_while_the_earlier_results_are_read_is_not_missed() -> None:
    journal = Journalled(Result("demo", "an earlier one", EARLIER))
    journal.go.clear()
    policy = PolicyInForce(Shared(), (asking(outside=True),), journal)  # type: ignore[arg-type]
    preparing = asyncio.ensure_future(policy.prepare())
    await journal.begun.wait()
    policy.remember_result(Result("demo", COPIED, EARLIER))
    policy.typed("mine alone")
    assert policy.outside(CALL)({"text": COPIED}) is Truth.UNCLEAR
    journal.go.set()
    await preparing
    assert policy.outside(CALL)({"text": COPIED}) is Truth.HOLDS
    assert policy.outside(CALL)({"text": "an earlier one"}) is Truth.HOLDS
    assert policy.outside(CALL)({"text": "mine alone"}) is Truth.FAILS


async def test_a_decision_that_is_cancelled_while_results_are_made_ready_loses_none_of_them() -> None:
    texts = [f"result {number}: {COPIED[number:]} and {'filler ' * 5_000}" for number in range(3)]
    wanted = [text[: len(COPIED)] for text in texts]
    for steps in range(1, 15):
        journal = Journalled(*(Result("demo", text, EARLIER) for text in texts))
        policy = PolicyInForce(Shared(), (asking(outside=True),), journal)  # type: ignore[arg-type]
        preparing = asyncio.ensure_future(policy.prepare())
        for _ in range(steps):
            await asyncio.sleep(0)
        preparing.cancel()
        await asyncio.wait([preparing])
        await policy.prepare()
        assert [policy.outside(CALL)({"text": text}) for text in wanted] == [Truth.HOLDS] * 3
        same = CallOrigin(EARLIER.turn, EARLIER.agent, EARLIER.step, "other")
        assert policy.outside(same)({"text": wanted[0]}) is Truth.FAILS


async def test_results_that_cannot_be_read_leave_it_unclear_but_not_those_of_a_trusted_server() -> None:
    for server, truth in (("demo", Truth.UNCLEAR), ("trusted", Truth.FAILS)):
        journal = Journalled(Result(server, None, EARLIER))
        policy = PolicyInForce(Shared(), (asking(outside=True),), journal)  # type: ignore[arg-type]
        await policy.prepare()
        assert policy.outside(CALL)({"text": COPIED}) is truth


async def test_the_result_of_a_task_is_remembered_also_after_a_restart() -> None:
    remembered: list[Result] = []
    became = CallBecameTask(SimpleNamespace(call="c1"), None)  # type: ignore[arg-type]

    async def send(*_: object) -> CallOutcome:
        raise became

    async def follow(*_: object) -> CallOutcome:
        return CallOutcome("succeeded", COPIED)

    async def verdict() -> SimpleNamespace:
        return SimpleNamespace(state="approved", decider="rule:r")

    service: Any = CallService.__new__(CallService)
    service._policy = SimpleNamespace(remember_result=remembered.append)
    service._dispatcher = SimpleNamespace(send=send)
    service._server_tasks = SimpleNamespace(follow=follow, resume=follow)
    service._active, service._followed = {}, {}

    async def accept(*_: object) -> None:
        return None

    service._accept = accept
    row = SimpleNamespace(call="c1", server="demo", made_by=CALL)
    outcome = await service._carry(SimpleNamespace(id="c1", row=row, verdict=verdict), None)
    assert outcome.text == COPIED
    assert remembered == [Result("demo", COPIED, CALL)]
    service.follow_tasks([row], {"c1": None})
    await service._followed[CALL].task
    assert remembered == [Result("demo", COPIED, CALL)] * 2
