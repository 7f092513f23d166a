"""People read `server › tool`; the names that models use for tools are never shown to them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from omni_tui.agents import ToolOutcome
from omni_tui.models.base import ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.context import BuiltinToolCalled
from tests.engine.agent_host import FakeHost, call, play, spec
from tests.engine.rig import rig
from tests.engine.test_context_agent import KeepingHost
from tests.scripted_model import ScriptedModel, reply

ZEBRA = msgspec.structs.replace(spec("zoo__feed_zebra"), label="zoo › feed_zebra")


async def test_what_was_found_is_told_in_the_words_of_people() -> None:
    host = KeepingHost()
    host.specs = (ZEBRA,)
    model = ScriptedModel([reply("", call("f1", "find_tools", '{"query": "zebra"}'))], [reply("ok")])
    await play(host, model)
    assert [event.answer for event in host.seen(BuiltinToolCalled)] == ["zoo › feed_zebra"]


async def test_a_loop_is_told_in_the_words_of_people() -> None:
    async def same(_call: ToolCall) -> ToolOutcome:
        return ToolOutcome("nothing new", "succeeded")

    host = FakeHost(same)
    host.specs = (ZEBRA,)
    model = ScriptedModel(*([reply("", call(f"c{n}", "zoo__feed_zebra", "{}"))] for n in range(8)))
    over = await play(host, model)
    assert over.status == "limit"
    assert "the same call of zoo › feed_zebra" in over.reason
    assert "__" not in over.reason


async def test_nothing_that_the_face_is_told_holds_the_name_for_a_model(tmp_path: Path) -> None:
    """Turns with a call, with an answer about the tools, and with a question which tool is meant."""
    async with rig(tmp_path, config='[agent]\nmode = "auto"\n') as running:
        await running.connected()
        for number, text in enumerate(("list the notes", "what can you do?", "note"), 1):
            await running.ask(c.SendMessage(text=text))
            await running.count(e.TurnEnded, number)
        shown = ("text", "reason", "what", "why", "todo", "answer", "label", "title")
        told = [
            (type(event).__name__, str(getattr(event, field)))
            for event in running.seen
            if not isinstance(event, e.ModelMessage)
            for field in shown
            if "demo__" in str(getattr(event, field, ""))
        ]
        assert running.of(e.CallFinished)
        assert told == []
