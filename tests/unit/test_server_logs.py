"""The logs of servers on disk: sealed, redacted, bounded, readable as far as they are whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from omni_tui.memory import LogEntry, ServerLogs, Vault, server_logs
from omni_tui.memory.crypto import FoundKey
from omni_tui.servers.log_buffer import ServerLogBuffer

KEY = bytes(range(32))


def logs(folder: Path, key: bytes = KEY, redact: Callable[[str], str] = str) -> ServerLogs:
    return ServerLogs(folder, Vault(FoundKey("key file", key)), redact)


def written(folder: Path, name: str = "files") -> list[str | None]:
    entries, broken = logs(folder).read(name)
    assert broken == 0
    return [None if entry.start else entry.line for entry in entries]


def add(folder: Path, *lines: bytes | None, redact: Callable[[str], str] = str) -> None:
    writer = logs(folder, redact=redact)
    writer.add("files", lines)
    writer.close()


def test_lines_are_read_back_in_order_by_their_server_only(tmp_path: Path) -> None:
    writer = logs(tmp_path)
    for number in range(20):
        writer.add("files", [None, b"line %d" % number] if number % 10 == 0 else [b"line %d" % number])
    writer.add("../odd name", [b"elsewhere"])
    writer.close()
    assert [line for line in written(tmp_path) if line] == [f"line {number}" for number in range(20)]
    assert written(tmp_path, "../odd name") == ["elsewhere"]
    assert logs(tmp_path).names() == ["../odd name", "files"]
    with pytest.raises(FileNotFoundError):
        logs(tmp_path).read("another")


def test_nothing_stands_in_the_clear_and_secrets_not_at_all(tmp_path: Path) -> None:
    add(
        tmp_path,
        b"the token hunter2hunter2 is wrong",
        redact=lambda text: text.replace("hunter2hunter2", "•"),
    )
    (file,) = (tmp_path / server_logs.FOLDER).glob("*.log")
    assert b"token" not in file.read_bytes()
    assert b"files" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert written(tmp_path) == ["the token • is wrong"]


def test_only_the_last_starts_are_told_of(tmp_path: Path) -> None:
    for number in range(server_logs.STARTS + 3):
        add(tmp_path, None, b"start %d" % number)
    told = written(tmp_path)
    assert told.count(None) == server_logs.STARTS
    assert told[:2] == [None, "start 3"]


def test_file_stays_bounded_and_keeps_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_logs, "LARGEST", 20_000)
    for number in range(300):
        add(tmp_path, b"x" * 200 + b" %d" % number)
    (file,) = (tmp_path / server_logs.FOLDER).glob("*.log")
    assert file.stat().st_size <= 20_000
    told = written(tmp_path)
    assert str(told[-1]).endswith(" 299")
    assert len(told) > 10


def test_what_is_damaged_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    add(tmp_path, b"one")
    add(tmp_path, b"two")
    add(tmp_path, b"three")
    (file,) = (tmp_path / server_logs.FOLDER).glob("*.log")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1  # somewhere in the second record
    file.write_bytes(bytes(data[:-5]))  # and the third is cut off
    entries, broken = logs(tmp_path).read("files")
    assert [entry.line for entry in entries] == ["one"]
    assert broken == 1
    assert logs(tmp_path, bytes(32)).read("files") == ([], 2)


def test_a_link_in_the_place_of_a_log_is_not_written_through(tmp_path: Path) -> None:
    add(tmp_path, b"one")
    (file,) = (tmp_path / server_logs.FOLDER).glob("*.log")
    precious = tmp_path / "precious"
    precious.write_text("mine")
    file.unlink()
    file.symlink_to(precious)
    add(tmp_path, b"two")
    assert precious.read_text() == "mine"


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    add(tmp_path, b"one")
    (first,), _ = logs(tmp_path).read("files")
    stamp = logs(tmp_path).stamp("files")
    add(tmp_path, b"two")
    assert logs(tmp_path).stamp("files") != stamp
    assert [entry.line for entry in logs(tmp_path).read("files", after=first.ts)[0]] == ["two"]
    assert logs(tmp_path).stamp("another") == (0, 0)
    assert isinstance(first, LogEntry)


def test_a_flood_is_cut_short_and_says_so() -> None:
    log = ServerLogBuffer()
    log.begin()
    log.feed(b"".join(b"line %d\n" % number for number in range(3000)))
    lines = log.unsaved()
    assert len(lines) < 600
    assert lines[0] is not None
    assert b"lines are left out" in lines[0]
    assert lines[-1] == b"line 2999"
    assert log.unsaved() == []
