"""Themes are files; a bad one costs only itself and says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.color import Color

from omni_tui.face.app import FaceOptions, OmniApp
from omni_tui.face.themes import (
    ThemeError,
    built_in_dir,
    fallback_variables,
    load_saved_theme,
    load_theme,
    load_themes,
    save_theme,
)
from tests.face import scenario
from tests.face.conftest import Face
from tests.face.fake import FakeClock, FakeLink

BUILT_IN = sorted(path.stem for path in built_in_dir().glob("*.toml"))


def test_the_promised_themes_are_there_and_whole() -> None:
    loaded, failed = load_themes([built_in_dir()])
    assert failed == []
    assert {"omni-dark", "omni-light", "terminal", "high-contrast"} <= {theme.name for theme in loaded}
    for theme in loaded:
        assert set(fallback_variables()) - {"ansi-background", "ansi-foreground"} <= set(theme.variables)
    assert [theme.name for theme in loaded if theme.ansi] == ["terminal"]


@pytest.mark.parametrize("name", BUILT_IN)
async def test_the_app_runs_in_every_theme(name: str) -> None:
    face = Face(*scenario.whole(), theme=name)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        assert face.app.theme == name
        assert "WRITES" in face.app.export_screenshot()


@pytest.mark.parametrize("name", ["omni-dark", "omni-light", "high-contrast"])
def test_what_has_to_be_read_can_be_read(name: str) -> None:
    theme = load_theme(built_in_dir() / f"{name}.toml")
    least = {
        "text-1": 7.0,
        "text-2": 4.5,
        "waiting": 4.5,
        "done": 4.5,
        "fail": 4.5,
        "mine": 4.5,
        "text-3": 3.0,
    }
    if name == "high-contrast":
        least = dict.fromkeys(least, 7.0)
    for back in ("page", "pane", "bar"):
        for role, ratio in least.items():
            contrast = _contrast(Color.parse(theme.variables[role]), Color.parse(theme.variables[back]))
            slack = 0.9 if back == "bar" else 1.0
            assert contrast >= ratio * slack, f"{role} on {back}: {contrast:.2f}"


def _contrast(one: Color, other: Color) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Color) -> float:
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.normalized]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ('primary = "#12"', "primary", "is not a colour"),
        ("dark = true", "primary", "is missing"),
        ('primary = "red"\nprimry = "red"', "primry", "did you mean primary?"),
        ('primary = "red"\ndark = "yes"', "dark", "cannot be 'yes'"),
        ('primary = "red"\n[variables]\nwaiting = "amberish"', "variables.waiting", "is not a colour"),
        ('primary = "red"\n[variables]\nx = 3', "variables.x", "must be text"),
        ("primary = ", "", "is not TOML"),
    ],
)
def test_a_bad_theme_says_which_file_which_key_and_why(
    tmp_path: Path, text: str, key: str, why: str
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    (tmp_path / "good.toml").write_text('primary = "#336699"')
    loaded, failed = load_themes([tmp_path])
    assert [theme.name for theme in loaded] == ["good"]
    assert [(bad.file, bad.key) for bad in failed] == [("mine.toml", key)]
    assert why in str(failed[0])


def test_a_theme_of_one_line_is_whole(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('primary = "#336699"')
    theme = load_theme(tmp_path / "one.toml")
    for role in ("waiting", "text-2", "page", "added"):
        Color.parse(theme.variables[role])


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ThemeError, match="UTF-8"):
        load_theme(path)


async def test_a_theme_of_the_person_and_its_memory(tmp_path: Path) -> None:
    (tmp_path / "dusk.toml").write_text('primary = "#cc8844"\nbackground = "#201818"')
    options = FaceOptions(themes_dir=str(tmp_path), state_dir=str(tmp_path / "state"))
    app = OmniApp(FakeLink(scenario.whole()), options, clock=FakeClock(scenario.NOW))
    async with app.run_test(size=(120, 40)) as pilot:
        app.run_named("theme", "dusk")
        await pilot.pause()
        assert app.theme == "dusk"
    assert load_saved_theme(str(tmp_path / "state")) == "dusk"
    assert OmniApp(FakeLink(), options).theme == "dusk"
    assert (
        OmniApp(FakeLink(), FaceOptions(theme="terminal", state_dir=options.state_dir)).theme == "terminal"
    )


def test_an_unknown_theme_falls_back(tmp_path: Path) -> None:
    assert OmniApp(FakeLink(), FaceOptions(theme="../../etc/passwd")).theme == "omni-dark"


def test_a_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    (tmp_path / "face.json").write_text("[1,")
    assert load_saved_theme(str(tmp_path)) == ""
    (tmp_path / "face.json").write_text("[1]")
    assert load_saved_theme(str(tmp_path)) == ""
    assert save_theme(str(tmp_path), "omni-light")
    assert load_saved_theme(str(tmp_path)) == "omni-light"
    assert list(tmp_path.iterdir()) == [tmp_path / "face.json"]


def test_a_folder_that_cannot_be_written_is_no_crash(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert not save_theme(str(blocked), "omni-light")
