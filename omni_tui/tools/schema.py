"""Validation against JSON Schemas that servers sent: linear, offline, bounded.

`jsonschema-rs` with its `regex` engine cannot backtrack; a retriever that raises keeps every
reference inside the document (MCP 2026-07-28: implementations must not fetch network references).
"""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import Executor
from typing import Any

import jsonschema_rs
from cachetools import LRUCache

from omni_tui.protocol import SafeText
from omni_tui.protocol.events import Problem
from omni_tui.security.text import safe_line

logger = logging.getLogger(__name__)

MAX_SCHEMA = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_PROBLEMS = 20
SMALL = 4096
"""Bytes of JSON up to which a value is checked on the spot."""


class BadSchema(Exception):
    """A schema that is too large, too deep, refers outside itself, or is no JSON Schema."""


class Schemas:
    """Compiles schemas once, in the pool's threads, and checks values there, unless they are small.

    A check is linear; of a small value it takes less than handing it to a thread would.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._compiled: LRUCache[str, jsonschema_rs.Validator | BadSchema] = LRUCache(maxsize=512)

    async def check(
        self, key: str, schema: dict[str, Any], value: Any, *, size: int = SMALL + 1
    ) -> tuple[Problem, ...]:
        """Return what is wrong with a value; `key` names the schema (its definition hash).

        `size` is that of the value as JSON, in bytes. Raises `BadSchema` where the schema itself
        cannot be used.
        """
        if size <= SMALL and key in self._compiled:
            return self._check(key, schema, value)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._check, key, schema, value)

    def _check(self, key: str, schema: dict[str, Any], value: Any) -> tuple[Problem, ...]:
        validator = self._compiled.get(key)
        if validator is None:
            try:
                validator = compile_schema(schema)
            except BadSchema as error:
                validator = error
            self._compiled[key] = validator
        if isinstance(validator, BadSchema):
            raise validator
        return problems(validator, value)


def compile_schema(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Compile a schema within the limits. Raises `BadSchema`."""
    _bound(schema)
    try:
        return jsonschema_rs.validator_for(
            schema, pattern_options=jsonschema_rs.RegexOptions(), retriever=_refuse
        )
    except (ValueError, RecursionError) as error:
        raise BadSchema(f"the schema cannot be used: {safe_line(str(error), limit=200)}") from None


def problems(validator: jsonschema_rs.Validator, value: Any) -> tuple[Problem, ...]:
    """Return at most 20 problems, each with its JSON Pointer."""
    found: list[Problem] = []
    try:
        for error in validator.iter_errors(value):
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


def _bound(schema: dict[str, Any]) -> None:
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
