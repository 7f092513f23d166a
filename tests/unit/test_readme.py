"""What the README promises about the configuration holds word for word."""

from __future__ import annotations

import re
from pathlib import Path

import keyring
import pytest

from omni_tui.cli.parser import build_parser
from omni_tui.config.load import load_config
from omni_tui.protocol import LaunchOptions

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
KEYS = {"ANTHROPIC_API_KEY": "none", "TRACKER_TOKEN": "none", "ROBOT_KEY": "none"}


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
def test_its_configuration_is_taken_as_it_stands(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "get_password", lambda service, _name: "x" * (service == "omni-tui"))
    file = tmp_path / "config.toml"
    file.write_text(example)
    loaded = load_config(LaunchOptions(config=str(file), state_dir=str(tmp_path)), KEYS)
    assert loaded.problems == ()
    assert set(loaded.config.servers) in ({"files", "tracker", "wiki"}, {"robot"}, {"wages"}, set())
    assert [spec.problem for spec in loaded.servers if spec.problem] == []


def test_its_commands_exist() -> None:
    table = re.findall(r"^\| `omni-tui (\w+)", README, re.MULTILINE)
    parser = build_parser()
    known = next(action.choices for action in parser._actions if action.dest == "command")
    assert len(table) >= 6
    assert set(table) <= set(known or ())


def test_the_tests_that_it_names_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", README)
    assert len(named) > 10
    for path, name in named:
        text = (Path(__file__).parents[2] / path).read_text(encoding="utf-8")
        assert f"def {name}(" in text, f"{path}::{name}"
