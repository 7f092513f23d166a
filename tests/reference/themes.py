"""The page of themes, from the files of `themes/` and the roles of `omni_tui.face.themes`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from omni_tui.face.themes import _COLOURS, _ROLES, DEFAULT_THEME
from tests.reference.types import table

FOLDER = Path(__file__).resolve().parents[2] / "themes"
INTRODUCTION = f"""\
# Theme reference

The built-in themes and the colours of a theme file. [Themes](../themes.md) says how to choose one and how
to make your own. The default is `{DEFAULT_THEME}`.
"""
ROLES = {
    "waiting": "what waits for you",
    "done": "what went well",
    "fail": "what failed, or destroys",
    "mine": "what is yours, or has the focus",
    "running": "what moves right now",
    "text-1": "what you read",
    "text-2": "context",
    "text-3": "hints",
    "on-colour": "text on a filled field",
    "page": "behind the transcript",
    "pane": "behind the other panes",
    "bar": "the top and bottom bar, the composer",
    "cursor": "the row that the keys act on",
    "added": "behind what was added",
    "removed": "behind what was removed",
}
"""What each role colours."""


def page() -> str:
    """Return the page."""
    files = sorted(FOLDER.glob("*.toml"))
    rows = [_row(file) for file in files]
    parts = [INTRODUCTION, "## Built-in themes", table(("name", "kind", "about"), rows)]
    parts += ["## Fields of a theme file", _fields()]
    names = [(f"`{name}`", ROLES[name], ", ".join(f"`{one}`" for one in _ROLES[name])) for name in _ROLES]
    parts += [
        "## Roles",
        "They stand under `[variables]`. One that a theme leaves out is made from a base colour.",
    ]
    parts.append(table(("role", "what it colours", "made from"), names))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _row(file: Path) -> tuple[str, str, str]:
    text = file.read_text(encoding="utf-8")
    theme = tomllib.loads(text)
    about = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    return f"`{theme['name']}`", "dark" if theme.get("dark", True) else "light", " ".join(about)


def _fields() -> str:
    rows = [
        ("`name`", "the name to choose it by; must be there"),
        ("`dark`", "`true` for a dark theme"),
        ("`ansi`", "`true` to use the terminal's own colours"),
        ("`luminosity_spread`, `text_alpha`", "numbers of Textual's themes"),
        (", ".join(f"`{name}`" for name in _COLOURS), "colours: `#rrggbb`, a name of CSS, or `ansi_…`"),
        ("`[variables]`", "the roles below, and any variable of Textual"),
    ]
    return table(("field", "meaning"), rows)
