"""`sessions export` and `import` on the command line."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from omni_tui.cli.command_table import run_command
from omni_tui.cli.parser import parse
from omni_tui.memory import Journal, Vault, session_path
from omni_tui.memory.session_files import saved_ids
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import Answer
from tests.unit.test_cli_session_search import ignore, write
from tests.unit.test_conversation_files import HISTORY, llm_database

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def run(state: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        try:
            status = run_command(parse(["sessions", *words, "--state-dir", str(state)]))
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_a_session_is_exported_in_every_format_and_imported_again(
    state: Path, run: Run, tmp_path: Path
) -> None:
    session = asyncio.run(write(state, "a title", "tell me"))
    status, out, _ = run("export", session[:30])
    assert status == 0
    assert [item["text"] for item in json.loads(out)["items"]] == ["tell me", "an answer"]
    for name, start in (("a.md", "# a title"), ("a.html", "<!DOCTYPE"), ("a.cast", '{"version": 2')):
        path = tmp_path / name
        status, out, err = run("export", session, "-o", str(path))
        assert (status, out) == (0, "")
        assert str(path) in err
        assert path.read_text().startswith(start)
        assert path.stat().st_mode & 0o777 == 0o600
    assert run("export", session, "--format", "markdown")[1].startswith("# a title")
    path = tmp_path / "a.json"
    run("export", session, "-o", str(path))
    status, out, _ = run("import", str(path), "--json")
    [made] = json.loads(out)
    assert (status, made["title"], made["messages"]) == (0, "a title", 2)
    assert made["session"] in saved_ids(state)


def test_a_file_is_replaced_only_with_force(state: Path, run: Run, tmp_path: Path) -> None:
    session = asyncio.run(write(state, "a title", "tell me"))
    path = tmp_path / "a.json"
    path.write_text("mine")
    status, _, err = run("export", session, "-o", str(path))
    assert status == 1
    assert "--force" in err
    assert path.read_text() == "mine"
    assert run("export", session, "-o", str(path), "--force")[0] == 0
    assert path.read_text() != "mine"


def test_a_session_that_is_not_there_or_not_clear_is_named(state: Path, run: Run) -> None:
    ids = [asyncio.run(write(state, "a", "b")) for _ in range(2)]
    status, _, err = run("export", ids[0][:6])
    assert (status, "2 sessions begin with" in err) == (2, True)
    missing = "00000000-0000-7000-8000-000000000000"
    assert "there is no session" in run("export", missing)[2]
    for odd in ("../../etc/passwd", "", "x" * 500, "a/b"):
        status, _, err = run("export", odd)
        assert status == 2
        assert "is not a session id" in err


def test_a_session_that_is_open_elsewhere_is_exported_as_it_is_now(state: Path, run: Run) -> None:
    session = asyncio.run(write(state, "a title", "tell me"))

    async def while_open() -> None:
        from omni_tui.memory.snapshot import closed_here

        vault = Vault.open(state)
        path = session_path(state, session)
        journal = await Journal.open(path, session, vault, ignore)
        try:
            await journal.commit(Answer(turn="t", message="n", text=SafeText("and more")))
            closed_here(path)  # as another process sees it
            status, out, _ = run_in_thread(run, "export", session)
            assert status == 0
            assert [item["text"] for item in json.loads(out)["items"]][-1] == "and more"
        finally:
            await journal.close(clean=True)

    asyncio.run(while_open())


def run_in_thread(run: Run, *words: str) -> tuple[int, str, str]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run, *words).result()


@contextmanager
def small_files() -> Iterator[None]:
    """Let no file grow beyond a few hundred bytes, as on a full disk."""
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, former)


def test_a_full_disk_is_said_and_leaves_nothing_half_written(state: Path, run: Run, tmp_path: Path) -> None:
    session = asyncio.run(write(state, "a title", "tell me"))
    folder = tmp_path / "out"
    folder.mkdir()
    with small_files():
        status, _, err = run("export", session, "-o", str(folder / "a.json"))
    assert status == 1
    assert "ulimit" in err
    assert list(folder.iterdir()) == []


def test_a_file_with_several_conversations_asks_which(state: Path, run: Run, tmp_path: Path) -> None:
    path = llm_database(tmp_path / "logs.db")
    status, out, err = run("import", str(path))
    assert (status, out) == (2, "")
    assert "--only" in err
    assert not state.exists() or saved_ids(state) == []
    status, out, _ = run("import", str(path), "--list")
    assert status == 0
    assert [out.splitlines()[1].split()[0], out.splitlines()[1].split()[-1]] == ["1", "old"]
    assert run("import", str(path), "--only", "3")[0] == 2
    status, out, _ = run("import", str(path), "--only", "2", "--json")
    assert [each["title"] for each in json.loads(out)] == ["new"]
    status, out, _ = run("import", str(path), "--all", "--json")
    assert [each["title"] for each in json.loads(out)] == ["old", "new"]


def test_an_imported_session_is_shown_found_and_checked(state: Path, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text(json.dumps(HISTORY))
    status, out, _ = run("import", str(path), "--json")
    assert status == 0
    [made] = json.loads(out)
    shown = run("show", made["session"])[1]
    assert "loaded from history.json" in shown
    assert "add" in shown
    assert made["session"] in run("search", "mul")[1]
    assert run_command(parse(["audit", "verify", "--state-dir", str(state)])) == 0


def test_a_file_that_cannot_be_read_makes_no_session(state: Path, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "evil\x1b[2J.json"
    path.write_bytes(b"\xff\xff")
    status, out, err = run("import", str(path))
    assert (status, out) == (1, "")
    assert "not UTF-8" in err
    assert "\x1b" not in err
    assert not state.exists() or saved_ids(state) == []
