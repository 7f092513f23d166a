"""Whom the person trusts: kept whole, shared by processes, and nothing is trusted once it is in doubt."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from omni_tui.memory import PinnedTool, TrustStore, UnsafePlace, Vault
from omni_tui.memory.crypto import FoundKey

KEY = FoundKey("key file", bytes(32))
RING = FoundKey("keyring", b"k" * 32)
VAULT = Vault(KEY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "trust.json"


def store(path: Path, vault: Vault = VAULT) -> TrustStore:
    return TrustStore(path, vault)


def filled(path: Path) -> TrustStore:
    made = store(path)
    made.allow("files", "fp")
    made.pin_tools("files", {"read": "hash"})
    return made


def trusted(made: TrustStore) -> bool:
    server, tool = made.server("files"), made.tool("files", "read")
    return bool(
        server and server.allowed and server.fingerprint == "fp" and tool and tool.def_hash == "hash"
    )


def distrusted(made: TrustStore, server: str = "files") -> bool:
    """Known as "not what it was": a caller that compares finds a difference, and none is allowed."""
    known, tool = made.server(server), made.tool(server, "read")
    return bool(known and not known.fingerprint and not known.allowed and tool and not tool.def_hash)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe\x00",
        b'{"version": 1, "keys": {}, "more": 1}',
        b'{"version": 1, "keys": {"x": 1}}',
    ],
)
def test_a_damaged_file_is_kept_aside_and_nothing_is_trusted(path: Path, damage: bytes) -> None:
    filled(path)
    path.write_bytes(damage)
    made = store(path)
    assert distrusted(made)
    assert distrusted(made, "never seen before")
    (aside,) = path.parent.glob("trust.json.damaged-*")
    assert aside.read_bytes() == damage
    assert "nothing is trusted" in made.problem
    assert aside.name in made.problem
    later = store(path)
    assert distrusted(later)
    later.pin_server("files", "fp")
    later.pin_tools("files", {"read": "hash"})
    accepted = later.server("files")
    assert accepted
    assert (accepted.fingerprint, accepted.allowed) == ("fp", False)
    assert later.tool("files", "read")
    assert later.tool("files", "not yet seen") is None
    assert distrusted(later, "other")


def test_an_edited_file_is_not_believed(path: Path) -> None:
    made = filled(path)
    made.pin_server("evil", "evil-fp")
    text = path.read_text()
    assert '"allowed":false' in text
    path.write_text(text.replace('"allowed":false', '"allowed":true'))
    after = store(path)
    assert distrusted(after, "evil")
    assert distrusted(after)
    assert "signature" in after.problem


def test_a_file_of_another_installation_is_not_believed_but_kept(path: Path) -> None:
    filled(path)
    elsewhere = store(path, Vault(RING))
    assert distrusted(elsewhere)
    assert "a key that is not here now" in elsewhere.problem
    elsewhere.allow("files", "fp")
    elsewhere.pin_tools("files", {"read": "hash"})
    assert trusted(elsewhere)
    assert trusted(store(path))
    assert list(path.parent.glob("*.damaged-*")) == []


def test_trust_moves_on_to_a_better_key(path: Path) -> None:
    filled(path)
    both = store(path, Vault(RING, (KEY,)))
    assert trusted(both)
    both.pin_tools("files", {"write": "w"})
    assert trusted(store(path, Vault(RING)))
    assert set(json.loads(path.read_text())["keys"]) == {Vault(RING).id}


def test_nothing_is_known_at_first(path: Path) -> None:
    made = store(path)
    assert (made.server("files"), made.tool("files", "read"), made.problem) == (None, None, "")
    assert not path.exists()


def test_what_is_trusted_is_there_at_the_next_start(path: Path) -> None:
    before = time.time()
    assert trusted(filled(path))
    again = store(path)
    assert trusted(again)
    server = again.server("files")
    assert server
    assert before <= server.first_seen <= time.time()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(each.name for each in path.parent.iterdir()) == ["trust.json", "trust.lock"]


def test_a_new_fingerprint_ends_the_consent_to_start(path: Path) -> None:
    made = filled(path)
    made.pin_server("files", "fp")
    assert trusted(made)
    made.pin_server("files", "other")
    known = made.server("files")
    assert known
    assert (known.fingerprint, known.allowed) == ("other", False)
    assert made.tool("files", "read")


def test_pins_of_other_tools_stay_and_unchanged_ones_keep_their_date(path: Path) -> None:
    made = filled(path)
    first = made.tool("files", "read")
    made.pin_tools("files", {"read": "hash", "write": "w"})
    assert made.tool("files", "read") == first
    made.pin_tools("files", {"write": "changed"})
    changed = made.tool("files", "write")
    assert isinstance(changed, PinnedTool)
    assert changed.def_hash == "changed"
    assert made.tool("files", "read") == first


def test_forgetting_forgets_the_tools_too(path: Path) -> None:
    made = filled(path)
    made.forget("files")
    made.forget("files")
    assert (made.server("files"), made.tool("files", "read")) == (None, None)
    assert store(path).server("files") is None


def test_nothing_is_written_if_nothing_changes(path: Path) -> None:
    made = filled(path)
    before = path.stat()
    made.pin_tools("files", {"read": "hash"})
    made.allow("files", "fp")
    assert path.stat().st_ino == before.st_ino


def test_two_programs_do_not_lose_each_others_changes(path: Path) -> None:
    stores = [store(path) for _ in range(6)]

    def work(number: int) -> None:
        for n in range(10):
            stores[number].pin_server(f"server-{number}-{n}", "fp")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = store(path)
    assert all(final.server(f"server-{number}-{n}") for number in range(6) for n in range(10))


def test_a_revocation_by_another_program_is_seen_at_once(path: Path) -> None:
    made = filled(path)
    store(path).forget("files")
    assert made.server("files") is None


def test_a_disk_that_refuses_is_said_and_trust_holds_for_this_run_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store(path)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        made.allow("files", "fp")
        made.pin_tools("files", {"read": "hash"})
    assert trusted(made)
    assert "No space left on device" in made.problem
    assert store(path).server("files") is None


def test_strange_names_are_kept_as_they_are(path: Path) -> None:
    made = store(path)
    for name in ("", "../x", 'a"b\n', "\u202e", "é" * 300):
        made.pin_server(name, "fp")
        made.pin_tools(name, {name: "hash"})
    again = store(path)
    assert all(again.tool(name, name) for name in ("", "../x", 'a"b\n', "\u202e", "é" * 300))


def test_a_trust_file_that_is_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    filled(path)
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    made = store(path)
    assert distrusted(made)
    assert "symbolic link" in made.problem


def test_a_state_folder_that_is_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path.parent.symlink_to(tmp_path / "real")
    with pytest.raises(UnsafePlace):
        store(path)
