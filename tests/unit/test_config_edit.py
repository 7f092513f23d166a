"""Editing the person's file: what they wrote stays, and it is never left half written."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from omni_tui.config.config_file import (
    ConfigEditError,
    read_server,
    remove_server,
    set_server_enabled,
    update_server,
)

TEXT = """\
# mine
[model]
name = 'a/b'   # with care

[servers.one]   # the first
command = "x"

[policy]
auto = "ask"
"""


def add_server(path: Path, name: str, **values: object) -> None:
    update_server(path, name, values, revision="")


def test_adding_keeps_every_line_and_removing_restores_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    add_server(path, "two words", command="run", args=["a", 'quo"te'], env={"K": "${K}"})
    text = path.read_text()
    assert all(line in text.splitlines() for line in TEXT.splitlines())
    table = tomllib.loads(text)["servers"]["two words"]
    assert table == {"command": "run", "args": ["a", 'quo"te'], "env": {"K": "${K}"}}
    assert path.stat().st_mode & 0o777 == 0o640
    assert remove_server(path, "two words")
    assert tomllib.loads(path.read_text()) == tomllib.loads(TEXT)
    assert "# with care" in path.read_text()
    assert not remove_server(path, "two words")


def test_a_file_that_is_not_there_is_made_for_this_person_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config.toml"
    add_server(path, "web", url="https://x", headers={"A": "b"})
    assert tomllib.loads(path.read_text()) == {
        "servers": {"web": {"url": "https://x", "headers": {"A": "b"}}}
    }
    assert path.stat().st_mode & 0o777 == 0o600
    assert remove_server(path, "web")
    assert tomllib.loads(path.read_text()) == {}
    assert [each.name for each in path.parent.iterdir()] == ["config.toml"]


def test_a_link_keeps_pointing_where_it_points(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text(TEXT)
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    add_server(link, "n", command="x")
    assert link.is_symlink()
    assert "n" in tomllib.loads(real.read_text())["servers"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("one", "already"), ("a\x1b", "printable")],
)
def test_refusals_leave_the_file_alone(tmp_path: Path, name: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    with pytest.raises(ConfigEditError, match=words):
        add_server(path, name, command="y")
    assert path.read_text() == TEXT


def test_a_mistaken_file_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[model\n")
    with pytest.raises(ConfigEditError, match="config check"):
        add_server(path, "n", command="x")
    with pytest.raises(ConfigEditError):
        remove_server(path, "n")
    assert path.read_text() == "[model\n"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(ConfigEditError, match="No space left"):
        add_server(path, "n", command="x")
    assert path.read_text() == TEXT
    assert [each.name for each in tmp_path.iterdir()] == ["config.toml"]


def test_putting_changes_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        "# mine\n[servers.one]   # the first\n"
        "command = 'x'   # single quotes\n"
        'args = [\n  "a",  # why\n]\n'
        'env = {A = "1", B = "2"}   # two\n'
        "connect_timeout = 20\n"
        "unknown_here = true\n\n[policy]\nauto = 'ask'   # careful\n\n[servers.two]\ncommand = 'y'\n"
    )
    values, revision = read_server(path, "one")
    assert values is not None
    changed = values | {"env": {"A": "1", "C": "3"}, "cwd": "/x"}
    del changed["connect_timeout"]
    update_server(path, "one", changed, revision=revision)
    text = path.read_text()
    for line in (
        "# mine",
        "[servers.one]   # the first",
        "command = 'x'   # single quotes",
        '  "a",  # why',
    ):
        assert line in text.splitlines()
    assert 'env = {A = "1", C = "3"}   # two' in text
    assert "auto = 'ask'   # careful" in text
    assert tomllib.loads(text)["servers"] == {"one": changed, "two": {"command": "y"}}


@pytest.mark.parametrize(
    "text",
    [
        'servers = {one = {command = "x"}}\n',
        'servers.one.command = "x"\n',
        '[servers]\none = {command = "x"}   # inline\n',
        '[servers."one"]\ncommand = "x"\n[model]\nname = "offline"\n[servers.one.env]\nA = "b"\n',
    ],
)
def test_however_it_is_laid_out_it_says_afterwards_what_it_should_or_is_left_alone(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    values, revision = read_server(path, "one")
    assert values is not None
    try:
        update_server(path, "one", values | {"cwd": "/x"}, revision=revision)
    except ConfigEditError:
        assert path.read_text() == text
    else:
        before = tomllib.loads(text)
        before["servers"]["one"]["cwd"] = "/x"
        assert tomllib.loads(path.read_text()) == before
    remaining = path.read_text()
    try:
        update_server(path, "new", {"command": "y"}, revision="")
    except ConfigEditError:
        assert path.read_text() == remaining
    else:
        assert tomllib.loads(path.read_text())["servers"]["new"] == {"command": "y"}


def test_what_another_program_wrote_in_the_meantime_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    _, revision = read_server(path, "one")
    real = os.fsync
    done: list[int] = []

    def fsync(descriptor: int) -> None:
        """Another program writes while ours is about to."""
        real(descriptor)
        if not done:
            done.append(path.write_text(TEXT + '\n[ui]\ntheme = "omni-light"\n'))

    monkeypatch.setattr(os, "fsync", fsync)
    update_server(path, "one", {"command": "z"}, revision=revision)
    written = tomllib.loads(path.read_text())
    assert written["ui"] == {"theme": "omni-light"}
    assert written["servers"]["one"] == {"command": "z"}
    assert [each.name for each in tmp_path.iterdir()] == ["config.toml"]

    def theirs(descriptor: int) -> None:
        real(descriptor)
        path.write_text(TEXT.replace('"x"', '"theirs"'))

    _, revision = read_server(path, "one")
    monkeypatch.setattr(os, "fsync", theirs)
    with pytest.raises(ConfigEditError, match="changed meanwhile"):
        update_server(path, "one", {"command": "ours"}, revision=revision)
    assert tomllib.loads(path.read_text())["servers"]["one"] == {"command": "theirs"}


def test_a_program_that_never_stops_writing_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    real, count = os.fsync, iter(range(1000))

    def fsync(descriptor: int) -> None:
        real(descriptor)
        path.write_text(TEXT + f"# {next(count)}\n")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ConfigEditError, match="another program"):
        set_server_enabled(path, "one", enabled=False)
    assert "enabled" not in path.read_text()


def test_a_read_only_file_is_left_alone_though_its_folder_is_not(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    path.chmod(0o444)
    _, revision = read_server(path, "one")
    for attempt in (
        lambda: update_server(path, "one", {"command": "z"}, revision=revision),
        lambda: set_server_enabled(path, "one", enabled=False),
        lambda: remove_server(path, "one"),
    ):
        with pytest.raises(ConfigEditError, match="read-only"):
            attempt()
    assert path.read_text() == TEXT


def test_switching_writes_one_line_and_takes_it_back(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text(TEXT)
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    set_server_enabled(link, "one", enabled=False)
    assert tomllib.loads(real.read_text())["servers"]["one"] == {"command": "x", "enabled": False}
    set_server_enabled(link, "one", enabled=True)
    assert real.read_text() == TEXT
    assert link.is_symlink()
    with pytest.raises(ConfigEditError, match="no server named two"):
        set_server_enabled(link, "two", enabled=False)
