"""The form as data: schemas to fields, values to arguments and back, hostile schemas bounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_tui.face.form.exact_json import JsonNumber, NotJson, ascii_json, parse, pretty
from omni_tui.face.form.model import ArrayNode, FormModel, LeafNode, MapNode, ObjectNode
from omni_tui.face.form.schema import MAX_CHOICES, MAX_FIELDS, MAX_LEVELS
from tests.lengths import examples

SCHEMAS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "data" / "schemas.json").read_text()
)
TOOLS = [
    pytest.param(tool["inputSchema"], id=f"{server}-{tool['name']}")
    for server, tools in SCHEMAS.items()
    for tool in tools
]


def model(**properties: Any) -> FormModel:
    return FormModel(json.dumps({"type": "object", "properties": properties}))


def required(**properties: Any) -> FormModel:
    return FormModel(json.dumps({"type": "object", "properties": properties, "required": list(properties)}))


def root(form: FormModel) -> ObjectNode:
    assert isinstance(form.root, ObjectNode)
    return form.root


def leaf(form: FormModel, name: str) -> LeafNode:
    node = root(form).child(name)
    assert isinstance(node, LeafNode)
    return node


def values_for(schema: Any, root_schema: Any) -> st.SearchStrategy[Any]:
    """Values that mostly fit a schema, so that plain controls are exercised, not only raw JSON."""
    if isinstance(schema, dict):
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if schema.get("type") == "object":
            made: dict[str, Any] = schema.get("properties", {})
            fitting = {name: values_for(inner, root_schema) for name, inner in made.items()}
            return st.fixed_dictionaries({}, optional=fitting)
        if schema.get("type") == "array":
            return st.lists(values_for(schema.get("items", {}), root_schema), max_size=3)
        simple = {
            "string": st.text(max_size=12),
            "boolean": st.booleans(),
            "integer": st.integers(),
            "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
        }
        kind = schema.get("type")
        if isinstance(kind, str) and kind in simple:
            return simple[kind]
    return anything


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
names = st.text(max_size=6) | st.sampled_from(
    ["[/]", "a/b", "~", "", "\x1b[31m", "type", "$ref", "\u202ex"]
)
schemas = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "minLength": 2, "format": "date-time"},
            {"type": "number"},
            {"type": "integer", "minimum": 1},
            {"type": "boolean"},
            {"enum": ["a", "b", None, 1, 1.5, {"x": 1}]},
            {"const": "only"},
            {"type": ["string", "null"]},
            {"type": ["string", "integer"]},
            {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            {"anyOf": [{"type": "integer"}, {"type": "string"}]},
            {"oneOf": [{"const": 1, "title": "one"}, {"const": 2}]},
            {"type": "object"},
            {"type": "object", "additionalProperties": True},
            {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            {"$ref": "#/$defs/node"},
            {"$ref": "https://example.invalid/x"},
            True,
            {},
        ]
    ),
    lambda inner: (
        st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(
            lambda properties, more, wanted: {
                "type": "object",
                "properties": properties,
                "required": sorted(properties)[:wanted],
                **({"additionalProperties": True} if more else {}),
            },
            st.dictionaries(names, inner, min_size=1, max_size=4),
            st.booleans(),
            st.integers(0, 4),
        )
    ),
    max_leaves=6,
)
NODE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/node"}},
    "required": ["name"],
}


@given(data=st.data(), properties=st.dictionaries(names, schemas, min_size=1, max_size=4))
@settings(max_examples=examples(300))
def test_arguments_come_back_exactly(data: st.DataObject, properties: dict[str, Any]) -> None:
    """Whatever is loaded is what would be sent, to the last digit and the last invisible character."""
    schema = {"type": "object", "properties": properties, "$defs": {"node": NODE}}
    value = data.draw(values_for(schema, schema) | st.dictionaries(names, anything, max_size=4))
    text = json.dumps(value)
    form = FormModel(json.dumps(schema))
    form.load(parse(text))
    sent = form.arguments_json()
    assert sent is not None
    assert parse(sent) == parse(text)
    again = FormModel(json.dumps(schema))
    again.load(parse(sent))
    assert again.arguments_json() == sent


@given(value=anything)
def test_json_is_exact_and_ascii(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(ascii_json(parse(text))) == value
    assert ascii_json(parse(text)).isascii()
    assert parse(pretty(parse(text))) == parse(text)
    assert "\x1b" not in pretty(parse(json.dumps("\x1b")))


@pytest.mark.parametrize(
    "number", ["1.10", "1e400", "-0", "9" * 5000, "0.1000000000000000055511151231257827"]
)
def test_numbers_stay_as_they_were_written(number: str) -> None:
    form = required(n={"type": "number"})
    leaf(form, "n").write(number)
    assert form.arguments_json() == f'{{"n":{number}}}'
    form.load(parse(f'{{"n": {number}}}'))
    assert leaf(form, "n").text == number


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a":1,"a":2}', "twice"),
        ("[" * 5000 + "]" * 5000, "nested deeper"),
        ("[" * 150 + "]" * 150, "nested deeper"),
        ("NaN", "not JSON"),
        ("{1}", "line 1, column 2"),
        ("", "line 1"),
    ],
)
def test_what_is_no_json_says_why(text: str, said: str) -> None:
    with pytest.raises(NotJson, match=said):
        parse(text)


@pytest.mark.parametrize("schema", TOOLS)
def test_real_tools_have_a_plain_form(schema: dict[str, Any]) -> None:
    form = FormModel(json.dumps(schema))
    assert form.plain
    assert [field.name for field in form.field.fields] == list(schema["properties"])
    wanted = {field.name for field in form.field.fields if field.required}
    assert wanted == set(schema.get("required", []))
    assert all(field.kind != "raw" for field in form.field.fields)


def test_untouched_optional_fields_are_not_sent_and_required_ones_are_asked_for() -> None:
    form = FormModel(
        json.dumps(
            {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "depth": {"type": "integer", "default": 3},
                    "mode": {"enum": ["a", "b"], "default": "b"},
                    "where": {
                        "type": "object",
                        "properties": {"city": {"type": "string", "default": "Bern"}},
                        "required": ["city"],
                    },
                },
                "required": ["path", "mode"],
            }
        )
    )
    value, troubles = form.arguments()
    assert value == {"mode": "b"}
    assert [(t.node.field.name, t.blocks) for t in troubles] == [("path", False)]
    leaf(form, "path").write("x")
    assert form.arguments() == ({"path": "x", "mode": "b"}, [])


def test_clearing_a_text_takes_it_back_and_an_empty_text_is_said_on_purpose() -> None:
    form = model(note={"type": ["string", "null"]})
    note = leaf(form, "note")
    note.write("x")
    note.write("")
    assert form.arguments()[0] == {}
    said = []
    for _ in range(3):
        note.cycle()
        said.append(form.arguments()[0])
    assert said == [{"note": ""}, {"note": None}, {}]


def test_a_broken_number_blocks_and_a_fraction_only_warns() -> None:
    form = model(n={"type": "integer"})
    leaf(form, "n").write("12x")
    assert form.arguments()[0] is None
    assert form.arguments_json() is None
    leaf(form, "n").write("1.5")
    value, troubles = form.arguments()
    assert value == {"n": JsonNumber("1.5")}
    assert [t.blocks for t in troubles] == [False]
    leaf(form, "n").write("2.0")
    assert form.arguments() == ({"n": JsonNumber("2.0")}, [])


def test_lists_grow_and_shrink() -> None:
    form = required(
        edits={"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}
    )
    edits = root(form).child("edits")
    assert isinstance(edits, ArrayNode)
    assert form.arguments()[0] == {"edits": []}
    first = edits.add()
    second = edits.add()
    assert isinstance(first, ObjectNode)
    assert isinstance(second, ObjectNode)
    second.child("a").write("two")
    assert form.arguments()[0] == {"edits": [{}, {"a": "two"}]}
    edits.remove(first)
    assert form.arguments()[0] == {"edits": [{"a": "two"}]}
    edits.remove(second)
    assert form.arguments()[0] == {"edits": []}


def test_a_missing_item_of_a_list_blocks_because_its_neighbours_would_move() -> None:
    form = model(names={"type": "array", "items": {"type": "string"}})
    names_node = root(form).child("names")
    assert isinstance(names_node, ArrayNode)
    first = names_node.add()
    assert first is not None
    assert form.arguments()[0] is None
    first.cycle()
    assert form.arguments()[0] == {"names": [""]}


def test_properties_without_a_field_are_kept_beside_the_others() -> None:
    form = model(a={"type": "string"})
    form.load(parse('{"a": "x", "b": {"c": [1.50]}}'))
    assert root(form).extra is not None
    assert form.arguments_json() == '{"a":"x","b":{"c":[1.50]}}'
    extra = root(form).extra
    assert extra is not None
    extra.write('{"a": 1}')
    value, troubles = form.arguments()
    assert value is None
    assert "a field of its own" in troubles[0].what
    extra.write("[1]")
    assert "it must be an object" in form.arguments()[1][0].what


@pytest.mark.parametrize("text", ["a\x1b[31m", "a\r\nb", "a\u2028b", "\u202eabc", "a\x85b"])
def test_text_that_a_control_could_not_hold_is_edited_as_json(text: str) -> None:
    form = model(note={"type": "string"})
    leaf(form, "note").write(text)
    assert leaf(form, "note").as_json
    assert form.arguments()[0] == {"note": text}
    assert "\x1b" not in leaf(form, "note").text


def test_pointers_find_their_fields() -> None:
    form = FormModel(
        json.dumps(
            {
                "type": "object",
                "properties": {
                    "a/b": {"type": "string"},
                    "list": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"~": {"type": "string"}}},
                    },
                },
            }
        )
    )
    form.load(parse('{"list": [{}, {"~": "x"}]}'))
    assert form.find("/a~1b").field.name == "a/b"
    assert form.find("/list/1/~0").text == "x"
    assert form.find("/list/7").field.name == "list"
    assert form.find("/nowhere/at/all") is form.root
    assert form.find("") is form.root
    assert form.find("/" * 10_000) is form.root


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$ref": "#/$defs/missing"},
        {"type": "array", "items": {"type": "string"}},
        {"allOf": [{"type": "object"}, {"type": "object"}]},
        {"type": ["object", "array"]},
        {"anyOf": [{"anyOf": [{"type": "null"}]}]},
    ],
)
def test_schemas_that_are_no_form_leave_raw_json(schema: dict[str, Any]) -> None:
    form = FormModel(json.dumps(schema))
    assert not form.plain
    form.load(parse('{"a": 1}'))
    assert form.arguments_json() == '{"a":1}'
    form.root.write("[1]")
    assert form.arguments()[0] is None
    assert "must be a JSON object" in form.arguments()[1][0].what


@pytest.mark.parametrize(
    "text", ["", "{}", '{"type":"object"}', "not json", "[]", "[" * 20_000, "{" * 3, "null"]
)
def test_no_schema_or_a_broken_one_never_raises(text: str) -> None:
    form = FormModel(text)
    form.load(parse('{"a": 1}'))
    assert form.arguments_json() == '{"a":1}'


def test_a_schema_that_unfolds_for_ever_costs_what_is_opened() -> None:
    doubling: dict[str, Any] = {
        f"n{i}": {
            "type": "object",
            "properties": {"l": {"$ref": f"#/$defs/n{i + 1}"}, "r": {"$ref": f"#/$defs/n{i + 1}"}},
            "required": ["l", "r"],
        }
        for i in range(60)
    }
    doubling["n60"] = {"$ref": "#/$defs/n0"}
    form = FormModel(json.dumps({"$ref": "#/$defs/n0", "$defs": doubling}))
    here = form.field
    for _ in range(MAX_LEVELS):
        assert here.kind == "object"
        here = here.by_name["l"]
    assert here.kind == "raw"
    assert "nested deeper" in here.why_raw


def test_an_optional_branch_that_refers_to_itself_is_not_followed_until_opened() -> None:
    form = FormModel(json.dumps({"$ref": "#/$defs/node", "$defs": {"node": NODE}}))
    assert form.arguments()[0] == {}
    form.load(parse('{"name":"a","next":{"name":"b","next":{"name":"c"}}}'))
    assert form.arguments_json() == '{"name":"a","next":{"name":"b","next":{"name":"c"}}}'


def test_thousands_of_properties_are_bounded_and_required_ones_are_kept() -> None:
    properties = {f"p{i}": {"type": "string"} for i in range(5000)}
    form = FormModel(json.dumps({"type": "object", "properties": properties, "required": ["p4999"]}))
    assert len(form.field.fields) == MAX_FIELDS
    assert form.field.fields[0].name == "p4999"
    form.load(parse('{"p4999": "x", "p4000": "y"}'))
    assert form.arguments_json() == '{"p4999":"x","p4000":"y"}'


def test_too_many_choices_are_typed_as_json() -> None:
    form = model(c={"enum": list(range(MAX_CHOICES + 1))}, d={"enum": list(range(MAX_CHOICES))})
    assert [field.kind for field in form.field.fields] == ["raw", "choice"]


def test_what_is_said_about_a_field_is_safe_and_short() -> None:
    hostile = "\x1b]0;x\x07[/]\u202e" + "x" * 100_000
    form = FormModel(
        json.dumps({"type": "object", "properties": {hostile: {"type": "string", "description": hostile}}})
    )
    field = form.field.fields[0]
    for said in (field.label, field.about, field.hint):
        assert "\x1b" not in said
        assert "\u202e" not in said
        assert len(said) < 1000


@pytest.mark.parametrize(
    ("schema", "hint"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 10}, "integer 1–10"),
        ({"type": "string", "format": "uri"}, "text uri"),
        ({"type": "string", "minLength": 1}, "text ≥ 1 characters"),
        ({"type": ["number", "null"]}, "number or null"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"enum": ["a", "b"]}, "one of 2"),
        ({"type": "object"}, "JSON object"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "text or integer"),
        ({"type": ["string", "number", "integer", "null"]}, "text, number or null"),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]}, "text or JSON list"),
        ({"oneOf": [{"enum": ["auto"]}, {"type": "boolean"}]}, "text or true/false"),
        ({}, "text, or any JSON"),
        ({"type": ["integer", "boolean"]}, "JSON: integer or true/false"),
        ({"anyOf": [{"type": "object"}, {"type": "array"}]}, "JSON: JSON list or JSON object"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "keys and values (text)"),
        ({"type": "object", "additionalProperties": True}, "keys and values (any)"),
    ],
)
def test_hints_say_the_type(schema: dict[str, Any], hint: str) -> None:
    assert model(x=schema).field.fields[0].hint == hint


MIXED = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "array", "items": {}}]}


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("hello", '"hello"'),
        ("12", "12"),
        ('"12"', '"12"'),
        (" 12", '" 12"'),
        ("3.0", "3.0"),
        ("3.5", '"3.5"'),
        ("true", '"true"'),
        ("[1, 2]", "[1,2]"),
        ("[1,\n2]\n", "[1,2]"),
        ('{"a": 1}', '"{\\"a\\": 1}"'),
        ("null", '"null"'),
    ],
)
def test_a_field_that_takes_a_text_or_something_else_takes_plain_text(typed: str, sent: str) -> None:
    form = required(x=MIXED)
    leaf(form, "x").write(typed)
    assert form.arguments_json() == f'{{"x":{sent}}}'
    again = required(x=MIXED)
    again.load(parse(f'{{"x":{sent}}}'))
    assert again.arguments_json() == f'{{"x":{sent}}}'


def test_what_begins_like_a_list_and_is_none_is_said() -> None:
    form = required(x=MIXED)
    leaf(form, "x").write("[1, 2")
    sent, troubles = form.arguments()
    assert sent is None
    assert "put it in quotes" in troubles[0].what


def test_a_map_has_rows_of_keys_and_values() -> None:
    form = model(env={"type": "object", "additionalProperties": {"type": "integer"}})
    assert form.arguments_json() == "{}"
    node = root(form).child("env")
    assert isinstance(node, MapNode)
    first, second = node.add(), node.add()
    assert isinstance(first, ObjectNode)
    assert isinstance(second, ObjectNode)
    first.child("key").write("A")
    assert form.arguments()[0] is None
    first.child("value").write("1")
    second.child("key").write("A")
    second.child("value").write("2")
    sent, troubles = form.arguments()
    assert sent is None
    assert troubles[0].what == "this key is there twice"
    second.child("key").write("B")
    assert form.arguments_json() == '{"env":{"A":1,"B":2}}'
    form.load(parse('{"env": {"x/y": 3, "": 4}}'))
    assert form.arguments_json() == '{"env":{"x/y":3,"":4}}'
    assert form.find("/env/x~1y").text == "3"


def test_values_that_look_alike_show_their_type() -> None:
    form = model(c={"enum": [1, "1", "a", True, "true"]})
    assert [choice.label for choice in form.field.fields[0].choices] == [
        "1 (integer)",
        "1 (text)",
        "a",
        "true (true/false)",
        "true (text)",
    ]
    titled = model(c={"oneOf": [{"const": "a", "title": "One"}, {"const": "b", "title": "One"}]})
    labels = [choice.label for choice in titled.field.fields[0].choices]
    assert len(set(labels)) == 2


def test_true_is_not_one_among_choices() -> None:
    form = model(c={"enum": [1, True]})
    form.load(parse('{"c": true}'))
    assert leaf(form, "c").choice == 1
