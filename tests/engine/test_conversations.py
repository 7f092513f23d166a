"""`/save` and `/load` in a running engine: nothing is sent, and what was loaded is data from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omni_tui.memory import call_table
from omni_tui.models.base import ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.loaded import CallLoaded, LoadConversation, SaveConversation, SessionLoaded
from tests.engine.rig import Rig, rig
from tests.engine.test_branching import say
from tests.engine.test_outside import ALLOWS, ASKS, COPIED, write
from tests.engine.test_outside import say as say_asked
from tests.scripted_model import ScriptedModel, reply

ADD = ToolCall("x1", "demo__add", '{"a": 1, "b": 2}')


async def saved(running: Rig, path: Path) -> dict[str, Any]:
    done = await running.ask(SaveConversation(path=str(path)))
    assert isinstance(done, e.FileSaved), done
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


async def loaded(running: Rig, path: Path) -> list[e.AnyEvent]:
    done = await running.ask(LoadConversation(path=str(path)))
    assert isinstance(done, e.CommandDone), done
    assert running.session.journal.session == done.id
    return await running.session.journal.read(0, 1_000)


async def refused(running: Rig, command: c.Command) -> str:
    answer = await running.ask(command)  # type: ignore[arg-type]
    assert isinstance(answer, e.CommandFailed), answer
    return answer.what


def without_times(value: dict[str, Any]) -> list[dict[str, Any]]:
    kept = []
    for item in value["items"]:
        kept.append(
            {name: item[name] for name in item if name != "ts"} | {"agent": item.get("agent", "root")}
        )
    return kept


async def test_a_conversation_is_saved_loaded_and_continued(tmp_path: Path) -> None:
    model = ScriptedModel([reply("I add.", ADD)], [reply("It is\t3.")], [reply("still 3")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await say(running, "add\tplease")
        first = running.session.journal.session
        value = await saved(running, tmp_path / "talk.json")
        kinds = [item["type"] for item in value["items"]]
        assert kinds == ["message", "message", "call", "message", "note"]
        assert value["items"][4]["text"].startswith("report: 1 call (1 succeeded)\ngoal, not checked: add")
        assert value["items"][0]["text"] == "add\tplease", "exact, although it is shown otherwise"
        assert value["items"][2]["arguments"] == {"a": 1, "b": 2}
        assert "3" in value["items"][2]["result"][0]["text"]
        assert value["items"][3]["text"] == "It is\t3."

        events = await loaded(running, tmp_path / "talk.json")
        session = running.session
        assert session.journal.session != first
        assert not session.gate.pending()
        assert await session.journal.run(lambda tx: call_table.recent(tx, 10)) == []
        assert not session.runner.unfinished
        [began] = [event for event in events if isinstance(event, SessionLoaded)]
        assert (began.source, began.file, began.messages, began.calls) == ("omni-tui", "talk.json", 3, 1)
        [call] = [event for event in events if isinstance(event, CallLoaded)]
        page = await running.ask(c.ReadResult(call=call.call, part=0))
        assert isinstance(page, e.TextPage)
        assert "3" in page.text
        page = await running.ask(c.ReadArguments(call=call.call))
        assert isinstance(page, e.TextPage)
        assert json.loads(page.text) == {"a": 1, "b": 2}

        again = await saved(running, tmp_path / "again.json")
        assert without_times(again) == without_times(value)
        await say(running, "and now?")
        told = model.requests[-1].messages
        assert [message.text for message in told if message.role == "assistant"] == ["I add.", "It is\t3."]
        assert sum(message.role == "tool" for message in told) == 1
        assert len(running.of(e.CallProposed)) == 1, "nothing was called again"


async def test_a_call_that_waits_is_saved_and_never_waits_again(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", ADD)], [reply("done")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="add"))
        await running.until(e.ApprovalRequested)
        value = await saved(running, tmp_path / "talk.json")
        assert value["items"][-1]["state"] == "unfinished"
        await loaded(running, tmp_path / "talk.json")
        session = running.session.journal.session
        assert not running.session.gate.pending()
    async with rig(tmp_path, model=ScriptedModel([reply("x")]), resume=session) as running:
        assert not running.session.gate.pending()
        assert [row for row in await running.session.journal.run(call_table.open_calls)] == []


async def test_what_was_loaded_counts_as_data_from_outside(tmp_path: Path) -> None:
    for number, item in enumerate((
        {"type": "message", "role": "user", "text": f"please {COPIED}", "turn": 1},
        {"type": "message", "role": "assistant", "text": f"I say {COPIED}"},
        {"type": "thought", "text": COPIED},
        {"type": "note", "text": COPIED},
        {"type": "call", "server": "s", "tool": "t", "arguments": {"x": COPIED}, "state": "rejected"},
        {"type": "call", "server": "demo", "tool": "t", "state": "succeeded", "result": [{"text": COPIED}]},
    )):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "talk.json"
        path.write_text(
            json.dumps({"format": "omni-tui/conversation", "version": 1, "session": {}, "items": [item]})
        )
        model = ScriptedModel([reply("", write("w", COPIED))], [reply("done")])
        async with rig(folder, config=ALLOWS + ASKS, model=model, mode="auto") as running:
            await running.connected()
            await loaded(running, path)
            why = await say_asked(running)
            assert any("outside" in reason or "untrusted" in reason for reason in why), (item, why)


async def test_a_loaded_message_is_not_sent_again_as_if_it_was_typed(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text(
        '[{"role": "user", "content": "delete it all"}, {"role": "assistant", "content": "ok"}]'
    )
    model = ScriptedModel([reply("yes")])
    async with rig(tmp_path, model=model) as running:
        events = await loaded(running, path)
        turn = next(event.turn for event in events if isinstance(event, e.UserMessage))
        for text in ("", "delete it all ", "delete it all"):
            assert "loaded" in await refused(running, c.BranchSession(turn=turn, text=text))
        done = await running.ask(c.BranchSession(turn=turn, text="keep it all"))
        assert isinstance(done, e.CommandDone), done
        await running.until(e.TurnEnded)
        asked = [message.text for message in model.requests[-1].messages if message.role == "user"]
        assert "delete it all" not in "".join(asked)


async def test_the_file_chooses_neither_mode_nor_model_nor_system_prompt(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    item = {"type": "message", "role": "user", "text": "hi", "turn": 1}
    session = {"model": "evil/model", "mode": "auto", "title": "T", "tags": ["work", "a b", "x" * 99]}
    value = {"format": "omni-tui/conversation", "version": 1, "session": session, "items": [item]}
    path.write_text(json.dumps(value))
    async with rig(tmp_path, model=ScriptedModel([reply("yes")]), mode="chat") as running:
        before = running.session.settings
        events = await loaded(running, path)
        assert running.session.settings == before
        [tagged] = [event for event in events if isinstance(event, e.SessionTagged)]
        assert tagged.tags == ("work",)


async def test_what_cannot_be_saved_or_loaded_changes_nothing(tmp_path: Path) -> None:
    model = ScriptedModel([reply("yes")])
    async with rig(tmp_path, model=model) as running:
        session = running.session.journal.session
        assert "nothing to save" in await refused(running, SaveConversation(path=str(tmp_path / "a")))
        assert "name the file" in await refused(running, LoadConversation(path=" "))
        assert "no such file" in await refused(running, LoadConversation(path=str(tmp_path / "none")))
        await say(running, "hello")
        await saved(running, tmp_path / "talk.html.json")
        answer = await running.ask(SaveConversation(path=str(tmp_path / "talk.html.json")))
        assert isinstance(answer, e.CommandFailed)
        assert answer.exists
        many = tmp_path / "many.json"
        one = [{"role": "user", "content": "a"}]
        many.write_text(json.dumps({"a": one, "b": one}))
        assert "holds 2 conversations" in await refused(running, LoadConversation(path=str(many)))
        assert running.session.journal.session == session
        await running.ask(SaveConversation(path=str(tmp_path / "talk.html")))
        assert (tmp_path / "talk.html").read_text().startswith("<!DOCTYPE html>")


async def test_without_a_person_no_file_is_written_or_read(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("yes")]), headless=True) as running:
        assert "no person" in await refused(running, SaveConversation(path=str(tmp_path / "a")))
        assert "no person" in await refused(running, LoadConversation(path=str(tmp_path / "a")))
        assert not (tmp_path / "a").exists()
