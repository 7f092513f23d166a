"""What saving a long session costs. Run: `python -m tests.bench.export [MEGABYTES]`.

An engine in this process with a session of about that many MB on the disk (60 unless given), in three
shapes: many short messages and calls, 1 MB results of records, and the same where every record has a name
that may mean a secret. Printed for each form of a file: how long `/save` takes, the longest time for which
the engine's loop stood still meanwhile beside the longest while nothing happens, and the longest wait of a
commit. Budgets: 10 s for 60 MB, and 100 ms more than while nothing happens.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from omni_tui.memory import Transaction, call_table
from omni_tui.protocol import events as e
from omni_tui.protocol.loaded import SaveConversation
from omni_tui.security.text import safe
from tests.bench.resume import Turn, Words, turn
from tests.engine.rig import Rig, rig

FORMS = (".json", ".md", ".html", ".cast")
TICK_S = 0.005
BUDGET_S = 10.0
BUDGET_MS = 100.0
REFERENCE_MB = 60
PROSE = 1_500
"""Characters of a short turn's result."""
RESULT = 1_000_000


class Ticker:
    """Measures for how long the loop stands still."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        """Tick until cancelled; `longest` is in seconds."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK_S)
            self.longest = max(self.longest, time.perf_counter() - before - TICK_S)

    def take(self) -> float:
        """Return the longest time so far in ms, and begin again."""
        longest, self.longest = self.longest, 0.0
        return longest * 1_000


def records(words: Words, size: int, name: str) -> bytes:
    """Return a result of about that many characters: records in JSON as text."""
    rows = [{"id": number, name: words.take(300)} for number in range(max(1, size // 330))]
    text = json.dumps(rows, indent=1)
    return json.dumps({"content": [{"type": "text", "text": text}], "is_error": False}).encode()


SHAPES: dict[str, tuple[int, str]] = {
    "short messages and calls": (PROSE, "text"),
    "results of 1 MB": (RESULT, "text"),
    "the same, with names of secrets": (RESULT, "next_page_token_of"),
}


async def fill(running: Rig, megabytes: int, size: int, name: str) -> None:
    """Write turns until the session has that many MB, compressed or not."""
    words, journal = Words(), running.session.journal
    written = number = 0
    while written < megabytes * 1_000_000:
        made: list[Turn] = []
        for _ in range(max(1, 100_000 // size)):
            made.append(turn(number, words))
            made[-1].result = records(words, size, name)
            number += 1

        def rows(tx: Transaction, made: list[Turn] = made) -> None:
            for each in made:
                call_table.adopt(tx, each.row)
                call_table.put_result(tx, each.row.call, 1, each.result)

        await journal.commit(*(event for each in made for event in each.events), change=rows)
        # A short turn takes 9 KB with its events; of a long one the result counts.
        written += sum(9_000 + len(each.result) for each in made)


async def commits(running: Rig, note: Callable[[float], None]) -> None:
    """Commit something small now and then, and note how long that took in ms."""
    while True:
        start = time.perf_counter()
        await running.session.journal.commit(e.Thought(turn="t", message="m", text=safe("x")))
        note((time.perf_counter() - start) * 1_000)
        await asyncio.sleep(0.05)


async def measure(name: str, megabytes: int) -> bool:
    """Print the figures of one shape; return whether all are within their budgets."""
    size, field = SHAPES[name]
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        async with rig(Path(folder)) as running:
            await running.connected()
            await fill(running, megabytes, size, field)
            ticker = Ticker()
            waits: list[float] = []
            tasks = [asyncio.create_task(ticker.run()), asyncio.create_task(commits(running, waits.append))]
            await asyncio.sleep(1.0)
            idle, waiting = ticker.take(), max(waits)
            print(f"{name}: loop {idle:.0f} ms, commit {waiting:.0f} ms while nothing happens")
            for form in FORMS:
                waits.clear()
                start = time.perf_counter()
                saved = await running.ask(SaveConversation(path=str(Path(folder) / f"talk{form}")))
                spent = time.perf_counter() - start
                assert isinstance(saved, e.FileSaved), saved
                gap, wait = ticker.take(), max(waits, default=0.0)
                good = spent <= BUDGET_S * max(1.0, megabytes / REFERENCE_MB) and gap - idle <= BUDGET_MS
                kept &= good
                print(
                    f"  {form:5} {spent:5.1f} s   {saved.size / 1e6:5.1f} MB   loop {gap:4.0f} ms   "
                    f"commit {wait:4.0f} ms{'' if good else '   over the budget'}"
                )
            for task in tasks:
                task.cancel()
    return kept


async def main(megabytes: int) -> None:
    """Measure all shapes; exit with 1 if one is over its budget."""
    kept = [await measure(name, megabytes) for name in SHAPES]
    sys.exit(not all(kept))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE_MB))
