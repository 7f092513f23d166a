"""`[telemetry]`: exported only where it may go, with headers that are references, and not by a project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.protocol import LaunchOptions


def load(
    folder: Path, text: str, environ: Mapping[str, str] | None = None, project: str = ""
) -> LoadedConfig:
    file, there = folder / "config.toml", folder / "project"
    file.write_text(text)
    there.mkdir()
    (there / ".omni-tui.toml").write_text(project)
    options = LaunchOptions(config=str(file), project=str(there), state_dir=str(folder / "state"))
    return load_config(options, environ or {})


def test_headers_are_references_which_are_kept_out_of_the_log(tmp_path: Path) -> None:
    text = '[telemetry]\notlp = "https://otel.example"\nheaders = {Authorization = "Bearer ${OTEL_KEY}"}\n'
    loaded = load(tmp_path, text, {"OTEL_KEY": "k-123456789"})
    assert loaded.telemetry_problem == ""
    assert loaded.telemetry_headers == {"Authorization": "Bearer k-123456789"}
    assert "Bearer k-123456789" in loaded.secrets


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('otlp = "https://otel.example"\nheaders = {Authorization = "${NONE}"}', "NONE"),
        ('otlp = "http://otel.example"\nheaders = {Authorization = "${KEY}"}', "over plain HTTP"),
        ('otlp = "http://otel.example:4318"\ncontents = true', "over plain HTTP"),
    ],
)
def test_where_nothing_can_be_sent_it_says_why_and_the_rest_counts(
    tmp_path: Path, text: str, why: str
) -> None:
    loaded = load(tmp_path, f'[telemetry]\n{text}\n[agent]\nmode = "auto"\n', {"KEY": "k-123456789"})
    assert why in loaded.telemetry_problem
    assert why in loaded.notes[0].what
    assert "config.toml" in loaded.notes[0].where
    assert not loaded.problems
    assert loaded.config.agent.mode == "auto"


def test_this_machine_gets_it_over_plain_http(tmp_path: Path) -> None:
    text = '[telemetry]\notlp = "http://127.0.0.1:4318"\ncontents = true\nprometheus_port = 9464\n'
    loaded = load(tmp_path, text)
    assert not loaded.telemetry_problem
    assert not loaded.problems


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('headers = {Authorization = "in clear"}', "must hold a reference"),
        ('headers = {"a b" = "${KEY}"}', "must be the name of an HTTP header"),
        ('headers = {"a\\r\\nHost" = "${KEY}"}', "must be the name of an HTTP header"),
        ('otlp = "ftp://otel.example"', "must begin with https:// or http://"),
        ("prometheus_port = 70000", "65535"),
        ("exporter = true", "exporter"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, what: str) -> None:
    loaded = load(tmp_path, f"[telemetry]\n{text}\n", {"KEY": "k"})
    (mistake,) = loaded.problems
    assert what in mistake.what
    assert loaded.config.telemetry.otlp == ""


def test_a_project_cannot_have_anything_exported(tmp_path: Path) -> None:
    project = '[telemetry]\notlp = "https://evil.example"\nprometheus_port = 9464\ncontents = true\n'
    loaded = load(tmp_path, "", project=project)
    assert len(loaded.problems) == 3
    assert all("it decides who is told what you do" in each.what for each in loaded.problems)
    assert loaded.config.telemetry.model_dump() == {
        "otlp": "", "headers": {}, "prometheus_port": 0, "contents": False,
    }  # fmt: skip
