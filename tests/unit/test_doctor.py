"""What the doctor finds: files that make Python run code of LiteLLM at every start, plugins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omni_tui.cli.doctor import LITELLM_VERSION, _plugins, _redis, startup_files
from omni_tui.config.load import load_config
from omni_tui.plugins.plugin_states import PluginState, PluginStates
from omni_tui.protocol import LaunchOptions
from tests.plugin_folder import PluginFolder


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


def test_an_enabled_plugin_that_cannot_be_loaded_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = PluginFolder(tmp_path / "site")
    monkeypatch.syspath_prepend(site.folder)
    site.add("there", "raise SystemExit('it was run')")
    site.add("newer", "", version="2.0")
    states = PluginStates(tmp_path)
    for name in ("there", "newer", "gone"):
        states.write(name, PluginState(enabled=True, package=name, version="1.0"))
    states.write("broken", PluginState(fault="no luck"))
    loaded = load_config(LaunchOptions(state_dir=str(tmp_path)), {})
    found = {each.name: (each.level, each.what) for each in _plugins(loaded)}
    assert found == {
        "plugin there": ("ok", "enabled, there 1.0"),
        "plugin newer": ("bad", "enabled as 1.0, but 2.0 is installed"),
        "plugin gone": ("bad", "enabled, but not installed"),
        "plugin broken": ("note", "switched off: no luck"),
    }
    (tmp_path / "plugins.json").write_text("{")
    assert [each.level for each in _plugins(loaded)] == ["bad"]


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
