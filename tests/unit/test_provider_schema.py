"""Schemas of any draft, and of none, become such as every provider takes, and keep their meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_tui.models.base import ModelRequest, ToolCall, ToolSpec
from omni_tui.models.litellm_tools import TAKEN, LiteLLMTools, PropertyNames, family_of
from omni_tui.models.provider_schema import Family, bare, for_provider
from tests.lengths import examples

FAMILIES: list[Family] = ["plain", "gemini", "local"]
every = pytest.mark.parametrize("family", FAMILIES)

WORDS = [
    "type", "properties", "required", "$ref", "$defs", "definitions", "anyOf", "oneOf", "allOf", "items",
    "prefixItems", "enum", "const", "minimum", "exclusiveMinimum", "divisibleBy", "pattern", "format",
    "additionalProperties", "patternProperties", "not", "if", "then", "else", "nullable", "title",
    "description", "default", "minLength", "uniqueItems", "examples", "$id", "id", "x-odd", "uids[]",
    "$filter", "名前", "a",
]  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=True)
    | st.sampled_from(
        [
            "string",
            "array",
            "object",
            "any",
            "null",
            "int",
            "file",
            "#",
            "#/$defs/a",
            "(?<=",
            "^a$",
            "é",
            "",
        ]
    )
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=40,
)


SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(
                ["string", "array", "object", "null", ["array", "null"], ["object", "string"], "any"]
            ),
            "properties": st.dictionaries(
                st.sampled_from(["a", "b", "uids[]", "type"]), SCHEMAS, max_size=3
            ),
            "required": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
            "items": SCHEMAS | st.lists(SCHEMAS, max_size=2) | st.booleans(),
            "anyOf": st.lists(SCHEMAS | st.just({"type": "null"}), max_size=3),
            "oneOf": st.lists(SCHEMAS, max_size=2),
            "allOf": st.lists(SCHEMAS, max_size=2),
            "enum": st.lists(st.sampled_from(["x", "", None, 1, True, {"a": 1}]), max_size=3),
            "const": st.sampled_from(["x", 1, None]),
            "nullable": st.booleans(),
            "additionalProperties": SCHEMAS | st.booleans(),
            "$ref": st.sampled_from(["#", "#/properties/a", "#/nowhere"]),
            "not": SCHEMAS,
            "if": SCHEMAS,
            "then": SCHEMAS,
        },
    )
)
"""Schemas that mean something, of words that providers disagree about."""


def schemas_in(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema in a schema."""
    if not isinstance(node, dict):
        return
    yield node
    for key in ("properties", "patternProperties"):
        for value in node.get(key, {}).values():
            yield from schemas_in(value)
    for key in ("anyOf", "oneOf", "allOf"):
        for value in node.get(key, []):
            yield from schemas_in(value)
    for key in ("items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else"):
        yield from schemas_in(node.get(key))


def types(node: dict[str, Any]) -> list[str]:
    said = node.get("type", [])
    return [said] if isinstance(said, str) else said


def assert_taken(schema: dict[str, Any], family: Family) -> None:
    """What the providers' documents and refusals say of the schema of a tool."""
    json.dumps(schema, allow_nan=False).encode()
    assert jsonschema_rs.meta.is_valid(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    )
    assert schema["type"] == "object"
    assert isinstance(schema["properties"], dict)
    assert not schema.keys() & {"anyOf", "oneOf", "allOf", "not", "enum", "const"}
    assert set(schema.get("required", [])) <= set(schema["properties"])
    for node in schemas_in(schema):
        assert "$ref" not in node
        if "array" in types(node):
            assert isinstance(node["items"], dict)
        if isinstance(node.get("properties"), dict):
            assert set(node.get("required", [])) <= set(node["properties"])
            assert all(TAKEN.fullmatch(name) for name in node["properties"])
        if "enum" in node:
            assert node["enum"]
        if "pattern" in node:
            re.compile(node["pattern"])
        if family == "gemini":
            assert not node.keys() & {"oneOf", "allOf", "const", "patternProperties", "not"}
            assert all(isinstance(value, str) and value for value in node.get("enum", []))
            assert "array" not in types(node) or node["items"] != {}


@every
@settings(max_examples=examples(200))
@given(st.dictionaries(st.sampled_from(WORDS), ANYTHING, max_size=8) | SCHEMAS)
def test_any_schema_becomes_one_that_providers_take(family: Family, schema: dict[str, Any]) -> None:
    tool = ToolSpec("s__t", "it", schema)
    (wire,) = LiteLLMTools(family).of(ModelRequest((), (tool,)))
    assert_taken(wire["function"]["parameters"], family)
    (plain,) = LiteLLMTools(family, bare=True).of(ModelRequest((), (tool,)))
    assert_taken(plain["function"]["parameters"], family)


# --- meaning is kept --------------------------------------------------------------------------


def test_an_array_without_items_gets_some() -> None:
    schema = for_provider(
        {
            "properties": {
                "a": {"type": "array"},
                "b": {"type": "object", "properties": {"c": {"type": ["array", "null"]}}},
            }
        }
    )
    assert schema["properties"]["a"] == {"type": "array", "items": {}}
    assert schema["properties"]["b"]["properties"]["c"] == {"type": ["array", "null"], "items": {}}


def test_a_property_that_is_named_like_a_keyword_stays() -> None:
    names = [
        "definitions",
        "$id",
        "$schema",
        "$defs",
        "$comment",
        "type",
        "properties",
        "required",
        "$ref",
        "enum",
        "items",
    ]
    schema = for_provider({"properties": {name: {"type": "string"} for name in names}, "required": names})
    assert list(schema["properties"]) == schema["required"] == names


def test_constants_of_alternatives_at_the_top_are_all_kept() -> None:
    def one(kind: str, key: str) -> dict[str, Any]:
        properties = {"kind": {"const": kind}, key: {"type": "string"}}
        return {"type": "object", "properties": properties, "required": ["kind", key]}

    schema = for_provider({"type": "object", "oneOf": [one("file", "path"), one("url", "url")]})
    assert schema["properties"]["kind"] == {"type": "string", "enum": ["file", "url"]}
    assert schema["required"] == ["kind"]
    assert schema["description"] == 'One of: kind "file" with path; kind "url" with url'
    shapes = [
        {"properties": {"op": {"type": "string", "enum": each}}} for each in (["get", "list"], ["delete"])
    ]
    assert for_provider({"anyOf": shapes})["properties"]["op"]["enum"] == ["get", "list", "delete"]
    different = [{"properties": {"id": {"type": kind}}} for kind in ("string", "integer")]
    assert for_provider({"anyOf": different})["properties"]["id"] == {
        "anyOf": [{"type": "string"}, {"type": "integer"}]
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            {"type": "integer", "exclusiveMinimum": 0},
        ),
        ({"type": "any"}, {}),
        ({"type": "float"}, {"type": "number"}),
        ({"type": ["string", "null", "any"]}, {}),
        ({"divisibleBy": 5}, {"multipleOf": 5}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"items": [{"type": "string"}, {"type": "number"}]},
            {"items": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
        ),
        ({"type": [{"type": "string"}, "number"]}, {"anyOf": [{"type": "string"}, {"type": "number"}]}),
        ({"allOf": [{"type": "string"}], "title": "x"}, {"type": "string", "title": "x"}),
        ({"enum": []}, {}),
        ({"type": "object", "properties": []}, {"type": "object"}),
        (
            {"type": "object", "properties": {"a": {"required": True}}},
            {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        ),
    ],
)
def test_old_spellings_are_written_in_the_new_one(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert for_provider({"properties": {"p": old}})["properties"]["p"] == new


def test_what_cannot_be_said_is_said_in_the_description() -> None:
    pattern = for_provider({"properties": {"p": {"pattern": "(?!x)y", "description": "It."}}}, "local")
    assert pattern["properties"]["p"]["description"] == "It. Must match (?!x)y"
    number = for_provider({"properties": {"p": {"type": "integer", "enum": [1, 2]}}}, "gemini")
    assert number["properties"]["p"] == {"type": "integer", "description": "One of 1, 2."}


def test_a_server_of_ones_own_gets_a_type_everywhere() -> None:
    schema = for_provider(
        {
            "properties": {
                "a": {},
                "b": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "c": {"enum": [1]},
            }
        },
        "local",
    )
    assert all(types(node) for node in schemas_in(schema))
    assert schema["properties"]["b"]["type"] == ["string", "null"]
    assert schema["properties"]["c"]["type"] == "integer"
    assert family_of("ollama_chat") == family_of("openai", "http://127.0.0.1:1/v1") == "local"
    assert family_of("openai") == family_of("anthropic") == "plain"
    assert family_of("vertex_ai") == "gemini"


def test_the_simplest_form_has_names_types_and_words() -> None:
    schema = for_provider(
        {"properties": {"a": {"type": ["null", "array"], "description": "d"}, "b": {}}, "required": ["a"]}
    )
    assert bare(schema) == {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "string"}, "description": "d"},
            "b": {"type": "string"},
        },
        "required": ["a"],
    }


# --- names ------------------------------------------------------------------------------------

ODD = {
    "uids[]": {"type": "array"},
    "$filter": {"type": "string"},
    "名前": {},
    "x" * 80: {},
    "plain.name": {},
}


def test_odd_names_are_shown_in_plain_letters_and_go_back_to_the_server_as_its_own() -> None:
    inner = {"type": "object", "properties": ODD, "required": list(ODD)}
    tool = ToolSpec(
        "s__t", "it", {"type": "object", "properties": {**ODD, "deep": inner}, "required": list(ODD)}
    )
    tools, request = LiteLLMTools(), ModelRequest((), (tool,))
    parameters = tools.of(request)[0]["function"]["parameters"]
    assert all(
        TAKEN.fullmatch(name) for node in schemas_in(parameters) for name in node.get("properties", {})
    )
    assert '"uids[]"' in parameters["properties"][next(iter(parameters["properties"]))]["description"]
    real: dict[str, Any] = {"uids[]": ["a"], "deep": {"$filter": "f", "名前": {"uids[]": 1}}, "other": 1}
    shown = tools.shown(request, ToolCall("1", "s__t", json.dumps(real)))
    assert "uids[]" not in shown
    assert json.loads(tools.real(request, ToolCall("1", "s__t", shown))) == real
    assert tools.real(request, ToolCall("1", "s__t", "{broken")) == "{broken"


@given(st.lists(st.text(min_size=1, max_size=70), unique=True, max_size=12), st.data())
def test_the_way_back_is_sure(names: list[str], data: st.DataObject) -> None:
    table = PropertyNames({"properties": {name: {} for name in names}})
    again = PropertyNames({"properties": {name: {} for name in names}})
    value = data.draw(
        st.dictionaries(st.sampled_from(names), st.integers(), max_size=5) if names else st.just({})
    )
    text = json.dumps(value)
    shown = json.loads(table.shown(text))
    assert len(shown) == len(value)
    assert all(TAKEN.fullmatch(name) for name in shown)
    assert json.loads(table.real(table.shown(text))) == value
    assert table.shown(text) == again.shown(text), "the same names at every start"


def test_no_pattern_of_a_server_is_compiled_by_an_engine_without_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(re, "compile", compiled.append)
    slow = "(?i)" + "[a-\uffff]" * 90  # seconds, for Python's engine
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": slow}, "b": {"pattern": "^x+$"}},
        "patternProperties": {"x" * 100_000: {"type": "string"}, "^y": {"type": "string"}},
    }
    made = for_provider(schema)
    assert compiled == []
    assert made["properties"]["b"]["pattern"] == "^x+$"
    assert set(made["patternProperties"]) == {"^y"}


def test_a_pattern_that_is_not_passed_on_is_told_in_words() -> None:
    made = for_provider({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=a)b"}}})
    assert "pattern" not in made["properties"]["a"]
    assert "^(?=a)b" in made["properties"]["a"]["description"]
