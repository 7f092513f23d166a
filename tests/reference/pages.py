"""The reference pages of the guide, each with the function that makes it from the code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.reference import command_line, configuration, events, keys, themes

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "guide" / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration.page,
    "command-line.md": command_line.page,
    "keys.md": keys.page,
    "events.md": events.page,
    "themes.md": themes.page,
}
