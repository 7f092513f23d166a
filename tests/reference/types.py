"""Types of Python in plain words, for the reference pages."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

import annotated_types as limits
import msgspec
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

_POINTER = re.compile(r"\s*\(see `config\.[^)]*\)|(?:(?<=[.])|^)[^.]*(?:\.\w[^.]*)*`config\.\w+`\.")
"""What a docstring says to a reader of the code only."""
PLAIN: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
    Any: "anything",
}
CHECKED = {
    "_reference": "reference to a secret",
    "_http_url": "web address",
    "_redis_url": "address of Redis",
    "_folder": "absolute path",
    "_pattern": "SERVER/TOOL pattern",
    "_tool": "name or pattern of tools",
    "_route": "list of servers",
    "_pin": "SERVER/TOOL",
    "_scope": "text",
}
"""What a text must be that a validator of the configuration checks, by the validator's name."""


def words(kind: Any) -> str:
    """Return a type in words: "list of text", "`ask` or `deny`". None is left out of a choice."""
    if isinstance(kind, NewType):
        return words(kind.__supertype__)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        checks = [one.func for one in inner[1:] if isinstance(one, AfterValidator)]
        named = [CHECKED[name] for check in checks if (name := _name(check)) in CHECKED]
        return named[0] if named else words(inner[0])
    if origin is Literal:
        return _either([f"`{value}`" if value != "" else "empty" for value in inner])
    if origin in (Union, types.UnionType):
        return _either(list(dict.fromkeys(words(one) for one in inner if one is not type(None))))
    if origin in (list, tuple, frozenset, set):
        return f"list of {_many(words(inner[0]))}" if inner else "list"
    if origin is not None and issubclass(origin, typing.Mapping):
        return f"table of {_many(words(inner[1]))}" if inner else "table"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "table"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return PLAIN.get(kind, "text")


def _many(word: str) -> str:
    if word.startswith(("list of", "table of", "`", "[")) or not word[-1].isalpha():
        return word
    return f"{word}es" if word.endswith("s") else f"{word}s"


def _name(function: Any) -> str:
    return str(function.__name__)


def _either(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def limit_words(field: FieldInfo) -> str:
    """Return the limits of a setting in words, "" if it has none: "from 1 to 1,000"."""
    low = high = longest = ""
    for one in _limits(field.metadata, field.annotation):
        if isinstance(one, limits.Ge):
            low = f"from {_number(one.ge)}"
        elif isinstance(one, limits.Gt):
            low = f"more than {_number(one.gt)}"
        elif isinstance(one, limits.Le):
            high = f"{'to' if low.startswith('from') else 'at most'} {_number(one.le)}"
        elif isinstance(one, limits.Lt):
            high = f"less than {_number(one.lt)}"
        elif isinstance(one, limits.MinLen) and one.min_length:
            low = "not empty"
        elif isinstance(one, limits.MaxLen):
            longest = f"at most {_number(one.max_length)} entries"
    between = " " if low.startswith("from") else ", "
    return ", ".join(part for part in (between.join(filter(None, (low, high))), longest) if part)


def _limits(metadata: list[Any], kind: Any) -> Iterator[Any]:
    yield from metadata
    if get_origin(kind) in (Union, types.UnionType):
        for one in get_args(kind):
            if get_origin(one) is Annotated:
                for more in get_args(one)[1:]:
                    yield from more.metadata if isinstance(more, FieldInfo) else [more]


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.10g}"


def structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for one in get_args(kind):
        yield from structs(one)


def prose(thing: object) -> str:
    """Return the docstring of a class, one paragraph a line, without pointers to other modules."""
    text = inspect.cleandoc(inspect.getdoc(thing) or "")
    parts = (_POINTER.sub("", " ".join(part.split())).strip() for part in text.split("\n\n"))
    return "\n\n".join(part for part in parts if part)


def field_notes(kind: type) -> dict[str, str]:
    """Return what is written below the fields of a class, by the field's name."""
    notes: dict[str, str] = {}
    body = _classes(kind.__module__)[kind.__name__]
    for field, note in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(note, ast.Expr)
            and isinstance(note.value, ast.Constant)
        ):
            notes[field.target.id] = " ".join(str(note.value.value).split())
    return notes


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table of Markdown. Columns that are empty in every row are left out."""
    kept = [at for at in range(len(head)) if any(row[at] for row in rows)]
    lines = [[head[at] for at in kept], ["---"] * len(kept)]
    lines += [[row[at].replace("|", "\\|") for at in kept] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
