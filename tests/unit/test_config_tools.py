"""Mistakes in `[tools]` are told with their place; a project's file may only lower limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.config.sections import ToolsSection, unknown_servers
from omni_tui.protocol import LaunchOptions


def load(folder: Path, text: str, project: str = "") -> LoadedConfig:
    file = folder / "config.toml"
    file.write_text(text)
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work" / ".omni-tui.toml").write_text(project)
    options = LaunchOptions(config=str(file), state_dir=str(folder), project=str(folder / "work"))
    return load_config(options, {})


@pytest.mark.parametrize(
    ("text", "what", "todo"),
    [
        ("concurrency = 0", "tools.concurrency must be at least 1, not 0", ""),
        ('cacheable = ["wiki"]', "tools.cacheable[0] must be SERVER/TOOL", ""),
        ('[tools.limits]\n"f/*" = { timeot = 3 }', "no key `timeot`", "did you mean `timeout`?"),
        ('[tools.limits]\n"f" = { timeout = 3 }', "tools.limits.f must be SERVER/TOOL", ""),
        ('[tools.retry]\n"w/*" = 99', 'tools.retry."w/*" must be at most 10', ""),
        ('[tools.routes]\n"search" = ["fast"]', "tools.routes.search must name two servers or more", ""),
        ('[tools.routes]\n"search" = ["a", "a"]', "each once", ""),
    ],
)
def test_a_mistake_is_explained(tmp_path: Path, text: str, what: str, todo: str) -> None:
    (problem,) = load(tmp_path, f"[tools]\n{text}\n").problems
    assert what in problem.what
    assert problem.todo == todo
    assert problem.where.startswith(str(tmp_path / "config.toml"))


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    text = '[tools.routes]\n"search*" = ["fast", "slow"]\n'
    text += '[tools.limits]\n"f/*" = { timeout = 30, concurrency = 2 }\n'
    loaded = load(tmp_path, text)
    assert loaded.problems == ()
    assert loaded.config.tools.routes == {"search*": ["fast", "slow"]}
    assert loaded.config.tools.limits["f/*"].concurrency == 2


@pytest.mark.parametrize(
    "project",
    [
        "concurrency = 17",
        "cache_ttl = 301",
        'cacheable = ["*/*"]',
        '[tools.retry]\n"*/*" = 3',
        '[tools.routes]\n"*" = ["mine", "theirs"]',
        '[tools.limits]\n"*/*" = { timeout = 3 }',
    ],
)
def test_a_project_cannot_loosen_or_divert(tmp_path: Path, project: str) -> None:
    loaded = load(tmp_path, "", f"[tools]\n{project}\n")
    assert len(loaded.problems) == 1
    assert loaded.config.tools == type(loaded.config.tools)()


def test_a_project_may_lower_limits(tmp_path: Path) -> None:
    loaded = load(tmp_path, "", "[tools]\nconcurrency = 2\ncache_ttl = 0\n")
    assert loaded.problems == ()
    assert (loaded.config.tools.concurrency, loaded.config.tools.cache_ttl) == (2, 0)


def test_names_of_servers_that_are_not_configured_are_noted() -> None:
    section = ToolsSection.model_validate(
        {
            "routes": {"get": ["one", "nosuch"]},
            "retry": {"nosuch/*": 1, "on?/get": 1},
            "limits": {"*/get": {"timeout": 3.0}},
            "pinned": ["two/a"],
        }
    )
    assert list(unknown_servers(section, ["one"])) == [
        ("tools.pinned", "two"),
        ("tools.retry", "nosuch"),
        ("tools.routes", "nosuch"),
    ]
