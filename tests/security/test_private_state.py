"""What is on disk belongs to its person alone: checked whenever it is opened, repaired or refused."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.security.test_key_stores import omni, run, sessions

PLAIN = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}


def open_to_others(folder: Path) -> list[str]:
    """Return what below a folder, itself included, another user could read or enter."""
    every = [folder, *folder.rglob("*")]
    return [str(path) for path in every if stat.S_IMODE(path.lstat().st_mode) & 0o077]


def contents(place: Path) -> dict[str, bytes]:
    """Return what is in the files at or below a place, without the log, which says why nothing was done."""
    files = [path for path in (place, *place.rglob("*")) if path.is_file() and path.parent.name != "log"]
    return {str(path): path.read_bytes() for path in files}


def test_what_others_could_read_is_repaired_or_refused(tmp_path: Path) -> None:
    """A copy or a backup often comes back with modes that are too wide."""
    env = {**os.environ, **PLAIN}
    assert run(tmp_path, env=env).returncode == 0
    state = tmp_path / "state"
    for path in [state, *state.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o644)
    before = {path.name for path in state.rglob("*")}
    done = run(tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    left = open_to_others(state)
    assert left == [], left
    assert before <= {path.name for path in state.rglob("*")}
    assert len(sessions(tmp_path, env=env)) == 2


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_new_files_are_private_under_any_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        env = {**os.environ, **PLAIN}
        assert run(tmp_path, env=env).returncode == 0
        assert omni(tmp_path, "servers", env=env).returncode == 0
    finally:
        os.umask(before)
    assert open_to_others(tmp_path / "state") == []


@pytest.mark.parametrize("name", ["", "sessions", "vault.key", "trust.json", "audit.jsonl"])
def test_a_link_in_the_place_of_what_is_ours_is_not_followed(name: str, tmp_path: Path) -> None:
    env = {**os.environ, **PLAIN}
    assert run(tmp_path, env=env).returncode == 0
    place = tmp_path / "state" / name if name else tmp_path / "state"
    elsewhere = tmp_path / "elsewhere"
    shutil.move(place, elsewhere)
    before = contents(elsewhere)
    place.symlink_to(elsewhere)
    done = run(tmp_path, env=env)
    assert "Traceback" not in done.stderr
    assert contents(elsewhere) == before, "something was written through a link"
    # Without what is accepted, and without the installation's audit, a run goes on; its log says so.
    if name not in ("trust.json", "audit.jsonl"):
        assert "symbolic link" in done.stderr
