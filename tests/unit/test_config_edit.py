"""Editing the person's file: what they wrote stays, and it is never left half written."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from omni_tui.config.edit import EditRefused, add_server, remove_server

TEXT = """\
# mine
[model]
name = 'a/b'   # with care

[servers.one]   # the first
command = "x"

[policy]
auto = "ask"
"""


def test_adding_keeps_every_line_and_removing_restores_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    add_server(path, "two words", command="run", args=("a", 'quo"te'), env={"K": "${K}"})
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
    ("name", "arguments", "words"),
    [
        ("one", {"command": "y"}, "already"),
        ("n", {}, "a command or an address"),
        ("n", {"command": "x", "url": "https://x"}, "one of the two"),
        ("a\x1b", {"command": "x"}, "printable"),
    ],
)
def test_refusals_leave_the_file_alone(
    tmp_path: Path, name: str, arguments: dict[str, str], words: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    with pytest.raises(EditRefused, match=words):
        add_server(path, name, command=arguments.get("command", ""), url=arguments.get("url", ""))
    assert path.read_text() == TEXT


def test_a_mistaken_file_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[model\n")
    with pytest.raises(EditRefused, match="config check"):
        add_server(path, "n", command="x")
    with pytest.raises(EditRefused):
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
    with pytest.raises(EditRefused, match="No space left"):
        add_server(path, "n", command="x")
    assert path.read_text() == TEXT
    assert [each.name for each in tmp_path.iterdir()] == ["config.toml"]
