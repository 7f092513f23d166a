"""Checkpoints under `kill -9`: whatever stands on the disk, a session comes to what its journal tells.

A child process journals turns and makes a checkpoint after each few events. It is killed in the middle of
that, again and again, on the same session.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from omni_tui.engine.session_fold import SessionFold
from omni_tui.memory import Journal, Vault, session_path
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import TurnEnded, TurnStarted, Usage, UsageChanged, UserMessage
from omni_tui.security.text import safe, safe_line
from tests.lengths import times
from tests.whole_journal import fold_of

SESSION = "0192f3a4-5b6c-7d8e-9f00-112233445566"
ROUNDS = times(4, 20)


def heard(_events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


# --- the child --------------------------------------------------------------------------------------


async def child(state: Path) -> None:
    journal = await opened(state)
    fold = fold_of(await journal.read(0, 1_000_000))
    for number in count(journal.head):
        turn = f"t-{number}"
        told: list[AnyEvent] = [
            UserMessage(turn=turn, text=safe("some words")),
            TurnStarted(turn=turn, mode="auto", model=safe_line("some/model")),
            UsageChanged(turn=turn, usage=Usage(input=number, output=1)),
            TurnEnded(turn=turn, status="done"),
        ]
        for event in told[: 1 + number % 4]:
            before = journal.head
            _, saved = await asyncio.gather(
                journal.commit(event), journal.save_checkpoint(fold.checkpoint())
            )
            assert saved == (before > 0)
            fold.take_all(await journal.read(before, 10))
            os.write(1, b"%d\n" % journal.head)


# --- the parent -------------------------------------------------------------------------------------


async def opened(state: Path) -> Journal:
    vault = await asyncio.to_thread(Vault.open, state, {})
    return await Journal.open(session_path(state, SESSION), SESSION, vault, heard)


def run_child(state: Path, reports: int) -> int:
    """Run a child until it has reported so often, kill it, and return how far it said it came."""
    with subprocess.Popen([sys.executable, __file__, str(state)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        last = 0
        for number, line in enumerate(process.stdout, 1):
            if line.endswith(b"\n"):
                last = int(line)
            if number == reports:
                process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return last


@pytest.mark.slow
async def test_a_killed_session_comes_to_what_its_journal_tells(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        last = await asyncio.to_thread(run_child, tmp_path, 25 + 17 * number)
        journal = await opened(tmp_path)
        events = await journal.read(0, 1_000_000)
        assert journal.damaged == 0
        assert len(events) >= last
        saved = await journal.checkpoint()
        assert saved is not None
        assert 0 < saved.seq <= len(events)
        fold = SessionFold.restored(saved)
        assert fold.seq == saved.seq
        fold.take_all(events[saved.seq :])
        assert fold == fold_of(events)
        await journal.close(clean=False)


if __name__ == "__main__":
    asyncio.run(child(Path(sys.argv[1])))
