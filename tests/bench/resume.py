"""What a message costs and how a session is opened again. Run: `python -m tests.bench.resume [EVENTS ...]`.

For sessions of 100, 10,000 and 1,000,000 events (or those given): one awaited commit beside a bare one of
SQLite to the same disk; the size on disk; and an engine that opens the session again, from its checkpoint,
after a crash, and from its whole journal, beside an engine with a new session in the same folder. Time and
memory (PSS of the engine, and what the face's folds take here) are the difference between the two. Budgets:
2 s more at 10,000 events, 3 s and 150 MB more at 1,000,000.

A turn is 15 events with one call and 1.9 KB of words, which stand twice or three times.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from omni_tui.engine.session_fold import SessionFold
from omni_tui.face.event_pump import TAIL
from omni_tui.face.overview import Overview
from omni_tui.face.transcript.fold import Fold
from omni_tui.links import start_engine
from omni_tui.memory import CallRow, Journal, Transaction, Vault, call_table, new_session_id, session_path
from omni_tui.models.base import Message, ToolCall
from omni_tui.protocol import AnyEvent, LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.security.text import exact_json, safe, safe_line
from tests.bench.memory import pss

SIZES = (100, 10_000, 1_000_000)
BUDGETS = {10_000: (2.0, 0.0), 1_000_000: (3.0, 150.0)}
"""Seconds and MB (0: none) that opening may take more than a new session."""
APPENDS = 200
ROUNDS = 3
BATCH = 200
"""Turns that are written in one go to make a long session."""


class Words:
    """Made-up prose: words of three to ten letters, common ones more often."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        made = ["".join(self._random.choices("etaoinshrdlucmfwypvbgkq", k=self._random.randint(3, 10)))
                for _ in range(20_000)]  # fmt: skip
        weights = [1 / (rank + 1) for rank in range(len(made))]
        self._bag = self._random.choices(made, weights, k=500_000)

    def take(self, length: int) -> str:
        """Return a text of about that many characters."""
        start = self._random.randrange(len(self._bag) - length)
        return " ".join(self._bag[start : start + length // 7])[:length]


@dataclass(slots=True)
class Turn:
    """The events of one turn, the row of its call, and its result."""

    events: list[AnyEvent]
    row: CallRow
    result: bytes


def turn(number: int, words: Words) -> Turn:
    """Return a whole turn with one call, as the engine journals it."""
    name, call = f"t-{number:012x}", f"c-{number:012x}"
    arguments = json.dumps({"query": words.take(60)})
    asked, answered, found = safe(words.take(300)), safe(words.take(700)), words.take(900)
    told = ToolCall(call, "demo__search", arguments)
    model = safe_line("some/model")
    events: list[AnyEvent] = [
        e.UserMessage(turn=name, text=asked, mode="auto"),
        message(name, Message("user", asked)),
        e.TurnStarted(turn=name, mode="auto", model=model),
        e.UsageChanged(turn=name, usage=e.Usage(input=1_000, output=50, cost=0.001), model=model),
        message(name, Message("assistant", "", calls=(told,))),
        e.CallProposed(call=call, server="demo", tool="search", label=safe_line("search"), size=70,
                       arguments=safe(arguments), digest="0" * 64, origin="agent", turn=name, risk="read"),
        e.CallChanged(call=call, state="approved", decider="mode"),
        e.CallChanged(call=call, state="dispatching", decider="mode"),
        e.CallFinished(call=call, state="succeeded", parts=(), elapsed_ms=3.0, size=len(found)),
        message(name, Message("tool", found, call_id=call, name="demo__search", status="succeeded"), call),
        e.UsageChanged(turn=name, usage=e.Usage(input=1_400, output=150, cost=0.002), model=model),
        message(name, Message("assistant", answered)),
        e.Thought(turn=name, message=call, text=safe(words.take(100))),
        e.Answer(turn=name, message=f"{call}a", text=answered),
        e.TurnEnded(turn=name, status="done", steps=2),
    ]  # fmt: skip
    row = CallRow(call=call, turn=name, step=1, agent="root", origin="agent", server="demo", tool="search",
                  server_fp="f" * 64, def_hash="d" * 64, args=arguments.encode(), args_hash="a" * 64,
                  state="succeeded", provider_call_id=call)  # fmt: skip
    return Turn(events, row, found.encode())


def message(name: str, told: Message, call: str = "") -> e.ModelMessage:
    """Return a message of the model's history for the journal."""
    return e.ModelMessage(
        turn=name, role=told.role, body_json=exact_json(msgspec.to_builtins(told)), call=call
    )


async def make(state: Path, session: str, count: int, words: Words) -> tuple[list[float], int]:
    """Write a session of about `count` events; return single commits in ms at its end, and its messages."""
    vault = await asyncio.to_thread(Vault.open, state, {})
    journal = await Journal.open(session_path(state, session), session, vault, ignore)
    await journal.commit(
        e.SessionOpened(title=safe("new session"), mode="auto", model=safe_line("offline")),
        e.SessionTitled(title=safe("a long session")),
    )
    made = 0
    while journal.head < count - APPENDS:
        room = max(1, min(BATCH, (count - APPENDS - journal.head) // 15))
        batch = [turn(made + number, words) for number in range(room)]
        made += room

        def rows(tx: Transaction, batch: Sequence[Turn] = batch) -> None:
            for each in batch:
                call_table.adopt(tx, each.row)
                call_table.put_result(tx, each.row.call, 1, each.result)

        await journal.commit(*(event for each in batch for event in each.events), change=rows)
    spent = []
    for number in range(min(APPENDS, count - journal.head)):
        answer = e.Answer(turn="t-end", message=f"m{number}", text=safe(words.take(700)))
        start = time.perf_counter()
        await journal.commit(answer)
        spent.append((time.perf_counter() - start) * 1_000)
    await journal.close(clean=True)
    return spent, made * 4 + len(spent)


def ignore(_events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


def bare(folder: Path, words: Words) -> list[float]:
    """Return what a commit of as many bytes takes SQLite alone, in ms."""
    spent = []
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL").close()
        connection.execute("PRAGMA synchronous=FULL").close()
        connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, body BLOB)")
        for number in range(APPENDS):
            body = words.take(900).encode()
            start = time.perf_counter()
            connection.execute("INSERT INTO events VALUES (?, ?)", (number, body))
            spent.append((time.perf_counter() - start) * 1_000)
    return spent


# --- opening ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Opened:
    """One start of an engine: seconds until all was sent, MB of engine and of the face's folds, events."""

    seconds: float
    engine: float
    face: float
    events: int


async def opened(state: Path, resume: str) -> Opened:
    """Start an engine with a session as a face does, and take what it sends."""
    config = state.parent / "config.toml"
    config.touch()
    before = size_here()
    start = time.perf_counter()
    link = await start_engine(LaunchOptions(config=str(config), state_dir=str(state), resume=resume))
    link.send(c.Hello(client="bench", tail=TAIL, request=1))
    overview, fold, pid, count = Overview(), Fold(), 0, 0
    async for event in link.events():
        overview.apply(event)
        fold.apply(event)
        count += event.seq > 0
        pid = event.pid if isinstance(event, e.EngineReady) else pid
        if isinstance(event, e.ReplayDone):
            break
    spent = time.perf_counter() - start
    await asyncio.sleep(0.5)
    found = Opened(spent, pss(pid), size_here() - before, count)
    await link.close()
    return found


def size_here() -> float:
    """Return the resident memory of this process in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError("no VmRSS line")


def change(path: Path, sql: str) -> None:
    """Change a fact about a closed session."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)


async def checkpointed(state: Path, session: str) -> int:
    """Make the checkpoint that an engine makes as it goes; return its size in bytes."""
    vault = await asyncio.to_thread(Vault.open, state, {})
    journal = await Journal.open(session_path(state, session), session, vault, ignore)
    fold = SessionFold()
    while page := await journal.read(fold.seq, 2_000):
        fold.take_all(page)
    made = fold.checkpoint()
    assert await journal.save_checkpoint(made)
    await journal.close(clean=True)
    return len(made.body)


async def compare(state: Path, session: str, count: int) -> bool:
    """Print what opening takes, each way; return whether a budget is exceeded."""
    path, exceeded = session_path(state, session), False
    seconds, megabytes = BUDGETS.get(count, (0.0, 0.0))
    for name in ("from its checkpoint", "after a crash", "from the whole journal"):
        times, sizes, faces, last = [], [], [], None
        for _ in range(1 if name == "from the whole journal" else ROUNDS):
            if name == "after a crash":
                change(path, "UPDATE meta SET value = 'open' WHERE name = 'closed'")
            elif name == "from the whole journal":
                change(path, "DELETE FROM meta WHERE name = 'checkpoint'")
            without = await opened(state, "new")
            last = await opened(state, session)
            times.append(last.seconds - without.seconds)
            sizes.append(last.engine - without.engine)
            faces.append(last.face - without.face)
        assert last is not None
        more, size = statistics.median(times), statistics.median(sizes)
        budget = ""
        if seconds and name != "from the whole journal":
            budget = f"   budget {seconds:.0f} s" + (f", {megabytes:.0f} MB" if megabytes else "")
            exceeded |= more > seconds or (megabytes > 0 and size > megabytes)
        print(
            f"{count:>9,} events  opened {name:22} +{more:6.2f} s  engine +{size:6.1f} MB  "
            f"face's folds +{statistics.median(faces):5.1f} MB  {last.events:,} events sent{budget}"
        )
    return exceeded


async def main(sizes: Sequence[int]) -> bool:
    """Measure each size; return whether a budget is exceeded."""
    words, exceeded = Words(), False
    for count in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            state, session = folder / "state", new_session_id()
            state.mkdir(mode=0o700)
            spent, messages = await make(state, session, count, words)
            control = bare(folder, words)
            if spent:
                middle, usual = statistics.median(spent), statistics.median(control)
                slow = sorted(spent)[-len(spent) // 20 - 1]
                print(
                    f"{count:>9,} events  a commit p50 {middle:.2f} ms, p95 {slow:.2f} ms   "
                    f"{middle / usual:.2f} of a bare one ({usual:.2f} ms)"
                )
            size = session_path(state, session).stat().st_size
            saved = await checkpointed(state, session)
            each = size / max(messages, 1)
            print(
                f"{count:>9,} events  {size / 1e6:.1f} MB on disk, {each / 1e3:.2f} KB a message, "
                f"{size / count:.0f} bytes an event; checkpoint {saved / 1e3:.1f} KB"
            )
            exceeded |= await compare(state, session, count)
    return exceeded


if __name__ == "__main__":
    sys.exit(asyncio.run(main([int(size) for size in sys.argv[1:]] or SIZES)))
