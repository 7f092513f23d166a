"""What a changed file means for an app that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.config.reload import compare, in_force
from omni_tui.protocol import LaunchOptions

TEXT = '[agent]\nmax_steps = 5\nmode = "chat"\n[servers.a]\ncommand = "x"\n[servers.b]\ncommand = "y"\n'


def load(folder: Path, text: str) -> LoadedConfig:
    (folder / "config.toml").write_text(text)
    return load_config(LaunchOptions(config=str(folder / "config.toml"), state_dir=str(folder)), {})


def test_the_same_file_is_nothing(tmp_path: Path) -> None:
    assert compare(load(tmp_path, TEXT), load(tmp_path, "# words\n" + TEXT)).is_nothing


def test_live_settings_count_and_others_wait(tmp_path: Path) -> None:
    before = load(tmp_path, TEXT)
    now = load(tmp_path, TEXT.replace("5", "9").replace("chat", "auto") + "[budget]\nday_cost = 1.0\n")
    change = compare(before, now)
    assert (change.live, change.restart) == (("agent.max_steps",), ("budget.day_cost", "agent.mode"))
    config = in_force(before, now).config
    assert (config.agent.max_steps, config.agent.mode, config.budget.day_cost) == (9, "chat", 0.0)


def test_servers_are_compared_one_by_one(tmp_path: Path) -> None:
    before = load(tmp_path, TEXT)
    now = load(tmp_path, TEXT.replace('"x"', '"z"').replace("servers.b", "servers.c"))
    change = compare(before, now)
    assert [(spec.name, spec.command) for spec in change.servers] == [("a", "z"), ("c", "y")]
    assert change.removed == ("b",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[agent]\nmax_steps = 0\n", "must be at least 1"),
        ("[agent\n", "this is not TOML"),
        ("[agent]\nsteps = 1\n", "has no key `steps`"),
        ('[[policy.rule]]\nid = "a"\ndecision = "perhaps"\n', "decision"),
    ],
)
def test_a_mistake_keeps_everything(tmp_path: Path, text: str, words: str) -> None:
    change = compare(load(tmp_path, TEXT), load(tmp_path, text))
    assert change.mistake is not None
    assert words in change.mistake.what
    assert not any((change.live, change.restart, change.servers, change.removed))


def test_a_broken_server_stays_as_it_was_and_costs_no_other(tmp_path: Path) -> None:
    before = load(tmp_path, TEXT)
    now = load(tmp_path, TEXT.replace('command = "x"', 'comand = "x"').replace('"y"', '"z"'))
    change = compare(before, now)
    assert change.mistake is None
    assert [spec.name for spec in change.servers] == ["b"]
    assert change.removed == ()
    assert "comand" in change.broken[0].what


def test_a_rule_counts_from_the_next_start(tmp_path: Path) -> None:
    rule = '[[policy.rule]]\nid = "a"\ndecision = "deny"\nserver = "x"\ntool = "{}"\n'
    before = load(tmp_path, rule.format("one"))
    assert compare(before, load(tmp_path, rule.format("two"))).restart == ("policy.rule",)


def test_a_variable_of_the_env_file_counts_from_the_next_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LLM_API_KEY=one\n")
    before = load(tmp_path, TEXT)
    (tmp_path / ".env").write_text("LLM_API_KEY=two\n")
    assert compare(before, load(tmp_path, TEXT)).restart == ("LLM_API_KEY",)
