"""`omni-tui plugins` in this process: what it prints, what it asks, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni_tui.__main__ import main
from omni_tui.plugins.plugin_states import PLUGINS_FILE, PluginStates
from omni_tui.plugins.template import TemplateRefused, plugin_files
from tests.plugin_folder import THEME, PluginFolder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginFolder:
    made = PluginFolder(tmp_path / "site")
    monkeypatch.syspath_prepend(made.folder)
    return made


def run(tmp_path: Path, *words: str) -> int:
    return main(["plugins", *words, "--state-dir", str(tmp_path / "state")])


def test_one_is_enabled_only_where_a_person_says_so(
    tmp_path: Path, site: PluginFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("one", THEME.format(name="mine"), permissions=("network",))
    assert run(tmp_path, "enable", "one") == 1
    told = capsys.readouterr().err
    assert "permissions: network" in told
    assert "own rights" in told
    assert "Nobody can answer here; add --yes" in told
    assert not (tmp_path / "state" / PLUGINS_FILE).exists()
    assert run(tmp_path, "enable", "one", "--yes") == 0
    assert PluginStates(tmp_path / "state").read()["one"].enabled
    assert run(tmp_path, "show", "one") == 0
    shown = capsys.readouterr().out
    assert "themes: mine" in shown
    assert "enabled" in shown
    assert run(tmp_path, "disable", "one") == 0
    assert not PluginStates(tmp_path / "state").read()["one"].enabled
    audit = (tmp_path / "state" / "audit.jsonl").read_text()
    assert "plugin enabled" in audit
    assert "plugin disabled" in audit


def test_a_faulty_one_is_not_enabled_and_its_words_are_made_safe(
    tmp_path: Path, site: PluginFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("bad", "raise RuntimeError('\\x1b]0;title\\x07 no\\u202e luck')")
    assert run(tmp_path, "enable", "bad", "--yes") == 1
    told = capsys.readouterr().err
    assert "is not enabled" in told
    assert "no" in told
    assert not {"\x1b", "\x07", "\u202e"} & set(told)
    assert run(tmp_path, "check", "bad", "--json") == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert report["ok"] is False


@pytest.mark.parametrize("action", ["show", "check", "enable", "remove"])
def test_an_unknown_one_is_a_mistake_with_the_nearest_name(
    tmp_path: Path, site: PluginFolder, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    site.add("dice", THEME.format(name="mine"))
    assert run(tmp_path, action, "dise") == 2
    assert "did you mean dice?" in capsys.readouterr().err


def test_without_plugins_it_says_how_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("omni_tui.cli.plugins.find_plugins", list)
    assert run(tmp_path, "list") == 0
    told = capsys.readouterr()
    assert "no plugins are installed" in told.out
    assert "plugins new NAME" in told.err


def test_a_new_one_is_written_once_and_only_under_a_good_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "new", "my-dice", "--folder", str(tmp_path)) == 0
    assert (tmp_path / "my-dice" / "pyproject.toml").is_file()
    assert run(tmp_path, "new", "my-dice", "--folder", str(tmp_path)) == 2
    assert "exists already" in capsys.readouterr().err
    for name in ("../up", "A", "a b", "", "9a", "x" * 31, "a\n"):
        with pytest.raises(TemplateRefused):
            plugin_files(name, "tools")
    assert run(tmp_path, "new", "../up", "--folder", str(tmp_path)) == 2


def test_an_action_is_needed() -> None:
    with pytest.raises(SystemExit) as left:
        main(["plugins"])
    assert left.value.code == 2
