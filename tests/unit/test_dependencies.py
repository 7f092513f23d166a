"""What is imported is declared, and what is declared is imported."""

from __future__ import annotations

from pathlib import Path

from tests.dependencies import declared, distributions, imported, undeclared, unimported

ROOT = Path(__file__).parents[2]
EXCEPTIONS = {
    "textual-serve": "for `omni-tui serve`, with the extra `web`",
}
"""Declared and not imported, each with its reason. Take out what is imported by now."""


def test_what_is_imported_is_declared() -> None:
    imports = imported(ROOT / "omni_tui")
    assert len(imports) > 10
    assert undeclared(imports, declared(ROOT / "pyproject.toml"), distributions()) == []


def test_what_is_declared_is_imported() -> None:
    names = declared(ROOT / "pyproject.toml")
    assert {"textual", "mcp", "litellm"} <= names
    idle = unimported(imported(ROOT / "omni_tui"), names, distributions())
    assert idle - set(EXCEPTIONS) == set(), "declared, but no module of it is imported"
    assert set(EXCEPTIONS) - idle == set(), "an exception that is imported, or no longer declared"


def test_a_missing_and_an_idle_dependency_are_found(tmp_path: Path) -> None:
    package = tmp_path / "small"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("import json\nimport small.deep\nfrom . import deep\n")
    (package / "deep" / "late.py").write_text(
        "import importlib\n\ndef later():\n    import yaml.reader\n"
        "    importlib.import_module('rich.text')\n    importlib.import_module(later)\n"
    )
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["Ruamel_Yaml>=1", "rich[all]; python_version > \'3\'"]\n'
        '[project.optional-dependencies]\ntest = ["pytest>=8"]\nweb = ["Flask<4"]\n'
    )
    imports, names = imported(package), declared(tmp_path / "pyproject.toml")
    brought = {"rich": {"rich"}, "yaml": {"pyyaml"}}
    assert imports == {"yaml": "small/deep/late.py", "rich": "small/deep/late.py"}
    assert names == {"ruamel-yaml", "rich", "flask"}
    assert undeclared(imports, names, brought) == ["yaml (small/deep/late.py)"]
    assert unimported(imports, names, brought) == {"ruamel-yaml", "flask"}
    assert undeclared(imports, {*names, "pyyaml"}, brought) == []
