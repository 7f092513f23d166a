"""Make the data of this version under `tests/data/stored/<version>/`: `python -m tests.stored_state make`.

    make       run engines, write sessions and state files, and all that is expected of them
    expect     write anew what is expected in words of ours (`show.txt`, `transcript.txt`); the data stays

Sessions are made by real engines in `/tmp/omni`, so that no path of a machine is in them. What no run
reaches is written by the journal itself. The data of a version is made once and never again: it is what
people have on their disks. For a new version, put a configuration into its folder first (`config.toml`,
`project/`, `mcp.json`, `environment.json`, from the version before).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

import omni_tui
from omni_tui.approvals.pins import Pins, definition_hash, fingerprint
from omni_tui.config.spec import ServerSpec
from omni_tui.engine.model_files import DailyUsageFile, ModelQuirksFile
from omni_tui.engine.server_stores import KnownTransportsFile
from omni_tui.face.themes import save_theme
from omni_tui.memory import (
    Credentials,
    Journal,
    SavedTask,
    ServerLogs,
    Transaction,
    TrustStore,
    Vault,
    call_table,
    new_session_id,
    session_path,
    task_table,
)
from omni_tui.memory.call_table import CallRow
from omni_tui.models.base import Message, TextPart, ThoughtPart, ToolCall
from omni_tui.models.quirks import ModelQuirks
from omni_tui.protocol import AnyEvent, JsonText, SafeText, encode
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol import plan as p
from omni_tui.protocol.context import SetSystem
from omni_tui.protocol.server_requests import AnswerServerRequest, ServerRequestOpened
from omni_tui.servers.auth import sign_in_records
from omni_tui.servers.base import ToolDefinition
from omni_tui.servers.connect_strategy import KnownTransport
from tests import stored
from tests.engine.orchestra import Box, Players, plan, put, stage, task
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply
from tests.stored_frames import commands, events, shapes, tag

PLACE = Path("/tmp/omni")
STATE = PLACE / "state"
SEALED = PLACE / "sealed"
LEFT_OUT = ("cache", "log", "leases", "opened", "notes")
TOOL = ToolDefinition(
    server="notes",
    name="write_note",
    title="Write a note",
    description="Writes a note into a file.",
    input_schema={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    output_schema={"type": "object"},
    annotations={"destructiveHint": True},
    meta={"com.example/kind": "note"},
)
INSTRUCTIONS = "Write short notes."
RECORD = sign_in_records.SignInRecord(
    issuer="https://login.example",
    chosen="authorization_code omni https://login.example",
    access_token="access-0123456789",
    refresh_token="refresh-0123456789",
    scope="read write",
    ends=1_795_900_000.0,
    margin=30.0,
    port=8765,
    client_json='{"client_id":"omni"}',
    metadata_json='{"issuer":"https://login.example"}',
    resource_json='{"resource":"https://signed.example/mcp"}',
)
HABITS = ModelQuirks(
    window=8192,
    no_system=True,
    strict=True,
    no_thoughts=True,
    reasoning="drop",
    bare_tools=True,
    description=1000,
)
SECRET = ("https://s.example", "https://i.example", b"a secret")
"""What is kept in the sealed folder: a server, its issuer, and the bytes."""
USED = msgspec.convert({"input": 900, "output": 100, "cost": 0.25}, e.Usage)
NOON = time.mktime((2026, 3, 1, 12, 0, 0, 0, 0, -1))
"""When the files with dates in them were written."""
LOG = (None, b"notes-server 1.2 is ready", b"one note was written")
_SERVERS = """
[policy]
chat = "ask"

[tools]
cacheable = ["demo/add"]

[servers.demo]
command = "/tmp/omni/bin/demo-server"
args = ["/tmp/omni/notes"]

[servers.asks]
command = "/tmp/omni/bin/asks-server"
args = ["modern"]
"""


class Sessions:
    """The sessions that were made, by name; and the image of one that a crash has cut off."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        self.cut: list[Path] = []

    def note(self, name: str, running: Rig) -> str:
        """Remember the session that is open."""
        self.made[name] = session = running.session.journal.session
        return session


# --- sessions of running engines ----------------------------------------------------------------


async def chat(sessions: Sessions) -> None:
    """Turns with approved, edited, rejected, failed, cached, cancelled calls; stopped and queued ones."""
    never = asyncio.Event()
    write = [
        ToolCall(f"w{name}", "demo__write_note", json.dumps({"name": name, "text": "1"})) for name in "ab"
    ]
    add = [ToolCall(f"a{at}", "demo__add", '{"a": 1, "b": 2}') for at in (1, 2)]
    odd = [
        ToolCall("x1", "demo__always_fails", '{"reason": "it is told to"}'),
        ToolCall("x2", "demo__picture", "{}"),
        ToolCall("x3", "demo__weather_report", '{"city": "Oslo"}'),
        ToolCall("x4", "demo__no_such_tool", "{}"),
        ToolCall("x5", "demo__add", '{"a":'),
    ]
    model = ScriptedModel(
        [ThoughtPart("Two notes, then."), TextPart("I write both."), reply("I write both.", *write)],
        [reply("One note is written.")],
        [reply("", add[0])],
        [reply("", add[1])],
        [reply("Three, **twice**.")],
        [reply("", *odd)],
        [reply("Some of it went wrong.")],
        [TextPart("It was a dark and"), never.wait(), reply("unreached")],
        [reply("I am back.")],
    )
    async with rig(PLACE, demo=False, config=_SERVERS, model=model, resume="new", mode="chat") as running:
        sessions.note("chat", running)
        await running.connected()
        await running.ask(c.SendMessage(text="Write two notes,\tplease"))
        await running.count(e.ApprovalRequested, 2)
        first, second = running.of(e.ApprovalRequested)
        await running.ask(
            c.EditCall(
                call=first.call, digest=first.digest, arguments_json=JsonText('{"name":"a","text":"2"}')
            )
        )
        edited = await running.until(e.ApprovalRequested, lambda event: event.edited)
        await running.ask(c.DecideCall(call=edited.call, digest=edited.digest, verdict="approve"))
        await running.ask(
            c.DecideCall(call=second.call, digest=second.digest, verdict="reject", feedback="one is enough")
        )
        await running.until(e.TurnEnded)
        await running.ask(c.SetMode(mode="auto"))
        await say(running, "add 1 and 2, twice")
        await say(running, "now the odd ones")
        await running.ask(SetSystem(text="Be brief.\tAlways."))
        await running.ask(c.SendMessage(text="tell a story"))
        await running.until(e.AnswerDelta, lambda event: "dark" in event.text)
        await running.ask(c.SendMessage(text="and then?"))
        await running.ask(c.StopRun())
        await running.until(e.TurnEnded, lambda event: event.status == "stopped")
        await running.ask(c.SetModel(name="another"))
        await say(running, "are you there?")
        echoed = await running.by_hand("echo", '{"text":"by hand"}')
        await running.until(e.CallFinished, lambda event: event.call == echoed)
        slow = await running.by_hand("slow_count", '{"to":50,"delay_s":0.2}')
        await running.until(e.CallProgress)
        await running.ask(c.CancelCall(call=slow))
        await running.until(e.CallChanged, lambda event: event.call == slow and event.state == "uncertain")


async def say(running: Rig, text: str) -> str:
    """Send a message and wait for the end of its turn; return its id."""
    done = await running.ask(c.SendMessage(text=text))
    assert isinstance(done, e.CommandDone), done
    await running.until(e.TurnEnded, lambda event: event.turn == done.id)
    return done.id


def _of(call: str) -> Callable[[ServerRequestOpened | e.CallFinished], bool]:
    return lambda event: event.call == call


async def asks(sessions: Sessions) -> None:
    """A server asks for a form, a page and an answer of the model, in the course of calls by hand."""
    async with rig(
        PLACE, demo=False, config=_SERVERS, model=ScriptedModel([reply("Hello!")]), resume="new"
    ) as running:
        sessions.note("asks", running)
        await running.connected("asks")
        given: dict[str, dict[str, Any]] = {"form": {"name": "Bo", "age": 3}, "page": {}, "sample": {}}
        for number, (tool, content) in enumerate(given.items()):
            await running.ask(c.CallTool(server="asks", tool=tool, arguments_json=JsonText("{}")))
            await running.count(e.CallProposed, number + 1)
            call = running.of(e.CallProposed)[-1].call
            ask = await running.until(ServerRequestOpened, _of(call))
            await running.ask(
                AnswerServerRequest(
                    ask=ask.ask,
                    digest=ask.digest,
                    action="decline" if tool == "page" else "accept",
                    content_json=JsonText(json.dumps(content)),
                )
            )
            if tool == "sample":
                review = await running.until(ServerRequestOpened, lambda event: event.stage == "review")
                await running.ask(
                    AnswerServerRequest(ask=review.ask, digest=review.digest, action="accept")
                )
            await running.until(e.CallFinished, _of(call))


async def pending(sessions: Sessions) -> None:
    """A call waits for the person, and a message waits behind it."""
    model = ScriptedModel([reply("It goes into the box.", put("a stored text"))])
    async with stage(PLACE, model, Box(), mode="chat", resume="new") as running:
        sessions.note("pending", running)
        await running.ask(c.SendMessage(text="put a text into the box"))
        await running.until(e.ApprovalRequested)
        await running.ask(c.SendMessage(text="and be quick"))


async def cut(sessions: Sessions) -> None:
    """The engine is gone while a call is on its way."""
    box = Box()
    box.open.clear()
    model = ScriptedModel([reply("", put("once"))], [reply("unreached")])
    async with stage(PLACE, model, box, mode="auto", resume="new") as running:
        session = sessions.note("cut", running)
        await running.ask(c.SendMessage(text="put it in"))
        async with asyncio.timeout(30):
            while not box.inside:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        aside = PLACE / "aside"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        for path in (STATE / "sessions").glob(f"{session}.*"):
            sessions.cut.append(Path(shutil.copy(path, aside)))
        box.open.set()


FAILS = [[reply("FAILED: the lid is closed")], [reply("FAILED: it is still closed")]]


async def plans(sessions: Sessions) -> None:
    """A plan is rejected, made anew, edited, carried out, mended; then a session branches off."""
    first = plan([task("a", "one")])
    second = plan([task("a", "one"), task("b", "two")], [task("c", "three", "b")])
    third = plan([task("x", "another way", "t1")])
    model = Players(first, second, third, work={"two": FAILS})
    async with stage(PLACE, model, Box(), resume="new") as running:
        sessions.note("plan", running)
        done = await running.ask(c.SendMessage(text="fill the box"))
        assert isinstance(done, e.CommandDone)
        await running.verdict("reject", "use both hands")
        shown = await running.waiting()
        changed = shown.plan_json.replace("title of one", "the first title")
        await running.ask(p.EditPlan(plan=shown.plan, digest=shown.digest, plan_json=JsonText(changed)))
        await running.verdict(edited=True)
        await running.until(p.PlanProposed, lambda event: bool(event.replaces) and event.why != "")
        await running.verdict()
        await running.ended()
        branch = await running.ask(c.BranchSession(turn=done.id, text="fill it in another way"))
        assert isinstance(branch, e.CommandDone), branch
        assert sessions.note("branch", running) == branch.id


async def plan_open(sessions: Sessions) -> None:
    """A plan waits for the person."""
    async with stage(PLACE, Players(plan([task("a", "one")])), Box(), resume="new") as running:
        sessions.note("plan_open", running)
        await running.ask(c.SendMessage(text="fill the box"))
        await running.until(p.PlanProposed)


def headless(sessions: Sessions) -> None:
    """`omni-tui run` with the built-in model and the demo's server."""
    before = {path.stem for path in (STATE / "sessions").glob("*.db")}
    (PLACE / "config.toml").write_text(_SERVERS)
    subprocess.run(
        [
            *(sys.executable, "-m", "omni_tui", "run", "--config", str(PLACE / "config.toml")),
            *("--state-dir", str(STATE), "--model", "offline", "--mode", "auto", "add 2 and 3"),
        ],
        env={**os.environ, "OMNI_TUI_PASSPHRASE": ""},
        check=True,
    )
    (session,) = {path.stem for path in (STATE / "sessions").glob("*.db")} - before
    sessions.made["headless"] = session


# --- sessions that the journal writes -------------------------------------------------------------


@contextlib.asynccontextmanager
async def opened(state: Path, vault: Vault, session: str, *, clean: bool) -> AsyncIterator[Journal]:
    """Open a new session without an engine."""
    journal = await Journal.open(session_path(state, session), session, vault, lambda _events: None)
    try:
        yield journal
    finally:
        await journal.close(clean)


def messages() -> list[AnyEvent]:
    """Return a `ModelMessage` for every shape that a message of the history can have."""
    found: list[AnyEvent] = []
    info = inspect.type_info(Message)
    assert isinstance(info, inspect.StructType)
    call = {"id": "c1", "name": "box__put", "arguments": '{"text":"one"}'}
    full: dict[str, Any] = {
        "role": "assistant",
        "text": "It goes in.",
        "calls": [call, {**call, "id": "c2", "problem": "its arguments are no JSON"}],
        "call_id": "c1",
        "name": "box__put",
        "thinking": [{"type": "thinking", "thinking": "Well.", "signature": "AA=="}],
        "ref": "c-1",
        "size": 12,
        "images": [{"mime": "image/png", "data": "iVBORw0KGgo="}],
        "reasoning": "First this, then that.",
        "origin": "openai https://models.example",
        "raw": "<tool_call>",
    }
    assert set(full) == {field.name for field in info.fields}
    for role in ("system", "user", "assistant", "tool"):
        for body in ({**full, "role": role}, {"role": role, "text": f"said by {role}"}):
            message = msgspec.convert(body, Message)
            text = JsonText(msgspec.json.encode(message).decode())
            found.append(e.ModelMessage(turn="the turn", role=role, body_json=text))
    return found


def _opened(title: str) -> e.SessionOpened:
    return e.SessionOpened(title=SafeText(title), mode="chat", model=SafeText("offline"))


async def every(sessions: Sessions, vault: Vault) -> None:
    """Write an event of every kind and every shape, and messages of every shape."""
    sessions.made["every"] = session = new_session_id()
    async with opened(STATE, vault, session, clean=True) as journal:
        await journal.commit(*(event for kind in events() if kind.journalled for event in shapes(kind)))
        await journal.commit(*messages())


async def table(sessions: Sessions, vault: Vault) -> None:
    """Write a call in every state it can be left in, with results, attempts, and a running task."""
    sessions.made["calls"] = session = new_session_id()
    async with opened(STATE, vault, session, clean=False) as journal:
        await journal.commit(_opened("calls"))
        await journal.run(_every_state)


_ENDS: tuple[e.CallState, ...] = ("succeeded", "failed", "result_rejected", "cancelled", "uncertain")


def _every_state(tx: Transaction) -> None:
    first: tuple[e.CallState, ...] = tuple(sorted(call_table.FIRST))
    for state in first:
        call_table.insert(tx, _row(f"c-first-{state}", state))
    call_table.insert(tx, _row("c-cached", "approved"))
    call_table.move(tx, "c-cached", "cached", expect=("approved",))
    for state in (*_ENDS, "dispatching"):
        call = f"c-sent-{state}"
        call_table.insert(tx, _row(call, "approved", nonce="n-1"))
        call_table.consume(tx, call, 1, "n-1", "a fingerprint", "a definition", "a hash")
        if state == "dispatching":
            task_table.put(tx, call, 1, SavedTask(id="task-1", began=NOON, ttl=3600.0, poll=2.5))
            continue
        call_table.move(tx, call, state, expect=("dispatching",))
        if state in ("succeeded", "failed", "result_rejected"):
            call_table.put_result(tx, call, 1, b'{"content":[{"type":"text","text":"put one"}]}')


def _row(call: str, state: e.CallState, nonce: str = "") -> CallRow:
    return CallRow(
        call=call,
        turn="t-1",
        step=2,
        agent="root/p1/t1",
        origin="hand" if state == "pending" else "agent",
        server="box",
        tool="put",
        server_fp="a fingerprint",
        def_hash="a definition",
        args=b'{"text":"one"}',
        args_hash="a hash",
        state=state,
        nonce=nonce,
        decider="user",
        provider_call_id="p1",
        created=NOON,
    )


async def sealed(sessions: Sessions) -> None:
    """Write a session and a sign-in under a key that is made of a passphrase."""
    vault = Vault.open(SEALED, stored.environment(stored.PASSPHRASE))
    sessions.made["sealed"] = session = new_session_id()
    async with opened(SEALED, vault, session, clean=True) as journal:
        await journal.commit(
            _opened("under a passphrase"),
            e.UserMessage(turn="t-1", text=SafeText("keep this to yourself")),
        )
    Credentials(SEALED / "credentials.json", vault).save(*SECRET)


# --- other files ----------------------------------------------------------------------------------


async def state_files(vault: Vault, servers: dict[str, ServerSpec]) -> None:
    """Write all files of the state folder that are no sessions."""
    pins = Pins(TrustStore(STATE / "trust.json", vault))
    pins.allow(servers["notes"], fingerprint(servers["notes"]))
    pins.server_trust(servers["web"])
    pins.tool_trust("notes", {TOOL.name: definition_hash(TOOL)})
    pins.instructions_trust("web", INSTRUCTIONS)
    KnownTransportsFile(STATE / "ways.json").remember(servers["web"], KnownTransport("sse", "legacy"))
    ways = ModelQuirksFile(STATE / "models", lambda: NOON)
    ways.remember_text("ollama/small")
    ways.learn("openai/gpt-4o", HABITS)
    book = DailyUsageFile(STATE / "models", lambda: NOON)
    book.add(USED)
    book.flush()
    await sign_in_records.save_record(
        Credentials(STATE / "credentials.json", vault), servers["signed"], RECORD
    )
    logs = ServerLogs(STATE, vault)
    logs.add("notes", LOG)
    logs.close()
    assert save_theme(str(STATE), "nord")


def frames(folder: Path) -> None:
    """Write frames of all messages, and the list of their names."""
    folder.mkdir(exist_ok=True)
    for name, kinds in (("commands", commands()), ("events", events())):
        lines = [encode(message) for kind in kinds for message in shapes(kind)]
        (folder / f"{name}.jsonl").write_bytes(b"".join(lines))
    names = {
        "commands": sorted(map(tag, commands())),
        "events": sorted(map(tag, events())),
        "journalled": sorted(tag(kind) for kind in events() if kind.journalled),
    }
    write_json(folder.parent / "tags.json", names)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that a person can read."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


# --- all of it --------------------------------------------------------------------------------------


def programs() -> None:
    """Put the servers under names that are the same on every machine."""
    root = Path(omni_tui.__file__).parent.parent
    folder = PLACE / "bin"
    folder.mkdir(parents=True)
    for name, what in (
        ("demo-server", "-m omni_tui.demo.server"),
        ("asks-server", str(root / "tests/engine/faults/asks.py")),
    ):
        path = folder / name
        path.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" {what} "$@"\n')
        path.chmod(0o755)


async def make(folder: Path) -> None:
    """Make the data of this version in `folder`, where its configuration is already."""
    shutil.rmtree(PLACE, ignore_errors=True)
    programs()
    sessions = Sessions()
    for run in (chat, asks, pending, plans, plan_open, cut):
        await run(sessions)
    headless(sessions)
    image = PLACE / "aside"
    for path in (STATE / "sessions").glob(f"{sessions.made['cut']}.*"):
        path.unlink()
    for path in image.iterdir():
        shutil.copy(path, STATE / "sessions")
    vault = Vault.open(STATE, stored.environment())
    loaded = stored.configuration(folder, STATE)
    await every(sessions, vault)
    await table(sessions, vault)
    await state_files(vault, {spec.name: spec for spec in loaded.servers})
    await sealed(sessions)
    for name, source in (("state", STATE), ("sealed", SEALED)):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for path in (folder / name).glob("*.lock"):
            path.unlink()
    write_json(folder / "config.json", stored.effective(loaded))
    write_json(folder / "names.json", sessions.made)
    write_json(folder / "actions.json", stored.actions_now())
    frames(folder / "wire")
    await expect(folder, data=True)


async def expect(folder: Path, *, data: bool = False) -> None:
    """Write what is expected of the sessions; with `data`, what must never change too."""
    names = json.loads((folder / "names.json").read_text())
    shutil.rmtree(PLACE / "copy", ignore_errors=True)
    states = {name: stored.copied(folder / name, PLACE / "copy" / name) for name in ("state", "sealed")}
    keys = {"state": "", "sealed": stored.PASSPHRASE}
    vaults = {name: Vault.open(path, stored.environment(keys[name])) for name, path in states.items()}
    if data:
        listed = {name: stored.sessions_of(path, vaults[name]) for name, path in states.items()}
        write_json(folder / "sessions.json", listed)
    for name, session in names.items():
        where = "sealed" if name == "sealed" else "state"
        state, vault = states[where], vaults[where]
        target = folder / "sessions" / name
        target.mkdir(parents=True, exist_ok=True)
        read = stored.saved_events(state, session, vault)
        (target / "show.txt").write_text(stored.show_of(read))
        (target / "transcript.txt").write_text(stored.transcript_of(read))
        if data:
            raw = stored.raw_events(state, session, vault)
            lines = [json.dumps(event, ensure_ascii=False) + "\n" for event in raw]
            (target / "events.jsonl").write_text("".join(lines))
            write_json(target / "conversation.json", stored.conversation_of(read))
            write_json(target / "calls.json", await stored.calls_of(state, session, vault))


def main() -> None:
    """Make the data of this version, or write anew what is expected of all versions."""
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    what = sys.argv[1] if len(sys.argv) == 2 else ""
    if what == "make":
        folder = stored.DATA / omni_tui.__version__
        if (folder / "names.json").exists():
            sys.exit(f"{folder} is made already: it is what people have on their disks")
        asyncio.run(make(folder))
    elif what == "expect":
        for folder in stored.versions():
            asyncio.run(expect(folder))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
