"""A sample of each proof, from the seed that pytest prints; `python -m tests.proof.NAME` has the rest."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.lengths import SEED, times


def proof(name: str, count: int, *more: str) -> str:
    """Run a proof in a process of its own, with so many tries; return what it prints."""
    command = [sys.executable, "-m", f"tests.proof.{name}", str(count), str(SEED), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-3_000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_each_call_that_arrives_has_its_own_grant() -> None:
    proof("runs", times(30, 400))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_proof_finds_a_gate_that_sends_twice() -> None:
    assert "1 of 1 mutations found" in proof("mutations", 200, "send_twice")


@pytest.mark.slow
def test_of_two_deciders_one_decides_and_one_call_is_sent() -> None:
    proof("deciders", times(50, 1_000))


@pytest.mark.slow
def test_a_call_goes_through_its_states_whatever_comes_in_between() -> None:
    proof("call_states", times(15, 400))


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")
def test_what_was_acknowledged_survives_any_kill() -> None:
    proof("kills", times(2, 25))
