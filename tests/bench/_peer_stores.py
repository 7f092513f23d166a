"""The same work in another program's store: run by a Python that has `llm` and `oterm`, not Omni TUI.

Arguments: the program, a file of JSON (conversations, each a list of turns, each a question and an answer;
the turns to append; the word to look for), and an empty folder. Prints a line of JSON with milliseconds and
bytes.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROUNDS = 9


def milliseconds(start: float) -> float:
    """Return the time since `start`."""
    return (time.perf_counter() - start) * 1_000


def size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def of_llm(work: dict[str, Any], folder: Path) -> dict[str, float]:
    """Log with llm as its command does: a response whose model answers at once."""
    llm: Any = import_module("llm")
    sqlite_utils: Any = import_module("sqlite_utils")
    cli: Any = import_module("llm.cli")
    logs: Any = import_module("llm.logs")
    answers: list[str] = []

    def execute(_self: object, *_given: object, **_named: object) -> Iterator[str]:
        yield answers.pop()

    fixed = type("Fixed", (llm.Model,), {"model_id": "fixed", "can_stream": False, "execute": execute})
    path = folder / "logs.db"
    db = sqlite_utils.Database(path)
    import_module("llm.migrations").migrate(db)

    def say(conversation: Any, question: str, answer: str) -> float:
        answers.append(answer)
        response = conversation.prompt(question)
        response.text()
        start = time.perf_counter()
        response.log_to_db(db)
        return milliseconds(start)

    conversation: Any = None
    for turns in work["conversations"]:
        conversation = llm.Conversation(model=fixed())
        for question, answer in turns:
            say(conversation, question, answer)
    db.conn.execute("PRAGMA wal_checkpoint").fetchall()
    bytes_ = size(folder)
    spent = [say(conversation, *turn) for turn in work["append"]]
    cli.get_model = llm.get_model = lambda *_given, **_named: fixed()
    resumed, searched = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        again = cli.load_conversation(conversation.id, database=str(path))
        assert again is not None
        assert again.loaded_messages
        resumed.append(milliseconds(start))
        start = time.perf_counter()
        found = logs.merged_log_rows(logs.LogStore(db), count=50, query=work["word"])
        assert found, "nothing was found"
        searched.append(milliseconds(start))
    return figures(spent, resumed, searched, bytes_)


async def of_oterm(work: dict[str, Any], folder: Path) -> dict[str, float]:
    """Save with oterm's store; it has no search."""
    os.environ["OTERM_DATA_DIR"] = str(folder)
    types: Any = import_module("oterm.types")
    store: Any = await import_module("oterm.store.store").Store.get_store()

    async def say(chat: int, question: str, answer: str) -> float:
        start = time.perf_counter()
        await store.save_message(types.MessageModel(chat_id=chat, role="user", text=question))
        await store.save_message(types.MessageModel(chat_id=chat, role="assistant", text=answer))
        return milliseconds(start)

    chat = 0
    for turns in work["conversations"]:
        chat = await store.save_chat(types.ChatModel(name="chat", model="fixed"))
        for question, answer in turns:
            await say(chat, question, answer)
    bytes_ = size(folder)
    spent = [await say(chat, *turn) for turn in work["append"]]
    resumed = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        assert await store.get_chat(chat)
        assert await store.get_messages(chat)
        resumed.append(milliseconds(start))
    return figures(spent, resumed, [], bytes_)


def figures(
    spent: list[float], resumed: list[float], searched: list[float], bytes_: int
) -> dict[str, float]:
    """Return medians, and the bytes before anything was appended."""
    found = {"append": statistics.median(spent), "resume": statistics.median(resumed), "bytes": bytes_}
    if searched:
        found["search"] = statistics.median(searched)
    return found


def main() -> None:
    """Measure one program."""
    program, work, folder = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3])
    found = of_llm(work, folder) if program == "llm" else asyncio.run(of_oterm(work, folder))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
