"""The schema says of each key what it is and when a change counts; a valid file fits it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from omni_tui.config.schema import RULE_PROPERTIES, config_schema, settings
from omni_tui.policy.rule_table import RULE_KEYS
from tests.command_line import command

SCHEMA = config_schema()


def properties(node: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        for name, each in node.get("properties", {}).items():
            yield f"{where}.{name}", each
        for key, each in node.items():
            yield from properties(each, f"{where}.{key}")
    elif isinstance(node, list):
        for each in node:
            yield from properties(each, where)


def test_every_field_has_a_description_in_one_plain_sentence() -> None:
    found = dict(properties(SCHEMA))
    assert len(found) > 110
    assert [name for name, each in found.items() if not each.get("description", "").endswith(".")] == []


def test_every_key_of_the_file_says_when_a_change_counts() -> None:
    own = {name: each for name, each in properties(SCHEMA) if "PolicySection.properties.rule." not in name}
    assert {each.get("applies") for each in own.values()} == {"live", "restart"}


def test_rules_have_the_keys_that_are_read() -> None:
    assert tuple(RULE_PROPERTIES) == RULE_KEYS


def test_the_list_of_settings_is_whole() -> None:
    names = {each.name: each for each in settings()}
    assert names["agent.max_steps"].applies == "live"
    assert names["memory.redis.url"].applies == "restart"
    assert all(each.description for each in names.values())


@pytest.mark.parametrize(
    ("document", "fits"),
    [
        ({}, True),
        ({"agent": {"max_steps": 3}, "servers": {"a": {"command": "x"}}}, True),
        ({"policy": {"rule": [{"id": "a", "decision": "deny", "tool": "rm_*"}]}}, True),
        ({"agent": {"max_steps": 0}}, False),
        ({"agent": {"steps": 3}}, False),
        ({"policy": {"rule": [{"id": "a", "decision": "perhaps"}]}}, False),
    ],
)
def test_a_file_is_checked_by_it(document: dict[str, Any], fits: bool) -> None:
    assert jsonschema_rs.validator_for(SCHEMA).is_valid(document) is fits


def test_the_command_prints_it() -> None:
    assert json.loads(command("config", "schema").stdout) == json.loads(json.dumps(SCHEMA))


def test_the_origin_of_each_setting_is_told(tmp_path: Path) -> None:
    config, state = tmp_path / "config.toml", tmp_path / "state"
    config.write_text('[agent]\nmax_steps = 3\n[servers.a]\ncommand = "x"\n')
    (tmp_path / ".omni-tui.toml").write_text("[agent]\nparallel = 2\n")
    (tmp_path / ".env").write_text("LLM_API_KEY=secret-secret-1\n")
    words = ("config", "show", "--origin", "--json", "--config", str(config), "--state-dir", str(state))
    done = command(*words, "--project", str(tmp_path), "--mode", "auto", "--model", "openai/x")
    found = {row["key"]: (row["layer"], row["where"]) for row in json.loads(done.stdout)}
    assert found["agent.max_steps"] == ("user", f"{config}:2")
    assert found["agent.parallel"] == ("project", f"{tmp_path / '.omni-tui.toml'}:2")
    assert found["agent.mode"] == ("flag", "command line: --mode")
    assert found["budget.day_cost"] == ("default", "")
    assert found["LLM_API_KEY"] == ("env file", f"{tmp_path / '.env'}:1")
    assert found["servers.a"] == ("user", f"{config}:3")
    assert "secret-secret-1" not in done.stdout
