"""The command that installs a package into the environment of this app, or removes one.

The environment says by its files who made it: `uv tool`, pipx or a virtual environment. Runs nothing.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

APP = "omni-tui"
EnvironmentKind = Literal["uv tool", "pipx", "pip", "uv", "refused"]
_VERSION = r"\s*[=<>!~]=?=?\s*[\w.*+!-]+"
_PACKAGE = re.compile(
    rf"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[\w,. -]+\])?(?:{_VERSION}(?:,{_VERSION})*)?"
)


class InstallRefused(Exception):
    """Nothing can be installed so: `what`, and in `todo` what to do instead."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo


@dataclass(frozen=True, slots=True)
class PluginEnvironment:
    """The environment that the app runs in. `why` says why nothing may be installed there."""

    kind: EnvironmentKind
    prefix: Path
    python: str
    receipt: Mapping[str, Any] | None = None
    why: str = ""

    def install(self, what: str) -> list[str]:
        """Return the command that installs a package, a folder or a wheel. Raises `InstallRefused`."""
        wanted = requirement(what)
        if self.kind == "uv tool":
            return self._uv_tool([*self._others(), *_with(wanted)])
        if self.kind == "pipx":
            return ["pipx", "inject", self.prefix.name, wanted]
        return [*self._pip("install"), wanted]

    def remove(self, package: str) -> list[str]:
        """Return the command that removes a package. Raises `InstallRefused`."""
        if _canonical(package) == APP:
            raise InstallRefused(
                "this plugin is a part of the app", f"Disable it: {APP} plugins disable NAME"
            )
        if self.kind == "uv tool":
            return self._uv_tool(self._others(without=package))
        if self.kind == "pipx":
            return ["pipx", "uninject", self.prefix.name, package]
        command = [*self._pip("uninstall"), package]
        return command if self.kind == "uv" else [*command[:-1], "-y", package]

    def _pip(self, action: str) -> list[str]:
        if self.kind == "pip":
            return [self.python, "-m", "pip", action]
        if self.kind == "uv":
            return ["uv", "pip", action, "-p", self.python]
        raise InstallRefused(self.why, f"Install {APP} with uv, pipx or in a virtual environment.")

    # --- uv tool --------------------------------------------------------------------------------

    def _uv_tool(self, others: list[str]) -> list[str]:
        own = next((one for one in self._requirements() if _canonical(str(one.get("name"))) == APP), {})
        return ["uv", "tool", "install", "--force", _as_text({"name": APP, **own}), *others]

    def _others(self, without: str = "") -> list[str]:
        """Return `--with` for everything that the tool has besides: what is not named again vanishes."""
        words: list[str] = []
        for one in self._requirements():
            name = _canonical(str(one.get("name", "")))
            if name not in (APP, _canonical(without)):
                words += _with(_as_text(one), editable="editable" in one)
        return words

    def _requirements(self) -> list[dict[str, Any]]:
        tool = (self.receipt or {}).get("tool")
        found = tool.get("requirements") if isinstance(tool, dict) else None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise InstallRefused(
                f"the file {self.prefix / 'uv-receipt.toml'} cannot be understood",
                f"Run it yourself: uv tool install {APP} --with PACKAGE, with every other --with again.",
            )
        return found


def this_environment(prefix: Path | None = None) -> PluginEnvironment:
    """Return the environment of this process."""
    prefix, python = prefix or Path(sys.prefix), sys.executable
    receipt = prefix / "uv-receipt.toml"
    if receipt.is_file():
        try:
            return PluginEnvironment("uv tool", prefix, python, tomllib.loads(receipt.read_text("utf-8")))
        except (OSError, ValueError):
            return PluginEnvironment("uv tool", prefix, python)
    if (prefix / "pipx_metadata.json").is_file():
        return PluginEnvironment("pipx", prefix, python)
    marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
    if prefix == Path(sys.base_prefix) and marker.is_file():
        why = "this Python is managed by the system, which forbids to install packages into it"
        return PluginEnvironment("refused", prefix, python, why=why)
    if importlib.util.find_spec("pip") is not None:
        return PluginEnvironment("pip", prefix, python)
    if shutil.which("uv"):
        return PluginEnvironment("uv", prefix, python)
    why = f"the environment {prefix} has no pip, and there is no uv"
    return PluginEnvironment("refused", prefix, python, why=why)


def requirement(what: str) -> str:
    """Return what an installer is given: an absolute path, or a package's name with a version.

    Raises `InstallRefused` for anything else: an option or an address would be taken for something else.
    """
    path = os.path.abspath(os.path.expanduser(what))
    if what and (os.path.isdir(path) or (os.path.isfile(path) and path.endswith((".whl", ".tar.gz")))):
        return path
    if _PACKAGE.fullmatch(what) and not os.path.isfile(path):
        return what
    raise InstallRefused(
        f"{what!r:.100} is no folder, no wheel and no package's name",
        "Name a package (like omni-tui-dice==1.0), a folder with a pyproject.toml, or a .whl file.",
    )


def _with(text: str, *, editable: bool = False) -> list[str]:
    return ["--with-editable" if editable else "--with", text]


def _as_text(one: Mapping[str, Any]) -> str:
    """Return a requirement of uv's receipt as uv takes it. Raises `InstallRefused` for an unknown kind."""
    name = str(one.get("name", ""))
    extras = f"[{','.join(map(str, one['extras']))}]" if one.get("extras") else ""
    for key in ("editable", "directory", "path"):
        if key in one:
            return f"{one[key]}{extras}" if not extras else f"{name}{extras} @ file://{one[key]}"
    if "url" in one:
        return f"{name}{extras} @ {one['url']}"
    if "git" in one:
        return f"{name}{extras} @ git+{one['git']}"
    unknown = set(one) - {"name", "extras", "specifier", "marker"}
    if unknown or not name:
        raise InstallRefused(
            f"uv's receipt says something unknown of {name or 'a package'}: {', '.join(sorted(unknown))}",
            f"Run it yourself: uv tool install {APP} --with PACKAGE, with every other --with again.",
        )
    return f"{name}{extras}{one.get('specifier', '')}"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
