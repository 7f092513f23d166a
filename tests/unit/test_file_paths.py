"""Paths that programs read differently are never said to be inside a folder. Hostile paths first."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from omni_tui.policy.file_paths import folder_problem, is_within


@pytest.mark.parametrize(
    "path",
    [
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "c:x",
        " /etc/passwd",
        "\t/etc/passwd",
        "\u00a0/etc/passwd",
        "\ufeff/etc/passwd",
        "x\n",
        "a\x1bb",
        "$HOME/.ssh/id_rsa",
        "${HOME}/x",
        "a/$(id)",
        "%2e%2e/%2e%2e/etc/passwd",
        "a%2Fb",
        "~user/x",
        "~root",
        "~+",
    ],
)
def test_a_path_that_programs_read_differently_is_unclear(tmp_path: Path, path: str) -> None:
    assert is_within(path, (str(tmp_path),), str(tmp_path)) is None


@pytest.mark.parametrize("folder", ["/a/$HOME", "/a/%2e%2e", "/a ", "/a\x1bb", "~user/x"])
def test_a_folder_of_a_rule_is_written_so_that_all_read_it_alike(folder: str) -> None:
    assert folder_problem(folder)
    assert not folder_problem("/srv/50% off")


def test_another_form_of_the_same_letters_is_unclear(tmp_path: Path) -> None:
    composed = str(tmp_path / "caf\u00e9")
    other = unicodedata.normalize("NFD", composed)
    assert is_within(f"{other}/x", (composed,)) is None
    assert is_within(f"{composed}/x", (other,)) is None
    assert is_within(f"{composed}/x", (composed,)) is True
    assert is_within(f"{other}/x", (other,)) is True


@pytest.mark.parametrize("path", ["a b", "100%", "50% off", "a~", "a/~b", "x-1.txt", "\u65e5", "d/a:b"])
def test_an_ordinary_name_is_inside(tmp_path: Path, path: str) -> None:
    assert is_within(path, (str(tmp_path),), str(tmp_path)) is True
