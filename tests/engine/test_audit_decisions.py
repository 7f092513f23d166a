"""Each kind of decision has its own entry in the audit, and everybody says it in the same words."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from omni_tui.cli.command_table import run_command
from omni_tui.cli.parser import parse
from omni_tui.cli.printers import TextPrinter
from omni_tui.face.transcript.fold import Fold
from omni_tui.memory.audit_table import AuditEntry, entries
from omni_tui.memory.installation_audit import InstallationEntry
from omni_tui.models.base import ToolCall
from omni_tui.protocol import JsonText, SafeText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.audit import AuditRead, ReadAudit
from omni_tui.protocol.deciders import decided_by, decider_words, outcome_words
from tests.engine.rig import Rig, rig, turns
from tests.engine.test_audited import said
from tests.face.test_transcript_fold import text_of
from tests.scripted_model import ScriptedModel, reply

RULES = """
[[policy.rule]]
id = "sums"
decision = "allow"
server = "demo"
tool = "add"

[[policy.rule]]
id = "no-nines"
decision = "deny"
server = "demo"
tool = "add"
args = [{ path = "/a", op = "eq", value = 9 }]
"""


def note(name: str) -> ToolCall:
    return ToolCall(f"p-{name}", "demo__write_note", f'{{"name":"{name}","text":"1"}}')


def add(a: int) -> ToolCall:
    return ToolCall(f"p-{a}", "demo__add", f'{{"a":{a},"b":1}}')


class Person:
    """Decides on the cards of one turn, by the name of the note that each writes."""

    def __init__(self, running: Rig) -> None:
        self.running = running

    def card(self, name: str) -> e.ApprovalRequested:
        cards = [
            each for each in self.running.of(e.ApprovalRequested) if f'"{name}"' in each.arguments_json
        ]
        return cards[-1]

    async def decide(self, name: str, verdict: Any, **more: Any) -> e.ApprovalRequested:
        card = self.card(name)
        command = c.DecideCall(call=card.call, digest=card.digest, verdict=verdict, **more)
        answer = await self.running.ask(command)
        assert isinstance(answer, e.CommandDone), answer
        return card


async def audit(running: Rig) -> list[AuditEntry]:
    return await running.session.journal.run(lambda tx: list(entries(tx)))


def of(found: list[AuditEntry], call: str) -> list[tuple[str, str]]:
    return [(each.action, each.actor) for each in found if each.subject == call]


async def test_each_kind_of_decision_has_an_entry_of_its_own(tmp_path: Path) -> None:
    names = ["approve", "reject", "words", "edit", "defer", "expire", "one", "two", "three", "four", "left"]
    calls = [add(1), add(9), *map(note, names)]
    async with rig(tmp_path, config=RULES, model=ScriptedModel([reply("", *calls)])) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="go"))
        await running.count(e.ApprovalRequested, len(names))
        person, ids = Person(running), {}
        for name in names:
            ids[name] = person.card(name).call
        await person.decide("approve", "approve")
        await person.decide("reject", "reject")
        await person.decide("words", "reject", feedback="not that one")
        before = person.card("edit")
        changed = JsonText('{"name":"edit","text":"2"}')
        await running.ask(c.EditCall(call=before.call, digest=before.digest, arguments_json=changed))
        await running.until(e.ApprovalRequested, lambda event: event.edited)
        await person.decide("edit", "approve")
        await person.decide("defer", "defer")
        await person.decide("defer", "approve")
        await running.session.gate.expire(ids["expire"])
        for name in ("one", "two"):
            await person.decide(name, "approve", batch=2)
        await person.decide("three", "reject", batch=2)
        await person.decide("four", "reject", batch=2, feedback="neither")
        await running.ask(c.StopRun())
        await turns(lambda: not running.session.runner.running)
        found = await audit(running)
        by_rule = {each.arguments: each.call for each in running.of(e.CallProposed) if each.tool == "add"}
        read = await running.ask(ReadAudit(query="edited"))
    decided = {name: of(found, ids[name])[2:3] for name in names}
    assert decided == {
        "approve": [("approved", "user")],
        "reject": [("rejected", "user")],
        "words": [("rejected with feedback", "user")],
        "edit": [("edited", "user")],
        "defer": [("deferred", "user")],
        "expire": [("expired", "timeout")],
        "one": [("approved in a batch of 2", "user")],
        "two": [("approved in a batch of 2", "user")],
        "three": [("rejected in a batch of 2", "user")],
        "four": [("rejected in a batch of 2 with feedback", "user")],
        "left": [("cancelled", "stop")],
    }
    kinds = {tuple(each) for each in decided.values()}
    assert len(kinds) == len(names) - 1, "only the two of one batch are the same"
    assert of(found, ids["edit"])[3:5] == [("asked", "gate"), ("approved", "user")]
    (edited,) = [each for each in found if each.action == "edited"]
    (asked,) = [each for each in found if each.subject == ids["edit"] and each.action == "asked"][:1]
    assert edited.detail == f"the arguments before: {asked.args_hash}"
    assert edited.args_hash not in ("", asked.args_hash)
    (denied,) = [call for arguments, call in by_rule.items() if "9" in arguments]
    (allowed,) = [call for call in by_rule.values() if call != denied]
    assert ("approved", "rule:sums") in of(found, allowed)
    assert ("denied", "rule:no-nines") in of(found, denied)
    assert isinstance(read, AuditRead)
    assert [(line.action, line.by) for line in read.lines] == [("edited", "you")]


async def test_a_deferral_counts_for_what_was_shown_and_needs_a_person(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("", note("a"))])) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="go"))
        card = await running.until(e.ApprovalRequested)
        for digest in ("", "0" * 64):
            wrong = c.DecideCall(call=card.call, digest=digest, verdict="defer")
            assert isinstance(await running.ask(wrong), e.CommandFailed)
        assert not [each for each in await audit(running) if each.action == "deferred"]


async def test_the_repeat_guard_and_the_person_by_hand_have_their_own_entries(tmp_path: Path) -> None:
    model = ScriptedModel(*([reply("", note("a"))] for _ in range(3)), [reply("done")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="go"))
        for number in (1, 2):
            await running.count(e.ApprovalRequested, number)
            await Person(running).decide("a", "reject")
        await running.until(e.TurnEnded)
        call = await running.by_hand("write_note", '{"name":"b","text":"1"}')
        await running.until(e.CallFinished, lambda event: event.call == call)
        found = await audit(running)
    assert [each.actor for each in found if each.action == "rejected"] == ["user", "user", "repeat"]
    assert of(found, call)[0] == ("proposed", "hand")
    assert ("approved", "user (by hand)") in of(found, call)


# --- the same words everywhere -------------------------------------------------------------------

WORDS = {
    ("rejected", "user"): "rejected",
    ("rejected", "repeat"): "rejected, as twice before",
    ("denied", "rule:no-nines"): "denied by rule no-nines",
    ("denied", "mode"): "denied by the mode",
    ("expired", "timeout"): "timed out",
    ("withheld", "headless"): "withheld: nobody there to ask",
    ("cancelled", "stop"): "cancelled: stopped",
    ("cancelled", "restart"): "cancelled by a restart",
    ("cancelled", "server"): "cancelled by the server",
    ("uncertain", "cut"): "outcome unknown",
}


def test_transcript_and_command_line_say_an_outcome_in_the_same_words() -> None:
    proposed = e.CallProposed(
        call="c",
        server="s",
        tool="t",
        label=SafeText("t"),
        arguments=SafeText("{}"),
        size=2,
        digest="d",
        risk="read",
        origin="agent",
    )
    for (state, decider), words in WORDS.items():
        changed = e.CallChanged(call="c", state=state, decider=decider)  # type: ignore[arg-type]
        fold, printer = Fold(), TextPrinter()
        printer.remark(proposed)
        fold.apply(proposed)
        fold.apply(changed)
        assert text_of(fold.items[0])[0].endswith(f" {words}"), (state, decider)
        assert printer.remark(changed) == f"✗ s.t {words}"
        assert outcome_words(state, decider) == words


def test_every_decider_has_words_and_a_rule_cannot_pass_for_another() -> None:
    codes = ("user", "user (by hand)", "mode", "policy", "headless", "timeout", "repeat", "stop", "restart",
             "gate", "agent", "hand", "server", "cache", "cut", "branch", "model", "rule:a")  # fmt: skip
    words = [decider_words(code) for code in codes]
    assert len(set(words)) == len(codes) - 1, "by hand is said of the proposal and of the decision"
    assert all(decided_by(code) for code in codes if code != "user")
    assert decider_words("rule:user") == "rule user"


async def test_the_export_says_the_words_too(tmp_path: Path, capsys: Any) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        call = await running.by_hand("add", '{"a":1,"b":2}')
        await running.until(e.CallFinished, lambda event: event.call == call)
    capsys.readouterr()
    arguments = parse(["audit", "export", "--state-dir", str(tmp_path / "state")])
    assert await asyncio.to_thread(run_command, arguments) == 0
    lines = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert all(line["by"] == decider_words(line.get("actor", "")) for line in lines)
    assert "you, by hand" in {line["by"] for line in lines}
    assert isinstance(said(tmp_path)[-1], InstallationEntry)
