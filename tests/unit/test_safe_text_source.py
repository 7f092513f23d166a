"""`SafeText` is made in one file only; everywhere else it is passed on as it came."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import omni_tui
from omni_tui.security.text import safe

ROOT = Path(omni_tui.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MAKER = "security/text.py"
JSON_MAKERS = {
    "face/screens/settings.py": "what the person typed for a setting; the engine checks it",
    MAKER: "printable ASCII by `json.dumps`",
    "face/form/exact_json.py": "the same, with numbers as they were written",
    "face/prompts_resources/fields.py": "`json.dumps` of what a person typed, and of a schema of names",
    "approvals/cards.py": "the beginning of an exact document that is too long for a card",
    "engine/handlers/trust.py": "a page of an exact document",
    "engine/pending_server_requests.py": "the beginning of an exact document that is too long for a card",
}


def _named(node: ast.expr, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (
        isinstance(node, ast.Attribute) and node.attr == name
    )


def made(tree: ast.AST, name: str) -> Iterator[str]:
    """Yield how a module makes a value of the type from something that is not written down there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _named(node.func, name):
            only = node.args[0] if len(node.args) == 1 and not node.keywords else None
            literal = isinstance(only, ast.Constant) and isinstance(only.value, str)
            if not literal:
                yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Call) and _named(node.func, "cast"):
            if node.args and name in ast.unparse(node.args[0]):
                yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.alias) and node.name == name and node.asname:
            yield f"{name} as {node.asname}"
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _named(node.value, name):
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "text",
    ["SafeText(text)", "protocol.SafeText(f'{a}')", "cast(SafeText, a)", "cast('SafeText', a)",
     "from a import SafeText as S", "make = SafeText", "SafeText('a' + b)"],
)  # fmt: skip
def test_this_would_be_found(text: str) -> None:
    assert list(made(ast.parse(text), "SafeText"))


@pytest.mark.parametrize(
    "text", ["SafeText('a')", "a: SafeText = safe(b)", "def f(a: SafeText) -> None: ..."]
)
def test_this_is_no_making(text: str) -> None:
    assert not list(made(ast.parse(text), "SafeText"))


def parsed(file: Path, name: str) -> ast.Module:
    """Return a file's tree; an empty one if a name does not occur in it."""
    text = file.read_text()
    return ast.parse(text if name in text else "")


@pytest.mark.parametrize("name", ["SafeText", "JsonText"])
def test_only_the_named_files_make_it(name: str) -> None:
    allowed = {MAKER: ""} if name == "SafeText" else JSON_MAKERS
    found = {}
    for file in FILES:
        place = file.relative_to(ROOT).as_posix()
        ways = [way for way in made(parsed(file, name), name) if place != MAKER]
        if ways and place != "protocol/text.py":
            found[place] = ways
    assert {place: ways for place, ways in found.items() if place not in allowed} == {}
    assert set(found) == set(allowed) - {MAKER}, "a file is named that makes none any more"


def test_what_is_written_down_as_safe_is_safe() -> None:
    for file in FILES:
        for node in ast.walk(parsed(file, "SafeText")):
            if isinstance(node, ast.Call) and _named(node.func, "SafeText") and node.args:
                only = node.args[0]
                if isinstance(only, ast.Constant) and isinstance(only.value, str):
                    assert safe(only.value) == only.value, f"{file}:{node.lineno}"
