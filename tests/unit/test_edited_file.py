"""The file of the person's own editor: what an attacker puts in its place is not read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omni_tui.face import editor
from omni_tui.face.editor import EditedFile


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("the secret")
    return path


def test_what_was_edited_comes_back_and_nothing_stays(tmp_path: Path) -> None:
    file = EditedFile("{}", str(tmp_path))
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    file.path.write_text('{"a": "é"}', encoding="utf-8")
    (file.path.parent / "arguments.json~").write_text("left by an editor")
    assert file.text() == '{"a": "é"}'
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_an_editor_may_replace_the_file(tmp_path: Path) -> None:
    file = EditedFile("{}", str(tmp_path))
    other = file.path.with_suffix(".new")
    other.write_text("new")
    other.replace(file.path)
    assert file.text() == "new"


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder", "device", "too long", "gone"])
def test_anything_else_in_its_place_is_not_read(
    kind: str, tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = EditedFile("{}", str(tmp_path))
    file.path.unlink()
    if kind == "link":
        file.path.symlink_to(secret)
    elif kind == "hard link":
        file.path.hardlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(file.path)
    elif kind == "folder":
        file.path.mkdir()
    elif kind == "device":
        file.path.symlink_to("/dev/zero")
    elif kind == "too long":
        monkeypatch.setattr(editor, "MAX_EDITED_BYTES", 10)
        file.path.write_text("x" * 11)
    with pytest.raises(OSError) as refused:  # noqa: PT011
        file.text()
    assert refused.value.strerror
    assert secret.read_text() == "the secret"
