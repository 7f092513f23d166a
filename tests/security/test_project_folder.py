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


def test_a_file_of_variables_above_the_installation_is_not_read(tmp_path: Path) -> None:
    """LiteLLM looks for one from its own folder upwards, and puts what it finds into the environment."""
    import litellm

    site = tmp_path / "venv" / "site-packages"
    site.mkdir(parents=True)
    (site / "litellm").symlink_to(Path(litellm.__file__).parent)
    planted = "OPENAI_BASE_URL=http://127.0.0.1:9/\nLITELLM_LOG=DEBUG\nPLANTED=1\nHTTPS_PROXY=http://127.0.0.1:9\n"
    (tmp_path / ".env").write_text(planted)
    script = (
        f"import os, sys\nsys.path.insert(0, {str(site)!r})\n"
        "from omni_tui.models._worker import ensure_litellm\n"
        f"before = dict(os.environ)\nassert ensure_litellm().__file__.startswith({str(site)!r})\n"
        "ours = {'LITELLM_LOCAL_MODEL_COST_MAP', 'LITELLM_LOG', 'LITELLM_MODE'}\n"
        "changed = {k for k, v in os.environ.items() if before.get(k) != v} - ours\n"
        "print(sorted(changed), os.environ['LITELLM_LOG'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[] ERROR\n"
    assert done.stderr == ""
