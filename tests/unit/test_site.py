"""The guide becomes a site that is whole and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (find_spec("mkdocs") and find_spec("material")),
    reason="mkdocs-material is not installed (extra docs)",
)


def build(config: Path, to: Path) -> subprocess.CompletedProcess[str]:
    words = ["-m", "mkdocs", "build", "--strict", "--config-file", str(config), "--site-dir", str(to)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "true"}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=200, env=env, check=False
    )


def test_it_is_built_strictly_and_works_without_a_network(tmp_path: Path) -> None:
    done = build(ROOT / "docs" / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    sources = list((ROOT / "docs" / "guide").rglob("*.md"))
    assert {page.stem for page in pages} >= {source.stem for source in sources}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(https?:[^\s\">]*)", text)
        assert loaded == [], page.name
        assert "api.github.com" not in text


def test_a_link_that_leads_nowhere_fails(tmp_path: Path) -> None:
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "index.md").write_text("# A\n\n[b](b.md)\n")
    settings = (ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    settings = settings.partition("\nnav:")[0].replace("../site", "site")
    settings = settings.replace("- pictures.py", f"- {ROOT / 'docs' / 'pictures.py'}")
    (tmp_path / "mkdocs.yml").write_text(settings)
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    assert "b.md" in done.stderr
