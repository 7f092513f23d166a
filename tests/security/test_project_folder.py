"""A folder that the app is started in is data: modules that lie about there are never imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = (
    "msgspec",
    "sqlite3",
    "json",
    "logging",
    "litellm",
    "mcp",
    "httpx",
    "keyring",
    "xllamacpp",
    "omni_tui",
)


def test_nothing_of_the_folder_is_run(tmp_path: Path) -> None:
    project, marker = tmp_path / "project", tmp_path / "ran"
    project.mkdir()
    for name in NAMES:
        (project / f"{name}.py").write_text(
            f"open({str(marker)!r}, 'a').write({name!r})\nraise SystemExit\n"
        )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "omni_tui", "run", "--demo", "--mode", "auto", "add 17 and 25"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "42" in done.stdout
    assert not marker.exists(), marker.read_text()
