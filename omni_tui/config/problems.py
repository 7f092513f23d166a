"""Explain the mistakes in a config file: all at once, each with its place and the correction.

`TomlPositions` finds the line of a key, since `tomllib` returns only values. It reads text that `tomllib`
has parsed, so it can rely on the syntax.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from omni_tui.config.sections import Config, LimitSection, ModelTable, ServerPolicy, ServerSection
from omni_tui.protocol.events import Problem
from omni_tui.security.text import safe_line

KeyPath = tuple[str | int, ...]

_KEY_PART = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|'([^']*)')[ \t]*""")
_SKIP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)+")
# A string, a comment, a bracket, or the end of a line.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*|[\[\]{}\n]",
    re.DOTALL,
)


class TomlPositions:
    """The lines, counted from 1, of a text's tables and keys."""

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        for path, line in _statements(text):
            self._lines.setdefault(path, line)

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, or of the nearest table around it (else 1)."""
        for length in range(len(path), 0, -1):
            found = self._lines.get(path[:length])
            if found is not None:
                return found
        return 1


def _statements(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield every header, and every key with its whole path, in order."""
    table: KeyPath = ()
    arrays: dict[KeyPath, int] = {}
    at = counted = 0
    line = 1
    while (at := _skip(text, at)) < len(text):
        line += text.count("\n", counted, at)
        counted = at
        double = text.startswith("[[", at)
        header = double or text[at] == "["
        keys, at = _dotted(text, at + header + double)
        if header:
            table = _enter(keys, arrays, double=double)
            for length in range(1, len(keys) + 1):
                yield keys[:length], line
            yield table, line
            at += 1 + double
        else:
            for length in range(1, len(keys) + 1):
                yield table + keys[:length], line
            at = _value_end(text, at + 1)


def _enter(keys: KeyPath, arrays: dict[KeyPath, int], *, double: bool) -> KeyPath:
    """Return the path of a header, with the indexes of arrays of tables."""
    path: KeyPath = ()
    for index, key in enumerate(keys):
        path += (key,)
        if double and index == len(keys) - 1:
            arrays[path] = arrays.get(path, -1) + 1
        if path in arrays:
            path += (arrays[path],)
    return path


def _skip(text: str, at: int) -> int:
    found = _SKIP.match(text, at)
    return found.end() if found else at


def _dotted(text: str, at: int) -> tuple[KeyPath, int]:
    parts: list[str] = []
    while found := _KEY_PART.match(text, at):
        parts.append(next(group for group in found.groups() if group is not None))
        at = found.end()
        if not text.startswith(".", at):
            break
        at += 1
    return tuple(parts), at


def _value_end(text: str, at: int) -> int:
    """Return the end of the value that begins here: a line's end outside of brackets."""
    depth = 0
    for token in _TOKEN.finditer(text, at):
        if token[0] == "\n" and depth <= 0:
            return token.start()
        depth += (token[0] in "[{") - (token[0] in "]}")
    return len(text)


ENVIRONMENT = "environment"
COMMAND_LINE = "command line"

_NAMES: dict[tuple[str, KeyPath], str] = {
    (ENVIRONMENT, ("model", "name")): "OMNI_TUI_MODEL",
    (COMMAND_LINE, ("model", "name")): "--model",
    (COMMAND_LINE, ("model", "api_base")): "--api-base",
    (COMMAND_LINE, ("agent", "mode")): "--mode",
}
"""The variable or flag of a key."""


def setting_location(origins: Mapping[KeyPath, str], *path: str) -> str:
    """Return where a key was set, the key itself if it is at its default. `origins`: the layer of each."""
    origin = origins.get(path)
    return location_text(origin, path) if origin else dotted(path)


def location_text(origin: str, path: KeyPath) -> str:
    """Return a place: a file as it is, else with the variable or flag."""
    name = _NAMES.get((origin, path))
    return f"{origin}: {name}" if name else origin


_NOT_YET: dict[KeyPath, tuple[str, str]] = {
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
"""Sections whose keys are names that the person chose."""
_SECRETIVE = {"key", "token", "env", "headers", "client_secret", "private_key"}


def problem(where: str, what: str, todo: str = "") -> Problem:
    """Return a `Problem` whose texts are safe to show."""
    return Problem(
        where=safe_line(where, limit=400), what=safe_line(what, limit=400), todo=safe_line(todo, limit=400)
    )


def syntax_problem(file: FilePath, error: tomllib.TOMLDecodeError, text: str) -> Problem:
    """Explain a text that is not TOML. Python before 3.14 has the place only in the message."""
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
    """Return the key path and the `Problem` of each mistake, in the order of the file."""
    positions = TomlPositions(text)
    found: list[tuple[int, KeyPath, Problem]] = []
    for details in error.errors(include_url=False):
        path = tuple(part for part in details["loc"] if part != "[key]")  # pydantic's mark of a key
        line = positions.line(path)
        what, todo = _words(details, path)
        found.append((line, path, problem(f"{file}:{line}", what, todo)))
    found.sort(key=lambda entry: entry[0])
    return [(path, what) for _, path, what in found]


def _words(details: ErrorDetails, path: KeyPath) -> tuple[str, str]:
    kind, context = details["type"], details.get("ctx", {})
    name = dotted(path)
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "literal_error":
        return _wrong_choice(path, details["input"], str(context["expected"]))
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = context[key]
        bound = f"{bound:g}" if isinstance(bound, float) else bound
        return f"{name} {words.format(bound)}, not {_shown(details['input'], path)}", ""
    if kind in _WANTED:
        return f"{name} {_WANTED[kind]}, not {_shown(details['input'], path)}", ""
    if kind in {"reference", "reach", "bearer", "http_url", "oauth", "pattern"}:
        todo = "write ${NAME} for an environment variable, or keyring:SERVICE/NAME"
        return f"{name} {details['msg']}", todo if kind == "reference" else ""
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
    """Return the keys of a section."""
    if path[:2] == ("tools", "limits"):
        return list(LimitSection.model_fields) if len(path) == 3 else []
    if path[:2] == ("policy", "servers"):
        return list(ServerPolicy.model_fields) if len(path) == 3 else []
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
    return [*model.model_fields, *(["rule"] if path == ("policy",) else [])]


def dotted(path: KeyPath) -> str:
    """Return a key's path, about as in TOML."""
    words = ""
    for part in path:
        bare = isinstance(part, str) and part.replace("-", "").replace("_", "").isalnum()
        words += f"[{part}]" if isinstance(part, int) else "." + (part if bare else f'"{part}"')
    return words.removeprefix(".") or "the file"


def _shown(value: object, path: KeyPath) -> str:
    """Return a wrong value in a few words, never one that may be a secret."""
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
    """Remove the key at `path` from a parsed file, or the value around it if that is not a table.

    Removes the whole section if the section itself is wrong.
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
