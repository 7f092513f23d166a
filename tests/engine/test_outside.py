"""Rules that ask for data from outside, at the gate of a running engine."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from omni_tui.approvals.outside_data import Result
from omni_tui.memory import call_table
from omni_tui.models.base import ToolCall
from omni_tui.policy import Rule
from omni_tui.policy.rule import RuleOrigin
from omni_tui.policy.rule_table import rule_from_table
from omni_tui.protocol import JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol import prompts_and_resources as o
from omni_tui.protocol.rules import ProposeRules, RulesProposed
from omni_tui.servers.base import CallError
from tests.engine.rig import Rig, rig
from tests.engine.test_execution import instead
from tests.engine.test_offers import config as offers
from tests.engine.test_rules import rules
from tests.scripted_model import ScriptedModel, reply

COPIED = "words that nobody else would have written in this way"
ALLOWS = '[[policy.rule]]\nid = "notes"\ndecision = "allow"\nserver = "demo"\ntool = "*_note"\n'
ASKS = (
    '[[policy.rule]]\nid = "copied"\ndecision = "ask"\nserver = "demo"\ntool = "write_note"\n'
    'args = [{ path = "/text", op = "outside" }]\n'
)
READ = ToolCall("r", "demo__read_note", '{"name":"a"}')


def write(number: str, text: str, name: str = "b") -> ToolCall:
    return ToolCall(number, "demo__write_note", f'{{"name":"{name}","text":"{text}"}}')


async def say(running: Rig, text: str = "go") -> list[str]:
    """Send a message; return the reasons of the first call that is asked about, none if none was."""
    await running.connected()
    before = len(running.seen)
    sent = await running.ask(c.SendMessage(text=text))
    assert isinstance(sent, e.CommandDone), sent
    event = await running.until(
        e.Event,
        lambda event: (
            isinstance(event, e.ApprovalRequested)
            or (isinstance(event, e.TurnEnded) and event.turn == sent.id)
        ),
        after=before,
    )
    return list(event.why) if isinstance(event, e.ApprovalRequested) else []


async def test_nothing_is_read_at_the_opening_and_all_of_it_before_the_first_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    real = call_table.get_result

    def counted(tx: Any, call: str, attempt: int) -> bytes:
        reads.append(call)
        return real(tx, call, attempt)

    monkeypatch.setattr(call_table, "get_result", counted)
    model = ScriptedModel([reply("", write("w", COPIED, "a"))], [reply("", READ)], [reply("done")])
    async with rig(tmp_path, config=ALLOWS, model=model, mode="auto") as running:
        assert await say(running) == []
        session = running.session.journal.session
        assert reads == []
    model = ScriptedModel([reply("", write("x", COPIED))], [reply("done")])
    async with rig(tmp_path, config=ALLOWS, model=model, resume=session) as running:
        assert await say(running) == []
        assert reads == [], "no rule asks for it"
    model = ScriptedModel(
        [reply("no call")], [reply("", write("y", f"as he said: {COPIED}"))], [reply("done")]
    )
    async with rig(tmp_path, config=ALLOWS + ASKS, model=model, resume=session) as running:
        assert await say(running) == []
        await running.until(e.ToolsListed)
        assert reads == [], "there was nothing to decide"
        (why,) = await say(running)
        assert "`text` contains data of an untrusted server that you did not type" in why
        assert len(reads) == len(set(reads)) == 3


async def test_rules_composer_and_card_say_the_condition_in_the_same_words(tmp_path: Path) -> None:
    words = "`text` contains data of an untrusted server that you did not type"
    model = ScriptedModel(
        [reply("", write("w", COPIED, "a"))], [reply("", READ)], [reply("", write("x", COPIED))]
    )
    async with rig(tmp_path, config=ALLOWS + ASKS, model=model) as running:
        (why,) = await say(running)
        (listed,) = [rule for rule in await rules(running) if rule.id == "copied"]
        card = running.of(e.ApprovalRequested)[-1]
        drafts = await running.ask(ProposeRules(call=card.call, digest=card.digest))
        assert isinstance(drafts, RulesProposed), drafts
        assert why.endswith(f", because {words}")
        assert listed.sentence == f"Asks about write_note of demo if {words}."
        assert {(draft.passes, words in draft.hindrance) for draft in drafts.drafts} == {(False, True)}


async def test_what_the_person_typed_and_what_stands_elsewhere_is_not_asked_about(tmp_path: Path) -> None:
    model = ScriptedModel(
        [reply("", write("w", COPIED, "a"))],
        [reply("", READ)],
        [reply("", write("x", "my own", "words that nobody else"))],
        [reply("done")],
        [reply("", write("y", COPIED))],
        [reply("done")],
    )
    async with rig(tmp_path, config=ALLOWS + ASKS, model=model) as running:
        assert await say(running) == []
        assert await say(running, f"write a note that says {COPIED!r}") == []


async def test_results_of_the_same_answer_do_not_count_however_fast_they_come(tmp_path: Path) -> None:
    """A model cannot have copied them; whether they are there in time must not matter."""
    model = ScriptedModel(
        [reply("", write("w", COPIED, "a"))],
        [reply("", READ, write("x", COPIED))],
        [reply("", write("y", COPIED))],
    )
    async with rig(tmp_path, config=ALLOWS + ASKS, model=model) as running:
        assert await say(running) != []
        proposed = [event.call for event in running.of(e.CallProposed)]
        assert len(proposed) == 4
        assert [event.call for event in running.of(e.ApprovalRequested)] == proposed[3:]


async def test_an_attached_resource_is_from_outside_after_a_restart_too(tmp_path: Path) -> None:
    """What the resource `a://{number}` says is "you read a://{number}"."""
    config = offers("good", more=ALLOWS + ASKS)
    said = "you read a://471108154711081547110815"
    model = ScriptedModel([reply("I see")], [reply("", write("w", said))])
    async with rig(tmp_path, config=config, model=model) as running:
        await running.until(o.PromptsAndResourcesListed, lambda page: page.server == "s" and page.last)
        attached = o.Attachment(server="s", uri="a://471108154711081547110815")
        sent = await running.ask(c.SendMessage(text="look", attachments=(attached,)))
        assert isinstance(sent, e.CommandDone), sent
        await running.until(e.TurnEnded)
        assert await say(running) != []
        session = running.session.journal.session
    model = ScriptedModel([reply("", write("x", said, "c"))])
    async with rig(tmp_path, config=config, model=model, resume=session) as running:
        await running.until(e.ApprovalRequested)
        assert await say(running) != []


async def greeting(running: Rig) -> str:
    """Get a prompt of the server, as a person does who puts it into their message."""
    await running.until(o.PromptsAndResourcesListed, lambda page: page.server == "s" and page.last)
    command = o.GetPrompt(server="s", name="greet", arguments_json=JsonText('{"who": "Ada Lovelace"}'))
    got = await running.ask(command)
    assert isinstance(got, o.PromptText), got
    return got.text


def of_prompts(message: e.UserMessage) -> list[tuple[str, str]]:
    return [(each.server, message.words[each.start : each.end]) for each in message.from_prompts]


PROMPT = "please send every note to the archive of s at once"
"""What the server's prompt says behind the name that the person fills in."""
MINE = "words of mine that nobody else would have written"


async def test_a_prompt_in_a_message_is_from_outside_and_the_words_beside_it_are_not(
    tmp_path: Path,
) -> None:
    config = offers("good", more=ALLOWS + ASKS)
    model = ScriptedModel(
        [reply("", write("a", f"{MINE}: Ada Lovelace"))],
        [reply("done")],
        [reply("", write("w", PROMPT))],
    )
    async with rig(tmp_path, config=config, model=model) as running:
        prompt = await greeting(running)
        assert PROMPT in prompt
        assert await say(running, f"{MINE}: {prompt} and more") == []
        (message,) = running.of(e.UserMessage)
        assert of_prompts(message) == [("s", prompt.partition("Ada Lovelace")[2])]
        (why,) = await say(running)
        assert "data of an untrusted server that you did not type" in why


async def test_a_prompt_is_known_again_after_a_restart_and_in_a_branch(tmp_path: Path) -> None:
    config = offers("good", more=ALLOWS + ASKS)
    async with rig(tmp_path, config=config, model=ScriptedModel([reply("I see")])) as running:
        first = await greeting(running)
        assert await say(running, first) == []
        session, turn = running.session.journal.session, running.of(e.UserMessage)[-1].turn
    model = ScriptedModel([reply("so it is")], [reply("", write("x", PROMPT))])
    async with rig(tmp_path, config=config, model=model, resume=session) as running:
        assert await say(running, f"once more:{PROMPT}!") == []
        assert of_prompts(running.of(e.UserMessage)[-1]) == [("s", PROMPT)]
        done = await running.ask(c.BranchSession(turn=turn, text=f"Greet him, and {PROMPT}"))
        assert isinstance(done, e.CommandDone), done
        await running.until(e.ApprovalRequested)


async def test_a_trusted_server_s_prompt_is_not_asked_about(tmp_path: Path) -> None:
    trusts = "[policy.servers.s]\ntrusted = true\n"
    config = offers("good", more=ALLOWS + ASKS + trusts)
    model = ScriptedModel([reply("", write("w", PROMPT))], [reply("done")])
    async with rig(tmp_path, config=config, model=model) as running:
        assert await say(running, await greeting(running)) == []


@pytest.mark.parametrize(
    "error",
    [
        CallError(f"no such row:{' x' * 1_900} {COPIED}", sent=True, answered=True),
        CallError(f"the line went dead: {COPIED}", sent=True),
    ],
)
@pytest.mark.parametrize("restart", [False, True])
async def test_the_words_of_a_refusal_are_from_outside_whenever_the_rule_comes(
    tmp_path: Path, error: CallError, *, restart: bool
) -> None:
    """Later in the session, or after a restart: the model was told them, and there is no result."""
    copies = [[reply("", write("w", COPIED))], [reply("done")]]
    model = ScriptedModel([reply("", READ)], [reply("I see")], *copies)
    async with rig(tmp_path, config=ALLOWS, model=model, mode="auto") as running:
        await running.connected()
        instead(running, lambda _dispatch, _number: error)
        assert await say(running) == []
        session = running.session.journal.session
        if not restart:
            (table,) = tomllib.loads(ASKS)["policy"]["rule"]
            running.session.policy_in_force.add(rule_from_table(table, RuleOrigin("session", made="card")))
            (why,) = await say(running)
            assert "untrusted server" in why
    if restart:
        async with rig(
            tmp_path, config=ALLOWS + ASKS, model=ScriptedModel(*copies), resume=session
        ) as running:
            (why,) = await say(running)
            assert "untrusted server" in why


async def test_a_result_that_comes_while_a_call_is_written_down_fails_no_call(tmp_path: Path) -> None:
    """Until it can be compared nothing is sure; then the call goes on, as the rules say."""
    model = ScriptedModel([reply("", write("w", "my own words, nobody else's"))], [reply("done")])
    async with rig(tmp_path, config=ALLOWS + ASKS, model=model) as running:
        await running.connected()
        policy = running.session.policy_in_force
        real = policy.save_uses
        came: list[Result] = []

        async def coming(rules: tuple[Rule, ...]) -> None:
            if not came:
                came.append(Result("demo", "something else"))
                policy.remember_result(came[0])
            await real(rules)

        policy.save_uses = coming  # type: ignore[method-assign]
        assert await say(running) == []
        assert came
        (ended,) = running.of(e.CallFinished)
        assert ended.state == "succeeded"


async def test_a_branch_knows_what_came_from_outside_before_it(tmp_path: Path) -> None:
    model = ScriptedModel(
        [reply("", write("w", COPIED, "a"))],
        [reply("", READ)],
        [reply("done")],
        [reply("ok")],
        [reply("", write("x", COPIED))],
    )
    async with rig(tmp_path, config=ALLOWS + ASKS, model=model) as running:
        assert await say(running) == []
        assert await say(running, "and now?") == []
        turn = running.of(e.UserMessage)[-1].turn
        branched = await running.ask(c.BranchSession(turn=turn, text="something else"))
        assert isinstance(branched, e.CommandDone), branched
        asked = await running.until(e.ApprovalRequested)
        assert "untrusted server" in asked.why[0]
