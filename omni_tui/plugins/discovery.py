"""Find the plugins that are installed, without importing any.

Only the names of folders and the files `entry_points.txt` are read, which takes a millisecond or two.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

GROUP = "omni_tui.plugins"
"""As `api.GROUP`, which this module does not import."""
LONGEST_NAME = 60
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_TARGET = re.compile(r"[A-Za-z_][\w.]*(?::[A-Za-z_][\w.]*)?")
_LARGEST = 64 * 1024
_MOST = 200


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plugin that is installed in this environment.

    `target` is the module and object of its entry point. `folder` holds its package's metadata.
    `problem` says why it cannot be used, "" if nothing is known against it.
    """

    name: str
    target: str
    package: str
    version: str
    folder: Path
    problem: str = ""

    @property
    def module(self) -> str:
        """The module that its entry point names."""
        return self.target.partition(":")[0]


def find_plugins(path: Iterable[str] | None = None) -> list[InstalledPlugin]:
    """Return the plugins on the module search path, by name. Never raises.

    A name that a second package has too is a problem of that second one: the first one on the path counts.
    """
    found: dict[str, InstalledPlugin] = {}
    packages: set[str] = set()
    for folder in dict.fromkeys(sys.path if path is None else path):
        for metadata in _metadata_folders(folder):
            package, _, version = metadata.name.removesuffix(".dist-info").partition("-")
            package = re.sub(r"[-_.]+", "-", package).lower()
            if package in packages:  # hidden by an earlier one, as for Python
                continue
            packages.add(package)
            for plugin in _plugins_of(metadata, package, version):
                name, first = plugin.name, found.get(plugin.name)
                if first is not None:
                    name = f"{name} ({package})"
                    why = f"{first.package} has a plugin of this name too; uninstall one of them"
                    plugin = InstalledPlugin(name, plugin.target, package, version, metadata, why)
                if len(found) < _MOST:
                    found[name] = plugin
    return sorted(found.values(), key=lambda plugin: plugin.name)


def _metadata_folders(folder: str) -> Iterator[Path]:
    try:
        with os.scandir(folder or ".") as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(".dist-info"))
    except OSError:
        return
    for name in names:
        place = Path(folder, name)
        if (place / "entry_points.txt").is_file():
            yield place


def _plugins_of(metadata: Path, package: str, version: str) -> Iterator[InstalledPlugin]:
    try:
        with open(metadata / "entry_points.txt", "rb") as file:
            data = file.read(_LARGEST + 1)
        if GROUP.encode() not in data:
            return
        if len(data) > _LARGEST:
            raise ValueError(f"it is longer than {_LARGEST} bytes")
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(data.decode())
        pairs = list(parser.items(GROUP)) if parser.has_section(GROUP) else []
    except (OSError, ValueError, configparser.Error) as error:
        why = f"its entry points cannot be read ({type(error).__name__}); install it again"
        yield InstalledPlugin(package, "", package, version, metadata, why)
        return
    for name, target in pairs:
        target = target.partition("[")[0].strip()
        problem = ""
        if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
            problem = "its name must be small letters, digits, points and hyphens, at most 60"
        elif not _TARGET.fullmatch(target):
            problem = "its entry point names no module"
        yield InstalledPlugin(name[:LONGEST_NAME], target[:200], package, version, metadata, problem)
