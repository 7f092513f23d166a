"""The installation's audit: what is changed, moved or cut off in it is named, and a crash is no change."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import msgspec
import pytest

from omni_tui.memory import Vault, check_audit, installation_audit, private_files
from omni_tui.memory.installation_audit import InstallationAudit, InstallationEntry

ENTRIES = 4


class Audit:
    """An audit with some entries, and what is said of it."""

    def __init__(self, folder: Path, entries: int = ENTRIES) -> None:
        self.folder = folder
        self.vault = Vault.open(folder, {})
        self.audit = InstallationAudit(folder, self.vault)
        self.file, self.seal = self.audit.path, self.audit.seal_path
        for number in range(entries):
            self.add(number)

    def add(self, number: int = 0) -> None:
        self.audit.add("server allowed", f"server {number}", actor="user", detail="fp", place="/a/b.toml")

    def read(self) -> list[InstallationEntry]:
        return [each for each in self.audit if isinstance(each, InstallationEntry)]

    def faults(self) -> list[str]:
        return check_audit(self.folder, self.vault).faults

    def remarks(self) -> list[str]:
        return check_audit(self.folder, self.vault).remarks

    def lines(self) -> list[bytes]:
        return self.file.read_bytes().splitlines(keepends=True)

    def old_form(self, entries: int) -> None:
        """Write entries as the first version did, which sealed no end."""
        previous, lines = "", b""
        for number in range(1, entries + 1):
            # fmt: off
            fields = [number, float(number), "server allowed", f"s{number}", "", 3, "head", self.vault.id,
                      previous, ""]
            # fmt: on
            signed = b"installation audit\n" + json.dumps(fields, ensure_ascii=True).encode()
            previous = fields[-1] = self.vault.digest(signed)
            names = (
                "entry",
                "ts",
                "action",
                "subject",
                "detail",
                "count",
                "head",
                "key",
                "previous",
                "mac",
            )
            given = {name: value for name, value in zip(names, fields, strict=True) if value != ""}
            lines += msgspec.json.encode(given) + b"\n"
        self.file.write_bytes(lines)
        self.file.chmod(0o600)


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path / "state")


def test_an_entry_says_who_did_what_and_where(audit: Audit) -> None:
    found = audit.read()
    assert [each.entry for each in found] == [1, 2, 3, 4]
    last = found[-1]
    assert (last.actor, last.action, last.subject) == ("user", "server allowed", "server 3")
    assert (last.detail, last.place) == ("fp", "/a/b.toml")
    assert (audit.faults(), audit.remarks()) == ([], [])
    assert oct(audit.seal.stat().st_mode & 0o777) == "0o600"


def test_what_is_cut_off_at_any_byte_is_named_exactly(audit: Audit) -> None:
    """The second half: what is written afterwards does not hide it."""
    whole, lines = audit.file.read_bytes(), audit.lines()
    sealed = audit.seal.read_bytes()
    ends = [sum(map(len, lines[:count])) - 1 for count in range(1, ENTRIES + 1)]
    for size in range(len(whole)):
        audit.file.write_bytes(whole[:size])
        left = sum(end <= size for end in ends)
        if left == ENTRIES:  # only the end of the last line is missing
            assert audit.faults() == []
            continue
        first = left + 1
        many = f"entry {first} is" if first == ENTRIES else f"entries {first} to {ENTRIES} are"
        assert audit.faults() == [f"audit.jsonl, its end: {many} missing"], size
        if size in (0, *(end - 5 for end in ends), *(end + 1 for end in ends)):
            audit.add()
            assert [fault.endswith(f"{many} missing before it") for fault in audit.faults()] == [True]
            audit.seal.write_bytes(sealed)
    audit.file.unlink()
    assert audit.faults() == [f"audit.jsonl, its end: entries 1 to {ENTRIES} are missing"]


def test_no_byte_of_the_file_or_of_its_seal_can_be_changed(audit: Audit) -> None:
    for path in (audit.file, audit.seal):
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert audit.faults(), (path.name, at, whole[at : at + 1])
        path.write_bytes(whole)
    assert audit.faults() == []


def test_no_line_can_be_moved_removed_or_repeated(audit: Audit) -> None:
    lines = audit.lines()
    for count in range(ENTRIES + 1):
        for order in permutations(range(ENTRIES), count):
            audit.file.write_bytes(b"".join(lines[each] for each in order))
            assert bool(audit.faults()) == (order != tuple(range(ENTRIES))), order
    for twice in range(ENTRIES):
        audit.file.write_bytes(b"".join([*lines[: twice + 1], *lines[twice:]]))
        assert audit.faults() == [f"audit.jsonl, line {twice + 2}: entry {twice + 1} stands here once more"]


def test_lines_that_were_made_up_are_named_and_do_not_carry_the_chain_on(
    audit: Audit, tmp_path: Path
) -> None:
    other = Audit(tmp_path / "other", ENTRIES + 2)
    forged = InstallationEntry(entry=5, ts=1.0, action="server allowed", subject="evil", v=2)
    high = msgspec.structs.replace(audit.read()[-1], entry=10**9)
    for line in (other.lines()[-2], *(msgspec.json.encode(each) + b"\n" for each in (forged, high))):
        whole, sealed = audit.file.read_bytes(), audit.seal.read_bytes()
        audit.file.write_bytes(whole + line)
        expected = [f"audit.jsonl, line {ENTRIES + 1}: it was altered, or its key is not here"]
        assert audit.faults() == expected
        audit.add()
        assert audit.read()[-1].entry == ENTRIES + 1
        assert audit.faults() == expected
        audit.file.write_bytes(whole)
        audit.seal.write_bytes(sealed)


def test_a_seal_that_is_gone_altered_or_older_is_said_and_stays_said(audit: Audit, tmp_path: Path) -> None:
    older = audit.seal.read_bytes()
    audit.add()
    audit.add()
    sealed, whole = audit.seal.read_bytes(), audit.file.read_bytes()
    other = Audit(tmp_path / "other", 6)
    broken = {
        b"": "its seal cannot be read",
        sealed.replace(b'"entry":6', b'"entry":5'): "its seal was altered",
        other.seal.read_bytes(): "its seal was made with a key that is not here",
    }
    for seal, words in broken.items():
        audit.seal.write_bytes(seal)
        assert audit.faults() == [f"audit.jsonl, its end: {words}"]
        audit.add()
        (fault,) = audit.faults()
        assert fault.startswith("audit.jsonl, line 7: when it was written, the end was not sealed")
        assert fault.endswith(words)
        audit.file.write_bytes(whole)
    audit.seal.unlink()
    assert audit.faults() == ["audit.jsonl, its end: its seal (audit.seal) is gone"]
    audit.add()
    assert [fault.endswith("it is gone") for fault in audit.faults()] == [True]
    audit.file.write_bytes(whole)
    audit.seal.write_bytes(older)
    assert ["its seal is 2 entries old" in fault for fault in audit.faults()] == [True]
    audit.add()
    assert audit.faults() == [], "nothing is missing, as the chain itself shows"


def test_a_file_of_an_older_version_is_not_sealed_until_something_is_added(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "state", 0)
    audit.old_form(3)
    assert audit.faults() == []
    assert ["not sealed" in remark for remark in audit.remarks()] == [True]
    whole = audit.file.read_bytes()
    audit.file.write_bytes(b"".join(audit.lines()[:2]))
    assert audit.faults() == [], "nobody can notice that"
    audit.file.write_bytes(whole)
    audit.add()
    assert (audit.faults(), audit.remarks()) == ([], [])
    assert [each.entry for each in audit.read()] == [1, 2, 3, 4]
    audit.file.write_bytes(whole)
    assert audit.faults() == ["audit.jsonl, its end: entry 4 is missing"]


# --- crashes and a full disk ---------------------------------------------------------------------

KILLED: dict[str, tuple[object, str]] = {
    "before the line is written": (os, "write"),
    "before it is flushed": (os, "fsync"),
    "before it is sealed": (installation_audit, "write_seal"),
    "in the middle of the seal": (os, "open"),
    "before the seal is in its place": (Path, "replace"),
    "after the seal is in its place": (private_files, "sync_dir"),
}
"""Where a process is killed: before it calls that function the first time."""


def in_a_process(work: Callable[[], None]) -> int:
    """Do something in a copy of this process and return how it ended."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("entries", [0, ENTRIES])
@pytest.mark.parametrize("point", KILLED)
def test_killed_anywhere_it_is_no_change_and_the_next_entry_follows(
    tmp_path: Path, point: str, entries: int
) -> None:
    audit = Audit(tmp_path / "state", entries)
    place, name = KILLED[point]

    def work() -> None:
        def killed(*_args: object, **_named: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        original = getattr(place, name)
        if (place, name) == (os, "open"):

            def opened(path: object, *args: int, **named: int) -> int:
                if ".audit.seal." in str(path):
                    killed()
                return int(original(path, *args, **named))

            setattr(place, name, opened)
        else:
            setattr(place, name, killed)
        audit.add(9)

    assert in_a_process(work) == -signal.SIGKILL
    assert audit.faults() == [], point
    audit.add()
    audit.add()
    assert (audit.faults(), audit.remarks()) == ([], [])
    assert len(audit.read()) - entries in (2, 3)


def test_a_line_torn_at_any_byte_by_a_crash_is_no_change(audit: Audit) -> None:
    whole, sealed = audit.file.read_bytes(), audit.seal.read_bytes()
    audit.add()
    last = audit.lines()[-1]
    for size in range(len(last) + 1):
        audit.file.write_bytes(whole + last[:size])
        audit.seal.write_bytes(sealed)
        assert audit.faults() == [], size
        if size % 40 == 1:
            audit.add()
            assert audit.faults() == [], size


def test_processes_that_write_at_once_make_one_chain(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "state", 1)
    children, each = 4, 8

    def work() -> None:
        for number in range(each):
            audit.add(number)

    pids = []
    for _ in range(children):
        if (child := os.fork()) == 0:
            try:
                work()
            finally:
                os._exit(0)
        pids.append(child)
        audit.add()
        assert audit.faults() == [], "nor while they write"
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * children
    assert len(audit.read()) == 1 + children * (each + 1)
    assert (audit.faults(), audit.remarks()) == ([], [])


@pytest.fixture(params=["no room for the line", "room for a part of it", "no room for the seal"])
def full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    write = os.write

    def refuse(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        if request.param == "no room for the line":
            patched.setattr(os, "write", refuse)
        elif request.param == "room for a part of it":
            patched.setattr(os, "write", lambda fd, data: write(fd, data[:20]))
        else:
            patched.setattr(installation_audit, "write_seal", refuse)
        yield request.param


def test_what_a_full_disk_refuses_leaves_nothing(
    audit: Audit, full_disk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = audit.file.read_bytes(), audit.seal.read_bytes()
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            audit.add()
    assert (audit.file.read_bytes(), audit.seal.read_bytes()) == before
    assert audit.faults() == []


@pytest.mark.parametrize("entries", [0, ENTRIES])
@pytest.mark.parametrize("failures", [1, 2, 100])
def test_a_folder_that_cannot_be_flushed_leaves_no_seal_ahead_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: int, failures: int
) -> None:
    audit = Audit(tmp_path / "state", entries)
    left = [failures]

    def refuse(folder: Path) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(private_files, "sync_dir", refuse)
        patched.setattr(installation_audit, "sync_dir", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            audit.add()
    assert audit.faults() == []
    assert len(audit.read()) == entries + (failures > 1), "it stays where the seal may be ahead"
    audit.add()
    audit.add()
    assert (audit.faults(), audit.remarks()) == ([], [])


def test_the_longest_entry_is_found_again(audit: Audit) -> None:
    long = "\ud800\U0010ffff\x00" * 4_000
    audit.audit.add("rule added", long, actor=long, detail=long, place=long)
    audit.add()
    assert audit.faults() == []
    assert len(audit.read()) == ENTRIES + 2
