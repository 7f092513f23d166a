"""What an engine sends to the screens about rules and the audit: whole, bounded, and true."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec

from omni_tui.models.base import ToolCall
from omni_tui.protocol import MAX_FRAME, encode
from omni_tui.protocol import events as e
from omni_tui.protocol.audit import AuditRead, ReadAudit
from omni_tui.protocol.rules import (
    AddRule,
    ProposeRules,
    ReadRule,
    ReadRules,
    RevokeRule,
    RuleAdded,
    RuleRead,
    RulesProposed,
    RulesRead,
)
from tests.engine.rig import Rig, rig
from tests.engine.test_rules import ALLOW_ADD, add, say, waiting
from tests.scripted_model import ScriptedModel, reply


def note(number: str, text: str) -> ToolCall:
    return ToolCall(number, "demo__write_note", json.dumps({"name": "x", "text": text}))


async def proposed(running: Rig, card: e.ApprovalRequested, **fixed: str) -> RulesProposed:
    named = {f"/{name}": how for name, how in fixed.items()}
    command = ProposeRules(call=card.call, digest=card.digest, fixed=named)  # type: ignore[arg-type]
    answer = await running.ask(command)
    assert isinstance(answer, RulesProposed), answer
    return answer


async def test_a_new_rule_names_the_waiting_calls_that_it_allows_and_sends_none(tmp_path: Path) -> None:
    calls = [add("p1"), add("p2", 3, 4), note("p3", "words")]
    model = ScriptedModel([reply("", *calls)], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        await waiting(running, 3)
        cards = {card.arguments_json: card for card in running.of(e.ApprovalRequested)}
        first, second = (card for card in cards.values() if card.tool == "add")
        tool = next(each for each in (await proposed(running, first)).drafts if each.width == "tool")
        assert tool.passes
        assert tool.releases == (second.call,)
        command = AddRule(call=first.call, digest=first.digest, rule_toml=tool.rule_toml)
        assert isinstance(await running.ask(command), e.CommandDone)
        (added,) = running.of(RuleAdded)
        assert set(added.allows) == {first.call, second.call}
        assert added.call == first.call
        assert [item.id for item in running.session.gate.waiting()].count(first.call) == 1
        assert running.of(e.CallFinished) == []


async def test_the_person_says_which_arguments_are_fixed(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", add("p1", 5, 6))], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        usual = await proposed(running, card)
        assert [(each.path, each.fixed) for each in usual.arguments] == [("/a", "exact"), ("/b", "exact")]
        one = await proposed(running, card, b="no")
        (fixed,) = (each for each in one.drafts if each.width == "fixed")
        (table,) = tomllib.loads(fixed.rule_toml)["policy"]["rule"]
        assert table["args"] == [{"path": "/a", "op": "eq", "value": 5}]
        none = await proposed(running, card, a="no", b="no")
        assert [each.width for each in none.drafts] == ["exact", "tool"]
        again = await proposed(running, card, b="no")
        assert again == msgspec.structs.replace(one, request=again.request), (
            "the same choice, the same text"
        )


async def test_what_is_too_long_to_be_shown_whole_is_not_offered(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", note("p1", "é" * 9_000))], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        usual = await proposed(running, card)
        assert [each.width for each in usual.drafts] == ["fixed", "tool"]
        assert len(encode(usual)) < MAX_FRAME
        long = await proposed(running, card, text="exact")
        assert [each.width for each in long.drafts] == ["tool"]


async def test_long_lists_of_rules_fit_a_frame_and_are_read_whole_one_by_one(tmp_path: Path) -> None:
    value = "字" * 300
    args = ", ".join(f'{{path = "/a{n}", op = "eq", value = "{value}"}}' for n in range(9))
    config = "".join(
        f'[[policy.rule]]\nid = "r{n}"\ndecision = "ask"\nserver = "demo"\ntool = "t{n}"\nargs = [{args}]\n'
        for n in range(120)
    )
    async with rig(tmp_path, config=config, mode="chat") as running:
        await running.connected()
        seen: list[str] = []
        while True:
            page = await running.ask(ReadRules(after=len(seen)))
            assert isinstance(page, RulesRead), page
            assert len(encode(page)) < MAX_FRAME
            if not page.rules:
                break
            seen += [each.id for each in page.rules]
        assert len(seen) == len(set(seen)) == page.total == 120
        one = await running.ask(ReadRule(id="r7", scope="user"))
        assert isinstance(one, RuleRead), one
        assert one.whole
        assert len(tomllib.loads(one.rule_toml)["policy"]["rule"][0]["args"]) == 9
        gone = await running.ask(ReadRule(id="none", scope="user"))
        assert isinstance(gone, e.CommandFailed)
        assert "there is no rule none" in gone.what


async def test_the_audit_is_read_newest_first_by_pages_and_words(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", add("p1"))], [reply("", note("p2", "w"))], [reply("done")])
    async with rig(tmp_path, config=ALLOW_ADD, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        (tool, *_) = (each for each in (await proposed(running, card)).drafts if each.width == "tool")
        await running.ask(AddRule(call=card.call, digest=card.digest, rule_toml=tool.rule_toml))
        (added,) = running.of(RuleAdded)
        page = await running.ask(ReadRules())
        assert isinstance(page, RulesRead)
        (mine,) = (each for each in page.rules if each.id == added.id)
        await running.ask(RevokeRule(id=mine.id, scope="session", digest=mine.digest))
        whole = await running.ask(ReadAudit())
        assert isinstance(whole, AuditRead), whole
        numbers = [line.entry for line in whole.lines]
        assert numbers == list(range(whole.total, 0, -1))
        assert [(line.action, line.actor, line.subject) for line in whole.lines[:2]] == [
            ("rule revoked", "user", added.id),
            ("rule added", "user", added.id),
        ]
        by_rule = await running.ask(ReadAudit(query="RULE:sums dispatching"))
        assert isinstance(by_rule, AuditRead)
        assert [(line.tool, line.actor) for line in by_rule.lines] == [("add", "rule:sums")]
        read: list[int] = []
        before = 0
        while True:
            small = await running.ask(ReadAudit(before=before, limit=3))
            assert isinstance(small, AuditRead)
            assert len(small.lines) <= 3
            read += [line.entry for line in small.lines]
            before = small.before
            if not before:
                break
        assert read == numbers
