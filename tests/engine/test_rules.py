"""Rules at the gate of a running engine: what they allow, ask and deny, and what changes them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from omni_tui.config.config_file import remove_rule
from omni_tui.memory import session_path
from omni_tui.memory.audit_table import entries
from omni_tui.memory.rules_file import RulesFile
from omni_tui.models.base import ToolCall
from omni_tui.protocol import JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.rules import (
    AddRule,
    AdoptRule,
    ProposeRules,
    ReadRules,
    RevokeRule,
    RuleAdded,
    RuleDraft,
    RuleInfo,
    RuleRevoked,
    RulesProposed,
    RulesRead,
)
from omni_tui.protocol.session_search import SearchSessions
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply

ALLOW_ADD = """
[[policy.rule]]
id = "sums"
decision = "allow"
server = "demo"
tool = "add"
"""


def add(number: str, a: int = 1, b: int = 2) -> ToolCall:
    return ToolCall(number, "demo__add", f'{{"a":{a},"b":{b}}}')


def note(number: str, name: str = "x") -> ToolCall:
    return ToolCall(number, "demo__write_note", f'{{"name":"{name}","text":"words"}}')


async def say(running: Rig, text: str = "go") -> None:
    await running.connected()
    running.link.send(c.SendMessage(text=text))


async def states(running: Rig) -> list[tuple[str, str]]:
    return [(event.state, event.decider) for event in running.of(e.CallChanged)]


async def waiting(running: Rig, number: int = 1) -> e.ApprovalRequested:
    await running.count(e.ApprovalRequested, number)
    return running.of(e.ApprovalRequested)[-1]


async def approve(running: Rig, card: e.ApprovalRequested) -> None:
    reply = await running.ask(c.DecideCall(call=card.call, digest=card.digest, verdict="approve"))
    assert isinstance(reply, e.CommandDone), reply


async def drafts(running: Rig, card: e.ApprovalRequested, **more: str) -> tuple[RuleDraft, ...]:
    reply = await running.ask(ProposeRules(call=card.call, digest=card.digest, **more))  # type: ignore[arg-type]
    assert isinstance(reply, RulesProposed), reply
    return reply.drafts


async def rules(running: Rig) -> tuple[RuleInfo, ...]:
    reply = await running.ask(ReadRules())
    assert isinstance(reply, RulesRead), reply
    return reply.rules


async def test_a_draft_is_tried_on_calls_of_other_sessions_once_they_are_indexed(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", add("p1"))], [reply("done")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        for numbers in ('{"a":1,"b":2}', '{"a":5,"b":6}'):
            call = await running.by_hand("add", numbers)
            await running.until(e.CallFinished, lambda event, call=call: event.call == call)  # type: ignore[misc]
        await running.ask(c.NewSession())
        await say(running)
        card = await waiting(running)
        assert {(draft.matched_elsewhere, draft.elsewhere) for draft in await drafts(running, card)} == {
            (0, 0)
        }
        await running.ask(SearchSessions(words="add"))
        others = await running.engine.search.past_calls("demo", 10, without=card.session)
        assert [row.args for row in others] == [b'{"a":5,"b":6}', b'{"a":1,"b":2}']
    model = ScriptedModel([reply("", add("p1"))], [reply("done")])
    async with rig(tmp_path, model=model, resume="new") as running:
        await say(running)
        card = await waiting(running)
        found = {draft.width: draft for draft in await drafts(running, card)}
        assert (found["exact"].matched_elsewhere, found["exact"].elsewhere) == (1, 3), (
            "the one that waits there"
        )


async def test_a_rule_allows_in_chat_mode_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", add("p1"))], [reply("", note("p2"))], [reply("done")])
    async with rig(tmp_path, config=ALLOW_ADD, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        assert card.tool == "write_note"
        assert ("approved", "rule:sums") in await states(running)
        found = await running.session.journal.run(lambda tx: list(entries(tx)))
        assert ("dispatching", "rule:sums") in [(each.action, each.actor) for each in found]


async def test_a_denied_tool_does_not_exist_for_the_model(tmp_path: Path) -> None:
    deny = ALLOW_ADD.replace("allow", "deny").replace('"add"', '"ad*"')
    model = ScriptedModel([reply("", add("p1"))], [reply("done")])
    async with rig(tmp_path, config=deny, model=model, mode="auto") as running:
        await say(running)
        await running.until(e.TurnEnded)
        offered = {tool.name for tool in model.requests[0].tools}
        assert "demo__add" not in offered
        assert "demo__write_note" in offered
        assert running.of(e.CallProposed) == []
        assert "There is no tool named" in model.requests[1].messages[-1].text


async def test_the_severest_rule_decides_in_any_order(tmp_path: Path) -> None:
    ask = '[[policy.rule]]\nid = "careful"\ndecision = "ask"\nserver = "*"\ntool = "add"\n'
    model = ScriptedModel([reply("", add("p1"))], [reply("done")])
    async with rig(tmp_path, config=ask + ALLOW_ADD, model=model, mode="auto") as running:
        await say(running)
        card = await waiting(running)
        assert any('the rule "careful" asks about it' in why for why in card.why)


async def test_a_call_that_a_rule_denies_for_its_arguments_is_told_why(tmp_path: Path) -> None:
    deny = (
        ALLOW_ADD.replace("allow", "deny")
        + 'message = "no sums of nine"\n[[policy.rule.args]]\npath = "/a"\nop = "eq"\nvalue = 9\n'
    )
    model = ScriptedModel([reply("", add("p1", 9, 9))], [reply("done")])
    async with rig(tmp_path, config=deny, model=model, mode="auto") as running:
        await say(running)
        await running.until(e.TurnEnded)
        assert await states(running) == [("denied", "rule:sums")]
        assert "no sums of nine" in model.requests[1].messages[-1].text


async def test_a_call_by_hand_is_denied_by_a_rule_and_not_by_a_mode(tmp_path: Path) -> None:
    deny = '[[policy.rule]]\nid = "no-sums"\ndecision = "deny"\nserver = "demo"\ntool = "add"\n'
    async with rig(tmp_path, config=deny + '[policy]\nauto = "deny"\n', mode="auto") as running:
        await running.connected()
        await running.by_hand("add", '{"a":1,"b":2}')
        await running.until(e.CallChanged, lambda event: event.state == "denied")
        await running.by_hand("write_note", '{"name":"a","text":"b"}')
        await running.until(e.CallFinished)


async def test_an_allow_rule_covers_what_destroys_only_if_it_says_so(tmp_path: Path) -> None:
    config = '[[policy.rule]]\nid = "all"\ndecision = "allow"\nserver = "demo"\ntool = "*"\n'
    call = ToolCall("p1", "demo__delete_note", '{"name":"x"}')
    model = ScriptedModel([reply("", call)], [reply("done")])
    async with rig(tmp_path / "without", config=config, model=model, mode="auto") as running:
        await say(running)
        assert any("may destroy" in why for why in (await waiting(running)).why)
    model = ScriptedModel([reply("", call)], [reply("done")])
    spelled = config + 'risk_max = "destructive"\n'
    async with rig(tmp_path / "with", config=spelled, model=model, mode="chat") as running:
        await say(running)
        await running.until(e.TurnEnded)
        assert ("approved", "rule:all") in await states(running)


async def test_a_rule_from_a_card_passes_the_next_call_and_releases_none(tmp_path: Path) -> None:
    model = ScriptedModel(
        [reply("", note("p1", "a"), note("p2", "b"))], [reply("", note("p3", "c"))], [reply("done")]
    )
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        await running.count(e.ApprovalRequested, 2)
        first, second = running.of(e.ApprovalRequested)
        proposed = await drafts(running, first)
        assert proposed[0].width == "exact"
        wide = next(draft for draft in proposed if draft.width == "tool")
        assert wide.passes
        assert wide.releases == (second.call,)
        added = await running.ask(
            AddRule(call=first.call, digest=first.digest, rule_toml=wide.rule_toml, scope="session")
        )
        assert isinstance(added, e.CommandDone), added
        assert running.session.gate.pending() == [first.call, second.call], "both still wait"
        await approve(running, first)
        await approve(running, second)
        await running.until(e.TurnEnded)
        third = [event for event in running.of(e.CallChanged) if event.decider.startswith("rule:")]
        assert {event.state for event in third} == {"approved", "dispatching"}
        assert [event.id for event in running.of(RuleAdded)] == [added.id]


async def test_a_rule_of_the_session_is_there_after_a_restart_and_in_no_other(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", note("p1"))], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        draft = (await drafts(running, card))[0]
        await running.ask(AddRule(call=card.call, digest=card.digest, rule_toml=draft.rule_toml))
        session = running.session.journal.session
        await approve(running, card)
        await running.until(e.TurnEnded)
    async with rig(tmp_path, model=ScriptedModel(), resume=session) as running:
        assert [rule.scope for rule in await rules(running)] == ["session"]
    async with rig(tmp_path, model=ScriptedModel(), resume="new") as running:
        assert await rules(running) == ()


async def test_a_rule_for_good_is_written_and_can_be_revoked(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", note("p1"))], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        draft = next(each for each in await drafts(running, card, scope="user") if each.width == "tool")
        assert draft.file.endswith("rules.toml")
        added = await running.ask(
            AddRule(call=card.call, digest=card.digest, rule_toml=draft.rule_toml, scope="user")
        )
        assert isinstance(added, e.CommandDone), added
        assert added.id in Path(draft.file).read_text()
    async with rig(tmp_path, model=ScriptedModel(), resume="new") as running:
        (rule,) = await rules(running)
        assert (rule.id, rule.made, rule.state) == (added.id, "card", "active")
        wrong = await running.ask(RevokeRule(id=rule.id, scope="user", digest="other"))
        assert isinstance(wrong, e.CommandFailed)
        revoked = await running.ask(RevokeRule(id=rule.id, scope="user", digest=rule.digest))
        assert isinstance(revoked, e.CommandDone), revoked
        assert await rules(running) == ()
        assert added.id not in Path(draft.file).read_text()


async def test_revoking_stops_a_call_that_the_rule_allowed_and_that_is_not_sent_yet(tmp_path: Path) -> None:
    """A call waits for its place behind one that writes; meanwhile its rule is revoked."""
    model = ScriptedModel([reply("", note("p1"), add("p2"))], [reply("done")])
    async with rig(tmp_path, config=ALLOW_ADD, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        (rule,) = await rules(running)
        revoked = await running.ask(RevokeRule(id=rule.id, scope="user", digest=rule.digest))
        assert isinstance(revoked, e.CommandDone), revoked
        await approve(running, card)
        again = await waiting(running, 2)
        assert again.tool == "add"


async def test_a_limited_rule_is_used_up_across_restarts(tmp_path: Path) -> None:
    config = ALLOW_ADD + "max_uses = 2\n"
    for expected in ("rule:sums", "rule:sums", ""):
        model = ScriptedModel([reply("", add("p1"))], [reply("done")])
        async with rig(tmp_path, config=config, model=model, mode="chat", resume="new") as running:
            await say(running)
            if expected:
                await running.until(e.TurnEnded)
                assert ("approved", expected) in await states(running)
            else:
                await waiting(running)


async def test_what_another_program_changes_counts_at_once(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", add("p1"))], [reply("", add("p2", 3, 4))], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        (tmp_path / "rules.toml").write_text(ALLOW_ADD)
        await approve(running, card)
        await running.until(e.TurnEnded)
        assert ("approved", "rule:sums") in await states(running)
        (tmp_path / "rules.toml").write_text("broken [")
        assert await rules(running) == ()


async def test_with_mistakes_in_the_policy_no_allow_rule_counts_and_none_is_added(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", add("p1"))], [reply("done")])
    async with rig(tmp_path, config=ALLOW_ADD + "colour = 1\n", model=model, mode="auto") as running:
        await say(running)
        card = await waiting(running)
        draft = (await drafts(running, card))[0]
        for scope in ("user", "session"):
            await running.ask(
                AddRule(call=card.call, digest=card.digest, rule_toml=draft.rule_toml, scope=scope)
            )
        assert not [
            rule for rule in running.session.policy_in_force.rules.rules if rule.decision == "allow"
        ]


async def test_two_calls_never_share_the_last_use(tmp_path: Path) -> None:
    config = ALLOW_ADD + "max_uses = 1\n"
    model = ScriptedModel([reply("", add("p1"), add("p2", 3, 4))], [reply("done")])
    async with rig(tmp_path, config=config, model=model, mode="chat") as running:
        await say(running)
        await waiting(running)
        await running.until(e.CallFinished)
        assert len(running.of(e.CallFinished)) == 1
        assert len(running.session.gate.pending()) == 1


async def test_an_edit_that_a_rule_denies_is_refused(tmp_path: Path) -> None:
    config = (
        '[[policy.rule]]\nid = "no-secrets"\ndecision = "deny"\nserver = "demo"\n'
        '[[policy.rule.args]]\npath = "/name"\nop = "prefix"\nvalue = "secret"\n'
    )
    model = ScriptedModel([reply("", note("p1"))], [reply("done")])
    async with rig(tmp_path, config=config, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        refused = await running.ask(
            c.EditCall(
                call=card.call,
                digest=card.digest,
                arguments_json='{"name":"secret-1","text":"words"}',  # type: ignore[arg-type]
            )
        )
        assert isinstance(refused, e.CommandFailed)
        assert "no-secrets" in refused.what
        assert running.session.gate.pending() == [card.call]


async def test_data_from_an_untrusted_server_is_asked_about(tmp_path: Path) -> None:
    config = (
        ALLOW_ADD.replace('"add"', '["read_note", "write_note"]')
        + '[[policy.rule]]\nid = "copied"\ndecision = "ask"\nserver = "demo"\n'
        + 'tool = "write_note"\noutside = true\n'
    )
    first = ToolCall(
        "p1", "demo__write_note", '{"name":"a","text":"words of my own, copied by nobody else"}'
    )
    read = ToolCall("p2", "demo__read_note", '{"name":"a"}')
    copied = ToolCall(
        "p3", "demo__write_note", '{"name":"b","text":"see: words of my  own, copied by nobody else"}'
    )
    model = ScriptedModel([reply("", first)], [reply("", read)], [reply("", copied)], [reply("done")])
    async with rig(tmp_path, config=config, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        assert any('"copied"' in why for why in card.why)
    trusted = config + "[policy.servers.demo]\ntrusted = true\n"
    model = ScriptedModel([reply("", first)], [reply("", read)], [reply("", copied)], [reply("done")])
    async with rig(tmp_path / "trusted", config=trusted, model=model, mode="chat") as running:
        await say(running)
        await running.until(e.TurnEnded)
        assert running.of(e.ApprovalRequested) == []


async def test_a_project_s_allow_rule_counts_once_it_is_adopted(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / ".omni-tui.toml").write_text(ALLOW_ADD)
    model = ScriptedModel([reply("", add("p1"))], [reply("", add("p2", 3, 4))], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat", project=str(project)) as running:
        await say(running)
        card = await waiting(running)
        (rule,) = await rules(running)
        assert (rule.state, rule.scope) == ("proposed", "project")
        done = await running.ask(AdoptRule(id=rule.id, digest=rule.digest))
        assert isinstance(done, e.CommandDone), done
        assert running.session.gate.pending() == [card.call]
        await approve(running, card)
        await running.until(e.TurnEnded)
        assert ("approved", "rule:sums") in await states(running)


async def test_the_rule_that_a_headless_run_asks_for_lets_just_that_call_pass(tmp_path: Path) -> None:
    async def outcome(folder: str, config: str, call: ToolCall) -> e.CallChanged:
        model = ScriptedModel([reply("", call)], [reply("done")])
        place = tmp_path / folder
        async with rig(place, config=config, model=model, mode="chat", headless=True) as running:
            await say(running)
            await running.until(e.TurnEnded)
            return running.of(e.CallChanged)[0]

    withheld = await outcome("1", "", note("p1"))
    assert withheld.state == "withheld"
    assert (await outcome("2", withheld.rule_toml, note("p1"))).state == "approved"
    assert (await outcome("3", withheld.rule_toml, note("p1", "other"))).state == "withheld"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not toml [",
        '[[policy.rule]]\nid = "x"\ndecision = "allow"\nserver = "*"\n',
        '[[policy.rule]]\nid = "x"\ndecision = "allow"\nserver = "other"\n',
        '[[policy.rule]]\nid = "x"\ndecison = "allow"\nserver = "demo"\n',
        '[[policy.rule]]\nid = "x"\ndecision = "allow"\nserver = "demo"\n' * 2,
        "x" * 100_000,
    ],
)
async def test_a_rule_that_is_no_rule_or_not_of_this_call_is_refused(tmp_path: Path, text: str) -> None:
    model = ScriptedModel([reply("", note("p1"))], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        refused = await running.ask(AddRule(call=card.call, digest=card.digest, rule_toml=text))
        assert isinstance(refused, e.CommandFailed), refused
        assert await rules(running) == ()


async def test_a_damaged_rules_file_makes_every_mode_ask(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", add("p1"))], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        (tmp_path / "rules.toml").write_text(ALLOW_ADD.replace("allow", "deny") + "typo = 1\n")
        await say(running)
        card = await waiting(running)
        assert card.tool == "add"


async def test_what_another_program_removed_from_the_config_is_gone_at_once(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", add("p1"))], [reply("done")])
    async with rig(tmp_path, config=ALLOW_ADD, model=model, mode="chat") as running:
        await running.connected()
        assert remove_rule(tmp_path / "config.toml", "sums")
        await say(running)
        await waiting(running)


async def test_a_change_by_another_program_just_before_one_of_ours_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(ALLOW_ADD)
    model = ScriptedModel([reply("", note("p1"))], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        draft = next(each for each in await drafts(running, card, scope="user") if each.width == "tool")
        book = running.engine.context.rule_book
        assert [rule.id for rule in book.rules] == ["sums"]
        RulesFile(tmp_path / "rules.toml").remove("sums")
        added = await running.ask(
            AddRule(call=card.call, digest=card.digest, rule_toml=draft.rule_toml, scope="user")
        )
        assert isinstance(added, e.CommandDone), added
        assert [rule.id for rule in book.rules] == [added.id]


async def test_an_allow_rule_never_takes_the_place_of_a_deny_rule_of_its_name(tmp_path: Path) -> None:
    deny = ALLOW_ADD.replace("allow", "deny") + '[[policy.rule.args]]\npath = "/a"\nop = "eq"\nvalue = 1\n'
    model = ScriptedModel([reply("", add("p1"))], [reply("done")])
    async with rig(tmp_path, config=deny, model=model, mode="auto") as running:
        await running.connected()
        (tmp_path / "rules.toml").write_text(ALLOW_ADD)
        await say(running)
        await running.until(e.CallChanged, lambda event: event.state == "denied")


async def test_a_branch_revives_no_revoked_rule_and_no_loosened_mode(tmp_path: Path) -> None:
    model = ScriptedModel(
        [reply("", note("p1"))],
        [reply("one")],
        [reply("two")],
        [reply("", note("p2", "y"))],
        [reply("three")],
    )
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        draft = next(each for each in await drafts(running, card) if each.width == "tool")
        added = await running.ask(AddRule(call=card.call, digest=card.digest, rule_toml=draft.rule_toml))
        assert isinstance(added, e.CommandDone)
        await approve(running, card)
        await running.until(e.TurnEnded)
        sent = await running.ask(c.SendMessage(text="second"))
        assert isinstance(sent, e.CommandDone)
        await running.until(e.TurnEnded, lambda event: event.turn == sent.id)
        (rule,) = await rules(running)
        await running.ask(RevokeRule(id=rule.id, scope="session", digest=rule.digest))
        before = len(running.of(e.ApprovalRequested))
        branched = await running.ask(c.BranchSession(turn=sent.id))
        assert isinstance(branched, e.CommandDone), branched
        assert await rules(running) == ()
        await waiting(running, before + 1)


DENY_ADD = ALLOW_ADD.replace('"allow"', '"deny"')


@pytest.mark.parametrize("damage", ["broken [", "typo = 1", "twice"])
async def test_a_rules_file_broken_meanwhile_loses_no_deny_rule_and_asks_until_it_is_repaired(
    tmp_path: Path, damage: str
) -> None:
    """By hand too, at once, and told to everybody; a change of another file meanwhile repairs nothing."""
    file = tmp_path / "rules.toml"
    file.write_text(DENY_ADD)
    freed = ALLOW_ADD.replace("sums", "freed").replace('"add"', '"list_notes"')
    write = c.CallTool(server="demo", tool="write_note", arguments_json=JsonText('{"name":"a","text":"b"}'))
    async with rig(tmp_path, config=freed, mode="auto") as running:
        await running.connected()
        assert isinstance(await running.ask(write), e.CommandDone)
        file.write_text(DENY_ADD + (freed if damage == "twice" else damage))
        asked = await running.ask(write)
        assert isinstance(asked, e.ConfirmNeeded), asked
        assert "the policy has mistakes" in asked.why[0]
        call = await running.by_hand("add", '{"a":1,"b":2}')
        await running.until(e.CallChanged, lambda event: (event.call, event.state) == (call, "denied"))
        assert isinstance(await running.confirmed(write), e.CommandDone)
        assert remove_rule(tmp_path / "config.toml", "freed")
        assert isinstance(await running.ask(write), e.ConfirmNeeded)
        (told,) = [each for each in running.of(e.Notice) if "every call is asked about" in each.what]
        assert str(file) in told.why
        listed = await running.ask(ReadRules())
        assert isinstance(listed, RulesRead)
        assert any(str(file) in each for each in listed.problems)
        file.write_text(DENY_ADD)
        assert isinstance(await running.ask(write), e.CommandDone)
        await running.until(e.Notice, lambda event: "can be used again" in event.what)
        assert running.engine.context.rule_book.base("demo")["auto"] == "allow"


async def test_a_call_by_hand_is_asked_about_if_no_rule_can_be_read_at_the_start(
    tmp_path: Path,
) -> None:
    (tmp_path / "rules.toml").write_text("broken [")
    async with rig(tmp_path, mode="auto") as running:
        await running.connected()
        listing = c.CallTool(server="demo", tool="list_notes", arguments_json=JsonText("{}"))
        assert isinstance(await running.ask(listing), e.ConfirmNeeded)


async def test_the_composer_promises_nothing_while_the_policy_has_mistakes(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", add("p1"), note("p2"))], [reply("done")])
    async with rig(tmp_path, config="[policy]\ncolour = 1\n", model=model, mode="auto") as running:
        await say(running)
        card = await waiting(running, 2)
        for draft in await drafts(running, card):
            assert (draft.passes, draft.releases) == (False, ())
            assert "the policy has mistakes" in draft.hindrance
            for scope in ("user", "session"):
                refused = await running.ask(
                    AddRule(call=card.call, digest=card.digest, rule_toml=draft.rule_toml, scope=scope)
                )
                assert isinstance(refused, e.CommandFailed), refused
        assert running.of(RuleAdded) == []


@pytest.mark.parametrize("lost", ["what took it back", "the end"])
async def test_lost_events_bring_back_no_revoked_rule_and_no_loose_mode(tmp_path: Path, lost: str) -> None:
    """What is said after the last lost event holds, and so nothing is tightened at every start."""

    async def give(running: Rig, number: int) -> None:
        card = await waiting(running, number)
        draft = next(each for each in await drafts(running, card) if each.width == "tool")
        added = await running.ask(AddRule(call=card.call, digest=card.digest, rule_toml=draft.rule_toml))
        assert isinstance(added, e.CommandDone), added
        await approve(running, card)

    model = ScriptedModel([reply("", note("p1"))], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        session = running.session.journal.session
        await say(running)
        await give(running, 1)
        await running.until(e.TurnEnded)
        await running.ask(c.SetMode(mode="auto"))
        (rule,) = await rules(running)
        await running.ask(RevokeRule(id=rule.id, scope="session", digest=rule.digest))
        await running.ask(c.SetMode(mode="chat"))
        assert await rules(running) == ()
        seq = (await running.until(RuleRevoked)).seq
    path = session_path(tmp_path / "state", session)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        within = " AND seq <= ?" if lost == "what took it back" else " AND seq < ? + 1000"
        connection.execute(f"DELETE FROM events WHERE seq >= ?{within}", (seq, seq + 1))
    model = ScriptedModel([reply("", note("p2"))], [reply("done")])
    async with rig(tmp_path, model=model, resume=session) as running:
        assert running.session.settings.mode == "chat"
        assert await rules(running) == ()
        (told,) = [each for each in running.session.notices if "may be lost" in each.what]
        assert "chat mode" in told.what
        assert "1 of its rules" in told.what
        await say(running)
        await give(running, 2)
        await running.until(e.TurnEnded)
        await running.ask(c.SetMode(mode="auto"))
    async with rig(tmp_path, model=ScriptedModel(), resume=session) as running:
        assert running.session.settings.mode == "auto"
        assert [rule.scope for rule in await rules(running)] == ["session"]
        assert not [each for each in running.session.notices if "may be lost" in each.what]


async def test_lost_uses_are_said_and_give_no_use_back(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "rule-uses.json").write_text("{")
    model = ScriptedModel([reply("", add("p1"))], [reply("done")])
    config = ALLOW_ADD + "max_uses = 1\n"
    async with rig(tmp_path, config=config, model=model, mode="chat") as running:
        (told,) = [each for each in running.engine.notices if "rule-uses.json" in each.what]
        assert "max_uses count as used up (1)" in told.what
        await say(running)
        await waiting(running)
        (rule,) = await rules(running)
        assert rule.state == "over"


async def test_a_limited_rule_is_not_given_to_a_branch_with_all_its_uses(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", note("p1"))], [reply("done")], [reply("again")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        await say(running)
        card = await waiting(running)
        draft = next(each for each in await drafts(running, card) if each.width == "tool")
        for text in (draft.rule_toml + "max_uses = 1\n", DENY_ADD):
            added = await running.ask(AddRule(call=card.call, digest=card.digest, rule_toml=text))
            assert isinstance(added, e.CommandDone), added
        await approve(running, card)
        turn = (await running.until(e.TurnEnded)).turn
        assert {rule.decision for rule in await rules(running)} == {"allow", "deny"}
        branched = await running.ask(c.BranchSession(turn=turn, text="once more"))
        assert isinstance(branched, e.CommandDone), branched
        assert [rule.decision for rule in await rules(running)] == ["deny"]
