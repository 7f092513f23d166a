"""The page of all settings, from the sections of `omni_tui.config.sections`."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from omni_tui.config.sections import Config
from omni_tui.policy.argument_condition import OPERATORS, TYPES
from omni_tui.policy.rule import Rule
from omni_tui.policy.rule_table import CONDITION_KEYS, RULE_KEYS, TEST_KEYS
from tests.reference.types import limit_words, prose, table, words

INTRODUCTION = """\
# Configuration reference

Every setting of the config file, its default and its limits. [Configuration](../configuration.md) says
where the file is and shows one. Times are in seconds. A missing key means its default; an unknown key is an
error.

A *pattern* is `SERVER/TOOL`; each half is a name, or a glob of `*` and `?`. A *reference to a secret* is
`${NAME}` (a variable of the environment), `${keyring:NAME}` or `${keyring:SERVICE/NAME}` (the system's
keyring).
"""
Path = tuple[str, ...]
"""The keys that lead to a section."""
APPLIES = {"live": "at once", "restart": "at the next start"}
"""When a change of the file counts, by what a setting says of itself."""
TIMES = ("expires", "created")


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for path, section in sections(Config):
        parts.append(f"## `[{'.'.join(path)}]`\n\n{_about(section)}")
        rows = [_row(name, field) for name, field in section.model_fields.items() if not _inner(field)]
        parts.append(table(("key", "type", "default", "limits", "meaning", "a change counts"), rows))
    parts.append(_rules())
    return "\n\n".join(part.strip() for part in parts) + "\n"


def sections(model: type[BaseModel], path: Path = ()) -> Iterator[tuple[Path, type[BaseModel]]]:
    """Yield every section with its path: those of a table of tables have NAME in it."""
    for name, field in model.model_fields.items():
        inner = _inner(field)
        if inner is None:
            continue
        named = get_origin(field.annotation) is dict
        here = (*path, name, *(["NAME"] if named else []))
        yield here, inner
        yield from sections(inner, here)
    if not path:
        yield ("keys",), Keys


class Keys(BaseModel):
    """Keys of your own: the name of an action, and the keys for it, separated by commas.

    [Keys and slash commands](keys.md) lists the actions.
    """


def _inner(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section that a key holds, in a table of names too."""
    kind: Any = field.annotation
    if get_origin(kind) is dict:
        kind = get_args(kind)[1]
    if get_origin(kind) in (Union, types.UnionType):
        kind = next((one for one in get_args(kind) if one is not type(None)), kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _about(section: type[BaseModel]) -> str:
    """Return what the section's docstring says, without its own name at the beginning."""
    text = prose(section)
    _, colon, rest = text.partition("`: ")
    said = rest if colon and text.startswith("`[") else text
    return said[:1].upper() + said[1:]


def _row(name: str, field: FieldInfo) -> tuple[str, ...]:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    applies = APPLIES.get(str(extra.get("applies", "")), "")
    kind: Any = field.rebuild_annotation()
    default = field.get_default(call_default_factory=True)
    meaning = " ".join((field.description or "").split())
    return f"`{name}`", words(kind), _shown(default), limit_words(field), meaning, applies


def _shown(value: object) -> str:
    """Return a default as TOML writes it; none, and what is empty, as nothing."""
    if value is None or value in ("", [], {}, ()):
        return ""
    if isinstance(value, bool | int | float | str):
        return f"`{json.dumps(value, ensure_ascii=False)}`"
    return f"`{msgspec.json.encode(value).decode()}`"


def _rules() -> str:
    hints = get_type_hints(Rule)
    rows = []
    for field in fields(Rule):
        if field.name not in RULE_KEYS:
            continue
        kind = "date and time" if field.name in TIMES else words(hints[field.name])
        kind = {"args": "list of conditions", "tests": "list of tests"}.get(field.name, kind)
        default = "" if field.default in (MISSING, 0.0) else _shown(field.default)
        rows.append((f"`{field.name}`", kind, default))
    names = ", ".join(f"`{key}`" for key in CONDITION_KEYS)
    return "\n\n".join(
        (
            f"## `[[policy.rule]]`\n\n{prose(Rule).removeprefix('A rule. ')}",
            table(("key", "type", "default"), rows),
            f"A condition in `args` has {names}. `op` is one of "
            + ", ".join(f"`{name}`" for name in OPERATORS)
            + "; the value of `type` is one of "
            + ", ".join(f"`{name}`" for name in TYPES)
            + ".",
            "A test in `tests` has " + ", ".join(f"`{name}`" for name in TEST_KEYS) + ".",
        )
    )
