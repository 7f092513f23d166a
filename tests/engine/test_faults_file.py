"""A crash of the interpreter itself leaves where each thread was, in a private file beside the log."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from omni_tui.engine.engine_process import FAULTS_FILE, _tell_of_faults
from omni_tui.security.files import NotRegularFile

CRASHES = """
import os, signal, sys
from pathlib import Path
from omni_tui.engine.engine_process import _tell_of_faults
_tell_of_faults(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_a_crash_is_written_to_the_faults_file_and_not_to_the_terminal(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CRASHES, str(tmp_path)], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGSEGV
    assert done.stderr == b""
    file = tmp_path / FAULTS_FILE
    assert "Segmentation fault" in file.read_text()
    assert "Current thread" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / FAULTS_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotRegularFile, match="symbolic link"):
        _tell_of_faults(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
