"""A change of mode, model or server settings frees nothing that was sent or proposed before it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from omni_tui.memory import Journal
from omni_tui.models.base import ToolCall
from omni_tui.policy import Rule
from omni_tui.protocol import AnyEvent, Mode
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.plan import PlanProposed
from omni_tui.protocol.rules import (
    AddRule,
    AdoptRule,
    ReadRules,
    RevokeRule,
    RuleAdded,
    RuleRevoked,
    RulesRead,
)
from omni_tui.protocol.values import CallOrigin
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply

READ = ToolCall("r", "demo__add", '{"a": 1, "b": 2}')
SECOND = ToolCall("s", "demo__add", '{"a": 3, "b": 4}')
WRITE = ToolCall("w", "demo__write_note", '{"name": "sum", "text": "done"}')


def notes(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "notes").rglob("*") if path.is_file())


async def say(running: Rig, text: str) -> str:
    reply_ = await running.ask(c.SendMessage(text=text))
    assert isinstance(reply_, e.CommandDone), reply_
    return reply_.id


async def approve(running: Rig, waiting: e.ApprovalRequested) -> None:
    done = await running.ask(c.DecideCall(call=waiting.call, digest=waiting.digest, verdict="approve"))
    assert isinstance(done, e.CommandDone), done


async def test_a_message_sent_under_another_mode_is_not_put_into_the_running_turn(tmp_path: Path) -> None:
    async with rig(tmp_path, config='[model]\nname = "offline"\n') as running:
        await running.connected()
        first = await say(running, "list the notes")
        waiting = await running.until(e.ApprovalRequested)
        await running.ask(c.SetMode(mode="orchestrator"))
        second = await say(running, "write a note called sum that says done")
        await approve(running, waiting)
        await running.until(e.TurnEnded, lambda event: event.turn == first)
        plan = await running.until(PlanProposed)
        assert plan.turn == second
        started = {event.turn: event.mode for event in running.of(e.TurnStarted)}
        assert started == {first: "chat", second: "orchestrator"}
        assert running.of(e.Steered) == []
        assert notes(tmp_path) == []


@pytest.mark.parametrize(
    ("began", "later"),
    [("chat", "auto"), ("chat", "orchestrator"), ("auto", "chat"), ("auto", "orchestrator")],
)
async def test_a_turn_gets_no_freer_by_any_change_of_mode(tmp_path: Path, began: Mode, later: Mode) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate.wait(), reply("", WRITE)], [reply("done")])
    async with rig(tmp_path, model=model, mode=began) as running:
        await running.connected()
        await say(running, "go")
        await running.until(e.TurnStarted)
        await running.ask(c.SetMode(mode=later))
        gate.set()
        waiting = await running.until(e.ApprovalRequested)
        assert waiting.mode == ("chat" if began == "chat" else later)
        assert notes(tmp_path) == []


async def test_a_call_that_waits_says_its_mode_and_stays_when_the_mode_loosens(tmp_path: Path) -> None:
    async with rig(
        tmp_path, model=ScriptedModel([reply("", WRITE)], [reply("", READ)], [reply("ok")])
    ) as running:
        await running.connected()
        await say(running, "go")
        waiting = await running.until(e.ApprovalRequested)
        assert waiting.mode == "chat"
        done = await running.ask(c.SetMode(mode="auto"))
        assert isinstance(done, e.CommandDone)
        assert "what was sent before stays in chat mode" in done.text
        assert running.session.gate.pending() == [waiting.call]
        await approve(running, waiting)
        # The next call of the same turn is asked about too: its message was sent in chat mode.
        again = await running.until(e.ApprovalRequested, lambda event: event.call != waiting.call)
        assert again.mode == "chat"


async def test_a_loosened_mode_counts_for_the_next_message(tmp_path: Path) -> None:
    model = ScriptedModel([reply("hello")], [reply("", WRITE)], [reply("ok")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        first = await say(running, "hi")
        await running.until(e.TurnEnded, lambda event: event.turn == first)
        await running.ask(c.SetMode(mode="auto"))
        second = await say(running, "go")
        await running.until(e.TurnEnded, lambda event: event.turn == second)
        assert running.of(e.ApprovalRequested) == []
        assert len(notes(tmp_path)) == 1


async def test_a_queued_message_keeps_the_mode_it_was_sent_in(tmp_path: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate.wait(), reply("first")], [reply("", WRITE)], [reply("ok")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        first = await say(running, "one")
        await running.until(e.TurnStarted)
        second = await say(running, "two")
        await running.ask(c.SetMode(mode="auto"))
        gate.set()
        await running.until(e.TurnEnded, lambda event: event.turn == first)
        waiting = await running.until(e.ApprovalRequested)
        assert (waiting.turn, waiting.mode) == (second, "chat")


async def test_a_call_its_mode_let_pass_is_asked_about_if_the_mode_tightens_before_it_is_sent(
    tmp_path: Path,
) -> None:
    """The second write of an answer waits for the first; meanwhile the person asks to be asked."""
    slow = ToolCall("slow", "demo__slow_count", '{"to": 1, "delay_s": 0.01}')
    model = ScriptedModel([reply("", slow, WRITE)], [reply("ok")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        session = running.session
        place = session.calls._dispatcher.place
        held: list[asyncio.Event] = []

        def behind(origin: CallOrigin, server: str, tool: str) -> object:
            found = place(origin, server, tool)
            if tool == "write_note":
                found.turn.clear()
                held.append(found.turn)
            return found

        session.calls._dispatcher.place = behind  # type: ignore[method-assign, assignment]
        await say(running, "go")
        await running.until(e.CallFinished)
        await running.ask(c.SetMode(mode="chat"))
        held[0].set()
        waiting = await running.until(e.ApprovalRequested)
        assert (waiting.tool, waiting.mode) == ("write_note", "chat")
        assert notes(tmp_path) == []
        await approve(running, waiting)
        ended = await running.until(e.TurnEnded)
        assert ended.status == "done"
        assert len(notes(tmp_path)) == 1


async def test_a_message_for_another_model_begins_its_own_turn(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", READ)], [reply("first")], [reply("second")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        first = await say(running, "one")
        waiting = await running.until(e.ApprovalRequested)
        await running.ask(c.SetModel(name="another"))
        second = await say(running, "two")
        await approve(running, waiting)
        await running.until(e.TurnEnded, lambda event: event.turn == second)
        assert [event.turn for event in running.of(e.TurnStarted)] == [first, second]


async def test_a_server_allowed_after_the_message_is_asked_about_in_its_turn(tmp_path: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate.wait(), reply("", READ)], [reply("ok")], [reply("", SECOND)], [reply("ok")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        first = await say(running, "go")
        await running.until(e.TurnStarted)
        await running.ask(await running.launch())
        await running.connected()
        gate.set()
        waiting = await running.until(e.ApprovalRequested)
        assert "after the message" in " ".join(waiting.why)
        await approve(running, waiting)
        await running.until(e.TurnEnded, lambda event: event.turn == first)
        asked = len(running.of(e.ApprovalRequested))
        second = await say(running, "again")
        await running.until(e.TurnEnded, lambda event: event.turn == second)
        assert len(running.of(e.ApprovalRequested)) == asked


async def test_a_message_left_behind_by_a_restart_keeps_its_mode(tmp_path: Path) -> None:
    never = asyncio.Event()
    async with rig(tmp_path, model=ScriptedModel([never.wait(), reply("x")])) as running:
        await running.connected()
        await say(running, "one")
        await running.until(e.TurnStarted)
        session = running.session.journal.session
    model = ScriptedModel([reply("", WRITE)], [reply("ok")])
    async with rig(tmp_path, model=model, mode="auto", resume=session) as running:
        await running.connected()
        assert running.session.settings.mode == "auto"
        await running.ask(c.ContinueRun())
        waiting = await running.until(e.ApprovalRequested)
        assert waiting.mode == "chat"
        assert notes(tmp_path) == []


async def test_a_mode_that_denies_holds_also_for_what_waits(tmp_path: Path) -> None:
    config = '\n[policy]\norchestrator = "deny"\n'
    model = ScriptedModel([reply("", WRITE)], [reply("ok")])
    async with rig(tmp_path, model=model, config=config) as running:
        await running.connected()
        turn = await say(running, "go")
        waiting = await running.until(e.ApprovalRequested)
        await running.ask(c.SetMode(mode="orchestrator"))
        verdict = c.DecideCall(call=waiting.call, digest=waiting.digest, verdict="approve")
        refused = await running.ask(verdict)
        assert isinstance(refused, e.CommandFailed)
        assert "orchestrator mode is set to deny every call" in refused.what
        assert notes(tmp_path) == []
        await running.ask(c.SetMode(mode="chat"))
        await approve(running, waiting)
        await running.until(e.TurnEnded, lambda event: event.turn == turn)
        assert len(notes(tmp_path)) == 1


async def test_a_restored_card_says_why_it_waits_where_the_mode_allows_it(tmp_path: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate.wait(), reply("", WRITE)])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await say(running, "go")
        await running.until(e.TurnStarted)
        await running.ask(c.SetMode(mode="chat"))
        gate.set()
        await running.until(e.ApprovalRequested)
        await running.ask(c.SetMode(mode="auto"))
        session = running.session.journal.session
    async with rig(tmp_path, resume=session, model=ScriptedModel([reply("ok")])) as running:
        await running.connected()
        shown = await running.until(e.ApprovalRequested, lambda card: bool(card.restored and card.target))
        assert any("when the app ended" in why for why in shown.why)
        assert notes(tmp_path) == []


async def test_a_new_session_is_not_looser_than_the_person_made_this_one(tmp_path: Path) -> None:
    """What was tightened stays so (`--mode auto`, then `/mode chat`); what was loosened does not."""
    for started, chosen, begun in (
        ("auto", "chat", "chat"),
        ("chat", "auto", "chat"),
        ("auto", "auto", "auto"),
    ):
        async with rig(tmp_path / f"{started}-{chosen}", model=ScriptedModel(), mode=started) as running:
            await running.connected()
            await running.ask(c.SetMode(mode=chosen))  # type: ignore[arg-type]
            await running.ask(c.NewSession())
            ready = await running.until(e.EngineReady, lambda event: event.head <= 2)
            assert running.session.settings.mode == begun
            assert ready.mode in (started, begun)


IN_AUTO = '[[policy.rule]]\nid = "x"\ndecision = "allow"\nserver = "demo"\nmodes = ["auto"]\n'
STRICT = '[policy]\nauto = "ask"\n'


@pytest.mark.parametrize(
    ("config", "started", "chosen"),
    [
        (STRICT + '[policy.servers.demo]\nauto = "allow"\n', "auto", "chat"),
        (STRICT + '[policy.servers.demo]\nchat = "deny"\n', "auto", "chat"),
        (STRICT + IN_AUTO, "auto", "chat"),
        (STRICT + IN_AUTO.replace("allow", "deny").replace("auto", "chat"), "auto", "chat"),
        (STRICT + IN_AUTO + IN_AUTO.replace('"x"', '"y"').replace("auto", "chat"), "auto", "chat"),
        ("", "auto", "orchestrator"),
        ("", "orchestrator", "chat"),
    ],
)
async def test_what_loosens_is_seen_in_servers_and_rules_too(
    tmp_path: Path, config: str, started: Mode, chosen: Mode
) -> None:
    async with rig(tmp_path, config=config, model=ScriptedModel(), mode=started) as running:
        await running.connected()
        await running.ask(c.SetMode(mode=chosen))
        assert running.engine.loosens(running.session, started)
        await running.ask(c.NewSession())
        assert running.session.settings.mode == chosen
    async with rig(tmp_path / "back", config=config, model=ScriptedModel(), mode=chosen) as running:
        await running.ask(c.SetMode(mode=started))
        await running.ask(c.NewSession())
        assert running.session.settings.mode == chosen


ALLOW = '[[policy.rule]]\nid = "freed"\ndecision = "allow"\nserver = "demo"\ntool = "write_note"\n'
PROJECT = ALLOW.replace("freed", "of-the-project")


async def loosen(running: Rig, how: str, waiting: e.ApprovalRequested) -> None:
    """Change something so that the waiting call would pass if it were proposed now."""
    if how == "mode":
        reply_ = await running.ask(c.SetMode(mode="auto"))
    elif how == "model":
        reply_ = await running.ask(c.SetModel(name="another"))
    elif how == "server":
        reply_ = await running.ask(await running.launch())
    elif how in ("a rule of the session", "a rule for good"):
        scope = "session" if "session" in how else "user"
        rule = AddRule(call=waiting.call, digest=waiting.digest, rule_toml=ALLOW, scope=scope)  # type: ignore[arg-type]
        reply_ = await running.ask(rule)
    elif how == "a rule of the project":
        rules = await running.ask(ReadRules())
        assert isinstance(rules, RulesRead)
        (offered,) = [each for each in rules.rules if each.state == "proposed"]
        reply_ = await running.ask(AdoptRule(id=offered.id, digest=offered.digest))
    else:
        reply_ = await running.ask(c.SendMessage(text="you may now do it"))
    assert isinstance(reply_, e.CommandDone), reply_


@pytest.mark.parametrize(
    "how",
    [
        "mode",
        "model",
        "server",
        "a rule of the session",
        "a rule for good",
        "a rule of the project",
        "a message",
    ],
)
async def test_nothing_that_is_loosened_releases_a_call_that_waits(how: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / ".omni-tui.toml").write_text(PROJECT)
    model = ScriptedModel([reply("", WRITE)], [reply("ok")], [reply("ok")])
    async with rig(tmp_path, model=model, project=str(tmp_path / "here")) as running:
        await running.connected()
        await say(running, "go")
        waiting = await running.until(e.ApprovalRequested)
        await loosen(running, how, waiting)
        await running.connected()
        await running.ask(c.ListSessions())  # whatever the change would cause has had its time
        assert running.session.gate.pending() == [waiting.call]
        assert not [event for event in running.of(e.CallChanged) if event.call == waiting.call]
        assert notes(tmp_path) == []
        shown = running.of(e.ApprovalRequested)[-1]
        await approve(running, shown)
        await running.until(e.TurnEnded)
        assert len(notes(tmp_path)) == 1


@pytest.mark.parametrize("headless", [False, True])
async def test_what_tightens_counts_up_to_the_write_that_lets_a_call_go(
    tmp_path: Path, headless: bool
) -> None:
    """The mode becomes stricter when the grant is made already, and `dispatching` is not yet written."""
    async with rig(
        tmp_path, model=ScriptedModel([reply("", WRITE)], [reply("ok")]), mode="auto"
    ) as running:
        await running.connected()
        session = running.session
        save = session.policy_in_force.save_uses
        done: list[tuple[Rule, ...]] = []

        async def tightening(rules: tuple[Rule, ...]) -> None:
            await save(rules)
            if not done:
                done.append(rules)
                session.gate.headless = headless
                await session.set_mode("chat", "every call is asked about")

        session.policy_in_force.save_uses = tightening  # type: ignore[method-assign]
        sent = await say(running, "go")
        if headless:
            changed = await running.until(e.CallChanged)
            assert (changed.state, changed.decider) == ("withheld", "headless")
        else:
            waiting = await running.until(e.ApprovalRequested)
            assert (waiting.tool, waiting.mode) == ("write_note", "chat")
            assert notes(tmp_path) == []
            await approve(running, waiting)
        await running.until(e.TurnEnded, lambda event: event.turn == sent)
        assert len(notes(tmp_path)) == (not headless)
        states = [(event.state, event.decider) for event in running.of(e.CallChanged)]
        assert ("dispatching", "mode") not in states


DENY = ALLOW.replace("freed", "no-more").replace('"allow"', '"deny"')
ASK = ALLOW.replace("freed", "asked").replace('"allow"', '"ask"')


async def tighten(running: Rig, how: str, waiting: e.ApprovalRequested) -> None:
    """Change something so that the waiting call would not pass any more if it were proposed now."""
    if how == "mode":
        done = await running.ask(c.SetMode(mode="chat"))
    elif how.startswith("revoke"):
        rules = await running.ask(ReadRules())
        assert isinstance(rules, RulesRead)
        (freed,) = [each for each in rules.rules if each.id == "freed"]
        done = await running.ask(RevokeRule(id=freed.id, scope=freed.scope, digest=freed.digest))
    else:
        text = DENY if how.startswith("deny") else ASK
        scope = "session" if "session" in how else "user"
        rule = AddRule(call=waiting.call, digest=waiting.digest, rule_toml=text, scope=scope)  # type: ignore[arg-type]
        done = await running.ask(rule)
    assert isinstance(done, e.CommandDone), done


@pytest.mark.parametrize(
    ("how", "loosened"),
    [
        ("mode", "mode"),
        ("deny in the session", "mode"),
        ("ask in the session", "mode"),
        ("deny for good", "mode"),
        ("ask for good", "mode"),
        ("revoke in the session", "a rule of the session"),
        ("revoke for good", "a rule for good"),
    ],
)
async def test_what_tightens_holds_before_the_journal_tells_it(
    how: str, loosened: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its place in the journal and what is sent after it there is no call it forbids."""
    async with rig(tmp_path, model=ScriptedModel([reply("", WRITE)], [reply("ok")])) as running:
        await running.connected()
        await say(running, "go")
        waiting = await running.until(e.ApprovalRequested)
        await loosen(running, loosened, waiting)
        gate = running.session.gate
        item = gate.item(waiting.call)
        assert item is not None

        def decision() -> str:
            assert item is not None
            return gate.assess(item.proposal, item.card.subject, "auto").decision

        assert decision() == "allow"
        commit, told = Journal.commit, list[str]()

        async def watched(self: Journal, *events: AnyEvent, **more: Any) -> Any:
            if any(isinstance(event, e.ModeChanged | RuleAdded | RuleRevoked) for event in events):
                told.append(decision())
            return await commit(self, *events, **more)

        monkeypatch.setattr(Journal, "commit", watched)
        await tighten(running, how, waiting)
        assert told == ["deny" if how.startswith("deny") else "ask"]
