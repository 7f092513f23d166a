"""Search, preview, titles, tags and deletion of sessions in a running engine."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from omni_tui.engine.clients import EventBuffer
from omni_tui.engine.session_search import SessionSearch
from omni_tui.memory import Journal, Vault, delete_session, new_session_id, session_files, session_path
from omni_tui.memory.search_file import SearchFile, search_path
from omni_tui.memory.search_index import SearchIndex
from omni_tui.memory.search_words import query_words
from omni_tui.memory.snapshot import closed_here
from omni_tui.models.base import ToolCall
from omni_tui.protocol import AnyEvent, SafeText, decode_event
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.session_search import (
    DeleteSession,
    PreviewSession,
    RenameSession,
    SearchSessions,
    SessionPreviewed,
    SessionsFound,
    TagSession,
)
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply


def ignore(_events: Sequence[AnyEvent]) -> None:
    pass


async def stored(state: Path, vault: Vault, *words: str, title: str = "stored", clean: bool = True) -> str:
    """Write a session with these messages."""
    session = new_session_id()
    journal = await Journal.open(session_path(state, session), session, vault, ignore)
    await journal.commit(e.SessionOpened(title=SafeText(title), mode="chat", model=SafeText("offline")))
    for number, text in enumerate(words):
        turn = f"t-{number}"
        await journal.commit(
            e.UserMessage(turn=turn, text=SafeText(text)),
            e.Answer(turn=turn, message=turn, text=SafeText("ok")),
        )
    await journal.close(clean=clean)
    return session


async def found(running: Rig, words: str) -> SessionsFound:
    """Search until nothing is left to be read."""
    while True:
        answer = await running.ask(SearchSessions(words=words))
        assert isinstance(answer, SessionsFound), answer
        if not answer.left:
            return answer


async def sessions_of(running: Rig, words: str) -> list[str]:
    return [each.session for each in (await found(running, words)).sessions]


async def test_what_was_said_called_and_answered_is_found_at_its_place(tmp_path: Path) -> None:
    call = ToolCall("p1", "demo__write_note", '{"name":"zebra","text":"1"}')
    model = ScriptedModel([reply("", call)], [reply("a giraffe")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        here = running.session.journal.session
        old = await stored(tmp_path / "state", running.engine.context.vault, "an old elephant \x07")
        await running.ask(c.SendMessage(text="my hippo"))
        asked = await running.until(e.ApprovalRequested)
        await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="approve"))
        await running.until(e.TurnEnded)
        for words, session, role in (
            ("hippo", here, "you"), ("zebra write_note", here, "call"), ("giraffe", here, "answer"),
            ("elephant", old, "you"), ("stored", old, "title"),
        ):  # fmt: skip
            (hit,) = (await found(running, words)).sessions
            assert (hit.session, hit.role) == (session, role)
            assert role == "title" or any(part.hit for part in hit.snippet)
            assert role != "call" or hit.place.call == asked.call
        (hit,) = (await found(running, "elephant")).sessions
        assert hit.place.turn == "t-0"
        assert "\x07" not in "".join(part.text for part in hit.snippet)
        empty = await found(running, "\U0001f642 (-)")
        assert (empty.sessions, empty.searched) == ((), ())


async def test_a_long_result_is_found_up_to_where_it_is_cut(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        text = "early " + "x " * 5_000 + "middle " + "y " * 5_000 + "late"
        call = await running.by_hand("echo", json.dumps({"text": text}))
        await running.until(e.CallFinished, lambda event: event.call == call)
        roles = {
            word: [each.role for each in (await found(running, word)).sessions]
            for word in ("middle", "late")
        }
        assert roles == {"middle": ["result"], "late": []}, "16 KB of a result"


async def test_the_index_is_loaded_with_the_first_search_and_saved_sealed(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        vault, state = running.engine.context.vault, tmp_path / "state"
        session = await stored(state, vault, "plainword")
        await running.ask(c.ListSessions())
        assert running.engine.search._index is None
        assert await sessions_of(running, "plainword") == [session]
    assert b"plainword" not in search_path(state).read_bytes()
    read: list[str] = []
    async with rig(tmp_path) as running:
        add = running.engine.search._add_saved

        def noted(session: str) -> None:
            read.append(session)
            add(session)

        running.engine.search._add_saved = noted  # type: ignore[method-assign]
        assert await sessions_of(running, "plainword") == [session]
        assert session not in read, "what did not change is not read again"


@pytest.mark.parametrize("damage", [b"", b"rubbish"])
async def test_a_damaged_index_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    async with rig(tmp_path) as running:
        session = await stored(tmp_path / "state", running.engine.context.vault, "plainword")
        await sessions_of(running, "plainword")
    search_path(tmp_path / "state").write_bytes(damage)
    async with rig(tmp_path) as running:
        assert await sessions_of(running, "plainword") == [session]


async def test_one_session_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        vault, state = running.engine.context.vault, tmp_path / "state"
        bad, good = await stored(state, vault, "word"), await stored(state, vault, "word")
        session_path(state, bad).write_bytes(b"rubbish")
        answer = await found(running, "word")
        assert [each.session for each in answer.sessions] == [good]
        assert answer.unreadable == 1


async def test_a_session_that_is_open_elsewhere_is_searched_and_looked_into(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        state, vault = tmp_path / "state", running.engine.context.vault
        session = new_session_id()
        other = await Journal.open(session_path(state, session), session, vault, ignore)
        closed_here(session_path(state, session))  # as if another process had it
        await other.commit(e.UserMessage(turn="t", text=SafeText("first word")))
        assert await sessions_of(running, "first") == [session]
        await other.commit(e.UserMessage(turn="u", text=SafeText("second word")))
        assert await sessions_of(running, "second") == [session]
        seen = await running.ask(PreviewSession(session=session, words="second"))
        assert isinstance(seen, SessionPreviewed)
        assert [decode_event(text.encode()).turn for text in seen.events] == ["t", "u"]  # type: ignore[union-attr]
        assert (seen.hits, seen.place.turn, seen.first, seen.last) == ((2,), "u", True, True)
        for command in (
            RenameSession(session=session, title="x"), TagSession(session=session, add=("x",)),
            DeleteSession(session=session),
        ):  # fmt: skip
            refused = await running.ask(command)
            assert isinstance(refused, e.CommandFailed)
            assert "open" in refused.what
        await other.close(clean=True)


async def test_a_preview_of_a_long_session_is_around_the_hit(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        words = [f"message {number}" for number in range(300)]
        session = await stored(tmp_path / "state", running.engine.context.vault, *words)
        for wanted, first, last in (
            ("", False, True),
            ("message 150", False, False),
            ("message 0", True, False),
        ):
            await found(running, wanted)
            hits = await running.ask(PreviewSession(session=session, words=wanted))
            assert isinstance(hits, SessionPreviewed)
            events = [decode_event(text.encode()) for text in hits.events]
            assert (hits.first, hits.last) == (first, last)
            assert hits.at == 0 or hits.at in [event.seq for event in events]
            assert len(events) <= 200


async def test_titles_and_tags_are_given_to_open_and_closed_sessions(tmp_path: Path) -> None:
    model = ScriptedModel([reply("ok")])
    async with rig(tmp_path, model=model) as running:
        here = running.session.journal.session
        closed = await stored(tmp_path / "state", running.engine.context.vault, "word")
        before = {info.id: info for info in await listed(running)}
        for session in (here, closed):
            await running.ask(RenameSession(session=session, title="  My\n title "))
            await running.ask(TagSession(session=session, add=("work", "Urgent", "work")))
            await running.ask(TagSession(session=session, remove=("URGENT",)))
        await running.ask(c.SendMessage(text="a message gives no other title"))
        await running.until(e.TurnEnded)
        after = {info.id: info for info in await listed(running)}
        for session in (here, closed):
            assert (after[session].title, after[session].tags) == ("My title", ("work",))
        assert after[closed].updated == before[closed].updated, "a title does not make it used"
        assert (after[here].state, after[here].here, after[closed].state) == ("open", True, "closed")
        assert set(await sessions_of(running, "my title work")) == {here, closed}
        for command in (
            RenameSession(session=closed, title=" "), RenameSession(session=closed, title="x" * 300),
            TagSession(session=closed, add=("two words",)), TagSession(session=closed, add=("",)),
            TagSession(session=closed, add=("-x",)), TagSession(session=closed, add=("a\u202eb",)),
            TagSession(session=closed, remove=("absent",)),
            TagSession(session=new_session_id(), add=("x",)),
            RenameSession(session="../../etc/passwd", title="x"),
        ):  # fmt: skip
            assert isinstance(await running.ask(command), e.CommandFailed), command


async def listed(running: Rig) -> list[e.SessionInfo]:
    answer = await running.ask(c.ListSessions())
    assert isinstance(answer, e.SessionsListed)
    return list(answer.sessions)


async def test_a_session_that_was_left_unfinished_stays_so_when_it_is_renamed(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        session = await stored(tmp_path / "state", running.engine.context.vault, "word", clean=False)
        await running.ask(RenameSession(session=session, title="mine"))
        (info,) = [each for each in await listed(running) if each.id == session]
        assert (info.title, info.state) == ("mine", "unfinished")


async def test_all_sessions_are_listed_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni_tui.engine.handlers.session_search._PAGE_BYTES", 700)
    async with rig(tmp_path) as running:
        made = {await stored(tmp_path / "state", running.engine.context.vault, "w") for _ in range(7)}
        seen: list[str] = []
        while True:
            page = await running.ask(c.ListSessions(after=len(seen)))
            assert isinstance(page, e.SessionsListed)
            seen += [info.id for info in page.sessions]
            if len(seen) >= page.total:
                break
        assert len(seen) == len(set(seen)) == page.total
        assert made <= set(seen)


@pytest.mark.parametrize("loaded", [True, False], ids=["index loaded", "index on disk"])
async def test_a_deleted_session_is_erased_from_the_index(tmp_path: Path, loaded: bool) -> None:
    state = tmp_path / "state"
    async with rig(tmp_path) as running:
        gone, kept = [
            await stored(state, running.engine.context.vault, "secretword", title=title)
            for title in ("gone", "kept")
        ]
        assert set(await sessions_of(running, "secretword")) == {gone, kept}
    async with rig(tmp_path) as running:
        if loaded:
            await sessions_of(running, "secretword")
        refused = await running.ask(DeleteSession(session=running.session.journal.session))
        assert isinstance(refused, e.CommandFailed)
        done = await running.ask(DeleteSession(session=gone))
        assert isinstance(done, e.CommandDone), done
        assert not list(state.glob(f"sessions/{gone}*"))
        on_disk = SessionSearch(state, running.engine.context.vault, running.engine.sessions)
        assert gone not in on_disk._file.read().heads()
        assert await sessions_of(running, "secretword") == [kept]
        assert isinstance(await running.ask(DeleteSession(session=gone)), e.CommandFailed)


async def test_what_another_process_deletes_comes_back_nowhere(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with rig(tmp_path) as running:
        vault = running.engine.context.vault
        gone, kept = await stored(state, vault, "secretword"), await stored(state, vault, "secretword")
        await sessions_of(running, "secretword")
        await running.engine.search.saved()
        assert search_path(state).exists()
        delete_session(state, gone, None, vault)
        assert not search_path(state).exists(), "this engine has the index, so its file goes whole"
        await running.engine.search.saved()
        assert not search_path(state).exists()
        assert await sessions_of(running, "secretword") == [kept]
        await running.engine.search.saved()
    assert gone not in SessionSearch(state, vault, running.engine.sessions)._file.read().heads()


@pytest.mark.parametrize("when", ["before its files go", "while the index is saved"])
async def test_a_session_deleted_while_another_process_saves_the_index_is_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    state = tmp_path / "state"
    async with rig(tmp_path) as running:
        vault = running.engine.context.vault
        gone, kept = await stored(state, vault, "secretword"), await stored(state, vault, "secretword")
        await sessions_of(running, "secretword")
        search = running.engine.search
        if when == "before its files go":
            erase = session_files._erase_key

            def saved_first(path: Path, wrapped: list[bytes]) -> None:
                search._write()
                assert search_path(state).exists()
                erase(path, wrapped)

            monkeypatch.setattr(session_files, "_erase_key", saved_first)
            delete_session(state, gone, None, vault)
            monkeypatch.undo()
        else:
            write = SearchFile.write

            def deleted_first(file: SearchFile, index: SearchIndex) -> bool:
                delete_session(state, gone, None, vault)
                return write(file, index)

            monkeypatch.setattr(SearchFile, "write", deleted_first)
            search._write()
            monkeypatch.undo()
        assert gone not in SearchFile(state, vault).read().heads()
        assert await sessions_of(running, "secretword") == [kept]
    assert list(SearchFile(state, vault).read().heads()) == [kept]


async def test_an_index_that_cannot_be_removed_stops_neither_the_search_nor_the_end_of_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "the disk is read-only")

    flushed = []
    async with rig(tmp_path) as running:
        kept = await stored(tmp_path / "state", running.engine.context.vault, "word")
        search = running.engine.search
        assert await sessions_of(running, "word") == [kept]
        monkeypatch.setattr("omni_tui.engine.session_search.destroy_index", refuse)
        await search._in_thread(search._begin_anew)
        assert await sessions_of(running, "word") == [kept]
        monkeypatch.setattr(search._file, "release", refuse)
        monkeypatch.setattr(running.engine.context.models.days, "flush", lambda: flushed.append(True))
    assert flushed


async def test_a_newer_search_of_the_same_client_ends_the_one_before(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await stored(tmp_path / "state", running.engine.context.vault, "word")
        search = running.engine.search
        await sessions_of(running, "word")
        other = await running.engine.attach(EventBuffer())
        answers = await asyncio.gather(
            search.search(running.client, query_words("wo"), 5),
            search.search(other, query_words("wor"), 5),
            search.search(running.client, query_words("word"), 5), return_exceptions=True,
        )  # fmt: skip
        assert [type(answer).__name__ for answer in answers] == ["SearchInterrupted", "Found", "Found"]
        await running.engine.leave(other)
