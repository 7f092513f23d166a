"""Schemas of servers are checked off the loop, offline and without backtracking."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_tui.security import schema_process
from omni_tui.security.checkable_schema import _HANDLED
from omni_tui.security.schema_checker import BadSchema, SchemaChecker, compile_schema, problems
from tests.lengths import examples

ADD: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
    "required": ["a", "b"],
}


async def test_a_value_that_fits_has_no_problems() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert await SchemaChecker(pool).check("k", ADD, {"a": 1, "b": 2.5}) == ()


async def test_every_problem_is_named_with_its_place() -> None:
    with ThreadPoolExecutor(1) as pool:
        found = await SchemaChecker(pool).check("k", ADD, {"a": "x"})
    assert {problem.where for problem in found} == {"", "/a"}


def test_a_catastrophic_pattern_is_linear() -> None:
    validator = compile_schema({"type": "object", "properties": {"s": {"pattern": "^(a+)+$"}}})
    assert problems(validator, {"s": "a" * 50_000 + "!"})


@pytest.mark.parametrize(
    "ref", ["http://127.0.0.1:9/x.json", "https://example.invalid/x", "file:///etc/passwd", "other.json"]
)
def test_a_reference_outside_the_document_is_not_followed(
    ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a schema reached for the network")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    compiled = compile_schema({"properties": {"a": {"$ref": ref}, "b": {"type": "string"}}})
    assert problems(compiled, {"a": 1, "b": "x"}) == ()
    assert [problem.where for problem in problems(compiled, {"b": 1})] == ["/b"]
    [note] = compiled.not_checked
    assert note.startswith("/a: $ref ")


def test_a_reference_inside_is_followed_even_if_it_recurses() -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    }
    assert problems(compile_schema(schema), {"next": {"next": {}}}) == ()
    assert problems(compile_schema(schema), {"next": {"next": 3}})


@pytest.mark.parametrize("shape", ["wide", "long"])
def test_a_schema_that_is_too_large_is_said_to_be(shape: str) -> None:
    wide: dict[str, Any] = {"properties": {str(n): {} for n in range(30_000)}}
    with pytest.raises(BadSchema):
        compile_schema(wide if shape == "wide" else {"enum": ["x" * 300_000]})


def test_a_schema_that_is_too_deep_is_checked_down_to_there() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(2_000):
        schema = {"properties": {"a": schema}, "required": ["a"]}
    compiled = compile_schema(schema)
    assert len(compiled.not_checked) == 1
    assert problems(compiled, {"a": {"b": 1}})


def test_long_words_cost_no_check() -> None:
    compiled = compile_schema({"description": "x" * 300_000, "properties": {"a": {"type": "string"}}})
    assert compiled.not_checked == ()
    assert problems(compiled, {"a": 1})


OTHER = {"type": "object", "properties": {"n": {"type": "integer"}}}
"""The part of each schema below that must stay checked: `{"n": "x"}` is refused beside any of them."""


def _with(schema: Any) -> dict[str, Any]:
    return {**OTHER, "properties": {"n": {"type": "integer"}, "p": schema}}


UNCHECKED: dict[str, tuple[Any, str]] = {
    "a look-ahead": ({"type": "string", "pattern": "^(?=a)b"}, '/p: pattern "^(?=a)b"'),
    "a look-behind": ({"pattern": "(?<!a)b"}, '/p: pattern "(?<!a)b"'),
    "a back-reference": ({"pattern": r"(a)\1"}, r'/p: pattern "(a)\\1"'),
    "a pattern that is none": ({"pattern": "("}, '/p: pattern "("'),
    "a type of another language": ({"type": "str"}, '/p: type "str"'),
    "a type that is a number": ({"type": 7}, "/p: type 7"),
    "one unknown type of two": ({"type": ["string", "uuid"]}, "/p: type […]"),
    "a reference to nothing": ({"$ref": "#/$defs/gone"}, '/p: $ref "#/$defs/gone", which leads nowhere'),
    "a reference to an anchor that is not there": ({"$ref": "#gone"}, '/p: $ref "#gone", which leads'),
    "a length that is a text": ({"minLength": "5"}, '/p: minLength "5"'),
    "a negative length": ({"maxLength": -1}, "/p: maxLength -1"),
    "a bound that is a text": ({"maximum": "10"}, '/p: maximum "10"'),
    "a multiple of zero": ({"multipleOf": 0}, "/p: multipleOf 0"),
    "an enum that is an object": ({"enum": {"a": 1}}, "/p: enum {…}"),
    "an empty enum": ({"enum": [], "type": "text"}, '/p: type "text"'),
    "items that are a text": ({"type": "array", "items": "string"}, '/p: items "string"'),
    "a schema that is a text": ("string", "/p: this is not a schema"),
    "a union that is an object": ({"anyOf": {"type": "string"}}, "/p: anyOf {…}"),
    "a pattern of names": ({"patternProperties": {"^(?!x)": {}}}, '/p: the pattern "^(?!x)" of patt'),
    "properties as a list of objects": ({"properties": [{"name": "q"}]}, "/p: properties […]"),
}


@pytest.mark.parametrize("case", UNCHECKED)
def test_what_cannot_be_checked_is_named_and_the_rest_is_checked(case: str) -> None:
    odd, words = UNCHECKED[case]
    compiled = compile_schema(_with(odd))
    assert any(note.startswith(words) for note in compiled.not_checked), compiled.not_checked
    assert [problem.where for problem in problems(compiled, {"n": "x"})] == ["/n"]


MEANT: dict[str, tuple[Any, Any, Any]] = {
    "type any": ({"type": "any"}, {"a": [1]}, None),
    "any among others": ({"type": ["any", "null"]}, 7, None),
    "a type with a capital": ({"type": "String"}, "x", 1),
    "a null for a keyword": ({"type": "string", "minLength": None, "enum": None}, "x", 1),
    "draft 3: required beside the property": (
        {"$schema": "http://json-schema.org/draft-03/schema#", "properties": {"a": {"required": True}}},
        {"a": 1},
        {},
    ),
    "draft 3: divisibleBy": ({"divisibleBy": 2, "required": False}, 4, 3),
    "draft 3: disallow": ({"disallow": "string", "required": True}, 4, "x"),
    "draft 3: extends": ({"extends": {"type": "string"}, "required": True}, "x", 1),
    "draft 4: exclusiveMinimum": ({"minimum": 1, "exclusiveMinimum": True}, 2, 1),
    "draft 4: a maximum that is not exclusive": ({"maximum": 1, "exclusiveMaximum": False}, 1, 2),
    "draft 7: items as a list": ({"items": [{"type": "string"}]}, ["x", 1], [1]),
    "draft 7: and nothing more": (
        {"items": [{"type": "string"}], "additionalItems": False},
        ["x"],
        ["x", 1],
    ),
    "an unknown $schema": ({"$schema": "urn:mine", "type": "string"}, "x", 1),
    "an $id that is no address": ({"$id": "My Tool", "type": "string"}, "x", 1),
    "a description that is a list": ({"description": ["a"], "type": "string"}, "x", 1),
    "properties as an empty list": ({"properties": [], "type": "object"}, {"a": 1}, 1),
    "names twice in required": ({"required": ["a", "a"], "type": "object"}, {"a": 1}, {}),
    "required among the properties": (
        {"properties": {"coin": {"type": "string"}, "required": ["coin"]}},
        {"coin": "x"},
        {},
    ),
    "OpenAPI's own container": (
        {"$ref": "#/components/A", "components": {"A": {"type": "string"}}, "type": "any"},
        "x",
        1,
    ),
}


@pytest.mark.parametrize("case", MEANT)
def test_a_word_whose_meaning_is_clear_is_checked_as_it_is_meant(case: str) -> None:
    schema, fits, fails = MEANT[case]
    compiled = compile_schema(schema)
    assert compiled.not_checked == ()
    assert problems(compiled, fits) == ()
    if fails is not None:
        assert problems(compiled, fails)


AHEAD = {"pattern": "^(?=x)"}


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"not": AHEAD}, "a"),
        ({"not": {"allOf": [AHEAD]}}, "a"),
        ({"not": {"$ref": "#/$defs/a"}, "$defs": {"a": AHEAD}}, "a"),
        ({"if": AHEAD, "then": {"type": "integer"}}, "a"),
        ({"else": {"type": "integer"}, "if": {"$ref": "#/$defs/a"}, "$defs": {"a": AHEAD}}, "a"),
        ({"oneOf": [AHEAD, {"type": "string"}]}, "a"),
        ({"oneOf": [{"$ref": "#/$defs/a"}, {"type": "string"}], "$defs": {"a": AHEAD}}, "a"),
        ({"contains": AHEAD, "maxContains": 1}, ["a", "b"]),
        ({"additionalProperties": False, "patternProperties": {"^(?!x)": {}}}, {"a": 1}),
        ({"properties": {"a": {"allOf": [AHEAD]}}, "unevaluatedProperties": False}, {"a": "b"}),
        ({"allOf": [{"$ref": "#/$defs/no"}], "unevaluatedProperties": False}, {"a": "b"}),
        ({"additionalProperties": False, "properties": [{"name": "a"}]}, {"a": 1}),
    ],
)
def test_what_is_not_checked_never_makes_a_value_wrong(schema: dict[str, Any], fits: Any) -> None:
    compiled = compile_schema(schema)
    assert compiled.not_checked
    assert problems(compiled, fits) == ()


def test_a_recursive_schema_with_something_odd_is_still_followed() -> None:
    node = {"properties": {"next": {"$ref": "#/$defs/node"}, "name": AHEAD}, "type": "object"}
    compiled = compile_schema({"$ref": "#/$defs/node", "$defs": {"node": node}})
    assert problems(compiled, {"next": {"next": {"name": "y"}}}) == ()
    assert [each.where for each in problems(compiled, {"next": {"next": 3}})] == ["/next/next"]


SCHEMAS = st.recursive(
    st.booleans() | st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*sorted(_HANDLED), "$defs", "$schema", "$id", "a"]), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=examples(25))
@given(st.dictionaries(st.sampled_from(sorted(_HANDLED)), SCHEMAS), SCHEMAS)
def test_any_object_is_a_schema_of_which_something_can_be_checked(
    schema: dict[str, Any], value: Any
) -> None:
    problems(compile_schema(schema), value)


@pytest.mark.parametrize("keyword", ["oneOf", "not", "const", "required", "dependentRequired"])
def test_a_property_may_be_named_like_a_keyword(keyword: str) -> None:
    """Also beside a reference that cannot be followed, for which a schema is rewritten."""
    rewritten = {
        "$dynamicRef": [],
        "$recursiveRef": {"$dynamicRef": None, "$recursiveRef": None, "$ref": False,
                          "unevaluatedItems": False},
    }  # fmt: skip
    for names in (None, [], ["other"]):
        problems(compile_schema({"dependencies": {**rewritten, keyword: names}}), False)
    checked = compile_schema(
        {"properties": {keyword: {"type": "string"}}, "dependencies": {keyword: ["b"]}}
    )
    assert problems(checked, {keyword: 1, "b": 2})
    assert problems(checked, {keyword: "a"})


def test_hostile_values_are_named_in_safe_words() -> None:
    found = problems(compile_schema(ADD), {"a": "\x1b[31mred\u202e", "b": 1})
    assert "\x1b" not in found[0].what
    assert "\u202e" not in found[0].what


@pytest.mark.parametrize("place", ["name", "enum", "pattern", "const", "required", "title"])
def test_half_a_character_in_a_schema_weakens_that_one_check_only(place: str) -> None:
    odd = "\ud83d"
    field = {"enum": {"enum": [odd]}, "pattern": {"pattern": odd}, "const": {"const": odd}}.get(place, {})
    schema = {
        "type": "object",
        "properties": {odd if place == "name" else "a": field, "n": {"type": "integer"}},
        "required": ["n", odd] if place == "required" else ["n"],
        **({"title": odd} if place == "title" else {}),
    }
    compiled = compile_schema(schema)
    given = {odd if place in ("name", "required") else "a": odd, "n": 1}
    assert problems(compiled, given) == ()
    wrong = problems(compiled, {**given, "n": "x"})
    assert [each.where for each in wrong] == ["/n"]


def test_half_a_character_in_a_value_is_checked_like_any_other() -> None:
    compiled = compile_schema({"properties": {"a": {"maxLength": 2}, "b": {"type": "integer"}}})
    assert problems(compiled, {"a": "\ud83d"}) == ()
    assert [each.where for each in problems(compiled, {"a": "\ud83d\ud83d\ud83d"})] == ["/a"]


def doubling(word: str, levels: int) -> dict[str, Any]:
    """A short schema whose every level tries the one below it twice."""
    defs: dict[str, Any] = {"a0": {"type": "object"}}
    for level in range(1, levels + 1):
        defs[f"a{level}"] = {word: [{"$ref": f"#/$defs/a{level - 1}"}, {"$ref": f"#/$defs/a{level - 1}"}]}
    return {"$ref": f"#/$defs/a{levels}", "$defs": defs}


def recursing(word: str) -> dict[str, Any]:
    """A schema with which every level of a value doubles the work."""
    inner = {"properties": {"a": {"$ref": "#"}}, "required": ["b"]}
    return {word: [inner, {**inner, "title": "again"}]}


@pytest.mark.parametrize("word", ["allOf", "anyOf", "oneOf"])
def test_work_without_bound_is_given_up_and_said(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_process, "DEADLINE", 1.0)
    value: Any = 1
    for _ in range(60):
        value = {"a": value}
    for schema, one in ((doubling(word, 28), "x"), (recursing(word), value)):
        compiled = compile_schema(schema)
        assert compiled.weight > 1_000_000
        with pytest.raises(BadSchema, match="not checked"):
            problems(compiled, one)


async def test_of_a_bomb_nothing_is_checked_in_the_engine_and_its_process_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The verdict and the work: one other process is asked and stopped; the loop goes on meanwhile."""
    started: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen.__init__

    def noted(self: subprocess.Popen[bytes], *args: Any, **how: Any) -> None:
        begin(self, *args, **how)
        started.append(self)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    monkeypatch.setattr(schema_process, "DEADLINE", 1.0)
    monkeypatch.setattr("omni_tui.security.schema_checker._problems", None)  # the check in this process
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    with ThreadPoolExecutor(1) as pool:
        beating = asyncio.create_task(beat())
        with pytest.raises(BadSchema, match="it takes too long"):
            await SchemaChecker(pool).check("bomb", doubling("allOf", 28), "x", size=3)
        beating.cancel()
    assert beats > 1_000
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_a_long_chain_of_references_has_a_weight() -> None:
    defs = {f"a{number}": {"$ref": f"#/$defs/a{number + 1}"} for number in range(4_000)}
    assert compile_schema({"$ref": "#/$defs/a0", "$defs": {**defs, "a4000": {"type": "object"}}}).weight > 0


def test_what_refers_to_itself_in_each_place_once_is_checked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni_tui.security.schema_checker.check_in_process", None)
    tree = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "n": {"type": "integer"}}}
    optional = {
        "$defs": {"one": {"type": "object", "required": ["n"]}},
        "properties": {name: {"anyOf": [{"$ref": "#/$defs/one"}, {"type": "null"}]} for name in "abcdef"},
    }
    assert [each.where for each in problems(compile_schema(tree), {"left": {"right": {"n": "x"}}})] == [
        "/left/right/n"
    ]
    assert [each.where for each in problems(compile_schema(optional), {"a": None, "b": {}})] == ["/b"]


def test_what_refers_to_itself_among_alternatives_is_checked_apart() -> None:
    """Filters are written so: and, or, and what is compared."""
    schema = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#"}}]}
    compiled = compile_schema(schema)
    assert problems(compiled, [1, [2, [3]]]) == ()
    assert [each.where for each in problems(compiled, [1, [2, ["x\ud83d"]]])] == [""]


def test_patterns_are_bounded_in_size_and_number() -> None:
    grave = [r"\p{L}{1000}", "(?:a{1000}){1000}", "(?:a{100}){900}", ".{1,900}" * 40]
    many = {f"p{number}": {"pattern": f"{grave[number % 4]}{number}"} for number in range(3_000)}
    compiled = compile_schema({"properties": {**many, "n": {"type": "integer"}}})
    assert compiled.not_checked
    assert [each.where for each in problems(compiled, {"p1": "x", "n": "x"})] == ["/n"]
