"""What the package imports, held against what `pyproject.toml` declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

TOOLS = frozenset({"test", "dev", "docs"})
"""Extras with the tools of those who work on the code: the package itself does not import them."""
MODULES = {"textual-serve": "textual_serve", "xllamacpp": "xllamacpp"}
"""The module of a distribution that need not be installed here, so that nobody can be asked for it."""


@cache
def imported(package: Path) -> dict[str, str]:
    """Return the top-level modules of others that a package imports, each with one file that does.

    Counted are import statements anywhere in a file and `import_module` with a literal name. The standard
    library and the package itself are left out.
    """
    found: dict[str, str] = {}
    for path in sorted(package.rglob("*.py")):
        for module in _modules(ast.parse(path.read_text(encoding="utf-8"))):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top != package.name:
                found.setdefault(top, path.relative_to(package.parent).as_posix())
    return found


def _modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module
        elif isinstance(node, ast.Call) and node.args:
            first = node.args[0]
            if _called(node) == "import_module" and isinstance(first, ast.Constant):
                yield str(first.value)


def _called(call: ast.Call) -> str:
    """Return the last name of the function that is called, "" if it has none."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def declared(project: Path) -> set[str]:
    """Return the distributions that `pyproject.toml` declares for the package, its extras included."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    lines = list(table["dependencies"])
    for extra, more in table.get("optional-dependencies", {}).items():
        lines += [] if extra in TOOLS else more
    return {normal(re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0]) for line in lines}


def normal(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def distributions() -> dict[str, set[str]]:
    """Return the distributions that bring each top-level module, by the module's name."""
    found = {module: {normal(name) for name in names} for module, names in packages_distributions().items()}
    for distribution, module in MODULES.items():
        found.setdefault(module, {normal(distribution)})
    return found


def undeclared(imports: Mapping[str, str], names: set[str], brought: Mapping[str, set[str]]) -> list[str]:
    """Return what is imported and not declared, each with a file that imports it."""
    return sorted(
        f"{module} ({file})"
        for module, file in imports.items()
        if not brought.get(module, {normal(module)}) & names
    )


def unimported(imports: Mapping[str, str], names: set[str], brought: Mapping[str, set[str]]) -> set[str]:
    """Return the declared distributions of which no module is imported."""
    used = {name for module in imports for name in brought.get(module, {normal(module)})}
    return names - used
