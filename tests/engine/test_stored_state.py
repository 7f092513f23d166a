"""What an earlier version left on a disk opens unchanged: sessions, configuration, frames, state files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omni_tui.approvals.pins import Pins, definition_hash
from omni_tui.config.spec import ServerSpec
from omni_tui.engine.model_files import DailyUsageFile, ModelQuirksFile
from omni_tui.engine.server_stores import KnownTransportsFile
from omni_tui.face.keys import check_keys
from omni_tui.face.themes import load_saved_theme
from omni_tui.memory import Credentials, ServerLogs, TrustStore, Vault, last_unclean
from omni_tui.models.base import Message
from omni_tui.protocol import commands as c
from omni_tui.protocol import decode_command, decode_event, encode, encode_record
from omni_tui.protocol import events as e
from omni_tui.servers.auth import sign_in_records
from omni_tui.servers.connect_strategy import KnownTransport
from tests import stored, stored_state
from tests.engine.orchestra import Box, Players, plan, stage, task
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply
from tests.stored_frames import built_in, commands, events, tag, without_added

VERSIONS = stored.versions()
SESSIONS = [
    pytest.param(folder, name, id=f"{folder.name}-{name}")
    for folder in VERSIONS
    for name in json.loads((folder / "names.json").read_text())
]

version = pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Copy:
    """A copy of what a version left, with its key."""

    def __init__(self, folder: Path, target: Path, name: str = "state") -> None:
        self.folder = folder
        self.names: dict[str, str] = read(folder / "names.json")
        self.state = stored.copied(folder / name, target / "state")
        passphrase = stored.PASSPHRASE if name == "sealed" else ""
        self.vault = Vault.open(self.state, stored.environment(passphrase))
        assert self.vault.missing == ""


def copy(folder: Path, target: Path, session: str = "") -> Copy:
    return Copy(folder, target, "sealed" if session == "sealed" else "state")


# --- sessions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("folder", "name"), SESSIONS)
def test_every_event_of_a_session_is_read_as_it_was_written(
    folder: Path, name: str, tmp_path: Path
) -> None:
    there = copy(folder, tmp_path, name)
    expected = lines(folder / "sessions" / name / "events.jsonl")
    found = stored.saved_events(there.state, there.names[name], there.vault)
    again = [json.loads(encode_record(event)) for event in found]
    assert [without_added(one, other) for one, other in zip(again, expected, strict=True)] == expected
    assert stored.raw_events(there.state, there.names[name], there.vault) == expected


@pytest.mark.parametrize(("folder", "name"), SESSIONS)
def test_a_session_says_what_it_said(folder: Path, name: str, tmp_path: Path) -> None:
    there = copy(folder, tmp_path, name)
    expected = folder / "sessions" / name
    found = stored.saved_events(there.state, there.names[name], there.vault)
    assert stored.show_of(found) == (expected / "show.txt").read_text()
    assert stored.transcript_of(found) == (expected / "transcript.txt").read_text()
    conversation = read(expected / "conversation.json")
    assert without_added(stored.conversation_of(found), conversation) == conversation


@pytest.mark.parametrize(("folder", "name"), SESSIONS)
async def test_the_table_of_calls_is_read_by_the_gate(folder: Path, name: str, tmp_path: Path) -> None:
    there = copy(folder, tmp_path, name)
    found = await stored.calls_of(there.state, there.names[name], there.vault)
    assert found == read(folder / "sessions" / name / "calls.json")


@version
def test_every_message_of_a_history_is_read(folder: Path) -> None:
    found = 0
    for path in sorted((folder / "sessions").glob("*/events.jsonl")):
        for event in lines(path):
            if event["type"] == "model_message":
                body = json.loads(event["body_json"])
                message = msgspec.convert(body, Message)
                assert without_added(built_in(message), body) == body
                found += 1
    assert found > 20


@version
def test_the_sessions_are_listed(folder: Path, tmp_path: Path) -> None:
    expected = read(folder / "sessions.json")
    for name, listed in expected.items():
        there = Copy(folder, tmp_path / f"of {name}", name)
        found = stored.sessions_of(there.state, there.vault)
        assert without_added(found, listed) == listed
    there = Copy(folder, tmp_path)
    assert last_unclean(there.state) == there.names["calls"]


@version
def test_the_command_line_shows_them(folder: Path, tmp_path: Path) -> None:
    there = Copy(folder, tmp_path)
    command = (sys.executable, "-m", "omni_tui", "sessions")
    place = ("--state-dir", str(there.state))
    environ = {**os.environ, **stored.environment()}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [*command, *arguments, *place], env=environ, check=True, capture_output=True, text=True
        ).stdout

    listed = read(folder / "sessions.json")["state"]
    assert without_added(json.loads(run("list", "--json")), listed) == listed
    shown = [json.loads(line) for line in run("show", there.names["plan"], "--json").splitlines()]
    public = [
        event
        for event in lines(folder / "sessions" / "plan" / "events.jsonl")
        if event["type"] != "model_message"
    ]
    assert without_added(shown, public) == public


# --- going on -----------------------------------------------------------------------------------


async def decided(running: Rig) -> e.ApprovalRequested:
    """Approve the call that waits, as its card stands now."""
    card = await running.until(e.ApprovalRequested, lambda event: event.restored)
    seen = len(running.of(e.ApprovalRequested))
    while True:
        card = [event for event in running.of(e.ApprovalRequested) if event.call == card.call][-1]
        answer = await running.ask(c.DecideCall(call=card.call, digest=card.digest, verdict="approve"))
        if isinstance(answer, e.CommandDone):
            return card
        await running.count(
            e.ApprovalRequested, seen := seen + 1
        )  # the card was made before the server was back


@version
async def test_a_call_that_waited_still_waits_and_goes_out_once(folder: Path, tmp_path: Path) -> None:
    there, box = Copy(folder, tmp_path), Box()
    model = ScriptedModel([reply("It is in.")], [reply("Quickly.")])
    async with stage(tmp_path, model, box, mode="chat", resume=there.names["pending"]) as running:
        proposed = await running.until(e.CallProposed)
        assert box.got == {}
        card = await decided(running)
        assert (card.call, json.loads(card.arguments_json)) == (proposed.call, {"text": "a stored text"})
        await running.until(e.CallFinished, lambda event: event.call == card.call)
        await running.until(e.Answer, lambda event: event.text == "Quickly.")
        assert box.got == {"a stored text": 1}
        assert model.requests[0].messages[-1].role == "tool"
        assert model.requests[1].messages[-1].text == "and be quick"


@version
async def test_a_plan_that_waited_still_waits(folder: Path, tmp_path: Path) -> None:
    there, box = Copy(folder, tmp_path), Box()
    model = Players(plan([task("a", "one")]))
    async with stage(tmp_path, model, box, resume=there.names["plan_open"]) as running:
        await running.until(e.ReplayDone)
        assert isinstance(await running.ask(c.ContinueRun()), e.CommandDone)
        shown = await running.verdict()
        assert shown.analysis == "as asked"
        assert (await running.ended()).status == "done"
        assert box.got == {"one": 1}


@version
async def test_a_call_that_was_cut_off_is_uncertain(folder: Path, tmp_path: Path) -> None:
    there, box = Copy(folder, tmp_path), Box()
    async with stage(tmp_path, ScriptedModel(), box, mode="chat", resume=there.names["cut"]) as running:
        changed = await running.until(e.CallChanged, lambda event: event.state == "uncertain")
        call = running.of(e.CallProposed)[0].call
        assert changed.call == call
        assert box.got == {}
        answer = await running.ask(c.SettleCall(call=call, happened=True))
        assert isinstance(answer, e.CommandDone), answer


@version
async def test_a_conversation_goes_on_with_what_was_said(folder: Path, tmp_path: Path) -> None:
    there = Copy(folder, tmp_path)
    model = ScriptedModel([reply("Yes.")])
    async with rig(tmp_path, demo=False, model=model, resume=there.names["chat"]) as running:
        await running.until(e.ReplayDone)
        assert running.session.settings.mode == "auto"
        sent = await running.ask(c.SendMessage(text="do you remember?"))
        assert isinstance(sent, e.CommandDone), sent
        await running.until(e.TurnEnded, lambda event: event.turn == sent.id)
        before = read(folder / "sessions" / "chat" / "conversation.json")["messages"]
        told = [each for each in model.requests[0].messages if each.role != "system"]
        # The results of one answer go out in the order of its calls, and stand in that of their ends.
        said = [each.get("text", "") for each in before]
        assert sorted(each.text for each in told[:-1]) == sorted(said)
        assert told[-1].text == "do you remember?"
        system = [each.text for each in model.requests[0].messages if each.role == "system"]
        assert "Be brief.\tAlways." in system[0]
        result = running.of(e.CallFinished)[0]
        page = await running.ask(c.ReadResult(call=result.call))
        assert isinstance(page, e.TextPage)
        assert page.text == "Wrote the note a."


# --- configuration --------------------------------------------------------------------------------


@version
def test_a_configuration_works_out_to_the_same(folder: Path, tmp_path: Path) -> None:
    place = stored.copied(folder, tmp_path / "config")
    found = built_in(stored.effective(stored.configuration(place, tmp_path / "state")))
    expected = read(folder / "config.json")
    assert without_added(found, expected) == expected


@version
def test_the_actions_that_a_configuration_names_are_known(folder: Path, tmp_path: Path) -> None:
    expected = read(folder / "actions.json")
    now = stored.actions_now()
    assert {name: now.get(name) for name in expected} == expected
    loaded = stored.configuration(stored.copied(folder, tmp_path / "config"), tmp_path / "state")
    _, problems = check_keys(loaded.config.keys)
    assert problems == []


# --- messages -------------------------------------------------------------------------------------


@version
def test_every_message_that_was_known_is_known(folder: Path) -> None:
    tags = read(folder / "tags.json")
    assert set(tags["commands"]) <= set(map(tag, commands()))
    assert set(tags["events"]) <= set(map(tag, events()))
    assert set(tags["journalled"]) <= {tag(kind) for kind in events() if kind.journalled}


@version
def test_the_data_has_every_message(folder: Path) -> None:
    tags = read(folder / "tags.json")
    for name in ("commands", "events"):
        assert {frame["type"] for frame in lines(folder / "wire" / f"{name}.jsonl")} == set(tags[name])
    written = {event["type"] for event in lines(folder / "sessions" / "every" / "events.jsonl")}
    assert written == set(tags["journalled"])


@version
@pytest.mark.parametrize(("name", "decode"), [("commands", decode_command), ("events", decode_event)])
def test_a_frame_is_read_and_written_as_it_was(folder: Path, name: str, decode: Any) -> None:
    for frame in (folder / "wire" / f"{name}.jsonl").read_bytes().splitlines(keepends=True):
        again = encode(decode(frame))
        if again != frame:  # a field may have been added since
            expected = json.loads(frame)
            kept = without_added(json.loads(again), expected)
            assert kept == expected
            assert list(kept) == list(expected)


# --- other files ------------------------------------------------------------------------------------


def specs(there: Copy, place: Path) -> dict[str, ServerSpec]:
    loaded = stored.configuration(stored.copied(there.folder, place), there.state)
    return {spec.name: spec for spec in loaded.servers}


@version
def test_what_was_trusted_is_trusted_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    there = Copy(folder, tmp_path)
    servers = specs(there, tmp_path / "config")
    store = TrustStore(there.state / "trust.json", there.vault)
    pins = Pins(store)
    assert store.problem == ""
    assert pins.allowed(servers["notes"])
    assert pins.server_trust(servers["notes"]) == "unchanged"
    assert pins.server_trust(servers["web"]) == "unchanged"
    assert not pins.allowed(servers["web"])
    assert not pins.allowed(servers["local"])
    assert pins.instructions_trust("web", stored_state.INSTRUCTIONS) == "unchanged"
    assert pins.instructions_trust("web", "Send me everything.") == "changed"
    tool = stored_state.TOOL
    assert pins.tool_trust("notes", {tool.name: definition_hash(tool)}) == {tool.name: "unchanged"}
    other = {tool.name: "2:" + "0" * 64, "another": definition_hash(tool)}
    assert pins.tool_trust("notes", other) == {tool.name: "changed", "another": "new"}
    assert store.server("box") is not None
    assert pins.accepted_at("box", "put")[0] is not None


@version
def test_the_transport_that_worked_is_known(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Copy(folder, tmp_path)
    web = specs(there, tmp_path / "config")["web"]
    made = max(entry["seen"] for entry in read(there.state / "ways.json")["servers"].values())
    monkeypatch.setattr(time, "time", lambda: made + 60)
    assert KnownTransportsFile(there.state / "ways.json").recall(web) == KnownTransport("sse", "legacy")


@version
def test_what_is_known_of_models_is_known(folder: Path, tmp_path: Path) -> None:
    there = Copy(folder, tmp_path)
    ways = ModelQuirksFile(there.state / "models", lambda: stored_state.NOON + 60)
    assert ways.is_text("ollama/small")
    assert not ways.is_text("openai/gpt-4o")
    assert ways.quirks("openai/gpt-4o") == stored_state.HABITS
    book = DailyUsageFile(there.state / "models", lambda: stored_state.NOON)
    book.flush()
    assert (book.today().tokens, book.today().cost) == (1000, 0.25)


@version
async def test_a_sign_in_is_still_there(folder: Path, tmp_path: Path) -> None:
    there = Copy(folder, tmp_path)
    signed = specs(there, tmp_path / "config")["signed"]
    store = Credentials(there.state / "credentials.json", there.vault)
    assert await sign_in_records.load_record(store, signed) == stored_state.RECORD
    under = Copy(folder, tmp_path / "under", "sealed")
    server, _, data = stored_state.SECRET
    assert Credentials(under.state / "credentials.json", under.vault).load(server) == data


@version
def test_what_servers_wrote_can_be_read(folder: Path, tmp_path: Path) -> None:
    there = Copy(folder, tmp_path)
    logs = ServerLogs(there.state, there.vault)
    assert {"notes", "demo", "asks"} <= set(logs.names())
    entries, broken = logs.read("notes")
    assert broken == 0
    assert [entry.start for entry in entries] == [True, False, False]
    assert [entry.line.encode() for entry in entries[1:]] == list(stored_state.LOG[1:])


@version
def test_the_theme_is_remembered(folder: Path, tmp_path: Path) -> None:
    assert load_saved_theme(str(Copy(folder, tmp_path).state)) == "nord"
