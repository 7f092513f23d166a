"""Validates values against JSON Schemas that servers sent: linear, offline, bounded."""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
from cachetools import LRUCache

from omni_tui.protocol import SafeText
from omni_tui.protocol.events import Problem
from omni_tui.security.text import safe_line
from omni_tui.tools.checkable_schema import CheckableSchema

logger = logging.getLogger(__name__)

MAX_SCHEMA = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_PROBLEMS = 20
SMALL = 4096
"""Bytes of JSON up to which a value is checked on the spot."""


class BadSchema(Exception):
    """A schema of which nothing can be checked: it is too large."""


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """A schema made ready, and what of it is not checked (safe to show)."""

    validator: jsonschema_rs.Validator
    not_checked: tuple[SafeText, ...] = ()


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
        if size <= SMALL and key in self._compiled:
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
        return CompiledSchema(_validator(schema))
    except (ValueError, RecursionError, BadSchema) as error:
        logger.debug("a schema cannot be used as it is: %s", error)
    rebuilt = CheckableSchema(schema, _is_pattern, depth=MAX_DEPTH // 2 - 2, limit=MAX_NODES // 4)
    left_out = [safe_line(note, limit=200) for note in rebuilt.left_out]
    try:
        _bound(rebuilt.schema)
        return CompiledSchema(_validator(rebuilt.schema), tuple(left_out[:MAX_PROBLEMS]))
    except (ValueError, RecursionError) as error:
        logger.info("a schema cannot be used: %s", error)
        raise BadSchema(f"the schema cannot be used: {safe_line(str(error), limit=200)}") from None


def _validator(schema: Any) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        schema, pattern_options=jsonschema_rs.RegexOptions(), retriever=_refuse
    )


def _is_pattern(pattern: str) -> bool:
    try:
        _validator({"pattern": pattern})
    except ValueError:
        return False
    return True


def problems(schema: CompiledSchema, value: Any) -> tuple[Problem, ...]:
    """Return at most 20 problems, each with its JSON Pointer."""
    found: list[Problem] = []
    try:
        for error in schema.validator.iter_errors(value):
            where = "".join(f"/{_pointer(step)}" for step in error.instance_path)
            found.append(Problem(where=safe_line(where), what=safe_line(str(error.message), limit=300)))
            if len(found) >= MAX_PROBLEMS:
                break
    except (ValueError, OverflowError) as error:
        found.append(Problem(where=SafeText(""), what=safe_line(str(error), limit=300)))
    return tuple(found)


def _pointer(step: str | int) -> str:
    """Escape one step of a JSON Pointer (RFC 6901, section 3)."""
    return str(step).replace("~", "~0").replace("/", "~1")


def _refuse(uri: str) -> Any:
    raise ValueError(f"it refers to {uri}, outside itself")


def _bound(schema: Any) -> None:
    stack: list[tuple[Any, int]] = [(schema, 1)]
    nodes = 0
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise BadSchema("the schema is too deep or too large")
        if isinstance(node, dict):
            stack.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            stack.extend((child, depth + 1) for child in node)
    if len(json.dumps(schema)) > MAX_SCHEMA:
        raise BadSchema(f"the schema is larger than {MAX_SCHEMA // 1024} KiB")
