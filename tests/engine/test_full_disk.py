"""A disk that refuses, and files that are none: it is said, nothing is sent, and nobody waits for ever."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from omni_tui.memory import Journal, SavedSession, Vault, list_sessions, session_path
from omni_tui.models.base import ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests import command_line
from tests.engine.rig import rig, turns
from tests.lengths import some
from tests.scripted_model import ScriptedModel, reply


async def no_room(journal: Journal) -> None:
    """Let the database grow no more."""
    await journal.run(
        lambda tx: tx.execute(
            f"PRAGMA max_page_count={tx.execute('PRAGMA page_count').fetchone()[0]}"
        ).close()
    )


async def test_a_disk_that_fills_in_the_middle_of_a_turn_is_said_at_once(tmp_path: Path) -> None:
    call = ToolCall("p1", "demo__write_note", '{"name":"a","text":"1"}')
    model = ScriptedModel([reply(os.urandom(40_000).hex(), call), reply("never asked for")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await running.session.set_system("be brief")  # now it has a file
        await no_room(running.session.journal)
        await running.ask(c.SendMessage(text="write a note"))
        failed = await running.until(e.JournalFailed)
        assert "the disk is full" in failed.what
        assert "Nothing more is sent to servers" in failed.what
        await turns(lambda: not running.session.runner.running)
        assert running.of(e.CallFinished) == []
    assert [path for path in (tmp_path / "notes").rglob("*") if path.is_file()] == []


def test_a_run_on_a_full_disk_ends_in_words_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """For real: the system refuses the engine's files past a size, whatever the engine is at by then."""
    config = tmp_path / "config.toml"
    config.write_text("")
    ended = {}
    noise = os.urandom(8_000).hex()  # which cannot be compressed
    for kilobytes in some((46, 50, 54), 2):
        state = tmp_path / str(kilobytes)
        done = subprocess.run(
            [sys.executable, "-m", "omni_tui", "run", f"add 1 and 2 {noise}", "--mode", "auto",
             "--config", str(config), "--state-dir", str(state)],
            capture_output=True,
            text=True,
            timeout=100,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_FSIZE, (kilobytes * 1024, resource.RLIM_INFINITY)  # noqa: B023
            ),
        )  # fmt: skip
        ended[kilobytes] = done.returncode
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert "the limit on the size of files (ulimit -f) is reached" in done.stderr
        vault = Vault.open(state, {})
        for info in list_sessions(state, vault).sessions:
            saved = SavedSession(session_path(state, info.id), info.id, vault)
            assert len(list(saved)) == info.events
            assert saved.unread == 0
        assert list_sessions(state, vault).unreadable == {}
    assert 1 in ended.values(), ended


@pytest.mark.parametrize(
    ("name", "kind"),
    some(
        [
            ("log/engine.log", "pipe"),
            ("log/engine.log", "link"),
            ("vault.key", "pipe"),
            ("vault.key", "folder"),
            ("vault.json", "pipe"),
            ("vault.lock", "link"),
            ("trust.json", "pipe"),
        ],
        2,
    ),
)
def test_something_else_in_the_place_of_a_file_is_named_and_holds_no_command_up(
    tmp_path: Path, name: str, kind: str
) -> None:
    place = tmp_path / "state" / name
    place.parent.mkdir(parents=True, mode=0o700)
    (tmp_path / "state").chmod(0o700)
    elsewhere = tmp_path / "elsewhere"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        elsewhere.write_bytes(b"mine")
        place.symlink_to(elsewhere)
    config = tmp_path / "config.toml"
    config.write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "omni_tui", "run", "hello", "--config", str(config), "--state-dir",
         str(tmp_path / "state")],
        capture_output=True,
        text=True,
        timeout=100,
    )  # fmt: skip
    assert done.returncode == (0 if name == "trust.json" else 1), done.stderr
    assert str(place) in done.stderr or str(place.parent) in done.stderr
    assert "Traceback" not in done.stderr
    if kind == "link":
        assert elsewhere.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("option", "kind"), some(product(["--config", "--mcp-config"], ["pipe", "folder"]), 2)
)
def test_a_configuration_that_is_no_file_is_named_and_holds_no_command_up(
    tmp_path: Path, option: str, kind: str
) -> None:
    place = tmp_path / "place"
    os.mkfifo(place) if kind == "pipe" else place.mkdir()
    for words in (["config", "check"], ["servers"]):
        done = command_line.command(*words, option, str(place), "--state-dir", str(tmp_path / "state"))
        assert done.returncode == 2, done.stderr
        assert str(place) in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_a_projects_file_that_is_a_pipe_holds_no_command_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".omni-tui.toml")
    words = ("config", "check", "--project", str(tmp_path), "--state-dir", str(tmp_path / "state"))
    done = command_line.command(*words)
    assert "it is a pipe, not a file" in done.stdout + done.stderr
