"""Which program a server really starts, and what about it is said before it is allowed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from omni_tui.approvals.pins import fingerprint
from omni_tui.config.launch_warnings import launch_warnings
from omni_tui.config.server_program import program_of
from omni_tui.config.spec import ServerSpec


def executable(path: Path, words: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {words or path}\n")
    path.chmod(0o755)
    return path


def started(spec: ServerSpec) -> str:
    """Return which program the system starts, by asking the program."""
    env = {"PATH": os.environ["PATH"]} | spec.env
    command = [spec.command, *spec.args]
    return (
        subprocess.run(command, cwd=spec.cwd or None, env=env, capture_output=True, check=True)
        .stdout.decode()
        .strip()
    )


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("git", "bin"), ("git", "nowhere:bin:/usr/bin"), ("./git", None), ("bin/git", None),
        ("git", ":bin"), ("git", ""),
    ],
)  # fmt: skip
def test_the_program_is_the_one_that_the_system_starts(
    command: str, path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "server", tmp_path / "elsewhere"
    for place in (folder, elsewhere):  # the same names stand where we are and where the server begins
        executable(place / "bin" / "git")
        executable(place / "git")
    monkeypatch.chdir(elsewhere)
    spec = ServerSpec(
        name="x", command=command, cwd=str(folder), env={} if path is None else {"PATH": path}
    )
    assert program_of(spec) == started(spec)


def test_the_fingerprint_follows_the_program_that_really_runs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        executable(tmp_path / name / "bin" / "git")
    specs = [
        ServerSpec(name="x", command="git", cwd=str(tmp_path / name), env={"PATH": "bin"}) for name in "ab"
    ]
    assert program_of(specs[0]) != program_of(specs[1])
    assert fingerprint(specs[0]) != fingerprint(specs[1])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (ServerSpec(name="x", command="git", env={"PATH": "bin"}), "PATH decides which programs run"),
        (ServerSpec(name="x", command="git", env={"PATH": "bin"}), "inside the project"),
        (ServerSpec(name="x", command="git", env={"PATH": "bin"}), "not the one of this name"),
        (ServerSpec(name="x", command="./bin/git"), "relative path"),
        (ServerSpec(name="x", command="no-such-program-anywhere"), "the program is not found"),
        (ServerSpec(name="x", command=sys.executable, args=("server.py",)), "argument 1 is a file"),
        (ServerSpec(name="x", command="node", args=("--require=server.py",)), "argument 1 is a file"),
        (ServerSpec(name="x", command="sh", args=("-c", "x")), "code from its arguments"),
        (ServerSpec(name="x", command="python3", args=("-Ic", "x")), "code from its arguments"),
        (ServerSpec(name="x", command="node", args=("--eval", "x")), "code from its arguments"),
        *(
            (ServerSpec(name="x", command="sh", env={name: "x"}), f"{name} can make it load")
            for name in (
                "LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PYTHONSTARTUP",
                "NODE_OPTIONS", "BASH_ENV", "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "PERL5OPT", "RUBYOPT",
                "JAVA_TOOL_OPTIONS", "npm_config_registry",
            )
        ),
        (ServerSpec(name="x", command="sh", env={"HTTPS_PROXY": "http://x"}), "where it connects to"),
        (ServerSpec(name="x", command="sh", env={"HOME": "/x"}), "which settings files"),
        (ServerSpec(name="x", url="http://mcp.example/"), "unencrypted"),
        (ServerSpec(name="x", url="https://exаmple.com/"), "letters that look like others"),
    ],
)  # fmt: skip
def test_what_is_odd_is_said(
    spec: ServerSpec, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "bin" / "git")
    (tmp_path / "server.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert any(words in said for said in launch_warnings(spec, [tmp_path]))


@pytest.mark.parametrize(
    "spec",
    [
        ServerSpec(name="x", command="sh", args=("--safe",)),
        ServerSpec(name="x", command="sh", env={"NODE_ENV": "production", "PYTHONUNBUFFERED": "1"}),
        ServerSpec(name="x", url="https://mcp.example/"),
        ServerSpec(name="x", url="http://127.0.0.1:8000/"),
    ],
)
def test_of_what_is_ordinary_nothing_is_said(
    spec: ServerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch_warnings(spec, [tmp_path]) == []


@pytest.mark.parametrize("command", ["./link/../tool", "{folder}/link/../tool", "link/.././tool"])
def test_a_way_back_over_a_link_names_what_the_system_finds_there(tmp_path: Path, command: str) -> None:
    for folder in (tmp_path, tmp_path / "deep"):
        (folder / "inner").mkdir(parents=True)
        executable(folder / "tool")
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "inner")
    spec = ServerSpec(name="x", command=command.format(folder=tmp_path), cwd=str(tmp_path))
    assert program_of(spec) == started(spec) == str(tmp_path / "deep" / "tool")


def test_no_way_back_shows_a_program_of_the_system_in_the_place_of_the_projects(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "a" / "b" / "c" / "d" / "e").mkdir(parents=True)
    (project / "x").symlink_to("a/b/c/d/e")
    own = project / "a" / "bin" / "sh"
    own.parent.mkdir()
    executable(own)
    spec = ServerSpec(name="x", command=f"{project}/x/../../../../bin/sh", cwd=str(project))
    assert program_of(spec) == started(spec) == str(own)
    assert any("inside the project" in words for words in launch_warnings(spec, [project]))


@pytest.mark.parametrize("command", ["/proc/self/cwd/tool", "/proc/self/cwd/../tool", "/dev/fd/3"])
def test_a_path_that_means_another_file_to_each_process_is_said(tmp_path: Path, command: str) -> None:
    said = launch_warnings(ServerSpec(name="x", command=command, cwd=str(tmp_path)), [])
    assert any("a different file for each process" in words for words in said)


def test_modules_of_the_projects_folder_are_said(tmp_path: Path) -> None:
    spec = ServerSpec(name="x", command="python3", args=("-m", "server"), cwd=str(tmp_path))
    assert any("loads modules" in words for words in launch_warnings(spec, [tmp_path]))
    assert not any("loads modules" in words for words in launch_warnings(spec, [tmp_path / "other"]))
