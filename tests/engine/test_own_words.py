"""The person's words reach the model to the character, also after a branch or a change of prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.context import SetSystem
from omni_tui.security.text import count_hidden
from tests.engine.rig import rig
from tests.engine.test_branching import branched, say
from tests.scripted_model import ScriptedModel, reply

WRITTEN = [
    "all:\n\tcc x.c",
    "می\u200cخواهم کتاب\u200cها",
    "क्\u200dष",
    "hi \U0001fae8 👩\u200d💻 \U0001faea",
    "a\x1b[31mb\u202ec",
    "  two\t\tspaces  ",
]


def told(model: ScriptedModel, request: int = -1) -> str:
    return [message.text for message in model.requests[request].messages if message.role == "user"][-1]


@pytest.mark.parametrize("text", WRITTEN)
async def test_the_model_gets_what_was_written_and_gets_it_again(tmp_path: Path, text: str) -> None:
    model = ScriptedModel([reply("one")], [reply("two")], [reply("three")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        turn = await say(running, text)
        assert told(model) == text
        (said,) = running.of(e.UserMessage)
        assert said.words == text
        assert count_hidden(said.text) == 0
        await branched(running, turn)
        assert told(model) == text
        await branched(running, running.of(e.UserMessage)[-1].turn, text + "!")
        assert told(model) == text + "!"


async def test_the_systems_words_are_the_persons(tmp_path: Path) -> None:
    model = ScriptedModel([reply("one")], [reply("two")])
    words = "Tabs:\tkeep.\nمی\u200cخواهم"
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(SetSystem(text=words))
        await say(running, "hello")
        assert words in model.requests[-1].messages[0].text
        await running.ask(c.OpenSession(session=running.session.journal.session))
        assert running.session.settings.system == words
