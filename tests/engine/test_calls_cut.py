"""A call that is cancelled on its way has one honest outcome: never sent, or not known."""

from __future__ import annotations

from pathlib import Path

from omni_tui.models.base import ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.engine.rig import rig
from tests.scripted_model import ScriptedModel, reply

SLOW = ToolCall("p1", "demo__slow_count", '{"to":100,"delay_s":1}')


async def test_cancelling_a_running_call_by_hand_leaves_its_outcome_unknown(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        call = await running.by_hand("slow_count", '{"to":100,"delay_s":1}')
        await running.until(e.CallProgress)
        assert isinstance(await running.ask(c.CancelCall(call=call)), e.CommandDone)
        ended = await running.until(e.CallChanged, lambda event: event.state == "uncertain")
        assert ended.call == call
        assert isinstance(await running.ask(c.CancelCall(call=call)), e.CommandFailed)
        settled = await running.ask(c.SettleCall(call=call, happened=False))
        assert isinstance(settled, e.CommandDone)


async def test_stopping_a_turn_tells_the_model_that_the_call_may_have_run(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", SLOW)], [reply("I see")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await running.ask(c.SendMessage(text="count"))
        await running.until(e.CallProgress)
        await running.ask(c.StopRun())
        ended = await running.until(e.TurnEnded)
        assert ended.status == "stopped"
        await running.ask(c.SendMessage(text="what happened?"))
        await running.count(e.TurnEnded, 2)
        told = [message.text for message in model.requests[1].messages if message.role == "tool"]
        assert len(told) == 1
        assert "may" in told[0]


async def test_a_server_that_dies_in_a_call_leaves_its_outcome_unknown(tmp_path: Path) -> None:
    import os
    import signal

    async with rig(tmp_path) as running:
        await running.connected()
        call = await running.by_hand("slow_count", '{"to":100,"delay_s":1}')
        await running.until(e.CallProgress)
        pid = running.engine.context.registry.get("demo").pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        ended = await running.until(e.CallChanged, lambda event: event.state == "uncertain")
        assert ended.call == call
        back = len(running.seen)
        await running.until(e.ToolsListed, lambda event: bool(event.tools), after=back)
        dispatched = [event for event in running.of(e.CallChanged) if event.state == "dispatching"]
        assert len(dispatched) == 1


async def test_a_tool_that_breaks_its_own_schema_ran_and_is_not_run_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        catalogue = running.engine.context.catalogue
        tool = catalogue.get("demo", "weather_report")
        assert tool is not None
        assert tool.definition.output_schema is not None
        tool.definition.output_schema["required"] = ["what_it_never_gives"]
        call = await running.by_hand("weather_report", '{"city":"Oslo"}')
        ended = await running.until(e.CallFinished, lambda event: event.call == call)
        assert ended.state == "result_rejected"
        assert "what_it_never_gives" in ended.reason
        page = await running.ask(c.ReadResult(call=call, part=-1))
        assert isinstance(page, e.TextPage)
        assert "Oslo" in page.text


async def test_whole_results_are_read_by_the_page_and_saved(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        long = "line of text \u202e\x1b[31m\n" * 6_000
        import json

        call = await running.by_hand("echo", json.dumps({"text": long}))
        finished = await running.until(e.CallFinished, lambda event: event.call == call)
        assert finished.parts[0].truncated
        text, offset = "", 0
        while True:
            page = await running.ask(c.ReadResult(call=call, part=0, offset=offset))
            assert isinstance(page, e.TextPage)
            text += page.text
            offset += len(page.text)
            if offset >= page.total:
                break
        assert text.count("line of text") == 6_000
        assert "\x1b" not in text
        target = tmp_path / "saved.txt"
        saved = await running.ask(c.SaveResult(call=call, path=str(target)))
        assert isinstance(saved, e.FileSaved)
        assert target.read_bytes().decode() == long
        assert isinstance(await running.ask(c.SaveResult(call=call, path=str(target))), e.CommandFailed)
