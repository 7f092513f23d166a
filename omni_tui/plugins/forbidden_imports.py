"""What a plugin may not import of the app: whatever decides on calls, sends them, or keeps secrets.

Found in two ways: in the plugin's source before it runs, also where an import stands inside a function or
a name in a text; and while it runs in the process of the check, where such an import fails. This guards
against mistakes, and shows what a plugin is after; it does not hold back one that hides on purpose.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

FORBIDDEN = (
    "omni_tui.approvals",
    "omni_tui.engine",
    "omni_tui.agents",
    "omni_tui.tools",
    "omni_tui.memory",
    "omni_tui.policy",
    "omni_tui.cli",
    "omni_tui.face",
    "omni_tui.servers.tap",
    "omni_tui.servers.connection",
    "omni_tui.servers.dispatched_call",
    "omni_tui.servers.registry",
)
_LARGEST = 2 << 20
_MOST_FILES = 2_000


def forbidden(module: str) -> str:
    """Return the forbidden package that a module is, or is in; "" if it may be imported."""
    return next((name for name in FORBIDDEN if module == name or module.startswith(f"{name}.")), "")


def forbidden_in_source(module: str) -> list[str]:
    """Return what the package of a plugin's module imports and may not, with file and line.

    Does not import it. Raises `ModuleNotFoundError` if it is not there, `OSError` if it cannot be read.
    """
    found: list[str] = []
    for number, (root, path) in enumerate(_files(module)):
        if number == _MOST_FILES:
            return [*found, f"it has more than {_MOST_FILES} files, so its imports cannot be checked"]
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
        where = path.relative_to(root).as_posix()
        if len(data) > _LARGEST:
            found.append(f"{where} is too long to check")
            continue
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue  # importing it fails too, which the check tells better
        found += [f"{where}, line {line}: {name}" for line, name in _named(tree, _package(root, path))]
    return found


def _files(module: str) -> Iterator[tuple[Path, Path]]:
    """Yield the source files of a module's outermost package, each with the folder it is in."""
    top = module.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)
    places = list(spec.submodule_search_locations or ())
    if not places and spec.origin is not None:
        yield Path(spec.origin).parent, Path(spec.origin)
    for place in map(Path, places):
        yield from ((place.parent, path) for path in sorted(place.rglob("*.py")))


def _package(root: Path, path: Path) -> list[str]:
    return list(path.relative_to(root).parent.parts)


def _named(tree: ast.AST, package: list[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        names: list[str] = []
        if not isinstance(node, ast.stmt | ast.expr):
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            names = [stem, *(f"{stem}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if node.value.isascii() and " " not in node.value else []
        elif isinstance(node, ast.Attribute):
            names = [_dotted(node)]
        if hit := next(filter(None, map(forbidden, names)), ""):
            yield node.lineno, hit


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


class ForbiddenImports(MetaPathFinder):
    """Makes forbidden imports of this process fail, and notes them in `tried`."""

    def __init__(self) -> None:
        self.tried: list[str] = []

    def watch(self) -> None:
        """Begin. What is loaded already stays."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse a forbidden module; leave every other one to the finders after this."""
        # The parts of `servers` import one another: only the plugin's source tells who asked for them.
        if (name := forbidden(fullname)) and not fullname.startswith("omni_tui.servers."):
            self.tried.append(name)
            raise ImportError(f"a plugin may not import {fullname}", name=fullname)
        return None
