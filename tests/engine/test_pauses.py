"""The person ends the pause before a further attempt: of a model's request, and of a call."""

from __future__ import annotations

import asyncio
from pathlib import Path

from omni_tui.models.base import ModelError
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.resilience.pauses import Pauses
from omni_tui.tools.call_retries import RetryBackoff
from tests.engine.rig import rig
from tests.engine.test_execution import AWAY, READ, instead, text
from tests.scripted_model import ScriptedModel, reply

AN_HOUR = 3_600.0


async def test_a_skip_ends_the_pauses_of_now_and_no_later_one() -> None:
    pauses = Pauses()
    now = [asyncio.create_task(pauses.sleep(AN_HOUR)) for _ in range(3)]
    await asyncio.sleep(0)
    pauses.skip()
    await asyncio.gather(*now)
    later = asyncio.create_task(pauses.sleep(AN_HOUR))
    done, _ = await asyncio.wait([later], timeout=0)
    assert not done
    later.cancel()
    await pauses.sleep(0.0)


async def test_a_model_is_asked_again_at_once(tmp_path: Path) -> None:
    busy = ModelError("transient", "the provider is busy", retry_after_s=280.0)
    model = ScriptedModel([busy], [reply("done")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="go"))
        told = await running.until(e.Retrying)
        assert told.delay_s == 280.0
        await running.ask(c.SendNow())
        assert (await running.until(e.TurnEnded)).status == "done"


async def test_a_call_is_sent_again_at_once(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", READ)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        session = running.session
        backoff = RetryBackoff(delays=(AN_HOUR,), sleep=session.pauses.sleep)
        session.calls._dispatcher.backoff = backoff
        sent = instead(running, lambda _dispatch, number: AWAY if number == 1 else text("3"))
        await running.ask(c.SendMessage(text="go"))
        await running.until(e.AttemptScheduled)
        await running.ask(c.SendNow())
        assert (await running.until(e.TurnEnded)).status == "done"
        assert len(sent) == 2
