"""The look for files that make Python run code of LiteLLM at every start."""

from __future__ import annotations

from pathlib import Path

from omni_tui.cli.doctor import LITELLM, startup_files


def test_start_up_files_of_litellm_are_found_and_others_left_alone(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "editable.pth").write_text("/home/me/litellm-fork/src\n")
    (site / "distutils-precedence.pth").write_text("import os; os.getenv('X')\n")
    assert startup_files([str(site), "", str(tmp_path / "none")]) == []
    (site / "litellm_init.pth").write_text("import base64; exec(base64.b64decode('eA=='))\n")
    (site / "sitecustomize.py").write_text("import litellm\n")
    found = startup_files([str(site), str(site)])
    assert [path.name for path in found] == ["litellm_init.pth", "sitecustomize.py"]


def test_the_doctors_pin_is_the_projects() -> None:
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert f'"litellm=={LITELLM}"' in pyproject.read_text()
