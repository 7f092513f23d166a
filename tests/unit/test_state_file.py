"""Small state files: what is written can be read again, however many sessions there are."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from omni_tui.memory.crypto import FoundKey, Vault
from omni_tui.memory.redis import SessionsBehind, SessionsToDelete
from omni_tui.memory.retention import _Announced, delete_unused
from omni_tui.memory.state_file import LARGEST, LARGEST_LIST, StateFile

MANY = [f"0192f3a4-5b6c-7d8e-9f00-{number:012}" for number in range(12_000)]


class Words(msgspec.Struct):
    words: str = ""


def test_more_than_can_be_read_again_is_not_written(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "words.json", Words)
    file.write(Words("kept"))
    with pytest.raises(OSError, match="longer than"):
        file.write(Words("x" * LARGEST))
    assert (file.read().words, file.lost) == ("kept", "")


def test_no_session_is_forgotten_among_very_many(tmp_path: Path) -> None:
    behind = SessionsBehind(tmp_path)
    behind._file.write(type(behind._file.read())(MANY))
    behind.add("one-more")
    assert behind.ids() == [*MANY, "one-more"]
    to_delete = SessionsToDelete(tmp_path)
    to_delete._file.write(type(to_delete._file.read())({each: ("name",) for each in MANY}))
    to_delete.add("one-more", ("name",))
    assert len(to_delete.all()) == len(MANY) + 1
    assert list(tmp_path.glob("*.damaged")) == []


def test_the_announcement_of_very_many_sessions_is_kept(tmp_path: Path) -> None:
    vault = Vault(FoundKey("key file", bytes(32)))
    file = StateFile(tmp_path / "retention.json", _Announced, LARGEST_LIST)
    file.write(_Announced(sessions=dict.fromkeys(MANY, 1.0)))
    assert file.path.stat().st_size > LARGEST
    done = delete_unused(tmp_path, vault, 1)
    assert (done.deleted, done.announced) == (0, 0), "none of them is there"
    assert file.read().sessions == {}
    assert list(tmp_path.glob("*.damaged")) == []


def test_a_list_that_cannot_be_kept_deletes_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_tui.memory.retention.LARGEST_LIST", 10)
    (tmp_path / "retention.json").write_text("{}")
    monkeypatch.setattr("omni_tui.memory.retention.list_sessions", _one_old)
    deleted: list[str] = []
    with pytest.raises(OSError, match="longer than"):
        delete_unused(tmp_path, Vault(FoundKey("key file", bytes(32))), 1, note=deleted.append)
    assert deleted == []


def _one_old(_state: Path, _vault: Vault) -> object:
    class Old:
        id, updated = "s", 0.0

    class Found:
        sessions, used = (Old,), {"s": 0.0}

    return Found
