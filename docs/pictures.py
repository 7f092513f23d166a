"""Puts the pictures of `screenshots/` into the site; MkDocs knows only what lies in its own folder.

The pages name them as they lie in the repository, so that they are seen there too.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

FOLDER = Path(__file__).parent.parent / "screenshots"
_IN_REPOSITORY = "](../../screenshots/"
_IN_SITE = "](screenshots/"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pictures."""
    for path in sorted(FOLDER.iterdir()):
        files.append(File.generated(config, f"screenshots/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name each picture where it is in the site."""
    return markdown.replace(_IN_REPOSITORY, _IN_SITE)
