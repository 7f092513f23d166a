"""`kill -9` at random instants, with real processes: `python -m tests.proof.kills [ROUNDS] [SEED]`.

A round is a face and its engine on a state folder, until the engine, the face or both are killed. The face
is a random person at a plain link or, each sixth time, the real app on a terminal. The servers are two that
record every call, and those of npm and PyPI that are installed here. The folder's session of more than
10,000 events is opened again and again. After each round must hold:

- what the engine had acknowledged to the face is in the journal, and what was there before still is;
- each call that arrived has one grant in the audit, each grant a reason, and the audit verifies;
- every request of the session's model had one result for each call, in order; and the next message of the
  session is taken by a provider at its strictest (the double of `tests/wire`), another one each time;
- no process of the round lives on;
- a session of that length is there again within two seconds or, on a machine that others keep busy, within
  three times what a new session takes right then; in one of three tries at least.

What arrived is held against the audit after every fifth round.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omni_tui.agents import run_turn
from omni_tui.engine.conversation import conversation_from
from omni_tui.engine.turn_runner import TurnRunner
from omni_tui.memory import Journal, Vault, new_session_id, session_path
from omni_tui.memory.saved_session import saved_copy, saved_events
from omni_tui.memory.session_files import file_mark, saved_ids
from omni_tui.memory.sqlite import NothingSaved
from omni_tui.models.base import Message, ToolCall
from omni_tui.protocol import AnyEvent, encode_record
from omni_tui.protocol import events as e
from omni_tui.security.text import safe
from tests.engine.agent_host import QUICK, FakeHost
from tests.proof.arrivals import Tally, check_arrivals
from tests.proof.folders import short_lived
from tests.proof.killed_engine import FOLDER, history_fault
from tests.proof.recording_server import __file__ as RECORDING
from tests.proof.runs import SECRET
from tests.security.pty_app import ENTER, F4, F5, PtyApp
from tests.wire.double import Say, double
from tests.wire.judges import WIRES

ROUNDS = 1_000
PART = 25
"""Rounds on one state folder."""
EVENTS = 10_000
"""Events that the long session has before anything happens in it."""
FEW = 10
"""Events of a session that was just begun."""
LATELY = 100
"""Messages at the end of a history that a provider is sent in most rounds."""
RESUME_S = 2.0
GONE_S = 5.0
"""Seconds that a process may live on; a server is given one for the end of its input, one for SIGTERM."""
BUSY = 3
TRIES = 3
Victim = Literal["engine", "face", "both"]
_CONFIG = """
[policy]
expire_after = {expire_after}
[tools.retry]
"web/put" = 3
[servers.box]
command = {python}
args = {args}
env = {{ {mark} }}
[servers.web]
url = "http://127.0.0.1:{port}/mcp"
auth = "oauth"
[servers.web.oauth]
grant = "client_credentials"
client_id = "proof"
client_secret = "${{{secret}}}"
"""


@dataclass
class Figures:
    """What was counted, and one line for each fault."""

    rounds: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    commands: int = 0
    resumed: list[float] = field(default_factory=list)
    """Seconds from the start of an engine to the last event of the long session."""
    begun: list[float] = field(default_factory=list)
    """The same for a new session: what this machine takes now for the start alone."""
    ended: list[float] = field(default_factory=list)
    """Seconds until nothing of a round was left."""
    histories: int = 0
    arrivals: Tally = field(default_factory=Tally)
    faults: list[str] = field(default_factory=list)


def main(rounds: int, seed: int) -> int:
    """Do the rounds and print the figures. Returns how many faults there are."""
    print(f"seed {seed}; servers of others: {', '.join(sorted(_others(Path()))) or 'none'}", flush=True)
    figures, began = Figures(), time.monotonic()
    while figures.rounds < rounds:
        part = seed + figures.rounds
        before = len(figures.faults)
        with short_lived("kills") as name:
            _Part(Path(name), part, figures).play(min(PART, rounds - figures.rounds))
        if found := figures.faults[before:]:
            print(f"faults in the part with the seed {part}:", *found[:20], sep="\n  ", flush=True)
        print(f"{figures.rounds:,} rounds, {time.monotonic() - began:.0f} s", flush=True)
    _print(figures, time.monotonic() - began)
    return len(figures.faults)


def _print(found: Figures, seconds: float) -> None:
    sent = found.arrivals
    resumed, ended = sorted(found.resumed) or [0.0], sorted(found.ended) or [0.0]
    print(
        f"{found.rounds:,} rounds, {seconds:.0f} s; killed: "
        f"{', '.join(f'{what} {count:,}' for what, count in sorted(found.killed.items()))}\n"
        f"{found.acknowledged:,} events and {found.commands:,} commands acknowledged\n"
        f"{sent.arrived:,} calls arrived, and {sent.rounds:,} further rounds; {sent.granted:,} grants, of "
        f"which {sent.unsent:,} did not arrive; {sent.entries:,} audit entries verified\n"
        f"{found.histories:,} histories taken by a strict provider\n"
        f"{len(found.resumed):,} times {EVENTS:,} events and more opened: median "
        f"{statistics.median(resumed):.2f} s, longest {resumed[-1]:.2f} s; "
        f"{len(found.begun):,} new sessions in the same rounds: median "
        f"{statistics.median(found.begun or [0.0]):.2f} s, longest {max(found.begun, default=0.0):.2f} s\n"
        f"nothing left after {statistics.median(ended):.2f} s in the median, {ended[-1]:.2f} s at most\n"
        f"faults: {len(found.faults)}"
    )


def _others(folder: Path) -> dict[str, str]:
    """Return the tables of the servers that other people wrote and that are installed here."""
    bins = Path(os.environ.get("OMNI_TUI_NPM", "."), "node_modules", ".bin")
    found: dict[str, tuple[str, list[str], str]] = {}
    for name, arguments, more in (
        ("everything", ["stdio"], ""),
        ("filesystem", [str(folder / "files")], ""),
        ("memory", [], f"MEMORY_FILE_PATH = {json.dumps(str(folder / 'memory.json'))}, "),
    ):
        if program := shutil.which(f"mcp-server-{name}", path=str(bins)) or shutil.which(
            f"mcp-server-{name}"
        ):
            found["files" if name == "filesystem" else name] = program, arguments, more
    for name in ("time", "git"):
        if importlib.util.find_spec(f"mcp_server_{name}"):
            found[name] = sys.executable, ["-m", f"mcp_server_{name}"], ""
    mark = _mark(folder)
    return {
        name: f"[servers.{name}]\ncommand = {json.dumps(program)}\nargs = {json.dumps(arguments)}\n"
        f"env = {{ {more}{mark} }}\n"
        for name, (program, arguments, more) in found.items()
    }


def _program(words: bytes) -> str:
    """Return what a process is, from its command line."""
    return "the engine" if b"killed_engine" in words else words.replace(b"\0", b" ").decode()[-60:]


def _mark(folder: Path) -> str:
    return f"{FOLDER} = {json.dumps(str(folder))}"


class _Part:
    """Rounds on one folder, each checked when it is over."""

    def __init__(self, folder: Path, seed: int, figures: Figures) -> None:
        self._folder = folder
        self._state = folder / "state"
        self._chance = random.Random(seed)
        self._figures = figures
        self._kept: dict[str, list[str]] = {}
        """The marks of each session's events as they were after the last round."""
        self._port = 0
        self._told = 0
        """The bytes of what was told in the rounds before."""
        self._files: dict[str, str] = {}
        """The marks of the sessions' files that were read."""
        self._long = ""
        self._victim = ""

    def play(self, rounds: int) -> None:
        """Play the rounds."""
        (self._folder / "files").mkdir()
        repository = str(self._folder / "repository")
        if shutil.which("git"):
            subprocess.run(["git", "init", "-q", repository], check=False, capture_output=True)
        self._long = asyncio.run(self._write_long())
        with self._serving() as self._port:
            for number in range(rounds):
                self._figures.rounds += 1
                try:
                    self._round(number)
                except Exception as error:  # the next round is as good as this one
                    self._fault(number, f"it broke: {type(error).__name__}: {error}")
                self._clear()
        found = self._arrived()
        self._figures.faults += found.faults
        self._figures.arrivals.add(found)

    def _fault(self, number: int, words: str) -> None:
        self._figures.faults.append(f"round {number} ({self._victim}): {words}")

    # --- before -----------------------------------------------------------------------------------

    async def _write_long(self) -> str:
        """Write a session of `EVENTS` events, and return its id."""
        session = new_session_id()
        vault = await asyncio.to_thread(Vault.open, self._state, {})
        journal = await Journal.open(session_path(self._state, session), session, vault, _ignore)
        events: list[AnyEvent] = [
            e.SessionOpened(title=safe("a long one"), mode="chat", model=safe("offline"))
        ]
        for number in range(-(-EVENTS // 7)):
            turn = f"t-{number}"
            call = ToolCall(f"c{number}", "box__look", json.dumps({"n": f"of before {number}"}))
            events += [
                e.UserMessage(turn=turn, text=safe(f"message {number}"), mode="chat"),
                TurnRunner.model_message(turn, Message(role="user", text=f"message {number}")),
                e.TurnStarted(turn=turn, mode="chat", model=safe("offline")),
                TurnRunner.model_message(turn, Message(role="assistant", text="I look.", calls=(call,))),
                TurnRunner.model_message(
                    turn, Message(role="tool", text="done", call_id=call.id, name=call.name)
                ),
                TurnRunner.model_message(turn, Message(role="assistant", text="It is done.")),
                e.TurnEnded(turn=turn, status="done"),
            ]
        for at in range(0, len(events), 1_000):
            await journal.commit(*events[at : at + 1_000])
        await journal.close(clean=True)
        return session

    @contextlib.contextmanager
    def _serving(self) -> Iterator[int]:
        """Run the server behind a URL, and yield its port."""
        command = [sys.executable, "-m", "tests.proof.recording_web", str(self._folder), "web"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            assert server.stdout is not None
            try:
                yield int(server.stdout.readline())
            finally:
                server.kill()

    def _configure(self) -> Path:
        file = self._folder / "config.toml"
        others = list(_others(self._folder).values())
        text = _CONFIG.format(
            expire_after=self._chance.choice((0.0, 0.0, 0.0, 0.2)),
            python=json.dumps(sys.executable),
            args=json.dumps(["-I", "-S", RECORDING, str(self._folder), "box"]),
            mark=_mark(self._folder),
            port=self._port,
            secret=SECRET,
        )
        file.write_text("".join([text, *self._chance.sample(others, min(len(others), 2))]))
        return file

    # --- one round --------------------------------------------------------------------------------

    def _round(self, number: int) -> None:
        chance = self._chance
        config = self._configure()
        resume = chance.choice((self._long, self._long, "auto", "new"))
        victim: Victim = chance.choice(("engine", "face", "both"))
        self._victim = victim
        if number % 6 == 5:
            self._figures.killed[f"{victim} (the app)"] += 1
            since = self._on_a_terminal(config, resume, victim)
        else:
            self._figures.killed[victim] += 1
            since = self._on_a_link(resume, victim)
        self._none_left(number, since)
        news = self._news()
        self._check_resumed(number, news)
        self._check_journals(number, news)
        if number % 5 == 4:
            for fault in self._arrived().faults:
                self._fault(number, fault)
        faults = self._folder / "faults"
        if faults.exists():
            for line in faults.read_text().splitlines():
                self._fault(number, line)
            faults.unlink()

    def _environment(self) -> dict[str, str]:
        silent = "keyring.backends.fail.Keyring"
        return {
            **os.environ,
            FOLDER: str(self._folder),
            SECRET: "s3cret",
            "OMNI_TUI_PASSPHRASE": "",
            "PYTHON_KEYRING_BACKEND": silent,
        }

    def _on_a_link(self, resume: str, victim: Victim) -> float:
        """Have a random person work, and kill; return when."""
        seed = str(self._chance.getrandbits(32))
        command = [sys.executable, "-m", "tests.proof.killed_face", "link", seed, resume]
        with subprocess.Popen(
            command,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / "errors").open("ab"),
        ) as face:
            if self._chance.random() < 0.8:
                self._wait_for("runs", face)
                delay = self._chance.uniform(0.0, 3.0)
            else:
                delay = self._chance.uniform(0.0, 2.0)
            with contextlib.suppress(subprocess.TimeoutExpired):
                face.wait(delay)
            since = self._kill(victim, face.pid)
            try:
                face.wait(GONE_S)
            except subprocess.TimeoutExpired:
                face.kill()
            return since

    def _wait_for(self, word: str, face: subprocess.Popen[bytes]) -> None:
        """Wait until the face has told something, or has ended: its engine may be killed from inside."""
        end = time.monotonic() + 60
        while time.monotonic() < end and face.poll() is None:
            if any(word in each for each in self._news(keep=True)):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                face.wait(0.05)

    def _on_a_terminal(self, config: Path, resume: str, victim: Victim) -> float:
        """Press keys in the real app until something is killed; return when."""
        command = [sys.executable, "-m", "tests.proof.killed_face", "app", "--config", str(config),
                   "--state-dir", str(self._state)]  # fmt: skip
        if resume == self._long:
            command += ["sessions", "resume", resume]
        app = PtyApp(command, env=self._environment())
        killed: list[float] = []
        try:
            with contextlib.suppress(AssertionError, OSError):
                app.ready()
            timer = threading.Timer(
                self._chance.uniform(0.0, 6.0),
                lambda: killed.append(self._kill(victim, app.process.pid)),
            )
            timer.start()
            with contextlib.suppress(AssertionError, OSError):
                while not killed:
                    self._press(app)
            timer.join()
            if victim == "engine":
                with contextlib.suppress(AssertionError, OSError):
                    app.until("The engine stopped", within=20)
        finally:
            app.kill()
        return time.monotonic()

    def _press(self, app: PtyApp) -> None:
        roll = self._chance.random()
        if roll < 0.3:
            app.press(F4, *"go on", ENTER)
        elif roll < 0.8:
            app.press(F5)
            self._pump(app, 0.6)
            app.press(self._chance.choice(("A", "A", "R")))
        self._pump(app, self._chance.uniform(0.0, 0.5))

    @staticmethod
    def _pump(app: PtyApp, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            app.pump(left)

    def _kill(self, victim: Victim, face: int) -> float:
        """Kill, and return when."""
        engines = self._engines()
        end = time.monotonic() + 30
        while victim == "engine" and not engines and time.monotonic() < end:
            if not any(pid == face for pid, _ in self._living()):
                break  # it is over already
            threading.Event().wait(0.02)  # it is not started yet
            engines = self._engines()
        ends = {"engine": engines, "face": [face], "both": [*engines, face]}[victim]
        for pid in ends:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return time.monotonic()

    def _engines(self) -> list[int]:
        return [pid for pid, words in self._living() if b"tests.proof.killed_engine" in words]

    # --- what is left -----------------------------------------------------------------------------

    def _living(self) -> list[tuple[int, bytes]]:
        """Return the processes of this folder, with their command lines."""
        mark = f"{FOLDER}={self._folder}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append((int(entry.name), (entry / "cmdline").read_bytes()))
        return found

    def _none_left(self, number: int, since: float) -> None:
        tick = threading.Event()
        while left := self._living():
            if time.monotonic() - since > GONE_S:
                names = ", ".join(_program(words) for _, words in left)
                self._fault(number, f"after {GONE_S} s there still is {names}")
                break
            tick.wait(0.05)
        self._figures.ended.append(time.monotonic() - since)

    def _clear(self) -> None:
        """End what should have ended, so that the next round begins with nothing."""
        for pid, _ in self._living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # --- what was acknowledged --------------------------------------------------------------------

    def _news(self, *, keep: bool = False) -> list[dict[str, Any]]:
        """Return what the face of this round has told."""
        file = self._folder / "told"
        if not file.exists():
            return []
        with file.open("rb") as opened:
            opened.seek(self._told)
            data = opened.read()
        if not keep:
            self._told += len(data)
        return [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]

    def _check_resumed(self, number: int, news: list[dict[str, Any]]) -> None:
        ready = next((each for each in news if "ready" in each), None)
        if ready is None:
            return
        if ready["head"] < EVENTS:
            if ready["head"] < FEW:
                self._figures.begun.append(ready["ready"])
            return
        self._figures.resumed.append(ready["ready"])
        if ready["ready"] > RESUME_S and all(
            long > max(RESUME_S, BUSY * new) for long, new in self._again()
        ):
            self._fault(number, f"{ready['head']:,} events took {ready['ready']:.1f} s, and again")

    def _again(self) -> Iterator[tuple[float, float]]:
        """Open the long session again, then a new one, and yield how long both took."""
        for _ in range(TRIES - 1):
            yield self._opened(self._long), self._opened("new")

    def _opened(self, resume: str) -> float:
        """Open a session, and return the seconds until all of it was there."""
        command = [sys.executable, "-m", "tests.proof.killed_face", "link", "0", resume]
        with subprocess.Popen(command, env=self._environment(), stdout=subprocess.DEVNULL) as face:
            self._wait_for("ready", face)
            self._kill("both", face.pid)
        self._clear()
        news = self._news()
        return next((float(each["ready"]) for each in news if "ready" in each), 0.0)

    def _check_journals(self, number: int, news: list[dict[str, Any]]) -> None:
        """Check every session: what was told is there, what was there still is, and it can go on."""
        vault = Vault.open(self._state, {})
        turns: set[str] = set()
        decided: set[str] = set()
        for session in saved_ids(self._state):
            mark = file_mark(session_path(self._state, session))
            if self._files.get(session) == mark and not any(
                each.get("session") == session for each in news
            ):
                continue
            self._files[session] = mark
            events = self._read(number, session, vault)
            self._check_session(number, session, events, news)
            for event in events:
                if isinstance(event, e.UserMessage):
                    turns.add(event.turn)
                elif isinstance(event, e.CallChanged) and event.state not in ("pending", "held"):
                    decided.add(event.call)
        self._check_commands(number, news, turns, decided)
        gone = {each["session"] for each in news if "session" in each} - self._kept.keys()
        if gone:
            self._fault(number, f"the sessions {', '.join(gone)} are gone")

    def _check_session(
        self, number: int, session: str, events: list[AnyEvent], news: list[dict[str, Any]]
    ) -> None:
        """Check one session against what it was and what was told of it."""
        marks = [hashlib.sha256(encode_record(event)).hexdigest() for event in events]
        kept = self._kept.get(session, [])
        if marks[: len(kept)] != kept:
            self._fault(number, f"session {session} lost some of the {len(kept)} events it had")
        self._kept[session] = marks
        for each in news:
            if each.get("session") == session:
                self._figures.acknowledged += 1
                if each["seq"] > len(marks) or marks[each["seq"] - 1] != each["mark"]:
                    what = f"{each['kind']} {each['seq']} of session {session}"
                    self._fault(number, f"{what} was acknowledged, and is not there")
        if len(marks) > len(kept):
            self._check_history(number, events)

    def _check_commands(
        self, number: int, news: list[dict[str, Any]], turns: set[str], decided: set[str]
    ) -> None:
        """Check that messages and decisions that were acknowledged are in some journal."""
        for each in news:
            self._figures.commands += "message" in each or "decided" in each
            if "message" in each and each["message"] not in turns:
                self._fault(number, f"the message of turn {each['message']} was acknowledged, and is gone")
            if "decided" in each and each["decided"] not in decided:
                self._fault(number, f"a decision on call {each['decided']} was acknowledged, and is gone")

    def _read(self, number: int, session: str, vault: Vault) -> list[AnyEvent]:
        try:
            with saved_copy(session_path(self._state, session), session, vault) as copy:
                if not copy.whole:
                    self._fault(number, f"the file of session {session} is damaged")
                found = list(saved_events(copy.tx, last=copy.expected))
        except NothingSaved:  # killed while it was created
            return []
        for at, event in found:
            if isinstance(event, str):
                self._fault(number, f"event {at} of session {session}: {event}")
        return [event for _, event in found if not isinstance(event, str)]

    def _check_history(self, number: int, events: list[AnyEvent]) -> None:
        """Have a provider take the next message of a session."""
        wire = self._chance.choice(sorted(WIRES))
        history = conversation_from(events).messages
        if number % 5:  # the end of it, as a kill can do nothing to the rest
            whole = range(max(0, len(history) - LATELY), -1, -1)
            history = history[
                next((at for at in whole if history[at : at + 1] and history[at].role == "user"), 0) :
            ]
        if wrong := asyncio.run(_next_message(history, wire)):
            self._fault(number, f"{wire} does not take the history: {wrong}")
        self._figures.histories += 1

    def _arrived(self) -> Tally:
        return check_arrivals(self._folder)


async def _next_message(history: list[Message], wire: str) -> str:
    """Send a further message after a history; return what is wrong with that for a provider."""
    form, name, judge = WIRES[wire]
    host = FakeHost()
    host.messages = [*history, Message("user", "are you there")]
    script = [Say("I add.", (("demo__add", '{"a": 1, "b": 2}'),), thought="I think."), Say("fine")]
    async with double(form, script, judge) as served:
        ended = await run_turn(host, served.model(name), turn="t2", settings=QUICK)
        served.left.clear()  # a summary may have taken an answer
    return history_fault(host.messages[len(history) :]) if ended.status == "done" else ended.reason


def _ignore(_events: object) -> None:
    """Nobody listens."""


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    sys.exit(
        min(1, main(given[0] if given else ROUNDS, given[1] if len(given) > 1 else random.randrange(10**9)))
    )
