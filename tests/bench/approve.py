"""How long from the armed key to `dispatching`: `python -m tests.bench.approve [CALLS]`.

The real app on a pseudo-terminal with the bundled server and the built-in rules. Each round lets a call
come, jumps to its card, waits until it is armed and presses `A`. Measured from the key's byte to the
journal's time of `dispatching`, taken right before that goes to the disk. The app waits `BURST_S` for
another key before it decides, and the decision is on disk before anything follows from it; both are part
of the figure. Controls of the same run: a letter in the composer, until it is on the screen; and one
commit of a bare database with the journal's settings. Budget: a median of 50 ms.
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

from omni_tui.face.approval.arming import BURST_S
from omni_tui.memory.crypto import Vault
from omni_tui.memory.saved_session import SavedSession
from omni_tui.memory.session_files import saved_ids, session_path
from omni_tui.protocol import events as e
from tests.security.pty_app import CTRL_U, ENTER, F4, F5, PtyApp, app, started

BUDGET_MS = 50
CALLS = 30
PASSPHRASE = {"OMNI_TUI_PASSPHRASE": "bench"}
COMMITS = 30
CARD = "A approve"
ARMED_S = 1.5
"""Longer than a card must stand still before it is armed."""


def round_of(face: PtyApp, number: int) -> tuple[float, float]:
    """Let a call come and approve it. Returns when the key was pressed, and the control in milliseconds."""
    face.press(F4, f'//call demo__write_note {{"name":"n{number}","text":"t"}}', ENTER)
    face.until("1 to approve")
    face.press(F5)
    face.until(CARD)
    stand_still(face, ARMED_S)
    pressed = time.time()
    face.press("A")
    face.until(lambda text: "to approve" not in text)
    return pressed, control(face)


def stand_still(face: PtyApp, seconds: float) -> None:
    """Touch nothing for a while."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        face.pump(left)


def control(face: PtyApp) -> float:
    """Return the milliseconds of a letter in the composer, until the screen shows it."""
    face.press(F4)
    stand_still(face, 0.5)
    begun = time.perf_counter()
    face._write(b"x")
    while "\u258c x" not in face.text:
        face.pump(1.0)
    took = (time.perf_counter() - begun) * 1000
    face.press(CTRL_U)
    return took


def times_of(state: Path, reached: str) -> list[float]:
    """Return when the journal says that each call reached a state, in Unix seconds."""
    vault = Vault.open(state, PASSPHRASE)
    return [
        event.ts
        for session in saved_ids(state)
        for event in SavedSession(session_path(state, session), session, vault)
        if isinstance(event, e.CallChanged) and event.state == reached
    ]


def flush_ms(folder: Path) -> float:
    """Return the median of a commit, in milliseconds."""
    database = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for setting in ("journal_mode=WAL", "synchronous=FULL"):
        database.execute(f"PRAGMA {setting}").close()
    database.execute("CREATE TABLE t (value BLOB)")
    took = []
    for _ in range(COMMITS):
        begun = time.perf_counter()
        database.execute("INSERT INTO t VALUES (zeroblob(500))")
        took.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.02)
    database.close()
    return statistics.median(took)


def main(calls: int) -> None:
    """Measure and print; exit with 1 if the median is over its budget."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = f"command = {sys.executable!r}\nargs = ['-m', 'omni_tui.demo.server', {str(folder)!r}]\n"
        with app(*started(folder, f"[servers.demo]\n{server}"), env=PASSPHRASE) as face:
            face.ready()
            face.until("10 tools")
            rounds = [round_of(face, number) for number in range(calls)]
            face.leave()
        decided, times = (times_of(folder / "state", state) for state in ("approved", "dispatching"))
        flush = flush_ms(folder)
    assert len(times) == len(rounds), f"{len(rounds)} calls were approved, {len(times)} sent"
    took = [(sent - pressed) * 1000 for sent, (pressed, _) in zip(times, rounds, strict=True)]
    until = [(at - pressed) * 1000 for at, (pressed, _) in zip(decided, rounds, strict=True)]
    after = [(sent - at) * 1000 for sent, at in zip(times, decided, strict=True)]
    median, key = statistics.median(took), statistics.median(each for _, each in rounds)
    face_ms, engine_ms = statistics.median(until), statistics.median(after)
    print(
        f"armed key to dispatching  median {median:5.1f} ms   worst {max(took):5.1f} ms\n"
        f"  until the decision      median {face_ms:5.1f} ms, of which {BURST_S * 1000:.0f} are the wait "
        f"for another key, the rest {(face_ms - BURST_S * 1000) / key:.2f} letters\n"
        f"  from there              median {engine_ms:5.1f} ms, {engine_ms / flush:.1f} commits\n"
        f"a letter in the composer  median {key:5.1f} ms (control)\n"
        f"one commit of this disk   median {flush:5.1f} ms (control)"
    )
    print(f"budget: median <= {BUDGET_MS} ms: {'held' if median <= BUDGET_MS else 'MISSED'}")
    sys.exit(median > BUDGET_MS)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)
