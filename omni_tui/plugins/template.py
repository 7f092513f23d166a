"""Write a new plugin: a working one of each kind, with its test, from the folder `templates`."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

KINDS = {
    "tools": "Dice to roll",
    "model": "A model that repeats what you say",
    "transport": "Servers behind a Unix socket",
    "memory": "Copies of sessions in a folder",
    "theme": "A theme in the colours of a sunset",
}
"""The kinds, and what the plugin of each does."""
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


class TemplateRefused(Exception):
    """Nothing was written; `todo` says what to do."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.todo = todo


def plugin_files(name: str, kind: str) -> dict[str, str]:
    """Return the files of a new plugin by their paths in its folder. Raises `TemplateRefused`."""
    if not _NAME.fullmatch(name) or len(name) > 30:
        raise TemplateRefused(
            f"{name!r:.60} cannot be a plugin's name",
            "Use at most 30 small letters, digits and hyphens, like my-dice.",
        )
    module = f"omni_tui_{name.replace('-', '_')}"
    values = {"NAME": name, "MODULE": module, "PACKAGE": f"omni-tui-{name}", "SUMMARY": KINDS[kind]}
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}.py": f"{kind}.py",
        f"test_{module}.py": f"{kind}_test.py",
    }
    return {path: _filled(template, values) for path, template in templates.items()}


def write_plugin(name: str, kind: str, parent: Path) -> Path:
    """Write a new plugin into a folder of its name; return that. Raises `TemplateRefused`, `OSError`."""
    made = plugin_files(name, kind)
    folder = parent / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise TemplateRefused(f"{folder} exists already", "Choose another name or --folder.") from None
    for path, text in made.items():
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def _filled(template: str, values: dict[str, str]) -> str:
    text = (files("omni_tui.plugins") / "templates" / f"{template}.txt").read_text("utf-8")
    return re.sub("@([A-Z]+)@", lambda found: values[found[1]], text)
