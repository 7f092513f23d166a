"""Read a host's file: JSON with comments, TOML or YAML, within limits."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from pathlib import Path as FilePath
from typing import Any

from omni_tui.config.layers import LARGEST_FILE
from omni_tui.security.files import open_regular

LARGEST_YAML = 256 * 1024
"""Bytes of a YAML file: reading one takes a second per megabyte and more."""

_JSONC = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)
_HASH_LINE = re.compile(r"^[ \t]*#[^\n]*$", re.MULTILINE)
_CURLY_QUOTES = re.compile("[\u201c\u201d\u201e\u2018\u2019]")


class HostFileError(Exception):
    """A file or an entry cannot be used; the text says why."""


class NoServersFound(HostFileError):
    """A file can be read and has no list of servers."""


class Table(dict[str, Any]):
    """An object of a file, and its repeated keys."""

    twice: frozenset[str] = frozenset()


def read_document(file: FilePath) -> Any:
    """Return what a file holds, None if it is empty. Raises `HostFileError`.

    The name tells the format: `.toml`, `.yaml` and `.yml`, else JSON, which may have comments, commas too
    many, and lines that begin with `#`.
    """
    try:
        with open_regular(file) as opened:
            data = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise HostFileError(f"cannot be read: {error.strerror or type(error).__name__}") from error
    if len(data) > LARGEST_FILE:
        raise HostFileError(f"is longer than {LARGEST_FILE} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HostFileError("is not text in UTF-8") from error
    try:
        return parse_document(text, file.suffix.lower())
    except RecursionError as error:
        raise HostFileError("is of no use: it is nested too deeply") from error


def parse_document(text: str, suffix: str) -> Any:
    """Return what a text of a format holds, None if it is empty. Raises `HostFileError`."""
    if suffix == ".toml":
        return _toml(text)
    if suffix in (".yaml", ".yml"):
        return _yaml(text)
    return _json(text)


def _json(text: str) -> Any:
    text = _HASH_LINE.sub("", text)
    if not text.strip():
        return None
    plain = _JSONC.sub(_blank_same_length, text)
    plain = _JSONC.sub(_blank, plain)  # commas that only a comment kept from the bracket
    try:
        return json.loads(plain, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        curly = _CURLY_QUOTES.search(plain)
        if curly is not None:
            line = plain.count("\n", 0, curly.start()) + 1
            raise HostFileError(
                f'is not JSON: line {line} has the typographic quote {curly[0]}; write " there'
            ) from error
        raise HostFileError(f"is not JSON: line {error.lineno}, {error.msg.lower()}") from error


def _blank_same_length(found: re.Match[str]) -> str:
    text = found[0]
    return text if text[0] == '"' else "".join("\n" if each == "\n" else " " for each in text)


def _blank(found: re.Match[str]) -> str:
    return found[0] if found[0][0] == '"' else " "


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text.replace("\r\n", "\n")) or None
    except tomllib.TOMLDecodeError as error:
        raise HostFileError(f"is not TOML: {error}") from error


def _yaml(text: str) -> Any:
    if len(text) > LARGEST_YAML:
        raise HostFileError(f"is longer than {LARGEST_YAML} bytes")
    import yaml  # takes 70 ms; only two hosts write YAML

    try:
        # An alias can make a small file a huge document.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise HostFileError("uses YAML aliases (*name), which are not read here; write them out")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _constructed(node, yaml.SafeLoader(""))
    except yaml.YAMLError as error:
        place = problem = ""
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
            place, problem = f"line {error.problem_mark.line + 1}, ", error.problem or ""
        raise HostFileError(f"is not YAML: {place}{problem or 'it cannot be parsed'}") from error
    except (ValueError, OverflowError) as error:  # a date or a number of no use
        raise HostFileError(f"is not YAML: {error}") from error


def _constructed(node: Any, loader: Any) -> Any:
    """Return the value of a YAML node; its keys are texts, and repeated ones are noted."""
    if node.id == "mapping":
        return unique([(str(key.value), _constructed(value, loader)) for key, value in node.value])
    if node.id == "sequence":
        return [_constructed(each, loader) for each in node.value]
    if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool"):
        return loader.construct_object(node)
    return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)


def unique(pairs: list[tuple[str, Any]]) -> Table:
    """Return a table of some pairs, with the keys that stand there twice."""
    table = Table(pairs)
    if len(table) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        table.twice = frozenset(name for name, times in counted.items() if times > 1)
    return table
