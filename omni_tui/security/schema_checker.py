"""Validates values against JSON Schemas that servers sent: linear, offline, bounded."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema_rs
from cachetools import LRUCache

from omni_tui.protocol import SafeText
from omni_tui.protocol.events import Problem
from omni_tui.security.checkable_schema import CheckableSchema
from omni_tui.security.schema_process import PATTERN_SIZE, CheckGivenUp, check_in_process
from omni_tui.security.schema_weight import schema_weight
from omni_tui.security.text import encodable, safe_line

logger = logging.getLogger(__name__)

MAX_SCHEMA = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_PATTERNS = 200
MAX_PROBLEMS = 20
MAX_WORK = 20_000_000
"""Parts of a schema times parts of a value: what is more is checked in a process of its own."""
SMALL = 4096
"""Bytes of JSON up to which a value is checked on the spot."""


class BadSchema(Exception):
    """A schema of which nothing can be checked: it is too large."""


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """A schema made ready, and what of it is not checked (safe to show)."""

    validator: jsonschema_rs.Validator
    not_checked: tuple[SafeText, ...] = ()
    schema: Any = True
    weight: int = 1
    """Parts of the schema that one place of a value may have to do with."""


class SchemaChecker:
    """Compiles schemas once, in the pool's threads, and checks values there, unless they are small.

    A check is linear; of a small value it takes less than handing it to a thread would.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._compiled: LRUCache[str, CompiledSchema | BadSchema] = LRUCache(maxsize=512)

    async def check(
        self, key: str, schema: dict[str, Any], value: Any, *, size: int = SMALL + 1
    ) -> tuple[Problem, ...]:
        """Return what is wrong with a value; `key` names the schema (its definition hash).

        `size` is that of the value as JSON, in bytes. Raises `BadSchema` where the schema itself
        cannot be used.
        """
        known = self._compiled.get(key)
        if size <= SMALL and isinstance(known, CompiledSchema) and known.weight * SMALL <= MAX_WORK:
            return problems(self._known(key, schema), value)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: problems(self._known(key, schema), value))

    async def not_checked(self, key: str, schema: dict[str, Any]) -> tuple[SafeText, ...]:
        """Return what of a schema is not checked, in words; () if all of it is."""
        loop = asyncio.get_running_loop()
        try:
            known = await loop.run_in_executor(self._pool, self._known, key, schema)
        except BadSchema as error:
            return (safe_line(str(error)),)
        return known.not_checked

    def _known(self, key: str, schema: dict[str, Any]) -> CompiledSchema:
        known = self._compiled.get(key)
        if known is None:
            try:
                known = compile_schema(schema)
            except BadSchema as error:
                known = error
            self._compiled[key] = known
        if isinstance(known, BadSchema):
            raise known
        return known


def compile_schema(schema: dict[str, Any]) -> CompiledSchema:
    """Compile a schema, or what of it can be checked. Raises `BadSchema` if it is too large."""
    try:
        _bound(schema)
        return CompiledSchema(_validator(schema), (), schema, schema_weight(schema))
    except (ValueError, RecursionError, BadSchema) as error:
        logger.debug("a schema cannot be used as it is: %s", error)
    rebuilt = CheckableSchema(schema, _Patterns(), depth=MAX_DEPTH // 2 - 2, limit=MAX_NODES // 4)
    left_out = [safe_line(note, limit=200) for note in rebuilt.left_out]
    try:
        _bound(rebuilt.schema)
        whole = _without_halves(rebuilt.schema)
        if whole != rebuilt.schema:
            left_out.insert(0, safe_line("half characters, which all count as the same one"))
        noted = tuple(left_out[:MAX_PROBLEMS])
        return CompiledSchema(_validator(whole), noted, whole, schema_weight(whole))
    except (ValueError, RecursionError) as error:
        logger.info("a schema cannot be used: %s", error)
        raise BadSchema(f"the schema cannot be used: {safe_line(str(error), limit=200)}") from None


def _validator(schema: Any) -> jsonschema_rs.Validator:
    options = jsonschema_rs.RegexOptions(size_limit=PATTERN_SIZE, dfa_size_limit=1 << 20)
    return jsonschema_rs.validator_for(schema, pattern_options=options, retriever=_refuse)


class _Patterns:
    """Tells which patterns can be used; of a schema with very many, only the first can."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def __call__(self, pattern: str) -> bool:
        if pattern not in self._known:
            self._known[pattern] = len(self._known) < MAX_PATTERNS and is_pattern(pattern)
        return self._known[pattern]


@lru_cache(maxsize=1024)
def is_pattern(pattern: str) -> bool:
    """Return whether a pattern can be checked in linear time, and compiled in little."""
    try:
        _validator({"pattern": pattern})
    except ValueError:
        return False
    return True


def problems(schema: CompiledSchema, value: Any) -> tuple[Problem, ...]:
    """Return at most 20 problems, each with its JSON Pointer.

    Raises `BadSchema` where the check would take too long.
    """
    if schema.weight * _parts(value, MAX_WORK // max(1, schema.weight) + 1) > MAX_WORK:
        return _problems_apart(schema, value)
    try:
        return _problems(schema, value)
    except UnicodeEncodeError:
        return _problems(schema, _without_halves(value))


def _problems_apart(schema: CompiledSchema, value: Any) -> tuple[Problem, ...]:
    try:
        found = check_in_process(schema.schema, _without_halves(value))
    except CheckGivenUp as error:
        raise BadSchema(f"the value was not checked: {error}") from None
    return tuple(_problem(where, what) for where, what in found)


def _problem(steps: Iterable[str | int], what: str) -> Problem:
    where = "".join(f"/{_pointer(step)}" for step in steps)
    return Problem(where=safe_line(where), what=safe_line(what, limit=300))


def _parts(value: Any, most: int) -> int:
    """Return how many values a value holds, itself included; as soon as there are `most`, that."""
    waiting, count = [value], 0
    while waiting and count < most:
        one = waiting.pop()
        count += 1
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return count


def _problems(schema: CompiledSchema, value: Any) -> tuple[Problem, ...]:
    found: list[Problem] = []
    try:
        for error in schema.validator.iter_errors(value):
            found.append(_problem(error.instance_path, str(error.message)))
            if len(found) >= MAX_PROBLEMS:
                break
    except UnicodeEncodeError:
        raise
    except (ValueError, OverflowError) as error:
        found.append(Problem(where=SafeText(""), what=safe_line(str(error), limit=300)))
    return tuple(found)


def _without_halves(value: Any) -> Any:
    """Return a JSON value with half characters as U+FFFD: the validator reads UTF-8, which has none."""
    return json.loads(encodable(json.dumps(value, ensure_ascii=False)))


def _pointer(step: str | int) -> str:
    """Escape one step of a JSON Pointer (RFC 6901, section 3)."""
    return str(step).replace("~", "~0").replace("/", "~1")


def _refuse(uri: str) -> Any:
    raise ValueError(f"it refers to {uri}, outside itself")


def _bound(schema: Any) -> None:
    stack: list[tuple[Any, int]] = [(schema, 1)]
    nodes = patterns = 0
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise BadSchema("the schema is too deep or too large")
        if isinstance(node, dict):
            named = node.get("patternProperties")
            patterns += isinstance(node.get("pattern"), str) + (
                len(named) if isinstance(named, dict) else 0
            )
            if patterns > MAX_PATTERNS:
                raise BadSchema(f"the schema has more than {MAX_PATTERNS} patterns")
            stack.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            stack.extend((child, depth + 1) for child in node)
    if len(json.dumps(schema)) > MAX_SCHEMA:
        raise BadSchema(f"the schema is larger than {MAX_SCHEMA // 1024} KiB")
