"""The file of variables: named or beside the config, never searched for, never put into the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_tui.config.env_file import _parsed, read_env_file
from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.protocol import LaunchOptions
from tests.lengths import examples


def load(folder: Path, config: str = "", env_file: str = "", **environ: str) -> LoadedConfig:
    (folder / "config.toml").write_text(config)
    options = LaunchOptions(
        config=str(folder / "config.toml"), state_dir=str(folder / "state"), env_file=env_file
    )
    return load_config(options, environ)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_file_beside_the_config_gives_key_model_and_references(tmp_path: Path) -> None:
    before = dict(os.environ)
    text = 'LLM_API_KEY="the-key-of-the-file"\n\nOMNI_TUI_MODEL=openai/x\n'
    text += "export TOKEN=abc-abc-abc\nDEBUG=true\n"
    write(tmp_path / ".env", text)
    server = '[servers.a]\nurl = "https://x"\nheaders = { Authorization = "Bearer ${TOKEN}" }\n'
    loaded = load(tmp_path, server)
    assert loaded.problems == ()
    assert (loaded.model_key, loaded.config.model.name, loaded.debug) == (
        "the-key-of-the-file", "openai/x", True
    )  # fmt: skip
    assert loaded.servers[0].headers == {"Authorization": "Bearer abc-abc-abc"}
    assert {"the-key-of-the-file", "abc-abc-abc"} <= loaded.secrets
    assert (loaded.origins or {})["model", "name"] == f"{tmp_path / '.env'}:3"
    assert loaded.variable_origins["LLM_API_KEY"] == f"{tmp_path / '.env'}:1"
    assert dict(os.environ) == before


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    write(tmp_path / ".env", "LLM_API_KEY=of-the-file\n")
    loaded = load(tmp_path, LLM_API_KEY="of-the-environment")
    assert loaded.model_key == "of-the-environment"
    assert loaded.variable_origins == {"LLM_API_KEY": "environment"}


def test_a_flag_goes_before_the_config_and_that_before_the_usual_place(tmp_path: Path) -> None:
    write(tmp_path / ".env", "LLM_API_KEY=usual\n")
    write(tmp_path / "named", "LLM_API_KEY=named\n")
    flag = write(tmp_path / "flag", "LLM_API_KEY=flag\n")
    named = '[env]\nfile = "named"\n'
    assert load(tmp_path, named).model_key == "named"
    assert load(tmp_path, named, env_file=str(flag)).model_key == "flag"


def test_it_is_not_searched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / ".env", "LLM_API_KEY=of-the-working-folder\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(tmp_path)
    assert load(inner).model_key == ""


def test_a_project_may_not_name_one(tmp_path: Path) -> None:
    write(tmp_path / "theirs", "LLM_API_KEY=theirs\n")
    (tmp_path / ".omni-tui.toml").write_text('[env]\nfile = "theirs"\n')
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.toml").write_text("")
    options = LaunchOptions(
        config=str(tmp_path / "own/config.toml"), state_dir=str(tmp_path / "s"), project=str(tmp_path)
    )
    loaded = load_config(options, {})
    assert loaded.model_key == ""
    assert "it would read a file in your name" in loaded.problems[0].what


def test_nothing_in_it_is_filled_in(tmp_path: Path) -> None:
    file = write(tmp_path / "e", "A=x\nB=${A}-$A-$(whoami)\nC='${A}'\n")
    assert read_env_file(file, named=True).values == {"A": "x", "B": "${A}-$A-$(whoami)", "C": "${A}"}


def test_odd_lines_are_named_and_cost_no_other(tmp_path: Path) -> None:
    file = write(tmp_path / "e", "# words\nA=1\n\nnot a line\nNAME_ONLY\nB=2\nC='open\n")
    found = read_env_file(file, named=True)
    assert found.values == {"A": "1", "B": "2"}
    assert [note.where.rpartition(":")[2] for note in found.notes] == ["4", "5", "7"]
    file.chmod(0o644)
    assert "other users" in read_env_file(file, named=True).notes[0].what


@pytest.mark.parametrize("data", [b"\xff\xfe", b"x" * 300_000])
def test_a_file_of_no_use_is_one_problem(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "e").write_bytes(data)
    found = read_env_file(tmp_path / "e", named=True)
    assert (len(found.problems), found.values) == (1, {})


def test_a_named_file_that_is_missing_is_a_problem_and_the_usual_one_is_not(tmp_path: Path) -> None:
    assert "no such file" in load(tmp_path, env_file=str(tmp_path / "none")).problems[0].what
    assert load(tmp_path).problems == ()
    assert len(read_env_file(tmp_path, named=True).problems) == 1


@settings(max_examples=examples(80))
@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    values, lines, _ = _parsed(text)
    assert values.keys() == lines.keys()
