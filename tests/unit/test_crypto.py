"""Keys and seals: nothing opens that was altered, moved, or sealed with another key."""

from __future__ import annotations

import json
import os
import stat
import threading
import zlib
from pathlib import Path

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.backends import fail, null

from omni_tui.memory import SealBroken, Sealer, UnsafePlace, Vault, VaultRefused, crypto, keys
from omni_tui.memory.crypto import FoundKey
from omni_tui.memory.private_files import FileLock, private_dir, write_atomic

KEY = bytes(range(32))


class Ring(KeyringBackend):
    """Stands for a good system keyring; kept in memory."""

    priority = 5.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.fails = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.fails:
            raise RuntimeError("locked")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


Ring.__module__, Ring.__qualname__ = "keyring.backends.SecretService", "Keyring"


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    made = Ring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: made)
    return made


@pytest.fixture(autouse=True)
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SCRYPT_N", 2**4)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- seals ------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"])), st.data())
def test_one_changed_byte_or_context_breaks_the_seal(
    data: bytes, context: str, draw: st.DataObject
) -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(data, context)
    assert sealer.unseal(sealed, context) == data
    at = draw.draw(st.integers(0, len(sealed) - 1))
    flipped = draw.draw(st.integers(1, 255))
    altered = sealed[:at] + bytes([sealed[at] ^ flipped]) + sealed[at + 1 :]
    with pytest.raises(SealBroken):
        sealer.unseal(altered, context)
    with pytest.raises(SealBroken):
        sealer.unseal(sealed[:at], context)
    with pytest.raises(SealBroken):
        sealer.unseal(sealed, context + "x")


def test_another_key_does_not_open_it_and_is_named_as_the_reason() -> None:
    sealed = Sealer(KEY).seal(b"body", "here")
    with pytest.raises(SealBroken, match="another key"):
        Sealer(bytes(32)).unseal(sealed, "here")


def test_the_same_body_never_looks_the_same_twice() -> None:
    sealer = Sealer(KEY)
    assert len({sealer.seal(b"same", "here") for _ in range(100)}) == 100


def test_digests_agree_for_equal_data_and_need_the_key() -> None:
    assert Sealer(KEY).digest(b"a") == Sealer(KEY).digest(b"a")
    assert len({Sealer(KEY).digest(b"a"), Sealer(KEY).digest(b"b"), Sealer(bytes(32)).digest(b"a")}) == 3


def test_a_key_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"short")


def test_a_wrapped_key_opens_only_in_its_own_session() -> None:
    vault = Vault(FoundKey("key file", KEY))
    wrapped = vault.new_key("key of one")
    sealed = vault.unwrap(wrapped, "key of one").seal(b"x", "c")
    assert vault.unwrap(wrapped, "key of one").unseal(sealed, "c") == b"x"
    with pytest.raises(SealBroken):
        vault.unwrap(wrapped, "key of two")


def test_old_bodies_open_with_any_key_that_is_here() -> None:
    old = Vault(FoundKey("key file", KEY))
    both = Vault(FoundKey("keyring", bytes(32)), (FoundKey("key file", KEY),))
    assert both.unseal(old.seal(b"x", "c"), "c") == b"x"
    assert both.verify(b"d", old.digest(b"d"), old.id)
    assert not both.verify(b"d", old.digest(b"d"), both.id)
    assert not old.verify(b"d", both.digest(b"d"), both.id)


# --- where the key comes from -----------------------------------------------------------------------


def test_without_keyring_and_passphrase_the_key_is_a_private_file_and_that_is_said(tmp_path: Path) -> None:
    state = tmp_path / "state"
    vault = Vault.open(state, {})
    assert vault.kind == "key file"
    assert str(state / "vault.key") in vault.warning
    assert {mode(state), mode(state / "vault.key"), mode(state / "vault.json")} == {0o700, 0o600}
    assert Vault.open(state, {}).unseal(vault.seal(b"x", "c"), "c") == b"x"


@pytest.mark.parametrize("backend", [null.Keyring, fail.Keyring])
def test_keyrings_that_keep_nothing_or_keep_it_open_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: type[KeyringBackend]
) -> None:
    monkeypatch.setattr(keyring, "get_keyring", backend)
    assert Vault.open(tmp_path / "state", {}).kind == "key file"


def test_a_plaintext_keyring_is_not_used_even_if_it_pretends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PlaintextKeyring(Ring):
        pass

    plain = PlaintextKeyring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: plain)
    assert Vault.open(tmp_path / "state", {}).kind == "key file"
    assert plain.kept == {}


def test_a_good_keyring_keeps_the_key_and_no_file_does(tmp_path: Path, ring: Ring) -> None:
    state = tmp_path / "state"
    vault = Vault.open(state, {keys.PASSPHRASE: "not needed"})
    assert (vault.kind, vault.warning) == ("keyring", "")
    assert not (state / "vault.key").exists()
    assert len(ring.kept) == 1
    secret = next(iter(ring.kept.values()))
    assert all(secret.encode() not in path.read_bytes() for path in state.iterdir())
    assert Vault.open(tmp_path / "other", {}).unseal(vault.seal(b"x", "c"), "c") == b"x"


def test_a_good_keyring_inside_a_chain_is_used_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Ring()

    class Chain:
        backends = (object(), good)

    monkeypatch.setattr(keyring, "get_keyring", Chain)
    assert Vault.open(tmp_path / "state", {}).kind == "keyring"
    assert len(good.kept) == 1


def test_a_keyring_that_gets_lost_is_named_and_its_bodies_stay_for_later(
    tmp_path: Path, ring: Ring
) -> None:
    state = tmp_path / "state"
    sealed = Vault.open(state, {}).seal(b"x", "c")
    ring.fails = True
    without = Vault.open(state, {})
    assert without.kind == "key file"
    assert "the system keyring refused (locked)" in without.warning
    assert "saved with the key from the keyring cannot be read now" in without.missing
    with pytest.raises(SealBroken, match="another key"):
        without.unseal(sealed, "c")
    own = without.seal(b"y", "c")
    ring.fails = False
    again = Vault.open(state, {})
    assert (again.kind, again.warning, again.missing) == ("keyring", "", "")
    assert (again.unseal(sealed, "c"), again.unseal(own, "c")) == (b"x", b"y")


def test_a_keyring_that_forgets_at_once_is_not_relied_on(tmp_path: Path, ring: Ring) -> None:
    ring.set_password = lambda service, username, password: None  # type: ignore[method-assign]
    vault = Vault.open(tmp_path / "state", {})
    assert vault.kind == "key file"
    assert "did not keep the key" in vault.warning


def test_a_keyring_that_waits_for_a_prompt_does_not_hold_the_start(
    tmp_path: Path, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = threading.Event()
    monkeypatch.setattr(keys, "_KEYRING_WAIT", 0.05)
    monkeypatch.setattr(ring, "get_password", lambda service, username: "x" if prompt.wait(20) else "")
    vault = Vault.open(tmp_path / "state", {})
    prompt.set()
    assert vault.kind == "key file"
    assert "did not answer" in vault.warning


def test_a_passphrase_gives_the_same_key_again_and_is_kept_nowhere(tmp_path: Path) -> None:
    state = tmp_path / "state"
    environ = {keys.PASSPHRASE: "correct horse ünïcode"}
    vault = Vault.open(state, environ)
    assert (vault.kind, vault.warning) == ("passphrase", "")
    assert not (state / "vault.key").exists()
    assert b"correct horse" not in (state / "vault.json").read_bytes()
    assert Vault.open(state, environ).unseal(vault.seal(b"x", "c"), "c") == b"x"


def test_a_wrong_passphrase_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    Vault.open(state, {keys.PASSPHRASE: "right"})
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    with pytest.raises(VaultRefused, match="not the one that your sessions were saved with"):
        Vault.open(state, {keys.PASSPHRASE: "wrong"})
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before


def test_leaving_the_passphrase_out_is_said(tmp_path: Path) -> None:
    state = tmp_path / "state"
    Vault.open(state, {keys.PASSPHRASE: "right"})
    vault = Vault.open(state, {})
    assert "saved with the key from the passphrase" in vault.missing
    assert keys.PASSPHRASE in vault.missing


@pytest.mark.parametrize("saved", ["sessions/0192f3a4-5b6c-7d8e-9f00-112233445566.db", "trust.json"])
@pytest.mark.parametrize("kind", ["keyring", "passphrase", "key file"])
def test_no_new_key_hides_what_was_saved_with_one_that_is_not_here(
    tmp_path: Path, ring: Ring, kind: str, saved: str
) -> None:
    state = tmp_path / "state"
    ring.fails = kind != "keyring"
    first = Vault.open(state, {keys.PASSPHRASE: "right"} if kind == "passphrase" else {})
    assert first.kind == kind
    (state / saved).parent.mkdir(exist_ok=True)
    (state / saved).write_bytes(b"sealed")
    ring.fails = True
    (state / "vault.key").unlink(missing_ok=True)
    before = {path.name for path in state.iterdir()}
    with pytest.raises(
        VaultRefused, match=f"encrypted with the key from the {kind}, and that key is not here"
    ):
        Vault.open(state, {})
    assert {path.name for path in state.iterdir()} == before
    # A passphrase of one's own is a way on, and says what stays shut.
    if kind != "passphrase":
        assert kind in Vault.open(state, {keys.PASSPHRASE: "another"}).missing


def test_an_emptied_keyring_gets_no_new_key_beside_what_was_saved(tmp_path: Path, ring: Ring) -> None:
    state = tmp_path / "state"
    Vault.open(state, {})
    (state / "trust.json").write_bytes(b"sealed")
    ring.kept.clear()
    with pytest.raises(VaultRefused, match="has no key of Omni TUI"):
        Vault.open(state, {})
    assert ring.kept == {}


def test_a_key_file_moves_into_a_keyring_that_came_later(tmp_path: Path, ring: Ring) -> None:
    state = tmp_path / "state"
    ring.fails = True
    sealed = Vault.open(state, {}).seal(b"x", "c")
    (state / "trust.json").write_bytes(b"sealed")
    ring.fails = False
    vault = Vault.open(state, {})
    assert (vault.kind, vault.missing) == ("keyring", "")
    assert vault.unseal(sealed, "c") == b"x"


def test_looking_for_keys_makes_none(tmp_path: Path, ring: Ring) -> None:
    found = keys.find_keys(tmp_path, {}, make=False)
    assert (found.keys, found.missing) == ([], "")
    ring.fails = True
    assert keys.find_keys(tmp_path, {keys.PASSPHRASE: "x"}, make=False).keys == []
    assert list(tmp_path.iterdir()) == []
    assert ring.kept == {}


@pytest.mark.parametrize("name", ["vault.key", "vault.json"])
def test_a_damaged_key_or_record_is_refused_and_kept(tmp_path: Path, name: str) -> None:
    state = tmp_path / "state"
    Vault.open(state, {})
    (state / name).write_bytes(b"{ damaged \xff")
    with pytest.raises(VaultRefused, match="damaged"):
        Vault.open(state, {})
    assert (state / name).read_bytes() == b"{ damaged \xff"


def test_two_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    state = tmp_path / "state"
    vaults: list[Vault] = []
    starts = [threading.Thread(target=lambda: vaults.append(Vault.open(state, {}))) for _ in range(8)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert len({vault.id for vault in vaults}) == 1
    assert len(vaults) == 8


def test_which_keys_were_here_is_known_without_opening_them(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert keys.known_ids(state) == frozenset()
    vault = Vault.open(state, {})
    assert keys.known_ids(state) == vault.ids
    assert json.loads((state / "vault.json").read_text())["version"] == 1


# --- places -----------------------------------------------------------------------------------------


def test_a_state_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "real")
    with pytest.raises(UnsafePlace, match="symbolic link"):
        Vault.open(tmp_path / "state", {})
    assert list((tmp_path / "real").iterdir()) == []


def test_a_state_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(UnsafePlace, match="not a folder"):
        private_dir(tmp_path / "state")


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private_dir(tmp_path / "state")
    monkeypatch.setattr(os, "geteuid", lambda: 424242)
    with pytest.raises(UnsafePlace, match="belongs to another user"):
        private_dir(tmp_path / "state")


def test_modes_that_are_too_wide_are_repaired(tmp_path: Path) -> None:
    state = tmp_path / "state"
    Vault.open(state, {})
    state.chmod(0o777)
    (state / "vault.key").chmod(0o644)
    Vault.open(state, {})
    assert (mode(state), mode(state / "vault.key")) == (0o700, 0o600)


def test_a_key_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    Vault.open(state, {})
    (state / "vault.key").rename(tmp_path / "elsewhere")
    (state / "vault.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePlace, match="symbolic link"):
        Vault.open(state, {})


def test_replacing_a_file_leaves_the_old_one_if_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_a_lock_whose_file_was_removed_by_its_holder_is_taken_anew(tmp_path: Path) -> None:
    first, second, third = (FileLock(tmp_path / "lock") for _ in range(3))
    assert first.acquire(0)
    assert not second.acquire(0)
    first.release(remove=True)
    assert second.acquire(0)
    assert not third.acquire(0)
    second.release()
    assert third.acquire(0)
    third.release()


# --- compressed bodies --------------------------------------------------------------------------------


@given(st.binary(max_size=2_000) | st.integers(0, 5_000).map(lambda size: b"words " * size))
def test_a_compressed_body_opens_as_what_it_was_and_is_never_longer(data: bytes) -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal_packed(data, "here")
    assert sealer.unseal(sealed, "here") == data
    assert len(sealed) <= len(sealer.seal(data, "here"))
    with pytest.raises(SealBroken):
        sealer.unseal(sealed, "elsewhere")


def test_long_words_take_less_room_and_short_ones_stay_as_they_are() -> None:
    sealer = Sealer(KEY)
    assert len(sealer.seal_packed(b"some words " * 1_000, "here")) < 1_000
    assert sealer.seal_packed(b"short", "here")[:1] == sealer.seal(b"short", "here")[:1]


@pytest.mark.parametrize("data", [b"some words " * 1_000, zlib.compress(b"x" * 5_000), os.urandom(2_000)])
def test_neither_format_passes_for_the_other(data: bytes) -> None:
    sealer = Sealer(KEY)
    for sealed in (sealer.seal(data, "here"), sealer.seal_packed(data, "here")):
        for kind in range(256):
            if kind != sealed[0]:
                with pytest.raises(SealBroken):
                    sealer.unseal(bytes((kind,)) + sealed[1:], "here")


@pytest.mark.parametrize(
    "wrong", [b"", b"no zlib", zlib.compress(b"y" * 100)[:-3], zlib.compress(b"y") + b"more"]
)
def test_what_does_not_unpack_is_broken(wrong: bytes) -> None:
    sealer = Sealer(KEY)
    sealed = sealer._sealed(crypto._PACKED, wrong, b"here" + crypto._PACKED_CONTEXT)
    with pytest.raises(SealBroken, match="unpacked"):
        sealer.unseal(sealed, "here")


def test_nothing_unpacks_to_more_than_may_be_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal_packed(b"z" * 100_000, "here")
    monkeypatch.setattr(crypto, "_MOST_UNPACKED", 99_999)
    with pytest.raises(SealBroken, match="too long"):
        sealer.unseal(sealed, "here")
    assert sealer.unseal(sealer.seal_packed(b"z" * 100_000, "here"), "here") == b"z" * 100_000
