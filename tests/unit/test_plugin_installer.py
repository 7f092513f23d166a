"""The command that installs a plugin, for each kind of environment; run by nobody here."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from omni_tui.plugins.installer import InstallRefused, requirement, this_environment

RECEIPT = """
[tool]
requirements = [
  { name = "omni-tui", extras = ["web"], specifier = "==0.1.0" },
  { name = "omni-tui-dice", specifier = ">=1" },
  { name = "omni-tui-own", directory = "/home/me/own" },
  { name = "omni-tui-edited", editable = "/home/me/edited" },
  { name = "omni-tui-far", git = "https://git.example/far?rev=1" },
]
entrypoints = [{ name = "omni-tui", install-path = "/bin/omni-tui" }]
"""
WITH = ["--with", "omni-tui-dice>=1", "--with", "/home/me/own", "--with-editable", "/home/me/edited"]
FAR = ["--with", "omni-tui-far @ git+https://git.example/far?rev=1"]


def test_a_tool_of_uv_is_installed_again_with_everything_it_has(tmp_path: Path) -> None:
    (tmp_path / "uv-receipt.toml").write_text(RECEIPT)
    environment = this_environment(tmp_path)
    start = ["uv", "tool", "install", "--force", "omni-tui[web]==0.1.0"]
    assert environment.install("omni-tui-new") == [*start, *WITH, *FAR, "--with", "omni-tui-new"]
    assert environment.remove("Omni_TUI.Dice") == [*start, *WITH[2:], *FAR]


@pytest.mark.parametrize(
    "receipt",
    [
        "",
        "not TOML [",
        "[tool]\nrequirements = 5",
        "[tool]\nrequirements = ['omni-tui']",
        RECEIPT.replace('specifier = ">=1"', 'hash = "x"'),
    ],
)
def test_a_receipt_that_is_not_understood_is_not_guessed_at(tmp_path: Path, receipt: str) -> None:
    (tmp_path / "uv-receipt.toml").write_text(receipt)
    with pytest.raises(InstallRefused) as refused:
        this_environment(tmp_path).install("omni-tui-new")
    assert "uv tool install" in refused.value.todo


def test_pipx_injects(tmp_path: Path) -> None:
    prefix = tmp_path / "omni-tui"
    prefix.mkdir()
    (prefix / "pipx_metadata.json").write_text("{}")
    environment = this_environment(prefix)
    assert environment.install("omni-tui-new==1.0") == ["pipx", "inject", "omni-tui", "omni-tui-new==1.0"]
    assert environment.remove("omni-tui-new") == ["pipx", "uninject", "omni-tui", "omni-tui-new"]


def test_a_virtual_environment_uses_its_pip_else_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    environment = this_environment(tmp_path)
    assert environment.install(str(tmp_path)) == [sys.executable, "-m", "pip", "install", str(tmp_path)]
    assert environment.remove("a")[-3:] == ["uninstall", "-y", "a"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    environment = this_environment(tmp_path)
    assert environment.install("a") == ["uv", "pip", "install", "-p", sys.executable, "a"]
    assert environment.remove("a") == ["uv", "pip", "uninstall", "-p", sys.executable, "a"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InstallRefused, match="no pip, and there is no uv"):
        this_environment(tmp_path).install("a")


def test_a_python_of_the_system_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "EXTERNALLY-MANAGED").write_text("")
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
    with pytest.raises(InstallRefused, match="managed by the system") as refused:
        this_environment(Path(sys.base_prefix)).install("a")
    assert "virtual environment" in refused.value.todo


@pytest.mark.parametrize(
    "what",
    [
        "", "-r", "--index-url=https://evil.example", "https://evil.example/a.whl", "git+ssh://x/y", "a b",
        "a; import os", "a @ https://evil.example/a.whl", "../nowhere", "a==1 --pre", "a\n--pre", "$(id)",
    ],
)  # fmt: skip
def test_an_option_or_address_is_not_handed_to_an_installer(what: str) -> None:
    with pytest.raises(InstallRefused):
        requirement(what)


def test_what_may_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-own").mkdir()
    (tmp_path / "a-1.0-py3-none-any.whl").write_text("")
    (tmp_path / "a.txt").write_text("")
    assert requirement("-own") == str(tmp_path / "-own"), "a path is absolute, and so never an option"
    assert requirement("a-1.0-py3-none-any.whl").startswith("/")
    for name in ("omni-tui-dice", "omni_tui.dice==1.0", "a[b,c]>=1,<2", "a~=1.4"):
        assert requirement(name) == name
    with pytest.raises(InstallRefused):
        requirement("a.txt")


def test_the_app_itself_is_not_removed(tmp_path: Path) -> None:
    with pytest.raises(InstallRefused, match="part of the app"):
        this_environment(tmp_path).remove("Omni.TUI")
