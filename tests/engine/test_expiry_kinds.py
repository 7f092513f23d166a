"""Plans and server requests that wait too long end as calls do: refused, each in its protocol's word."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from omni_tui.agents.orchestrator import EXPIRED
from omni_tui.memory import audit_table
from omni_tui.protocol import JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol import plan as p
from omni_tui.protocol.server_requests import EditServerRequest, ServerRequestClosed, ServerRequestOpened
from tests.engine.orchestra import Box, Players, plan, stage, task
from tests.engine.rig import Rig, rig
from tests.engine.test_asks import ERAS, answer, asked, call, config, told
from tests.scripted_model import ScriptedModel, reply

SOON = "[policy]\nexpire_after = 0.3\n"
LATE = "[policy]\nexpire_after = 600\n"
ONE = plan([task("a", "one")])


async def audited(running: Rig, subject: str) -> list[tuple[str, str, str]]:
    entries = await running.session.journal.run(lambda tx: list(audit_table.entries(tx)))
    return [(each.action, each.actor, each.state) for each in entries if each.subject == subject]


# --- plans --------------------------------------------------------------------------------------


async def test_a_plan_nobody_decides_on_is_not_carried_out_and_the_conversation_says_so(
    tmp_path: Path,
) -> None:
    box = Box()
    async with stage(tmp_path, Players(ONE), box, SOON) as running:
        await running.ask(c.SendMessage(text="go"))
        shown = await running.waiting()
        assert shown.expires > shown.ts
        ended = await running.ended()
        (decided,) = running.of(p.PlanDecided)
        assert (decided.verdict, decided.decider) == ("withdrawn", "timeout")
        assert (ended.status, ended.reason) == (
            "limit",
            "nobody decided on the plan in time; nothing of it was done",
        )
        assert not box.got
        last = running.session.runner.history()[-1]
        assert (last.role, last.text) == ("assistant", EXPIRED)
        late = await running.ask(p.DecidePlan(plan=shown.plan, digest=shown.digest, verdict="approve"))
        assert isinstance(late, e.CommandFailed)
        assert running.session.plans.expiry.timers == 0
        assert await audited(running, shown.plan) == [
            ("plan proposed", "agent", ""),
            ("plan withdrawn", "timeout", ""),
        ]


async def test_a_plan_that_the_policy_allows_or_that_was_decided_has_no_time(tmp_path: Path) -> None:
    for number, more in enumerate(('plan = "allow"\n', "")):
        async with stage(tmp_path / str(number), Players(ONE), Box(), LATE + more) as running:
            await running.ask(c.SendMessage(text="go"))
            if not more:
                shown = await running.waiting()
                assert running.session.plans.expiry.timers == 1
                before = running.session.plans.expiry._timers[shown.plan].when()
                other = JsonText(shown.plan_json.replace('"goal":"one"', '"goal":"two"'))
                await running.ask(p.EditPlan(plan=shown.plan, digest=shown.digest, plan_json=other))
                edited = await running.waiting(edited=True)
                assert edited.expires > shown.expires
                assert running.session.plans.expiry._timers[shown.plan].when() > before
                await running.session.plans.expire(shown.plan)  # a timer of before the edit
                await running.verdict(edited=True)
            assert (await running.ended()).status == "done"
            assert running.session.plans.expiry.timers == 0
            assert running.of(p.PlanProposed)[0].expires == (0.0 if more else shown.expires)


async def test_the_time_of_a_restored_plan_begins_when_it_is_shown_again(tmp_path: Path) -> None:
    box = Box()
    async with stage(tmp_path, Players(ONE), box, LATE) as running:
        await running.ask(c.SendMessage(text="go"))
        first = await running.waiting()
    async with stage(tmp_path, Players(ONE), box, LATE) as running:
        again = await running.until(p.PlanProposed, lambda event: event.expires > first.expires)
        assert again.digest == first.digest
        plans = running.session.plans
        assert plans.expiry.timers == 1
        plans.expiry.stop(again.plan)
        await plans.expire(again.plan)
        await running.until(p.PlanDecided)
        await running.ask(c.ContinueRun())
        assert (await running.ended()).status == "limit"
        assert not box.got


async def test_nobody_there_is_no_wait_for_a_plan(tmp_path: Path) -> None:
    async with stage(tmp_path, Players(ONE), Box(), LATE, headless=True) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.ended()
        assert running.of(p.PlanProposed)[0].expires == 0.0
        assert running.session.plans.expiry.timers == 0


# --- server requests ----------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_a_form_nobody_answers_is_cancelled_not_declined(tmp_path: Path, era: str) -> None:
    async with rig(tmp_path, demo=False, config=config(era, more=SOON)) as running:
        number = await call(running, "form")
        ask = await asked(running)
        assert ask.expires > ask.ts
        assert await told(running, number) == {"action": "cancel"}
        closed = running.of(ServerRequestClosed)[0]
        assert (closed.outcome, closed.decider, closed.reason) == (
            "cancelled",
            "timeout",
            "nobody decided in time",
        )
        assert isinstance(await answer(running, ask, "accept", {"name": "Bo"}), e.CommandFailed)
        assert running.session.server_requests.expiry.timers == 0
        assert (await audited(running, ask.ask))[-1] == ("request closed", "timeout", "cancelled")


async def test_sampling_nobody_allows_is_an_error_that_says_why(tmp_path: Path) -> None:
    model = ScriptedModel()
    async with rig(tmp_path, demo=False, config=config("legacy", more=SOON), model=model) as running:
        number = await call(running, "sample")
        given = await told(running, number)
        assert (given["code"], given["message"]) == (-1, "sampling was not allowed: nobody decided in time")
        assert not model.requests


async def test_the_time_of_sampling_runs_only_while_the_person_can_decide(tmp_path: Path) -> None:
    thinking = asyncio.Event()
    model = ScriptedModel([thinking.wait(), reply("Hello there")])
    async with rig(tmp_path, demo=False, config=config("legacy", more=LATE), model=model) as running:
        number = await call(running, "sample")
        ask = await asked(running)
        expiry = running.session.server_requests.expiry
        body = json.loads(ask.content_json)
        body["messages"][0]["content"]["text"] = "Say goodbye"
        edit = EditServerRequest(ask=ask.ask, digest=ask.digest, content_json=JsonText(json.dumps(body)))
        await running.ask(edit)
        edited = await asked(running, 2)
        assert edited.expires > ask.expires
        assert expiry.runs(ask.ask)
        await answer(running, edited, "accept")
        answering = await running.until(ServerRequestOpened, lambda event: event.stage == "answering")
        assert answering.expires == 0.0
        assert expiry.timers == 0
        await running.session.server_requests.expire(ask.ask)  # a timer of before the model was asked
        assert not running.of(ServerRequestClosed)
        thinking.set()
        review = await running.until(ServerRequestOpened, lambda event: event.stage == "review")
        assert review.expires > edited.expires
        expiry.stop(ask.ask)
        await running.session.server_requests.expire(ask.ask)
        assert "nobody decided" in (await told(running, number))["message"]
