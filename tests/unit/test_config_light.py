"""The forgiving reader of the face: it takes what it can and never raises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omni_tui.config.ui_settings import UiSettings, default_config_file, default_state_dir, read_ui


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_theme_and_keys(tmp_path: Path) -> None:
    path = written(
        tmp_path, '[ui]\ntheme = "x"\n[keys]\nquit = "f10"\n"zoom.pane" = "f6,z"\n[model]\nname = "m"\n'
    )
    assert read_ui(path) == UiSettings("x", {"quit": "f10", "zoom.pane": "f6,z"})


@pytest.mark.parametrize(
    ("text", "title", "bell"),
    [("title = false", False, True), ("bell = false", True, False), ('title = 0\nbell = "no"', True, True)],
)
def test_reads_how_the_terminal_is_told(tmp_path: Path, text: str, title: bool, bell: bool) -> None:
    assert read_ui(written(tmp_path, f"[ui]\n{text}\n")) == UiSettings(title=title, bell=bell)


def test_takes_the_good_lines_of_a_file_that_is_no_toml(tmp_path: Path) -> None:
    text = (
        '[model\nname = = 3\n[ui] # look\ntheme = "x"\nbroken = \n[keys]\nquit = "f10"\n[agent]\nx = "y"\n'
    )
    assert read_ui(written(tmp_path, text)) == UiSettings("x", {"quit": "f10"})


@pytest.mark.parametrize(
    "text",
    ["", "ui = 3\nkeys = []", "[ui]\ntheme = 7\n[keys]\nquit = 1", b"\xff\xfe\x00[ui]", "[" * 100_000],
)
def test_wrong_kinds_and_nonsense_are_left_out(tmp_path: Path, text: str | bytes) -> None:
    assert read_ui(written(tmp_path, text)) == UiSettings()


def test_a_file_or_folder_that_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    assert read_ui(tmp_path / "none.toml") == read_ui(tmp_path) == read_ui("a\0b") == UiSettings()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.text(alphabet='[]uikeys="\n.#{}\\ ', max_size=200).map(str.encode))
def test_never_raises(tmp_path: Path, data: bytes) -> None:
    found = read_ui(written(tmp_path, data))
    assert isinstance(found.theme, str)
    assert all(isinstance(value, str) for value in found.keys.values())


def test_default_places_follow_the_environment(clean_environment: Path) -> None:
    assert default_config_file() == clean_environment / "config" / "omni-tui" / "config.toml"
    assert default_state_dir() == clean_environment / "state" / "omni-tui"


def test_importing_it_loads_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import omni_tui.config.ui_settings;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names) - {'omni_tui'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
