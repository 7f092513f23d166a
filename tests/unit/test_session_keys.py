"""The key store: a session is read without the key in its file, and erased with it."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from omni_tui.memory import SealBroken, Vault, new_session_id
from omni_tui.memory.crypto import FoundKey
from omni_tui.memory.session_keys import SessionKeys, open_key

VAULT = Vault(FoundKey("key file", bytes(32)))
FILES = ("session-keys", "session-keys.copy")


def wrapped(session: str) -> bytes:
    return VAULT.new_key(f"key of {session}")


def filled(folder: Path) -> dict[str, bytes]:
    keys = {session: wrapped(session) for session in (new_session_id() for _ in range(20))}
    for session, key in keys.items():
        SessionKeys(folder).put(session, key)
    return keys


@pytest.mark.parametrize("which", [FILES[:1], FILES[1:], FILES])
@pytest.mark.parametrize("kind", ["cut", "flip", "empty", "gone", "folder"])
def test_damaged_copies_cost_at_most_what_both_lost(
    tmp_path: Path, which: tuple[str, ...], kind: str
) -> None:
    keys = filled(tmp_path)
    for name in which:
        path = tmp_path / name
        data = bytearray(path.read_bytes())
        if kind == "flip":
            data[len(data) // 2] ^= 1
        elif kind == "cut":
            del data[len(data) // 2 :]
        else:
            data.clear()
        path.write_bytes(data)
        if kind in ("gone", "folder"):
            path.unlink()
        if kind == "folder":
            path.mkdir()
    found = {session: SessionKeys(tmp_path).find(session) for session in keys}
    for session, candidates in found.items():
        if candidates:
            try:
                assert open_key(VAULT, session, candidates)[0] == keys[session]
            except SealBroken:
                assert kind == "flip"
    right = sum(candidates == [keys[session]] for session, candidates in found.items())
    assert right >= (20 if len(which) == 1 else {"cut": 8, "flip": 19}.get(kind, 0))
    if kind != "folder":
        another = new_session_id()
        SessionKeys(tmp_path).put(another, wrapped(another))
        assert (tmp_path / FILES[0]).read_bytes() == (tmp_path / FILES[1]).read_bytes()
        assert sum(bool(SessionKeys(tmp_path).find(session)) for session in keys) >= right


def test_a_dropped_key_is_nowhere_any_more(tmp_path: Path) -> None:
    keys = filled(tmp_path)
    session = next(iter(keys))
    for name in FILES:
        (tmp_path / f"link to {name}").hardlink_to(tmp_path / name)  # what the disk still holds
    SessionKeys(tmp_path).drop(session)
    assert SessionKeys(tmp_path).find(session) == []
    for path in tmp_path.iterdir():
        assert keys[session].hex().encode() not in path.read_bytes(), path.name
    assert SessionKeys(tmp_path).sessions() == keys.keys() - {session}


@pytest.mark.parametrize("change", ["put", "drop"])
def test_a_store_that_cannot_be_read_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    keys = filled(tmp_path)
    store, session = SessionKeys(tmp_path), next(iter(keys))

    def refuse(path: Path) -> bytes:
        raise OSError(errno.EIO, "the disk reported an error")

    with monkeypatch.context() as patch:
        patch.setattr("omni_tui.memory.session_keys.read_private", refuse)
        with pytest.raises(OSError, match="reported an error"):
            store.put(new_session_id(), bytes(69)) if change == "put" else store.drop(session)
    assert store.sessions() == keys.keys()


def test_a_store_that_is_damaged_beyond_reading_is_kept_until_its_sessions_are_deleted(
    tmp_path: Path,
) -> None:
    keys = filled(tmp_path)
    session = next(iter(keys))
    before = (tmp_path / FILES[0]).read_bytes()
    damaged = before.replace(b'":"', b'":!')  # no entry is recognized
    for name in FILES:
        (tmp_path / name).write_bytes(damaged)
    another = new_session_id()
    SessionKeys(tmp_path).put(another, wrapped(another))
    (kept,) = (path for path in tmp_path.iterdir() if "damaged" in path.name)
    assert kept.read_bytes() == damaged
    kept.write_bytes(before)
    SessionKeys(tmp_path).drop(session)
    left = kept.read_bytes()
    assert keys[session].hex().encode() not in left
    assert all(key.hex().encode() in left for each, key in keys.items() if each != session)


def _put_ten(folder: Path, number: int) -> None:
    for each in range(10):
        session = f"0192f3a4-5b6c-7d8e-9f00-{number:04d}{each:08d}"
        SessionKeys(folder).put(session, bytes(69))


def test_several_processes_lose_no_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_put_ten, args=(tmp_path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert len(SessionKeys(tmp_path).sessions()) == 30


def test_keys_are_private(tmp_path: Path) -> None:
    filled(tmp_path)
    assert {oct(os.stat(tmp_path / name).st_mode & 0o777) for name in FILES} == {"0o600"}
