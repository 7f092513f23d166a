"""What is printed and what is drawn goes through few places, each of which makes it safe."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import omni_tui

ROOT = Path(omni_tui.__file__).parent
PRINTS = {
    "cli/output.py": "makes everything safe that a command prints",
    "cli/parser.py": "one line about a mistaken command line, made safe there",
}
"""Everything else that writes to a standard stream is a server or a helper at the other end of a pipe."""
PIPES = {"demo/server.py"}
MARKS_UP = {"from_markup", "escape_markup"}
TAKES_MARKUP = {"notify", "Static", "Label", "Toast"}


def trees(folder: str = "") -> Iterator[tuple[str, ast.AST]]:
    for file in sorted((ROOT / folder).rglob("*.py")):
        yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text())


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def prints(tree: ast.AST) -> bool:
    """Whether a module calls `print`, or writes to a standard stream."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            streams = [each for each in node.args if ast.unparse(each) in ("sys.stdout", "sys.stderr")]
            if called == "print" or called.startswith(("sys.stdout.w", "sys.stderr.w", "sys.__stdout__.w")):
                return True
            if streams and called.startswith("_write"):
                return True
    return False


def test_few_places_print() -> None:
    found = {place for place, tree in trees() if prints(tree)} - PIPES
    assert found == set(PRINTS)


def unmarked(tree: ast.AST) -> Iterator[str]:
    """Yield what gives a text that is not written down there to a widget that would read markup in it."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        if name in MARKS_UP:
            yield f"line {node.lineno}: {ast.unparse(node)}"
        if name in TAKES_MARKUP and node.args:
            plain = any(
                each.arg == "markup" and ast.unparse(each.value) != "True" for each in node.keywords
            )
            first = node.args[0]
            content = isinstance(first, ast.Call) and ast.unparse(first.func).startswith("Content")
            if not plain and not content and not isinstance(first, ast.Constant):
                yield f"line {node.lineno}: {ast.unparse(node)}"


def test_no_widget_reads_markup_in_a_text_from_outside() -> None:
    found = {place: list(unmarked(tree)) for place, tree in trees("face")}
    returned = {"face/results/save_bar.py": 2}  # its own methods, which return `Content`
    assert {place: ways for place, ways in found.items() if len(ways) > returned.get(place, 0)} == {}


def test_both_would_be_noticed() -> None:
    assert prints(ast.parse("print(a)"))
    assert prints(ast.parse("import sys\nsys.stdout.write(a)"))
    for text in (
        "Static(a)",
        "self.notify(f'{a}')",
        "app.notify(a, markup=True)",
        "Content.from_markup(a)",
    ):
        assert list(unmarked(ast.parse(text))), text
    for text in ("Static('a')", "Static(Content(a))", "self.notify(a, markup=False)"):
        assert not list(unmarked(ast.parse(text))), text
