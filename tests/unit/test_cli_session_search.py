"""`sessions search`, `rename`, `tag` and `list --tag` on the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from omni_tui.cli.command_table import run_command
from omni_tui.cli.parser import parse
from omni_tui.memory import Journal, Vault, delete_session, new_session_id, session_path
from omni_tui.memory.search_file import SearchFile, search_path
from omni_tui.memory.snapshot import closed_here
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import Answer, SessionOpened, UserMessage
from tests.security.hostile import EVIL as NOT_UTF_8

EVIL = NOT_UTF_8.encode("utf-8", "replace").decode()
Run = Callable[..., tuple[int, str, str]]


def ignore(_events: Sequence[AnyEvent]) -> None:
    pass


async def write(state: Path, title: str, words: str) -> str:
    session, vault = new_session_id(), Vault.open(state)
    journal = await Journal.open(session_path(state, session), session, vault, ignore)
    await journal.commit(
        SessionOpened(title=SafeText(title), mode="chat", model=SafeText("offline")),
        UserMessage(turn="t", text=SafeText(words)),
        Answer(turn="t", message="m", text=SafeText("an answer")),
    )
    await journal.close(clean=True)
    return session


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


def test_a_search_prints_where_the_words_are_and_how_to_resume(state: Path, run: Run) -> None:
    first = asyncio.run(write(state, "first", "tell me of the elephant"))
    asyncio.run(write(state, "second", "nothing"))
    status, out, err = run("search", "ELEPH", "tell")
    assert status == 0
    assert first in out
    assert "first" in out
    assert "you: tell me of the elephant" in out
    assert "omni-tui --session ID" in err
    (found,) = json.loads(run("search", "elephant", "--json")[1])
    assert found["session"] == first
    assert (found["role"], found["hits"]) == ("you", 1)
    assert found["snippet"] == "tell me of the elephant"
    assert found["resume"] == f"omni-tui --session {first}"
    assert b"elephant" not in search_path(state).read_bytes()


def test_what_is_not_there_or_no_word_is_said(state: Path, run: Run) -> None:
    assert run("search", "x")[0] == 0
    asyncio.run(write(state, "first", EVIL))
    assert run("search", "absent") == (0, "", "no text in any session has all of these words: absent\n")
    assert run("search", "absent", "--json")[1] == "[]\n"
    for words in (("()",), ("\U0001f642",), ("-",), ()):
        status, out, _err = run("search", *words)
        assert (status, out) == (2, "")
    for odd in ("foo-bar", '"', "col:x (", "x" * 100_000, "\x1b[31m"):
        assert run("search", "--", odd)[0] in (0, 2)


def test_nothing_that_was_said_reaches_the_terminal_as_it_is(state: Path, run: Run) -> None:
    asyncio.run(write(state, EVIL, f"needle {EVIL}"))
    for more in ((), ("--json",)):
        _, out, err = run("search", "needle", *more)
        assert out
        assert not set(out + err) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_a_session_that_cannot_be_read_is_named_and_hides_no_other(state: Path, run: Run) -> None:
    bad, good = (asyncio.run(write(state, title, "word")) for title in ("bad", "good"))
    session_path(state, bad).write_bytes(b"rubbish")
    status, out, err = run("search", "word")
    assert status == 1
    assert good in out
    assert bad in err


def test_titles_and_tags_are_changed_found_and_listed(state: Path, run: Run) -> None:
    first, second = (asyncio.run(write(state, title, "word")) for title in ("first", "second"))
    assert run("rename", first, "A", "better  title")[:2] == (0, f"{first} is called A better title\n")
    assert run("tag", first, "+work", "+home", "-")[0] == 2
    assert run("tag", first, "+work", "+home", "--json")[0] == 0
    assert run("tag", first, "-home", "+hobby")[1] == f"{first} has the tags work hobby\n"
    assert run("tag", first)[1] == "work hobby\n"
    assert run("tag", second)[1] == "it has no tags\n"
    assert [each["id"] for each in json.loads(run("list", "--tag", "#WORK", "--json")[1])] == [first]
    assert "A better title #work #hobby" in run("list", "--tag", "work", "--tag", "hobby")[1]
    assert run("list", "--tag", "absent")[1] == "no saved session has these tags\n"
    assert first in run("search", "better", "hobby")[1]
    for words in (
        ("tag", first, "-absent"), ("tag", first, "work"), ("tag", first, "+"), ("rename", first, " "),
        ("rename", "nonsense", "x"), ("rename", first),
    ):  # fmt: skip
        status, out, err = run(*words)
        assert (status, out) == (2, ""), words
        assert err
    for action in (
        ("rename", new_session_id(), "x"),
        ("tag", new_session_id(), "+x"),
        ("tag", new_session_id()),
    ):
        status, _out, err = run(*action)
        assert status == 1
        assert "sessions list" in err


async def test_a_session_that_is_open_is_searched_and_not_changed(state: Path, run: Run) -> None:
    vault, session = Vault.open(state), new_session_id()
    journal = await Journal.open(session_path(state, session), session, vault, ignore)
    await journal.commit(UserMessage(turn="t", text=SafeText("an open word")))
    closed_here(session_path(state, session))  # as if another process had it
    assert session in (await asyncio.to_thread(run, "search", "open word"))[1]
    for words in (("rename", session, "x"), ("tag", session, "+x")):
        status, _out, err = await asyncio.to_thread(run, *words)
        assert status == 1
        assert "nothing was changed" in err
    await journal.close(clean=True)


@pytest.mark.parametrize("how", ["with the key", "without the key", "while another has the index"])
def test_deleting_a_session_leaves_no_word_of_it_in_the_index(state: Path, run: Run, how: str) -> None:
    gone, kept = (asyncio.run(write(state, title, "secretword")) for title in ("gone", "kept"))
    run("search", "secretword")
    vault = Vault.open(state)
    other = SearchFile(state, vault)
    if how == "with the key":
        assert run("delete", gone)[0] == 0
        assert set(other.read().heads()) == {kept}
    elif how == "without the key":
        delete_session(state, gone)
        assert not search_path(state).exists()
    else:
        assert other.hold()
        assert run("delete", gone)[0] == 0
        assert not search_path(state).exists()
        other.release()
    assert [each["session"] for each in json.loads(run("search", "secretword", "--json")[1])] == [kept]


def test_a_restored_session_is_read_again(state: Path, run: Run) -> None:
    session = asyncio.run(write(state, "first", "before"))
    path = session_path(state, session)
    former = path.read_bytes()
    asyncio.run(_more(state, session, "lostword"))
    assert session in run("search", "lostword")[1]
    path.write_bytes(former)
    asyncio.run(_more(state, session, "newword"))
    assert session in run("search", "newword")[1]
    assert session not in run("search", "lostword")[1]


async def _more(state: Path, session: str, words: str) -> None:
    journal = await Journal.open(session_path(state, session), session, Vault.open(state), ignore)
    await journal.commit(UserMessage(turn=words, text=SafeText(words)))
    await journal.close(clean=True)
