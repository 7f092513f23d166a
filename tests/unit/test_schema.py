"""Schemas of servers are checked off the loop, offline and without backtracking."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from omni_tui.tools import BadSchema, Schemas
from omni_tui.tools.schema import compile_schema, problems

ADD: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
    "required": ["a", "b"],
}


async def test_a_value_that_fits_has_no_problems() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert await Schemas(pool).check("k", ADD, {"a": 1, "b": 2.5}) == ()


async def test_every_problem_is_named_with_its_place() -> None:
    with ThreadPoolExecutor(1) as pool:
        found = await Schemas(pool).check("k", ADD, {"a": "x"})
    assert {problem.where for problem in found} == {"", "/a"}


def test_a_catastrophic_pattern_is_linear() -> None:
    validator = compile_schema({"type": "object", "properties": {"s": {"pattern": "^(a+)+$"}}})
    assert problems(validator, {"s": "a" * 50_000 + "!"})


@pytest.mark.parametrize(
    "ref", ["http://127.0.0.1:9/x.json", "https://example.invalid/x", "file:///etc/passwd", "other.json"]
)
def test_a_reference_outside_the_document_is_refused(ref: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a schema reached for the network")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    with pytest.raises(BadSchema):
        compile_schema({"type": "object", "properties": {"a": {"$ref": ref}}})


def test_a_reference_inside_is_followed_even_if_it_recurses() -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    }
    assert problems(compile_schema(schema), {"next": {"next": {}}}) == ()
    assert problems(compile_schema(schema), {"next": {"next": 3}})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"pattern": "(?<="},
        {"properties": {str(n): {} for n in range(30_000)}},
        {"description": "x" * 300_000},
    ],
    ids=["type", "pattern", "wide", "long"],
)
def test_a_schema_that_cannot_be_used_is_said_to_be(schema: dict[str, Any]) -> None:
    with pytest.raises(BadSchema):
        compile_schema(schema)


def test_a_schema_that_is_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(2_000):
        schema = {"not": schema}
    with pytest.raises(BadSchema, match="too deep"):
        compile_schema(schema)


def test_hostile_values_are_named_in_safe_words() -> None:
    found = problems(compile_schema(ADD), {"a": "\x1b[31mred\u202e", "b": 1})
    assert "\x1b" not in found[0].what
    assert "\u202e" not in found[0].what
