"""Search in all sessions. Run: `python -m tests.bench.search [MESSAGES]`.

Makes an index of that many messages (100,000 unless given, about 75 MB of text in 1,000 sessions) and
prints what it takes: building, a turn of four messages, saving sealed, loading, and searches for words that
are rare, common and half typed. Budget: 50 ms a search, and nothing but ciphertext on the disk.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from omni_tui.memory import Vault
from omni_tui.memory.crypto import FoundKey
from omni_tui.memory.search_file import SearchFile, search_path
from omni_tui.memory.search_index import SearchIndex
from omni_tui.memory.search_text import FoundText, SessionTexts
from omni_tui.memory.search_words import query_words

SESSIONS = 1_000
WORDS = 95
"""Words of a message; with a Zipf-like choice of 50,000 different ones it has about 700 characters."""
BUDGET_MS = 50.0
ROUNDS = 9


def vocabulary() -> list[str]:
    """Return made-up words of three to ten letters, the commonest first."""
    letters = random.Random(7)
    made = {
        "".join(letters.choices("etaoinshrdlucmfwypvbgkq", k=letters.randint(3, 10))) for _ in range(52_000)
    }
    words = sorted(made)
    letters.shuffle(words)
    return words[:50_000]


VOCABULARY = vocabulary()
COMMON, NEXT = VOCABULARY[:2]
QUERIES = {
    "rare word": "needle-4711",
    "rare word, CJK": "記憶",
    "half typed, 1 letter": COMMON[:1],
    "half typed, 2 letters": COMMON[:2],
    "half typed, 3 letters": COMMON[:3],
    "half typed, 4 letters": f"{NEXT}x"[:4],
    "a word of a fifth of all": VOCABULARY[45],
    "common word": COMMON,
    "two common words": f"{COMMON} {NEXT}",
    "common and rare": f"{COMMON} needle-4711",
    "absent": "zzzzzz",
}


def texts(count: int, random_: random.Random) -> list[FoundText]:
    """Return messages; one in a thousand has a rare word."""
    weights = [1 / (rank + 1) for rank in range(len(VOCABULARY))]
    bag = random_.choices(VOCABULARY, weights, k=2_000_000)
    made = []
    for number in range(count):
        start = random_.randrange(len(bag) - WORDS)
        text = " ".join(bag[start : start + WORDS])
        if number % 1_000 == 7:
            text += f" needle-{4711 + number // 1_000} 長期記憶"
        made.append(FoundText(number % (count // SESSIONS or 1) + 1, number, "answer", text))
    return made


def milliseconds(since: float) -> float:
    """Return the time since a moment of `perf_counter`."""
    return (time.perf_counter() - since) * 1000


def main() -> None:
    """Print the figures; exit with 1 if a search is over its budget."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    made = texts(count, random.Random(1))
    index = SearchIndex()
    each = max(1, count // SESSIONS)
    start = time.perf_counter()
    for number in range(0, count, each):
        index.add(
            f"session-{number}", SessionTexts(each, made[number : number + each], title=f"no {number}")
        )
    print(f"{count:,} messages, {sum(len(text.text) for text in made) / 1e6:.0f} MB of text")
    print(f"build                     {milliseconds(start):8.0f} ms")
    start = time.perf_counter()
    for number in range(100):
        index.add("session-0", SessionTexts(each + number, made[number * 4 : number * 4 + 4]))
    print(f"a turn of 4               {milliseconds(start) / 100:8.2f} ms")
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(FoundKey("key file", bytes(32)))
        file = SearchFile(Path(folder), vault)
        start = time.perf_counter()
        file.write(index)
        saved = search_path(Path(folder))
        print(
            f"save, sealed              {milliseconds(start):8.0f} ms   {saved.stat().st_size / 1e6:.0f} MB"
        )
        assert b"needle" not in saved.read_bytes()
        start = time.perf_counter()
        index = file.read()
        print(f"load                      {milliseconds(start):8.0f} ms")
        file.release()
    over = False
    for name, query in QUERIES.items():
        words = query_words(query)
        spent = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            found = index.search(words, 200)
            spent.append(milliseconds(start))
        middle = statistics.median(spent)
        over |= middle > BUDGET_MS
        how = "ranked" if found.ranked else "newest"
        print(f"{name:25} {middle:8.1f} ms   {found.total:,} texts, {len(found.sessions)} sessions, {how}")
    if over:
        print(f"over the budget of {BUDGET_MS:.0f} ms")
    sys.exit(over)


if __name__ == "__main__":
    main()
