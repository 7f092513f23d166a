"""A mistake names the place where it is put right: file and line, variable, or flag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omni_tui.cli.configuration import key_problems
from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.face.keys import is_key
from omni_tui.protocol import LaunchOptions

PLAIN = "http://somewhere.example/v1"


def load(
    tmp_path: Path, text: str = "", environ: dict[str, str] | None = None, **options: str
) -> LoadedConfig:
    file = tmp_path / "config.toml"
    file.write_text(text)
    given = LaunchOptions(config=str(file), state_dir=str(tmp_path), **options)  # type: ignore[arg-type]
    return load_config(given, environ or {})


@pytest.mark.parametrize(
    ("options", "where"),
    [({"mode": "yolo"}, "command line: --mode"), ({"api_base": "ftp://x"}, "command line: --api-base")],
)
def test_a_mistaken_flag_is_named(tmp_path: Path, options: dict[str, Any], where: str) -> None:
    assert [each.where for each in load(tmp_path, **options).problems] == [where]


@pytest.mark.parametrize(
    ("text", "environ", "line"),
    [
        ('[model]\nname = "a/b"\n\nkey = "${NOT_THERE}"\n', {}, 4),
        (f'[model]\nname = "openai/x"\napi_base = "{PLAIN}"\n', {"LLM_API_KEY": "k"}, 3),
        ('\n[models."a/b"]\nkey = "${NOT_THERE}"\n', {}, 2),
        (f'\n[models."openai/x"]\nkey = "${{K}}"\napi_base = "{PLAIN}"\n', {"K": "k"}, 2),
    ],
)
def test_what_is_wrong_with_a_value_names_its_line(
    tmp_path: Path, text: str, environ: dict[str, str], line: int
) -> None:
    (found,) = load(tmp_path, text, environ).problems
    assert found.where == f"{tmp_path / 'config.toml'}:{line}"


def test_an_address_from_the_command_line_is_mended_there(tmp_path: Path) -> None:
    (found,) = load(tmp_path, environ={"LLM_API_KEY": "k"}, api_base=PLAIN, model="openai/x").problems
    assert found.where == "command line: --api-base"


def test_a_note_names_its_line_too(tmp_path: Path) -> None:
    (note,) = load(tmp_path, '[tools]\n\npinned = ["nowhere/x"]\n').notes
    assert note.where == f"{tmp_path / 'config.toml'}:3"


@pytest.mark.parametrize("option", ["config", "mcp_config"])
@pytest.mark.parametrize("demo", [False, True])
def test_a_named_file_that_is_not_there_is_a_mistake_with_the_demo_too(
    tmp_path: Path, option: str, demo: bool
) -> None:
    missing = str(tmp_path / "none")
    options = LaunchOptions(state_dir=str(tmp_path), demo=demo, **{option: missing})  # type: ignore[arg-type]
    (found,) = load_config(options, {}).problems
    assert missing in found.where


def test_the_demo_says_that_it_does_not_use_a_named_configuration(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[policy]\norchestrator = "ask"\n')
    loaded = load_config(LaunchOptions(state_dir=str(tmp_path), demo=True, config=str(file)), {})
    (note,) = loaded.notes
    assert (note.where, str(file) in note.what) == ("--config", True)
    assert loaded.problems == ()


def test_the_table_of_keys_is_judged_with_its_lines(tmp_path: Path) -> None:
    text = '[keys]\nhelp = "f1"\nhepl = "f2"\nzoom = "ctlr+x"\nquit = "f99,ctrl+q"\napprove = "enter"\n'
    found = key_problems(load(tmp_path, text))
    assert [(each.where.rpartition(":")[2], each.what) for each in found] == [
        ("3", "keys.hepl: there is no such action; did you mean help?"),
        ("4", "keys.zoom: there is no key ctlr+x"),
        ("5", "keys.quit: there is no key f99; did you mean f9?"),
        (
            "6",
            "keys.approve: enter is pressed by habit and so may never approve; "
            "use a capital, ctrl+… or F8 to F12",
        ),
    ]


@pytest.mark.parametrize(
    "key", ["A", "a", "?", "f5", "f24", "ctrl+x", "ctrl+shift+up", "alt+enter", "slash", "question_mark",
            "pageup", "ctrl+_", "shift+f3", "space", "plus", "+", "ctrl++"]
)  # fmt: skip
def test_names_of_keys(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize("key", ["", "ctlr+x", "f99", "retrun", "ctrl+", "AA", "strg+x"])
def test_what_is_no_key(key: str) -> None:
    assert not is_key(key)
