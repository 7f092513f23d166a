"""Counts that show whether the code stays easy to read: `python -m tests.house`.

    --places    say where everything stands
    --json      print JSON, with the places
    --no-trace  leave out the last lines

Everything but the last lines is read from the source of `omni_tui`. The last lines come from approving
one call in a running app (`tests.approving_path`), which takes some seconds.
"""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "omni_tui"
_IGNORE = re.compile(r"#\s*type:\s*ignore(?:\[([^\]]*)\])?")
_APPROVALS = ("face/approval/", "face/panes/approvals.py")
"""Where the face's part of an approval is."""
_SHOWN = 200
"""Places that the table shows of one count."""


@dataclass(frozen=True, slots=True)
class Count:
    """One line of the table: a number, and the places it is made of."""

    number: int
    places: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its path below the root, its module, its text and its tree."""

    path: str
    module: str
    text: str
    tree: ast.Module

    def at(self, node: ast.expr | ast.stmt) -> str:
        """Return where a node stands."""
        return f"{self.path}:{node.lineno}"


def sources(root: Path) -> list[Source]:
    """Read all Python files below a package's folder."""
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        text = path.read_text()
        found.append(Source(str(path.relative_to(root)), ".".join(parts), text, ast.parse(text)))
    return found


def lines(files: list[Source]) -> Count:
    """Count the lines."""
    return Count(sum(len(file.text.splitlines()) for file in files))


# --- names ----------------------------------------------------------------------------------------


def double_classes(files: list[Source]) -> Count:
    """Count the names of public classes of a module's own level that several modules define."""
    places: dict[str, list[str]] = defaultdict(list)
    for file in files:
        for node in file.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(file.path)
    double = {name: where for name, where in places.items() if len(where) > 1}
    return Count(len(double), [f"{name}: {', '.join(where)}" for name, where in sorted(double.items())])


def public_classes(files: list[Source]) -> Count:
    """Count the public classes of a module's own level."""
    nodes = [node for file in files for node in file.tree.body if isinstance(node, ast.ClassDef)]
    return Count(sum(not node.name.startswith("_") for node in nodes))


def ing_files(files: list[Source]) -> Count:
    """Count the files that are named after something that is done."""
    return _count(file.path for file in files if file.path.endswith("ing.py"))


# --- what a type checker cannot see -----------------------------------------------------------------


def stubs(files: list[Source]) -> Count:
    """Count the places that raise `NotImplementedError`."""

    def is_stub(node: ast.AST) -> bool:
        if not isinstance(node, ast.Raise) or node.exc is None:
            return False
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"

    return _count(_where(files, is_stub))


def casts(files: list[Source]) -> Count:
    """Count the casts to a type in quotes."""
    return _count(
        _where(files, lambda node: (call := _call(node, "cast")) and isinstance(call.args[0], ast.Constant))
    )


def self_casts(files: list[Source]) -> Count:
    """Count the casts of `self`."""

    def is_self(node: ast.AST) -> bool:
        call = _call(node, "cast")
        return bool(call and isinstance(call.args[1], ast.Name) and call.args[1].id == "self")

    return _count(_where(files, is_self))


def ignores(files: list[Source], code: str = "") -> Count:
    """Count the `type: ignore` comments, or those that name a code."""
    found = []
    for file in files:
        for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
            match = _IGNORE.match(token.string) if token.type == tokenize.COMMENT else None
            codes = [each.strip() for each in (match[1] or "").split(",")] if match else []
            if match and (not code or code in codes):
                found.append(f"{file.path}:{token.start[0]}")
    return _count(found)


def probes(files: list[Source]) -> Count:
    """Count the calls of `hasattr`, and of `getattr` with a default: they fail silently."""

    def is_probe(node: ast.AST) -> bool:
        found = _call(node, "getattr")
        return bool(_call(node, "hasattr") or (found and len(found.args) == 3))

    return _count(_where(files, is_probe))


def getattrs(files: list[Source]) -> Count:
    """Count all calls of `getattr` and `hasattr`."""
    return _count(_where(files, lambda node: _call(node, "getattr") or _call(node, "hasattr")))


# --- circles of imports -----------------------------------------------------------------------------


def circles(files: list[Source], *, deferred: bool = False, for_types: bool = False) -> Count:
    """Count the groups of modules that import each other, in a circle.

    At a module's own level only; with `deferred` inside of functions too, and `for_types` under
    `TYPE_CHECKING` too.
    """
    modules = {file.module for file in files}
    packages = {file.module for file in files if file.path.endswith("__init__.py")}
    graph = {
        file.module: set(_imports(file, modules, file.module in packages, deferred, for_types))
        for file in files
    }
    found = [sorted(group) for group in _groups(graph) if len(group) > 1]
    found.sort(key=lambda group: (-len(group), group))
    return Count(len(found), [f"{len(group)}: {', '.join(group)}" for group in found])


def _imports(
    file: Source, modules: set[str], package: bool, deferred: bool, for_types: bool
) -> Iterator[str]:
    for node in _reached(file.tree, deferred, for_types):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = file.module.split(".")
                parts = parts[: len(parts) - node.level + package]
                base = ".".join([*parts, *([base] if base else [])])
            names = [
                inside if (inside := f"{base}.{alias.name}") in modules else base for alias in node.names
            ]
        yield from (name for name in names if name in modules and name != file.module)


def _reached(tree: ast.AST, deferred: bool, for_types: bool) -> Iterator[ast.AST]:
    """Yield all statements that count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not deferred:
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not for_types:
            for other in node.orelse:
                yield other
                yield from _reached(other, deferred, for_types)
            continue
        yield node
        yield from _reached(node, deferred, for_types)


def _groups(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components (Tarjan, 1972), without recursion."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    for start in graph:
        if start in number:
            continue
        work = [(start, iter(sorted(graph[start])))]
        number[start] = low[start] = len(number)
        stack.append(start)
        while work:
            node, others = work[-1]
            for other in others:
                if other not in number:
                    number[other] = low[other] = len(number)
                    stack.append(other)
                    work.append((other, iter(sorted(graph[other]))))
                    break
                if other in stack:
                    low[node] = min(low[node], number[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    at = stack.index(node)
                    found.append(stack[at:])
                    del stack[at:]
    return found


# --- kinds and callables ------------------------------------------------------------------------------


def kind_checks(files: list[Source]) -> Count:
    """Count where the face's approvals ask of what kind an item is that waits for the person."""
    found = []
    for file in files:
        if not file.path.startswith(_APPROVALS):
            continue
        for node in ast.walk(file.tree):
            call = _call(node, "isinstance")
            if call and "item" in ast.unparse(call.args[0]):
                found.append(file.at(call))
            if isinstance(node, ast.Match) and "item" in ast.unparse(node.subject):
                cases = [case for case in node.cases if isinstance(case.pattern, ast.MatchClass)]
                found += [f"{file.path}:{case.pattern.lineno}" for case in cases]
    return Count(len(found), _by_file(found))


def type_checks(files: list[Source]) -> Count:
    """Count all calls of `isinstance` in the face's approvals."""
    there = [file for file in files if file.path.startswith(_APPROVALS)]
    found = list(_where(there, lambda node: _call(node, "isinstance")))
    return Count(len(found), _by_file(found))


def callable_parameters(files: list[Source]) -> Count:
    """Count the parameters of `__init__` that are callables."""
    return _count(
        f"{file.path}: {owner.name}.{each.arg}"
        for file, owner, part, aliases in _parts(files)
        if isinstance(part, ast.FunctionDef) and part.name == "__init__"
        for each in (*part.args.posonlyargs, *part.args.args, *part.args.kwonlyargs)
        if each.annotation and _says_callable(each.annotation, aliases)
    )


def callable_fields(files: list[Source]) -> Count:
    """Count the fields of dataclasses that are callables."""
    return _count(
        f"{file.path}: {owner.name}.{part.target.id}"
        for file, owner, part, aliases in _parts(files)
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
        if any("dataclass" in ast.unparse(each) for each in owner.decorator_list)
        if _says_callable(part.annotation, aliases)
    )


def _parts(files: list[Source]) -> Iterator[tuple[Source, ast.ClassDef, ast.stmt, set[str]]]:
    """Yield what stands in each class, with the names that are short for a callable in its file."""
    defined: dict[str, set[str]] = {}
    for file in files:
        named = [node for node in file.tree.body if isinstance(node, ast.Assign)]
        defined[file.module] = {
            target.id
            for node in named
            if _says_callable(node.value, set())
            for target in node.targets
            if isinstance(target, ast.Name)
        }
    for file in files:
        aliases = set(defined[file.module])
        for node in ast.walk(file.tree):
            if isinstance(node, ast.ImportFrom):
                known = defined.get(node.module or "", set())
                aliases |= {alias.asname or alias.name for alias in node.names if alias.name in known}
        for node in ast.walk(file.tree):
            if isinstance(node, ast.ClassDef):
                yield from ((file, node, part, aliases) for part in node.body)


def _says_callable(annotation: ast.expr, aliases: set[str]) -> bool:
    """Whether the outermost type is a callable, or one or none."""
    match annotation:
        case ast.Name(id=name):
            return name == "Callable" or name in aliases
        case ast.Attribute(attr=name):
            return name == "Callable"
        case ast.Subscript(value=value):
            return _says_callable(value, aliases)
        case ast.BinOp(left=left, right=right):
            return _says_callable(left, aliases) or _says_callable(right, aliases)
        case ast.Constant(value=str(text)):
            return text.startswith("Callable[")
        case _:
            return False


def handed_lambdas(files: list[Source]) -> Count:
    """Count the lambdas that are arguments of constructors."""

    def is_class(node: ast.Call) -> bool:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name[:1].isupper()

    found = []
    for file in files:
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Call) and is_class(node):
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                found += [file.at(each) for each in given if isinstance(each, ast.Lambda)]
    return _count(found)


# --- all of it ------------------------------------------------------------------------------------------


def counts(root: Path) -> dict[str, Count]:
    """Return everything that is read from the source."""
    files = sources(root)
    return {
        "files": Count(len(files)),
        "lines": lines(files),
        "public classes": public_classes(files),
        "public class names defined more than once": double_classes(files),
        "files that end in -ing.py": ing_files(files),
        "raise NotImplementedError": stubs(files),
        "casts of self": self_casts(files),
        'cast("…", …)': casts(files),
        "type: ignore": ignores(files),
        "type: ignore[attr-defined]": ignores(files, "attr-defined"),
        "hasattr, and getattr with a default": probes(files),
        "getattr and hasattr, all": getattrs(files),
        "circles of imports": circles(files),
        "circles with deferred imports": circles(files, deferred=True),
        "circles with deferred and type-only imports": circles(files, deferred=True, for_types=True),
        "checks of what kind a waiting item is, in the face": kind_checks(files),
        "isinstance in the face's approvals, all": type_checks(files),
        "constructor parameters that are callables": callable_parameters(files),
        "fields of dataclasses that are callables": callable_fields(files),
        "lambdas given to constructors": handed_lambdas(files),
    }


def traced() -> dict[str, Count]:
    """Return what approving one call enters."""
    from tests.approving_path import trace

    found = trace()
    return {
        "functions from the approving key to the first byte": _count(found.functions),
        "of these in the face": Count(len(found.of("face"))),
        "of these in the engine": Count(len(found.engine)),
        "files of the engine they are in": _count(found.engine_files),
        "deepest chain of nested coroutines": _count(found.chain),
    }


def _count(places: Iterable[str]) -> Count:
    found = list(places)
    return Count(len(found), found)


def _by_file(places: list[str]) -> list[str]:
    files: dict[str, int] = defaultdict(int)
    for place in places:
        files[place.partition(":")[0]] += 1
    return [f"{number} in {file}" for file, number in files.items()]


def _where(files: list[Source], matches: Callable[[ast.AST], object]) -> Iterator[str]:
    for file in files:
        for node in ast.walk(file.tree):
            if isinstance(node, ast.expr | ast.stmt) and matches(node):
                yield file.at(node)


def _call(node: ast.AST, name: str) -> ast.Call | None:
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    return node if called and isinstance(node, ast.Call) else None


def table(found: dict[str, Count], *, places: bool = False) -> str:
    """Return the table, with the places where everything stands if they are wanted."""
    rows = []
    for name, each in found.items():
        rows.append(f"{each.number:>7}  {name}")
        shown = each.places if places else []
        rows += [f"{'':11}{place}" for place in shown[:_SHOWN]]
        if len(shown) > _SHOWN:
            rows.append(f"{'':11}… and {len(shown) - _SHOWN} more")
    return "\n".join(rows)


def main(arguments: list[str]) -> None:
    """Print the table, or JSON."""
    if unknown := set(arguments) - {"--json", "--no-trace", "--places"}:
        sys.exit(f"{', '.join(sorted(unknown))}: not known\n\n{__doc__}")
    found = counts(ROOT) | ({} if "--no-trace" in arguments else traced())
    if "--json" in arguments:
        value = {name: {"count": each.number, "places": each.places} for name, each in found.items()}
        text = json.dumps(value, indent=1, ensure_ascii=False)
    else:
        text = table(found, places="--places" in arguments)
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
