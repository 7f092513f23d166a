"""Our sessions beside those of `llm` and `oterm`. Run: `python -m tests.bench.memory_peers [PYTHON]`.

PYTHON is one that has both (`python -m venv peers && peers/bin/pip install llm==0.36 oterm==0.26.1`);
without it only our own figures are printed. The same conversations of 100 messages (300 characters asked,
700 answered) are saved in each: one of them, then a hundred. Printed, after each: what saving one more turn
takes until it is on the disk, opening a conversation of 100 messages again, finding a rare word in all of
them, and the bytes on the disk a message. Importing is not counted. `oterm` has no search. Then the same in
one conversation of 800 messages.

Ours writes more (an audit, the states of turns) and encrypts it; a turn is three commits, as the engine
makes them.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from omni_tui.engine.conversation import read_history
from omni_tui.engine.session_fold import SessionFold
from omni_tui.memory import Journal, Vault, new_session_id, session_path
from omni_tui.memory.search_index import SearchIndex
from omni_tui.memory.search_text import texts_after
from omni_tui.memory.search_words import query_words
from omni_tui.models.base import Message
from omni_tui.protocol import events as e
from omni_tui.security.text import safe, safe_line
from tests.bench._peer_stores import ROUNDS, figures, milliseconds, size
from tests.bench.resume import Words, ignore, message

TURNS = 50
"""Turns of a conversation: 100 messages."""
LONG = 400
APPENDS = 20
RARE = "needle4711"
PROGRAMS = ("llm", "oterm")
HELPER = Path(__file__).with_name("_peer_stores.py")


def work(conversations: int, turns: int) -> dict[str, Any]:
    """Return what is saved: the same for every program."""
    words = Words()

    def turn() -> tuple[str, str]:
        return words.take(300), words.take(700)

    made = [[turn() for _ in range(turns)] for _ in range(conversations)]
    question, answer = made[conversations // 2][turns // 2]
    made[conversations // 2][turns // 2] = question, f"{answer} {RARE}"
    return {"conversations": made, "append": [turn() for _ in range(APPENDS)], "word": RARE}


async def of_us(given: dict[str, Any], folder: Path) -> dict[str, float]:
    """Do the work with journals, as the engine uses them."""
    vault = await asyncio.to_thread(Vault.open, folder, {})
    index, session, number = SearchIndex(), "", 0
    for turns in given["conversations"]:
        session = new_session_id()
        journal = await Journal.open(session_path(folder, session), session, vault, ignore)
        await journal.commit(
            e.SessionOpened(title=safe("new session"), mode="chat", model=safe_line("fixed"))
        )
        for question, answer in turns:
            number += 1
            await say(journal, f"t{number}", question, answer)
        index.add(session, await journal.run(lambda tx: texts_after(tx, 0)))
        await journal.close(clean=True)
    stored = await asyncio.to_thread(size, folder)
    journal = await Journal.open(session_path(folder, session), session, vault, ignore)
    spent = []
    for question, answer in given["append"]:
        number += 1
        start = time.perf_counter()
        await say(journal, f"t{number}", question, answer)
        spent.append(milliseconds(start))
    await journal.close(clean=True)
    resumed, searched = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        journal = await Journal.open(session_path(folder, session), session, vault, ignore)
        fold = SessionFold.restored(await journal.checkpoint())
        while page := await journal.read(fold.seq, 2_000):
            fold.take_all(page)
        history = await read_history(journal, fold)
        resumed.append(milliseconds(start))
        assert len(history.messages) >= 2 * TURNS
        await journal.close(clean=True)
        start = time.perf_counter()
        assert index.search(query_words(given["word"]), 50).total == 1
        searched.append(milliseconds(start))
    return figures(spent, resumed, searched, stored)


async def say(journal: Journal, turn: str, question: str, answer: str) -> None:
    """Save a turn of two messages."""
    asked = e.UserMessage(turn=turn, text=safe(question), mode="chat")
    await journal.commit(asked, message(turn, Message("user", question)))
    began = e.TurnStarted(turn=turn, mode="chat", model=safe_line("fixed"))
    used = e.UsageChanged(turn=turn, usage=e.Usage(input=100, output=50), model=safe_line("fixed"))
    shown = e.Answer(turn=turn, message=f"{turn}m", text=safe(answer))
    await journal.commit(began, used, message(turn, Message("assistant", answer)), shown)
    await journal.commit(e.TurnEnded(turn=turn, status="done", steps=1))


def of_peer(python: str, program: str, given: dict[str, Any], folder: Path) -> dict[str, float]:
    """Have another program do the work in a process of its own."""
    file = folder / "work.json"
    file.write_text(json.dumps(given))
    store = folder / "store"
    store.mkdir()
    done = subprocess.run(
        [python, str(HELPER), program, str(file), str(store)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LLM_USER_PATH": str(store), "HOME": str(folder)},
        cwd=folder,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(python: str, conversations: int, turns: int) -> None:
    """Print the figures of all programs for one amount of messages."""
    given, count = work(conversations, turns), conversations * turns * 2
    shape = "1 conversation" if conversations == 1 else f"{conversations} conversations"
    print(f"{count:,} messages in {shape}")
    for program in ("Omni TUI", *(PROGRAMS if python else ())):
        with tempfile.TemporaryDirectory() as name:
            if program == "Omni TUI":
                found = asyncio.run(of_us(given, Path(name)))
            else:
                found = of_peer(python, program, given, Path(name))
        search = f"{found['search']:7.2f} ms" if "search" in found else "      none"
        print(
            f"  {program:9} one more turn {found['append']:7.2f} ms   open again {found['resume']:7.2f} ms"
            f"   find {search}   {found['bytes'] / count / 1_000:5.2f} KB a message",
            flush=True,
        )


def main(python: str) -> None:
    """Compare at 100 and 10,000 messages, and in a long conversation."""
    compare(python, 1, TURNS)
    compare(python, 100, TURNS)
    compare(python, 1, LONG)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
