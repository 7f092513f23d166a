"""The context manager in a whole engine: journal, restart, results read again, the system prompt."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from omni_tui.models.base import ModelEvent, ModelRequest, ToolCall
from omni_tui.models.builtin_tool_specs import BUILTIN_TOOL_NAMES
from omni_tui.models.message_history import read_result
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.context import (
    BuiltinToolCalled,
    ContextChanged,
    ContextSummarised,
    ReadSystem,
    SetSystem,
    SystemChanged,
    SystemText,
)
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply

ALLOW = '\n[policy]\nchat = "allow"\n'


async def say(running: Rig, text: str) -> e.TurnEnded:
    """Send a message and wait until its turn has ended."""
    sent = await running.ask(c.SendMessage(text=text))
    assert isinstance(sent, e.CommandDone), sent
    return await running.until(e.TurnEnded, lambda event: event.turn == sent.id)


def read(ident: str, request: ModelRequest, offset: int = 0) -> ToolCall:
    """Ask for the result that the last message of a request is a part of."""
    return ToolCall(ident, "read_result", f'{{"call": "{request.messages[-1].ref}", "offset": {offset}}}')


class Reader(ScriptedModel):
    """Calls a tool, then reads its result again by the id it was told."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if len(self.requests) == 1:
            self._turns[1] = [reply("", read("r1", request))]
        async for event in super().stream(request):
            yield event


async def test_a_result_is_read_again_from_the_journal_without_a_call(tmp_path: Path) -> None:
    arguments = '{"text": "' + "words " * 400 + '"}'
    model = Reader(
        [reply("", ToolCall("w1", "demo__echo", arguments))],
        [],
        [reply("", ToolCall("x1", "read_result", '{"call": "c-000000000000"}'))],
        [reply("done")],
    )
    async with rig(tmp_path, config=ALLOW, model=model) as running:
        await running.connected()
        assert (await say(running, "write it")).status == "done"
        results = {m.call_id: read_result(m.text) for m in model.requests[-1].messages if m.role == "tool"}
        assert results["w1"][0] == "succeeded"
        assert results["r1"] == results["w1"]
        assert "no result of that id" in results["x1"][1]
        assert len(running.of(e.CallProposed)) == 1, "the gate saw one call"
        assert [event.tool for event in running.of(BuiltinToolCalled)] == ["read_result", "read_result"]
        assert all(event.seq for event in running.of(BuiltinToolCalled))


async def test_a_call_by_hand_is_not_the_models_to_read(tmp_path: Path) -> None:
    async with rig(tmp_path, config=ALLOW, model=ScriptedModel()) as running:
        await running.connected()
        call = await running.by_hand("add", '{"a":1,"b":2}')
        await running.until(e.CallFinished)
        assert await running.session.runner.stored(call) is None


async def test_a_summary_survives_a_restart(tmp_path: Path) -> None:
    words = "word " * 900
    first = ScriptedModel(
        *([reply(f"{n} {words}")] for n in range(3)), [reply("They counted.")], [reply("ok")], window=4_500
    )
    async with rig(tmp_path, model=first, demo=False) as running:
        for n in range(4):
            assert (await say(running, f"turn {n}")).status == "done"
        (event,) = running.of(ContextSummarised)
        assert event.seq > 0
        assert event.by_model
        session = running.session.journal.session
        told = running.of(ContextChanged)[-1]
        assert (told.summarised, told.summary) == (event.upto, "They counted.")
    second = ScriptedModel([reply("ok")], window=4_500)
    async with rig(tmp_path, model=second, demo=False, resume=session) as running:
        assert (await say(running, "and now")).status == "done"
        assert [m.text for m in second.requests[0].messages if "They counted." in m.text]
        assert len(second.requests) == 1


async def test_a_face_that_comes_later_is_told_what_is_in_the_window(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("ok")]), demo=False) as running:
        await say(running, "hello")
        before = len(running.seen)
        running.link.send(c.Hello(client="again"))
        told = await running.until(ContextChanged, after=before)
        assert told.total == sum(part.tokens for part in told.parts)


async def test_the_system_prompt_is_shown_changed_and_kept_for_the_session(tmp_path: Path) -> None:
    config = '\n[agent]\nsystem_prompt = "Be brief."\n'
    model = ScriptedModel([reply("ok")], [reply("ok")])
    async with rig(tmp_path, model=model, demo=False, config=config) as running:
        shown = await running.ask(ReadSystem())
        assert isinstance(shown, SystemText)
        assert (shown.own, shown.source) == ("Be brief.", "config")
        assert "Be brief." in shown.whole
        await say(running, "hello")
        assert isinstance(await running.ask(SetSystem(text="Speak like a pirate.\n")), e.CommandDone)
        assert running.of(SystemChanged)[0].text == "Speak like a pirate."
        await say(running, "again")
        before, after = (request.messages[0].text for request in model.requests)
        assert ("Be brief." in before, "pirate" in before) == (True, False)
        assert ("Be brief." in after, "pirate" in after) == (False, True)
        session = running.session.journal.session
        too_long = await running.ask(SetSystem(text="x" * 30_000))
        assert isinstance(too_long, e.CommandFailed)
    async with rig(tmp_path, model=ScriptedModel(), demo=False, config=config, resume=session) as running:
        shown = await running.ask(ReadSystem())
        assert isinstance(shown, SystemText)
        assert (shown.own, shown.source) == ("Speak like a pirate.", "session")
        assert isinstance(await running.ask(c.NewSession()), e.CommandDone)
        shown = await running.ask(ReadSystem())
        assert isinstance(shown, SystemText)
        assert shown.source == "config"


async def test_of_many_tools_the_configured_number_is_offered_and_pinned_ones_stay(tmp_path: Path) -> None:
    config = '\n[tools]\noffered = 2\npinned = ["demo/echo"]\n'
    model = ScriptedModel([reply("ok")])
    async with rig(tmp_path, model=model, config=config) as running:
        await running.connected()
        await say(running, "what will the weather be")
        offered = [tool.name for tool in model.requests[0].tools]
        assert "demo__echo" in offered
        assert len(offered) == 3
        assert offered[-1] in BUILTIN_TOOL_NAMES
        told = running.of(ContextChanged)[0]
        assert (told.offered, told.tools) == (3, len(running.engine.context.catalogue.specs()))
        specs = running.engine.context.catalogue.specs()
        assert specs is running.engine.context.catalogue.specs(), "not made again for each request"
