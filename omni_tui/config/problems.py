"""Say what is wrong with a config file: every mistake at once, where it is, and what would be right."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from omni_tui.config.sections import Config, ModelTable, ServerSection
from omni_tui.config.toml_positions import KeyPath, TomlPositions
from omni_tui.config.tools_section import LimitSection
from omni_tui.protocol.events import Problem
from omni_tui.security.text import safe_line

_NOT_YET: dict[KeyPath, tuple[str, str]] = {
    ("policy", "rule"): (
        "rules are not supported by this version; nothing they say would be held",
        'take them out, and set what a mode does with calls: chat, auto, orchestrator = "ask"',
    ),
    ("mcpServers",): (
        "a server is a table [servers.NAME] here",
        "to use another host's JSON file as it is, start with --mcp-config FILE",
    ),
}

_WANTED = {
    "string_type": "must be text, in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list, in square brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "string_too_short": "must not be empty",
}
_BOUNDS = {
    "greater_than": ("gt", "must be more than {}"),
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than": ("lt", "must be less than {}"),
    "less_than_equal": ("le", "must be at most {}"),
}


_TABLES: dict[str, type[BaseModel]] = {"servers": ServerSection, "models": ModelTable}
"""Sections whose keys are names of the person's own."""
_SECRETIVE = {"key", "token", "env", "headers", "client_secret", "private_key"}


def problem(where: str, what: str, todo: str = "") -> Problem:
    """Return a `Problem` whose texts are safe to show."""
    return Problem(
        where=safe_line(where, limit=400), what=safe_line(what, limit=400), todo=safe_line(todo, limit=400)
    )


def syntax_problem(file: FilePath, error: tomllib.TOMLDecodeError, text: str) -> Problem:
    """Explain a text that is no TOML. Python before 3.14 tells the place in the message only."""
    message, line = str(error), 1
    head, found, tail = message.rpartition("(at line ")
    if found:
        message, line = head.strip(), int(tail.split(",")[0])
    elif message.endswith("(at end of document)"):
        message, line = message.removesuffix("(at end of document)").strip(), text.count("\n") + 1
    return problem(
        f"{file}:{line}", f"this is not TOML: {message[:1].lower()}{message[1:]}", "correct the line"
    )


def explain(error: ValidationError, file: FilePath, text: str) -> list[tuple[KeyPath, Problem]]:
    """Return each mistake as the path of its key and a `Problem`, in the order of the file."""
    positions = TomlPositions(text)
    found: list[tuple[int, KeyPath, Problem]] = []
    for details in error.errors(include_url=False):
        path = _key_path(details["loc"])
        line = positions.line(path)
        what, todo = _words(details, path)
        found.append((line, path, problem(f"{file}:{line}", what, todo)))
    found.sort(key=lambda entry: entry[0])
    return [(path, what) for _, path, what in found]


def _key_path(loc: KeyPath) -> KeyPath:
    """Drop what pydantic adds to a location: the marker of a dictionary's key."""
    return tuple(part for part in loc if part != "[key]")


def _words(details: ErrorDetails, path: KeyPath) -> tuple[str, str]:
    kind, context = details["type"], details.get("ctx", {})
    name = dotted(path)
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "literal_error":
        return _wrong_choice(path, details["input"], str(context["expected"]))
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{name} {words.format(_number(context[key]))}, not {_shown(details['input'], path)}", ""
    if kind == "reference":
        return (
            f"{name} {details['msg']}",
            "write ${NAME} for an environment variable, or keyring:SERVICE/NAME",
        )
    if kind in {"reach", "misplaced", "bearer", "http_url", "oauth", "pattern"}:
        return f"{name} {details['msg']}" if kind != "misplaced" else f"{name}: {details['msg']}", ""
    wanted = _WANTED.get(kind)
    if wanted:
        return f"{name} {wanted}, not {_shown(details['input'], path)}", ""
    return f"{name}: {details['msg']}", ""


def _unknown_key(path: KeyPath) -> tuple[str, str]:
    if path in _NOT_YET:
        return _NOT_YET[path]
    key = str(path[-1])
    known = _keys_at(path[:-1])
    place = f"[{dotted(path[:-1])}]" if len(path) > 1 else "the file"
    elsewhere = [section for section in Config.model_fields if key in _keys_at((section,))]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        todo = f"did you mean `{near[0]}`?"
    elif elsewhere:
        todo = f"`{key}` belongs under [{elsewhere[0]}]"
    else:
        todo = "known here: " + ", ".join(sorted(known))
    return f"{place} has no key `{key}`", todo


def _wrong_choice(path: KeyPath, value: object, expected: str) -> tuple[str, str]:
    choices = [choice.strip(" '") for choice in expected.replace(" or ", ",").split(",")]
    near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
    listed = ", ".join(f'"{choice}"' for choice in choices)
    one_of = "one of " if len(choices) > 1 else ""
    what = f"{dotted(path)} must be {one_of}{listed}, not {_shown(value, path)}"
    return what, f'did you mean "{near[0]}"?' if near else ""


def _keys_at(path: KeyPath) -> list[str]:
    """Return the keys a section knows."""
    if path[:2] == ("tools", "limits"):
        return list(LimitSection.model_fields) if len(path) == 3 else []
    model: type[BaseModel] = Config
    for depth, part in enumerate(path):
        if depth == 1 and path[0] in _TABLES:
            model = _TABLES[str(path[0])]
            continue
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            if depth == 0 and part in _TABLES:
                continue
            return []
        model = annotation
    return list(model.model_fields)


def dotted(path: KeyPath) -> str:
    """Return a key's path as TOML writes it, as far as that can be read at a glance."""
    words = ""
    for part in path:
        bare = isinstance(part, str) and part.replace("-", "").replace("_", "").isalnum()
        words += f"[{part}]" if isinstance(part, int) else "." + (part if bare else f'"{part}"')
    return words.removeprefix(".") or "the file"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: object, path: KeyPath) -> str:
    """Show a mistaken value in a few words; never one that may be a secret."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if not _SECRETIVE.isdisjoint(path):
        return "what stands there"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:39] + '…"'


def remove_key(raw: dict[str, Any], path: KeyPath) -> None:
    """Take the key at `path` out of a parsed file, or what is around it if that is no table.

    Takes a whole section out where the mistake is the section's own.
    """
    table: Any = raw
    for depth, part in enumerate(path):
        if not isinstance(table, dict) or part not in table:
            return
        value = table[part]
        if depth == len(path) - 1 or not isinstance(value, dict):
            del table[part]
            return
        table = value
