"""What the person allows for good is in the installation's audit first, or it is not allowed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omni_tui.memory import UNDONE, JournalBroken, Vault, check_audit, read_audit
from omni_tui.memory.installation_audit import CLOSED, InstallationEntry
from omni_tui.memory.rules_file import RulesFile
from omni_tui.protocol import AnyEvent
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.rules import AddRule, AdoptRule, RevokeRule, RuleRevoked
from omni_tui.protocol.trust import AcceptTool
from tests.engine.rig import Rig, rig, turns
from tests.engine.test_confirmations import redefined
from tests.engine.test_gate import asking, pending
from tests.engine.test_rules import drafts, rules
from tests.engine.test_trust import change

PROJECT = '[[policy.rule]]\nid = "theirs"\ndecision = "allow"\nserver = "demo"\ntool = "add"\n'
MINE = """
[[policy.rule]]
id = "no-deletes"
decision = "deny"
server = "demo"
tool = "delete_*"

[[policy.rule]]
id = "sums"
decision = "allow"
server = "demo"
tool = "add"
"""

Loosening = Callable[[Rig, Path], Awaitable[AnyEvent]]


async def add_rule(running: Rig, _folder: Path) -> AnyEvent:
    card = (await pending(running, 1))[0]
    draft = (await drafts(running, card, scope="user"))[0]
    return await running.ask(
        AddRule(call=card.call, digest=card.digest, rule_toml=draft.rule_toml, scope="user")
    )


async def adopt_rule(running: Rig, _folder: Path) -> AnyEvent:
    (offered,) = [each for each in await rules(running) if each.state == "proposed"]
    return await running.ask(AdoptRule(id=offered.id, digest=offered.digest))


async def revoke_denial(running: Rig, _folder: Path) -> AnyEvent:
    return await revoke(running, "no-deletes")


async def allow_server(running: Rig, folder: Path) -> AnyEvent:
    file = folder / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"theirs": {"command": sys.executable, "args": ["-V"]}}}))
    await running.ask(c.ImportServers(path=str(file)))
    return await running.ask(await running.launch("theirs"))


async def accept_tool(running: Rig, _folder: Path) -> AnyEvent:
    _, digest = await change(running)
    return await running.ask(AcceptTool(server="demo", tool="list_notes", digest=digest))


async def add_server(running: Rig, _folder: Path) -> AnyEvent:
    return await running.ask(c.AddServer(name="own", command=sys.executable, args=("-V",), save=True))


async def revoke(running: Rig, name: str) -> AnyEvent:
    (rule,) = [each for each in await rules(running) if each.id == name]
    return await running.ask(RevokeRule(id=rule.id, scope=rule.scope, digest=rule.digest))


LOOSENING: dict[str, Loosening] = {
    "rule added": add_rule,
    "rule adopted": adopt_rule,
    "rule revoked": revoke_denial,
    "server allowed": allow_server,
    "definition accepted": accept_tool,
    "server added": add_server,
}


def said(folder: Path, *, first_sight: bool = False) -> list[InstallationEntry]:
    found = read_audit(folder / "state", Vault.open(folder / "state", {}))
    entries = [each for each in found if isinstance(each, InstallationEntry)]
    return [each for each in entries if first_sight == (each.actor == "first sight")]


async def first_sight(running: Rig) -> None:
    """Wait until the audit tells that the server's tools were accepted at first sight."""
    await running.connected()
    await turns((running.engine.context.loaded.paths.state_dir / "audit.seal").exists)


@contextlib.contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Let nothing be added to the audit."""
    lock = folder / "state" / "audit.lock"
    lock.unlink()
    lock.mkdir()
    yield
    lock.rmdir()


async def begin(running: Rig) -> None:
    """Have a call wait, and a definition that has changed."""
    await running.connected()
    await first_sight(running)
    await running.ask(c.SendMessage(text="go"))
    await pending(running, 1)
    await redefined(running, "list_notes")


def project(folder: Path) -> str:
    there = folder / "project"
    there.mkdir(exist_ok=True)
    (there / ".omni-tui.toml").write_text(PROJECT)
    return str(there)


async def allowed(running: Rig, folder: Path) -> list[object]:
    """Return all that a test here could loosen."""
    catalogue, registry = running.engine.context.catalogue, running.engine.context.registry
    tool = catalogue.get("demo", "list_notes")
    return [
        sorted((each.id, each.state) for each in await rules(running)),
        RulesFile(folder / "rules.toml").rules(),
        (folder / "config.toml").read_text(),
        [(name, registry.get(name).spec.allowed) for name in registry.names() if name != "theirs"],
        "theirs" in registry.names() and registry.get("theirs").spec.allowed,
        tool is not None and tool.trust,
    ]


@pytest.mark.parametrize("action", LOOSENING)
async def test_what_loosens_has_one_entry_or_does_not_happen(tmp_path: Path, action: str) -> None:
    model = asking(("demo__write_note", '{"name":"a","text":"1"}'))
    async with rig(tmp_path, config=MINE, model=model, project=project(tmp_path)) as running:
        await begin(running)
        before = await allowed(running, tmp_path)
        with unwritable(tmp_path):
            refused = await LOOSENING[action](running, tmp_path)
        assert isinstance(refused, e.CommandFailed)
        assert "nothing was changed, since the audit could not tell it" in refused.what
        assert await allowed(running, tmp_path) == before
        done = await LOOSENING[action](running, tmp_path)
        assert isinstance(done, e.CommandDone), done
        assert await allowed(running, tmp_path) != before
        session = running.client.session
    entry, *later = said(tmp_path)
    assert (entry.action, entry.actor, entry.session) == (action, "user", session)
    assert all((entry.subject, entry.detail, entry.place))
    assert [each.action for each in later] == [CLOSED]
    assert check_audit(tmp_path / "state", Vault.open(tmp_path / "state", {})).faults == []


async def test_what_is_accepted_at_first_sight_has_an_entry_too(tmp_path: Path) -> None:
    for _ in range(2):
        async with rig(tmp_path) as running:
            await first_sight(running)
    (entry,) = said(tmp_path, first_sight=True)
    assert (entry.action, entry.subject) == ("definitions accepted", "demo")
    assert entry.detail.endswith(" tools")
    assert entry.place


async def test_nothing_is_accepted_at_first_sight_before_its_entry_is_on_disk(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        servers = running.engine.servers
        note, entered, go = servers._consents.note, asyncio.Event(), asyncio.Event()

        async def slowly(*given: Any, **named: Any) -> None:
            entered.set()
            await go.wait()
            await note(*given, **named)

        servers._consents.note = slowly  # type: ignore[method-assign]
        await asyncio.wait_for(entered.wait(), 20)
        assert servers.catalogue.all() == []
        trust = tmp_path / "state" / "trust.json"
        assert not trust.exists() or '"tools":{}' in trust.read_text().replace(" ", "")
        go.set()
        await running.connected()
        assert {tool.trust for tool in servers.catalogue.all()} == {"unchanged"}


async def test_tools_whose_first_sight_cannot_be_audited_are_not_accepted(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "audit.lock").mkdir()
    model = asking(("demo__list_notes", "{}"))
    async with rig(tmp_path, model=model, config="mode = 'auto'\n") as running:
        said_so = await running.until(e.Notice, lambda event: "not accepted at first sight" in event.what)
        assert "audit.jsonl" in said_so.why
        await running.connected()
        assert {tool.trust for tool in running.engine.context.catalogue.all()} == {"new"}
        await running.ask(c.SendMessage(text="list"))
        assert (await pending(running, 1))[0].news == "new"


async def test_what_could_not_be_done_after_its_entry_is_taken_back(tmp_path: Path) -> None:
    model = asking(("demo__write_note", '{"name":"a","text":"1"}'))
    async with rig(tmp_path, model=model) as running:
        await begin(running)
        card = (await pending(running, 1))[0]
        draft = (await drafts(running, card, scope="user"))[0]
        command = AddRule(call=card.call, digest=card.digest, rule_toml=draft.rule_toml, scope="user")
        assert isinstance(await running.ask(command), e.CommandDone)
        assert isinstance(await running.ask(command), e.CommandFailed), "its id is taken"
    assert [each.action for each in said(tmp_path)] == ["rule added", "rule added", UNDONE, CLOSED]


async def test_what_tightens_is_done_and_it_is_said_that_the_audit_does_not_tell_it(tmp_path: Path) -> None:
    async with rig(tmp_path, config=MINE) as running:
        await first_sight(running)
        with unwritable(tmp_path):
            answer = await revoke(running, "sums")
        assert isinstance(answer, e.CommandFailed)
        assert answer.what.startswith("the rule sums is revoked, but the audit does not tell it")
        assert [each.id for each in await rules(running)] == ["no-deletes"]
        assert running.session.policy_in_force.rules.rules[0].id == "no-deletes"


async def test_a_rule_that_is_revoked_is_audited_even_if_its_session_cannot_tell_it(tmp_path: Path) -> None:
    async with rig(tmp_path, config=MINE) as running:
        await first_sight(running)
        journal = running.session.journal
        commit = journal.commit

        async def broken(*events: AnyEvent, **more: Any) -> Any:
            if any(isinstance(event, RuleRevoked) for event in events):
                raise JournalBroken("the disk is full")
            return await commit(*events, **more)

        journal.commit = broken  # type: ignore[method-assign]
        assert isinstance(await revoke(running, "sums"), e.CommandFailed)
        assert [each.id for each in await rules(running)] == ["no-deletes"]
        (entry,) = said(tmp_path)
    assert (entry.action, entry.actor) == ("rule revoked", "user")


async def test_a_tool_is_not_accepted_by_its_card_if_the_audit_cannot_tell_it(tmp_path: Path) -> None:
    """The call is approved, and its session's audit tells that; the definition stays held."""
    async with rig(tmp_path, model=asking(("demo__list_notes", "{}"))) as running:
        await first_sight(running)
        await redefined(running, "list_notes")
        await running.ask(c.SendMessage(text="list"))
        card = (await pending(running, 1))[0]
        with unwritable(tmp_path):
            await running.ask(c.DecideCall(call=card.call, digest=card.digest, verdict="approve"))
            notice = await running.until(e.Notice, lambda event: "was not accepted" in event.what)
            assert "audit.jsonl" in notice.why
            await running.until(e.CallFinished)
            tool = running.engine.context.catalogue.get("demo", "list_notes")
            assert tool is not None
            assert tool.trust == "changed"
            await running.until(e.TurnEnded)
            other = running.client.session
            # A session that is left: its end cannot be noted, and that is said.
            await running.engine.switch(running.client)
            left = await running.until(e.Notice, lambda event: "the session is closed" in event.what)
            assert "audit.jsonl cannot be written" in left.what
            assert other != running.client.session


async def test_a_trust_that_cannot_be_saved_is_said(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await first_sight(running)
        await redefined(running, "list_notes")
        lock = tmp_path / "state" / "trust.lock"
        lock.unlink()
        lock.mkdir()
        await accept_tool(running, tmp_path)
        notice = await running.until(e.Notice, lambda event: "cannot be saved" in event.what)
        assert "trust.json" in notice.what
