"""What the map names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAPS = [name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md") if (ROOT / name).is_file()]


@pytest.mark.parametrize("name", MAPS)
def test_every_path_of_the_map_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:omni_tui|tests|themes|docs)/[\w/.-]*)`", text))
    assert len(paths) > 5
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", MAPS)
def test_every_class_and_function_of_the_map_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "omni_tui").rglob("*.py"))
    named = set(re.findall(r"`([A-Z][a-z]\w+)(?:\.(\w+))?`", text))
    missing = [
        one
        for one, _ in sorted(named)
        if not re.search(rf"^\s*(?:class {one}\b|{one}\b ?[:=])", code, re.M)
    ]
    assert missing == []
    methods = [method for _, method in sorted(named) if method]
    assert [one for one in methods if not re.search(rf"def {one}\(", code)] == []


def test_every_invariant_has_a_place_and_a_test() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|(.*)\|(.*)\|(.*)\|$", text, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 17))
    assert [number for number, _, place, _ in rows if "`omni_tui/" not in place] == []
    assert [number for number, _, _, test in rows if "`tests/" not in test] == []
