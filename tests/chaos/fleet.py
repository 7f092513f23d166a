"""What the chaos of fifty servers is made of: who they are, how long it lasts, where its dice come from.

`OMNI_TUI_CHAOS_SECONDS` lets it go on for that long (120 is the measure); without it there are
`OMNI_TUI_FLEET_ROUNDS` rounds. `OMNI_TUI_FLEET_SEED` asks for another run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SERVER = str(Path(__file__).parents[1] / "engine" / "faults" / "server.py")
SECONDS = float(os.environ.get("OMNI_TUI_CHAOS_SECONDS", "0"))
ROUNDS = int(os.environ.get("OMNI_TUI_FLEET_ROUNDS", "2"))
SEED = int(os.environ.get("OMNI_TUI_FLEET_SEED", "20260728"))
GONE_WITHIN_S = 5.0 if SECONDS else 30.0
"""How long anything may outlive its engine: five seconds, which can be held to where nothing else runs."""
LIMIT_S = 90 + 2 * SECONDS + 20 * ROUNDS
"""How long a test of it may take."""
HEALTHY = 30
CALLS = 6
RESTARTED = 6
UPSET = 16
TWICE = ("wrong", "deaf", "dies_in_call", "flood", "junk", "stubborn", "endless", "liar")
ONCE = ("exits", "dies_idle", "huge_line", "hostile")
ACTIONS = ("kill", "call", "refresh", "disconnect", "reconnect", "reconnect")
GOOD = {f"good{number}": "modern" if number % 3 == 0 else "good" for number in range(HEALTHY)}
BAD = {
    f"{mode}{number}": mode
    for number, mode in enumerate([*(mode for mode in TWICE for _ in range(2)), *ONCE])
}


def rounds() -> Iterator[int]:
    """Yield the number of each round until the time, or the number of rounds, is over."""
    begun, number = time.monotonic(), 0
    while time.monotonic() - begun < SECONDS if SECONDS else number < ROUNDS:
        yield number
        number += 1


def environment() -> dict[str, str]:
    """Return the variables that make another process do the same (tests begin without them)."""
    return {
        "OMNI_TUI_CHAOS_SECONDS": str(SECONDS),
        "OMNI_TUI_FLEET_ROUNDS": str(ROUNDS),
        "OMNI_TUI_FLEET_SEED": str(SEED),
    }


def write_config(folder: Path) -> Path:
    """Write a config file of all fifty; each process is known by `tag` among its arguments."""
    lines = []
    for name, mode in {**GOOD, **BAD}.items():
        program = "no-such-program-here" if mode == "wrong" else sys.executable
        args = ["-I", "-S", SERVER, mode, "good0" if mode == "liar" else "", tag(folder, name)]
        lines += [f"[servers.{name}]", f"command = {json.dumps(program)}", f"args = {json.dumps(args)}"]
        lines += ["connect_timeout = 3"] if name in BAD else []
    config = folder / "config.toml"
    config.write_text("\n".join(lines) + "\n")
    return config


def tag(folder: Path, name: str) -> str:
    """Return the word among a server's arguments that no other process has."""
    return f"{folder}#{name}#"


def running(word: str) -> list[int]:
    """Return the processes that have `word` in their arguments."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in entry.read_bytes() and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found
