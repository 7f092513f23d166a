"""Scripts for shells, made from the grammar; bash really completes with them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from omni_tui.cli.configuration import key_problems
from omni_tui.cli.parser import _subparsers, build_parser
from omni_tui.config.load import load_config
from omni_tui.protocol import LaunchOptions
from tests.command_line import command


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("completion") / "omni-tui"
    done = command("completion", "bash")
    assert done.returncode == 0
    assert "to use it" in done.stderr
    file.write_text(done.stdout)
    return file


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("conf", ["config"]),
        ("config ", ["check", "path", "show", "schema", "import"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("--mode ", ["chat", "auto", "orchestrator"]),
        ("run --demo --env", ["--env-file"]),
        ("sessions export --form", ["--format"]),
    ],
)
def test_bash_completes(bash_script: Path, line: str, offered: list[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    words = ["omni-tui", *line.split(" ")]
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        f"source {bash_script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        f"COMP_LINE='omni-tui {line}'; COMP_POINT=${{#COMP_LINE}}; _shtab_omni_tui; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert set(offered) <= set(done.stdout.split()), done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_every_command(shell: str) -> None:
    done = command("completion", shell)
    assert done.returncode == 0
    assert [name for name in _subparsers(build_parser()) if name not in done.stdout] == []
    program = shutil.which(shell)
    if program is not None:
        checked = subprocess.run(
            [program, "-n"], input=done.stdout, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr


def test_another_shell_is_refused() -> None:
    done = command("completion", "tcsh")
    assert (done.returncode, "tcsh" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('quit = "ctrl+p"', ["keys.quit: ctrl+p is also the key of palette"]),
        ('zoom = "f2"', ["keys.zoom: f2 is also the key of show_servers"]),
        ('zoom = "f2"\nshow_servers = "f6"', []),
        ('server_log = "e"', ["keys.server_log: e is also the key of server_edit"]),
        ('server_log = "m"', []),
    ],
)
def test_keys_that_two_actions_have_are_named(tmp_path: Path, table: str, words: list[str]) -> None:
    (tmp_path / "config.toml").write_text(f"[keys]\n{table}\n")
    options = LaunchOptions(config=str(tmp_path / "config.toml"), state_dir=str(tmp_path))
    found = [each.what for each in key_problems(load_config(options, {}))]
    assert len(found) == len(words)
    assert all(given.startswith(wanted) for given, wanted in zip(found, words, strict=True))


def test_mistaken_keys_alone_make_no_call_ask(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[keys]\nnonsense = "f9"\n')
    done = command(
        "config", "check", "--config", str(tmp_path / "config.toml"), "--state-dir", str(tmp_path)
    )
    assert done.returncode == 2
    assert "these keys do not do what they should" in done.stderr
    assert "every call asks" not in done.stderr
