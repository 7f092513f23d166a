"""The index of all sessions: found in every script, nothing raises, nothing is left after a removal."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from omni_tui.memory import Vault
from omni_tui.memory.crypto import FoundKey
from omni_tui.memory.search_file import SearchFile, destroy_index, search_path
from omni_tui.memory.search_index import IndexDamaged, SearchIndex, SearchInterrupted, SessionHit
from omni_tui.memory.search_text import FoundText, SessionTexts
from omni_tui.memory.search_words import find_words, match_expression, query_words
from omni_tui.memory.snippets import snippet_of
from tests.security.hostile import EVIL, PIECES
from tests.security.hostile_strings import HostileStrings

VAULT = Vault(FoundKey("key file", bytes(32)))
OTHER = Vault(FoundKey("key file", b"o" * 32))

FOUND = [
    ("長期記憶を使う", "記憶", "記憶"),
    ("tell me of foo-bar now", "foo-bar", "foo-bar"),
    ("tell me of foo-bar now", "foo-b", "foo-bar"),
    ("I don't know", "don't", "don't"),
    ("naïve café", "CAFE naive", "café"),
    ("cafe", "café", "cafe"),
    ("see read_text_file here", "text_file", "text_file"),
    ("ที่นี่ข้อมูลสำคัญ", "ข้อมูล", "ข้อมูล"),
    ("데이터베이스", "베이스", "베이스"),
    ("f(x) = a:b", "a:b", "a:b"),
    ('say "hello world"', '"hello', "hello"),
    ("x \U0001f642 smile", "\U0001f642 smile", "smile"),
]


def text(seq: int, words: str, role: str = "answer") -> FoundText:
    return FoundText(seq, float(seq), role, words)  # type: ignore[arg-type]


def index_of(*words: str, title: str | None = None) -> SearchIndex:
    index = SearchIndex()
    texts = [text(number, each) for number, each in enumerate(words, 1)]
    index.add("s", SessionTexts(len(words), texts, title))
    return index


def hits(index: SearchIndex, query: str) -> list[str]:
    return [found.session for found in index.search(query_words(query), 50).sessions]


@pytest.mark.parametrize(("words", "query", "marked"), FOUND, ids=[query for _, query, _ in FOUND])
def test_words_are_found_in_every_script_and_shown_where_they_are(
    words: str, query: str, marked: str
) -> None:
    index = index_of("something else entirely", words)
    (found,) = index.search(query_words(query), 5).sessions
    assert found.seq == 2
    assert marked in [words[start:end] for start, end in find_words(words, query_words(query))]
    assert marked in [part.text for part in snippet_of(words, query_words(query)) if part.hit]


def test_every_word_must_be_there_and_a_single_letter_is_a_word() -> None:
    index = index_of("alpha beta", "alpha gamma", "a")
    assert index.search(["alpha"], 5).total == 2
    assert index.search(["alpha", "gam"], 5).total == 1
    assert index.search(["alpha", "delta"], 5).total == 0
    assert index.search(["a"], 5).total == 1


def test_no_query_and_no_text_raises() -> None:
    odd = ['"', "(", "-", "AND", "NOT x", "col:x", "NEAR(a b)", "^a", "a*", "{a b}", "a+b", "\x00",
           "a\x00b", "\ud800", "a\ud800b", "²", "½", "ﬁ", "ªº", "\u0301", "a\u0301b", "้", "\U0001f642",
           "x" * 10**5, "ab " * 350_000, "\U0001f642" * 1000, "記" * 3000]  # fmt: skip
    strings = HostileStrings(1)
    odd += [*PIECES.values(), *(strings.next(400) for _ in range(40))]
    index = SearchIndex()
    index.add(
        "s",
        SessionTexts(len(odd), [text(at, each) for at, each in enumerate(odd, 1)], title=EVIL),
    )
    for query in odd:
        index.search(query_words(query), 5)
        index.hits_in("s", query_words(query), 5)
        for each in odd:
            snippet_of(each[:500], query_words(query[:200]))
    assert index.search(query_words("\U0001f642 --- ()"), 5).total == 0


def test_titles_and_tags_are_found_and_follow_their_changes() -> None:
    index = index_of("text", title="Old notes")
    index.add("s", SessionTexts(1, [], tags=("work", "urgent")))
    assert hits(index, "old urgent") == ["s"]
    index.add("s", SessionTexts(2, [], title="Plans"))
    assert (hits(index, "old"), hits(index, "plans work")) == ([], ["s"])
    index.add("s", SessionTexts(3, [], tags=()))
    assert (hits(index, "urgent"), hits(index, "plans")) == ([], ["s"])


def test_sessions_come_best_first_with_their_number_of_hits() -> None:
    index = SearchIndex()
    index.add("long", SessionTexts(1, [text(1, "needle " + "hay " * 500)]))
    index.add("short", SessionTexts(3, [text(1, "needle"), text(2, "a needle"), text(3, "hay")]))
    found = index.search(["needle"], 5)
    assert [(each.session, each.hits) for each in found.sessions] == [("short", 2), ("long", 1)]
    assert found.total == 3
    assert index.hits_in("short", ["needle"], 5) == [(1, "answer"), (2, "answer")]


def test_too_many_hits_to_rank_come_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni_tui.memory.search_index.RANKED", 5)
    index = SearchIndex()
    for number in range(10):
        index.add(f"s{number}", SessionTexts(1, [text(1, "needle")]))
    found = index.search(["needle"], 3)
    assert not found.ranked
    assert [each.session for each in found.sessions] == ["s9", "s8", "s7"]


@pytest.mark.parametrize("title", [None, "secretword title"])
def test_a_removed_session_leaves_no_byte_of_its_words(title: str | None) -> None:
    index = index_of("secretword one", "記憶 secretword two", title=title)
    index.add("other", SessionTexts(1, [text(1, "kept words")]))
    assert b"secretword" in index.dump()
    index.remove("s", [text(1, "secretword one"), text(2, "記憶 secretword two")])
    data = index.dump()
    assert b"secretword" not in data
    assert "記".encode() not in data
    assert hits(SearchIndex(data), "kept") == ["other"]
    assert hits(index, "secretword") == []


def test_words_are_overwritten_whatever_sqlite_does_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = index_of("one").dump()
    real = sqlite3.connect

    class Careless(sqlite3.Connection):
        """As where SQLite was built so that it leaves deleted bytes in place."""

        def deserialize(self, data: bytes) -> None:  # type: ignore[override]
            super().deserialize(data)
            self.execute("PRAGMA secure_delete=OFF").close()

    def connect(*given: Any, **named: Any) -> sqlite3.Connection:
        return real(*given, **named, factory=Careless)

    monkeypatch.setattr(sqlite3, "connect", connect)
    for index in (SearchIndex(), SearchIndex(saved)):
        assert index._db.execute("PRAGMA secure_delete").fetchone() == (1,)


@pytest.mark.parametrize("texts", [[], ["another text", "two"], ["one"]], ids=["none", "other", "too few"])
def test_a_session_is_not_removed_with_texts_it_did_not_have(texts: list[str]) -> None:
    index = index_of("one", "two")
    with pytest.raises(IndexDamaged):
        index.remove("s", [text(number, each) for number, each in enumerate(texts, 1)])
    assert index.search(["two"], 5).total == 1


def test_a_search_is_interrupted_and_the_next_one_is_not() -> None:
    index = SearchIndex()
    index.add("s", SessionTexts(1, [text(1, "needle")]))
    started, go = threading.Event(), threading.Event()

    def hold() -> int:
        started.set()
        go.wait(60)
        return 0

    index._db.set_progress_handler(hold, 1)
    outcome: list[object] = []

    def search() -> None:
        try:
            outcome.append(index.search(["needle"], 5))
        except SearchInterrupted as error:
            outcome.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    assert started.wait(60)
    index.interrupt()
    go.set()
    thread.join(60)
    index._db.set_progress_handler(None, 1)
    assert isinstance(outcome[0], SearchInterrupted)
    index.interrupt()
    assert index.search(["needle"], 5).sessions == [SessionHit("s", 1, 1, "answer", 1.0)]


# --- on disk --------------------------------------------------------------------------------------


def test_the_index_on_disk_is_ciphertext_under_a_new_key_each_time(tmp_path: Path) -> None:
    file = SearchFile(tmp_path, VAULT)
    index = index_of("plainword", title="plaintitle")
    assert file.write(index)
    first = search_path(tmp_path).read_bytes()
    assert not index.dirty
    assert file.write(index)
    second = search_path(tmp_path).read_bytes()
    assert first[2:100] != second[2:100]
    assert b"plain" not in first
    assert hits(file.read(), "plainword plaintitle") == []
    assert hits(file.read(), "plainword") == ["s"]


def test_whatever_is_wrong_with_the_file_it_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, path = SearchFile(tmp_path, VAULT), search_path(tmp_path)
    assert file.read().heads() == {}
    file.write(index_of("word"))
    whole = path.read_bytes()
    for damaged in (b"", b"\xff", whole[:-1], whole[:50], whole[:-20] + b"\0" * 20, b"\0" * len(whole)):
        path.write_bytes(damaged)
        assert file.read().heads() == {}
    path.write_bytes(whole)
    assert SearchFile(tmp_path, OTHER).read().heads() == {}
    monkeypatch.setattr("omni_tui.memory.search_index._FORMAT", "of another version")
    assert file.read().heads() == {}
    path.unlink()
    path.mkdir()
    assert file.read().heads() == {}


def test_only_the_holder_of_the_lock_writes(tmp_path: Path) -> None:
    first, second = SearchFile(tmp_path, VAULT), SearchFile(tmp_path, VAULT)
    assert first.hold()
    assert not second.write(index_of("second"))
    assert not search_path(tmp_path).exists()
    first.write(index_of("first"))
    assert hits(second.read(), "first") == ["s"]
    first.release()
    assert second.write(index_of("second"))


def test_a_destroyed_index_cannot_be_read_from_what_the_disk_still_has(tmp_path: Path) -> None:
    file, path = SearchFile(tmp_path, VAULT), search_path(tmp_path)
    file.write(index_of("word"))
    kept = tmp_path / "kept"
    kept.hardlink_to(path)  # what a disk still has of a removed file
    destroy_index(tmp_path)
    assert not path.exists()
    kept.replace(path)
    assert file.read().heads() == {}


def test_fts5_keeps_what_the_index_is_built_on() -> None:
    """Contentless: the text itself is not kept."""
    index = index_of("somewords", title="t")
    with pytest.raises(sqlite3.OperationalError):
        index._db.execute("SELECT body FROM texts")
    assert index._db.execute("SELECT body FROM words").fetchall() == [(None,), (None,)]
    assert match_expression(query_words('a"b (c')) == '"a""b"* "(c"*'
