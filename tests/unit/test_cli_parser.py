"""The grammar of the command line (design section 5b)."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni_tui.cli.options import launch_options
from omni_tui.cli.output import CliError
from omni_tui.cli.parser import parse
from omni_tui.protocol import LaunchOptions

GLOBAL = ["--debug", "--json", "--config", "c", "--mcp-config", "m", "--project", ".", "--state-dir", "s"]
GLOBAL += ["--model", "a/b", "--api-base", "https://x", "--theme", "t"]
GLOBAL += ["--mode", "auto", "--connect-timeout", "90"]
COMMANDS = [
    ["run", "hello"],
    ["servers"],
    ["servers", "log", "name"],
    ["tools"],
    ["tools", "two", "words"],
    ["call", "server", "tool", "a=1"],
    ["config", "check"],
    ["config", "path"],
    ["config", "show"],
    ["sessions", "list"],
    ["sessions", "show", "id"],
    ["sessions", "delete", "id"],
    ["sessions", "backup"],
    ["sessions", "backup", "id", "id"],
    ["sessions", "restore", "id"],
    ["doctor"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_takes_every_global_option_before_and_after_its_name(command: list[str]) -> None:
    before, after, none = parse(GLOBAL + command), parse(command + GLOBAL), parse(command)
    assert vars(before) == vars(after)
    assert (before.debug, before.json, before.model, before.theme) == (True, True, "a/b", "t")
    assert (before.mode, before.connect_timeout) == ("auto", 90.0)
    assert (none.mode, none.connect_timeout) == ("", 0.0)
    assert (none.debug, none.json, none.model, none.config) == (False, False, "", "")
    assert none.command == command[0]


def test_a_prompt_that_begins_with_a_dash_is_a_prompt() -> None:
    assert parse(["run", "- tidy up the notes"]).prompt == "- tidy up the notes"
    assert parse(["run", "--", "--nope"]).prompt == "--nope"


def test_no_command_is_the_app() -> None:
    assert parse([]).command == "app"
    assert parse(["--new"]).new
    assert parse(["--session", "x"]).session == "x"
    assert parse(["demo"]).command == "demo"


@pytest.mark.parametrize(
    "words",
    [
        ["call", "s", "t", "a=1", "b=2", "--yes"],
        ["call", "--yes", "s", "t", "a=1", "b=2"],
        ["call", "s", "t", "--yes", "a=1", "b=2"],
        ["call", "s", "t", "a=1", "--yes", "b=2"],
        ["call", "s", "--yes", "t", "a=1", "b=2"],
    ],
    ids=" ".join,
)
def test_arguments_of_a_call_may_stand_on_either_side_of_options(words: list[str]) -> None:
    arguments = parse(words)
    assert (arguments.server, arguments.tool, arguments.pairs, arguments.yes) == (
        "s",
        "t",
        ["a=1", "b=2"],
        True,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cal", "x"], "did you mean call?"),
        (["config", "chek"], "did you mean check?"),
        (["run"], "PROMPT"),
        (["run", "x", "--mode", "yolo"], "known: chat, auto, orchestrator"),
        (["run", "x", "y"], "unknown: y"),
        (["call", "s", "t", "--nope"], "there is no option --nope"),
        (["servers", "--conf", "x"], "there is no option --conf; did you mean --config?"),
        (["--nope", "chat"], "there is no option --nope"),
        (["--nope=chat"], "there is no option --nope"),
        (["--yes", "call", "s", "t"], "--yes; it is an option of a command: omni-tui call … --yes"),
        (["sessions", "--mod", "auto", "list"], "there is no option --mod; did you mean --mode?"),
        (["servers", "nope"], "there is no action 'nope'; known: log"),
        (["nope"], "there is no command 'nope'; known: demo"),
        (["--mode", "yolo"], "there is no mode 'yolo'; known: chat, auto, orchestrator"),
        (["run", "x", "--mode", "autoo"], "see: omni-tui run --help"),
        (["sessions", "shw"], "see: omni-tui sessions --help"),
        (
            ["servers", "--connect-timeout", "soon"],
            "must be more than 0 and at most 3600 seconds, not 'soon'",
        ),
        (["sessions", "show"], "ID"),
        (["config"], "config needs one of: check, path, show"),
        (["sessions", "--json"], "sessions needs one of: list, show, search"),
        (["call", "s"], "missing: TOOL\n"),
        (["--json"], "--json needs a command"),
        (["demo", "--json"], "--json needs a command"),
        (["--new", "--session", "x"], "cannot be used together"),
        (["--config"], "expected one argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_end_with_2_and_say_what_is_meant(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse(words)
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 2


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["run", "--help"], ["config", "show", "--help"]]
)
def test_help_and_version_end_with_0(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(words)
    assert left.value.code == 0
    assert "omni-tui" in capsys.readouterr().out


def test_options_of_an_engine_have_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = launch_options(parse([*GLOBAL, "run", "x", "--mode", "auto"]), headless=True)
    assert options == LaunchOptions(
        config=str(tmp_path / "c"),
        mcp_config=str(tmp_path / "m"),
        project=str(tmp_path),
        state_dir=str(tmp_path / "s"),
        model="a/b",
        api_base="https://x",
        mode="auto",
        connect_timeout=90.0,
        resume="new",
        headless=True,
        debug=True,
    )


def test_what_the_app_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch_options(parse([])).resume == "auto"
    assert launch_options(parse(["--new"])).resume == "new"
    assert launch_options(parse(["--session", "abc"])).resume == "abc"
    assert launch_options(parse(["demo"])).demo
    assert launch_options(parse(["--mode", "chat"])).mode == "chat"
    assert launch_options(parse(["servers", "--connect-timeout", "90"])).connect_timeout == 90.0


def test_a_projects_file_in_the_current_folder_is_not_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch_options(parse(["servers"])).project == ""
    (tmp_path / ".omni-tui.toml").touch()
    assert launch_options(parse(["servers"])).project == str(tmp_path)
    assert launch_options(parse(["servers", "--demo"])).project == ""


def test_a_project_that_is_no_folder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no folder") as caught:
        launch_options(parse(["servers", "--project", str(tmp_path / "none")]))
    assert caught.value.status == 2


@pytest.mark.parametrize(
    "words",
    [
        ["run", "echo caf\udce9"],
        ["call", "server", "tool", "a=caf\udce9"],
        ["call", "server", "tool", "--args", '{"a": "\udce9"}'],
        ["--model", "\udce9", "servers"],
        ["--mcp-config", "/tmp/\udce9.json", "tools"],
        ["sessions", "show", "\udce9"],
        ["\udce9"],
    ],
)
def test_a_word_that_is_not_utf8_is_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(words)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "argument is not UTF-8 text: " in said
    assert "\\xe9" in said


@pytest.mark.parametrize("name", ["HOME", "XDG_STATE_HOME", "OMNI_TUI_MODEL"])
def test_a_variable_that_is_not_utf8_is_named(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "/home/caf\udce9")
    with pytest.raises(SystemExit):
        parse(["servers"])
    assert f"the environment variable {name} is not UTF-8 text: /home/caf\\xe9" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--{}",), ("{}",), ("call", "s", "t", "--json", "--{}"), ("run", "--mode", "{}")]
)
def test_a_hostile_word_is_shown_and_not_obeyed(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([word.format("\x1b]52;c;QQ==\x07\u202e") for word in words])
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "\u202e" not in said
