"""`omni-tui servers log`, as a program: what a server wrote is read without starting it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.command_line import command

DIES = """
import os, sys
with open(sys.argv[1], "a") as starts: starts.write("x")
print("reading the settings", file=sys.stderr)
print("Error: --token is required", file=sys.stderr)
print("", file=sys.stderr)
print("Usage: server [flags]", file=sys.stderr)
print("  --version   print the version", file=sys.stderr)
sys.exit(1)
"""


def configured(folder: Path) -> tuple[str, ...]:
    servers = {"dies": {"command": sys.executable, "args": ["-c", DIES, str(folder / "starts")]}}
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    return "--mcp-config", str(folder / "mcp.json"), "--state-dir", str(folder / "state")


def test_reason_is_the_sentence_that_says_why_and_the_log_has_the_rest(tmp_path: Path) -> None:
    where = configured(tmp_path)
    report = command("servers", *where)
    assert report.returncode == 1
    assert "it exited with code 1: Error: --token is required" in report.stdout
    assert "omni-tui servers log dies" in report.stdout
    starts = (tmp_path / "starts").read_text()

    read = command("servers", "log", "dies", *where)
    assert read.returncode == 0, read.stderr
    lines = read.stdout.splitlines()
    assert lines[0].startswith("--- started ")
    assert lines[1:4] == ["reading the settings", "Error: --token is required", ""]
    assert (tmp_path / "starts").read_text() == starts, "reading a log starts nothing"

    as_json = json.loads(command("servers", "log", "dies", "--json", *where).stdout)
    assert as_json[0]["start"]
    assert as_json[1]["line"] == "reading the settings"


def test_a_log_that_is_not_there_is_said_to_be_none(tmp_path: Path) -> None:
    where = configured(tmp_path)
    none = command("servers", "log", "dies", *where)
    assert none.returncode == 1
    assert "dies has no log yet" in none.stderr
    wrong = command("servers", "log", "dyes", *where)
    assert wrong.returncode == 2
    assert "did you mean dies?" in wrong.stderr
    assert not (tmp_path / "starts").exists()


def _heed_sigint() -> None:
    """Undo what a shell does to the jobs in its background: they ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_following_prints_what_comes(tmp_path: Path) -> None:
    where = configured(tmp_path)
    words = [sys.executable, "-m", "omni_tui", "servers", "log", "dies", "--follow", *where]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_sigint
    ) as following:
        assert following.stdout is not None
        command("servers", *where)
        assert following.stdout.readline().startswith("--- started ")
        assert following.stdout.readline() == "reading the settings\n"
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130
