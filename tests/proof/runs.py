"""Random runs against servers that record what arrives: `python -m tests.proof.runs [RUNS] [SEED]`.

A run is a message with everything that comes of it: calls of a model that proposes at random, agents of a
plan, one or two people at clients of their own who approve, reject, edit, change modes and rules, answer
servers, call by hand and stop at random. Two servers ask for input in further rounds, go on as tasks, are
busy, cut calls off, take a token no more, change their tools. Engines are killed (`kill -9`) before or
after a random commit, when a call has arrived, or at any moment, and started again on the same folder. In
the end each call that arrived must have one grant in the audit, each grant a reason, and each audit must
verify.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import jsonschema_rs
import msgspec
import tomlkit

from omni_tui.config.load import load_config
from omni_tui.engine.clients import EventBuffer
from omni_tui.engine.core import Engine, open_engine
from omni_tui.memory.writer import JournalWriter
from omni_tui.protocol import LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.servers import mcp_session, task_poller
from omni_tui.servers.auth import bearer_auth
from omni_tui.servers.transports import http
from omni_tui.tools.call_retries import RetryBackoff
from tests.engine.rig import Rig, use_model
from tests.proof.arrivals import Tally, check_arrivals
from tests.proof.folders import short_lived
from tests.proof.random_model import SERVERS, RandomArguments, RandomModel
from tests.proof.random_person import MODES, RandomPerson
from tests.proof.said import Said

RUNS = 10_000
PART = 200
"""Runs on one state folder; each is checked when it is done."""
SERVER = Path(__file__).with_name("recording_server.py")
STUCK_S = 120.0
"""Seconds without a finished run after which an engine counts as stuck."""
_RUN, _ERROR = b".", b"!"
READY = (mcp_session, jsonschema_rs, tomlkit, bearer_auth, http)
"""What an engine imports late: here once, before there is the first."""
SECRET = "OMNI_TUI_PROOF_SECRET"
_CONFIG = """
[policy]
expire_after = {expire_after}
[tools.retry]
"web/put" = 3
[servers.box]
command = {python}
args = {args}
[servers.web]
url = "http://127.0.0.1:{port}/mcp"
auth = "oauth"
[servers.web.oauth]
grant = "client_credentials"
client_id = "proof"
client_secret = "${{{secret}}}"
"""


def nothing() -> None:
    """Leave the engine as it is; see `tests/proof/mutations.py`."""


def main(runs: int, seed: int) -> int:
    """Do the runs and print the figures. Returns how many faults there are."""
    print(f"seed {seed}", flush=True)
    tally, started, kills, done = Tally(), time.monotonic(), 0, 0
    while done < runs:
        with short_lived("runs") as name:
            part = min(PART, runs - done)
            died, found = do_runs(Path(name), part, seed + done)
            kills, done = kills + died, done + part
            tally.add(found)
        if found.faults:
            print(f"faults in the part with the seed {seed + done - part}:", *found.faults[:20], sep="\n  ")
        if done < runs and done % 1_000 == 0:
            print(f"{done:,} runs, {time.monotonic() - started:.0f} s", flush=True)
    acts = tally.actions
    print(
        f"{done:,} runs in {tally.sessions:,} sessions, {kills:,} kills, "
        f"{time.monotonic() - started:.0f} s\n"
        f"{tally.arrived:,} calls arrived, and {tally.rounds:,} further rounds of such calls\n"
        f"{tally.granted:,} grants used up, {tally.further:,} of them for further attempts, "
        f"{tally.unsent:,} for calls that did not arrive (killed before)\n"
        f"decided by {', '.join(f'{who}: {count:,}' for who, count in sorted(tally.deciders.items()))}\n"
        f"{acts['asked']:,} times the person was asked, {acts['expired']:,} calls expired, "
        f"{acts['rejected']:,} were rejected, {acts['cancelled']:,} cancelled\n"
        f"{acts['plan approved']:,} plans, {acts['form request']:,} forms, "
        f"{acts['sampling request']:,} requests to the model, {acts['mode']:,} changes of mode, "
        f"{acts['rule added']:,} rules added, {acts['rule revoked']:,} revoked\n"
        f"{tally.entries:,} audit entries verified\n"
        f"arrived without a grant, twice, or granted without a reason: {len(tally.faults)}"
    )
    return len(tally.faults)


def do_runs(folder: Path, runs: int, seed: int, change: Callable[[], None] = nothing) -> tuple[int, Tally]:
    """Run engines in a folder, one after the other, until that many runs are done, and check it.

    `change` is called in each engine's process first. Returns how many were killed, and what was found.
    """
    chance = random.Random(seed)
    kills = 0
    errors: list[str] = []
    with _serving(folder) as port:
        while runs > 0:
            begun, number = runs, chance.getrandbits(48)
            readable, writable = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(readable)
                _live(folder, port, number, runs, writable, change)
            os.close(writable)
            runs -= _follow(child, readable, errors)
            _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status):
                kills += 1
            if runs == begun:
                runs -= 1  # killed in its first run, or it broke: it counts, so that this ends
    found = check_arrivals(folder)
    found.faults += errors
    return kills, found


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[int]:
    """Run the server behind a URL, and yield its port."""
    command = [sys.executable, "-m", "tests.proof.recording_web", str(folder), "web"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


def _follow(child: int, readable: int, errors: list[str]) -> int:
    """Count an engine's runs until it is gone."""
    told = b""
    with os.fdopen(readable, "rb", buffering=0) as pipe:
        while True:
            if not select.select([pipe], [], [], STUCK_S)[0]:
                errors.append("an engine was stuck")
                os.kill(child, signal.SIGKILL)
                continue
            if not (read := pipe.read(65_536)):
                break
            told += read
    dots, _, error = told.partition(_ERROR)
    if error:
        errors.append(error.decode())
    return len(dots)


# --- the process that is killed ---------------------------------------------------------------------


def _live(folder: Path, port: int, seed: int, runs: int, pipe: int, change: Callable[[], None]) -> NoReturn:
    """Be one engine with its people, until the runs are done or it is killed."""
    logging.disable()
    try:
        change()
        RetryBackoff.delay = _at_once  # type: ignore[method-assign, assignment]
        task_poller._LEAST = task_poller._CANCEL_PAUSE = 0.005
        asyncio.run(_Engine(folder, port, seed, pipe).live(runs))
    except BaseException:
        os.write(pipe, _ERROR + traceback.format_exc()[-3_000:].encode())
    os._exit(0)


class _Engine:
    """One life of an engine, from its start to its end or death."""

    def __init__(self, folder: Path, port: int, seed: int, pipe: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        self._name = f"{seed:x}"
        self._pipe = pipe
        self._said = Said(folder)
        self._people = 0
        self._launch = LaunchOptions(
            config=self._config(port),
            state_dir=str(folder / "state"),
            resume=self._chance.choice(("auto", "auto", "auto", "new")),
            mode=self._chance.choice(("", "", *MODES)),
            headless=self._chance.random() < 0.05,
        )

    def _config(self, port: int) -> str:
        file = self._folder / "config.toml"
        file.write_text(
            _CONFIG.format(
                expire_after=self._chance.choice((0.0, 0.0, 0.0, 0.02, 0.2)),
                python=json.dumps(sys.executable),
                args=json.dumps(["-I", "-S", str(SERVER), str(self._folder), "box"]),
                port=port,
                secret=SECRET,
            )
        )
        return str(file)

    def _arguments(self) -> RandomArguments:
        self._people += 1
        return RandomArguments(self._chance, f"{self._name}-{self._people}", self._said)

    async def live(self, runs: int) -> None:
        """Do the runs, alone or with a second client that comes and goes."""
        chance = self._chance
        (self._folder / "engine.pid").write_text(str(os.getpid()))
        self._said.started()
        environ = {**os.environ, "OMNI_TUI_PASSPHRASE": "", SECRET: "s3cret"}
        engine = await open_engine(self._launch, load_config(self._launch, environ), environ)
        use_model(engine, RandomModel(chance, self._arguments()))
        first = Rig(engine, await engine.attach(EventBuffer()))
        await engine.start_servers()
        first.link.send(c.Hello(client="proof", request=0))
        for server in SERVERS:
            await first.connected(server)
        _arm(chance, runs)
        person = self._person(first)
        second: tuple[Rig, RandomPerson] | None = None
        while runs > 0:
            if second is None and chance.random() < 0.05:
                second = await self._joined(engine, first)
            elif second is not None and chance.random() < 0.1:
                await second[0].close()
                second = None
            done = 1 + (second is not None)
            await asyncio.gather(person.run(), *([second[1].run()] if second is not None else []))
            os.write(self._pipe, _RUN * min(done, runs))
            runs -= done
        if second is not None:
            await second[0].close()
        await first.close()

    async def _joined(self, engine: Engine, first: Rig) -> tuple[Rig, RandomPerson]:
        """Attach a second client, to the session of the first or to one of its own."""
        resume = self._chance.choice(("new", first.session.journal.session))
        launch = msgspec.structs.replace(self._launch, resume=resume, mode="", headless=False)
        second = Rig(engine, await engine.attach(EventBuffer(), launch))
        second.link.send(c.Hello(client="proof", request=0))
        return second, self._person(second)

    def _person(self, running: Rig) -> RandomPerson:
        return RandomPerson(running, self._chance, self._arguments(), self._said, self._folder)


def _at_once(_backoff: RetryBackoff, _number: int) -> float:
    return 0.001


def _arm(chance: random.Random, runs: int) -> None:
    """Choose when this process is killed, if it is."""
    kind, many = chance.random(), chance.randint(1, 400)
    if kind < 0.7:
        _die_at_commit(many, before=kind < 0.35)
    elif kind < 0.9 or runs > 100:
        threading.Timer(chance.uniform(0.0, 3.0), _die).start()


def _die_at_commit(number: int, *, before: bool) -> None:
    commit = JournalWriter._commit
    left = number

    def counted(self: JournalWriter, batch: Any) -> None:
        nonlocal left
        left -= 1
        if before and left == 0:
            _die()
        commit(self, batch)
        if not before and left == 0:
            _die()

    JournalWriter._commit = counted  # type: ignore[method-assign]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    sys.exit(min(1, main(number, int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9))))
