"""Tools written after those of published servers: their forms, their check and the command line.

Each has an example of its arguments. A field that has to be typed as JSON is named under `json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omni_tui.cli.tool_arguments import read_arguments
from omni_tui.face.form.exact_json import parse
from omni_tui.face.form.model import FormModel, Node
from omni_tui.security.schema_checker import compile_schema, problems

SHAPES: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "data" / "schemas_written.json").read_text()
)
TOOLS = [
    pytest.param(tool, id=f"{server}: {tool['name']}") for server, tools in SHAPES.items() for tool in tools
]
EMPTY = ("nothing", "closed")


def nodes(node: Node) -> Iterator[Node]:
    for child in node.children():
        yield child
        yield from nodes(child)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_argument_has_a_field_in_which_the_example_can_be_typed(tool: dict[str, Any]) -> None:
    form = FormModel(json.dumps(tool["inputSchema"]))
    assert form.plain
    assert [field.name for field in form.field.fields] == list(tool["inputSchema"].get("properties", {}))
    form.load(parse(json.dumps(tool["example"])))
    sent, troubles = form.arguments()
    assert not troubles
    assert form.arguments_json() is not None
    assert json.loads(form.arguments_json() or "") == tool["example"]
    assert sent is not None
    as_json = [node.field.name for node in nodes(form.root) if node.state == "raw"]
    free = [name for name in as_json if name not in tool.get("json", [])]
    objects = ("parent", "custom_fields", "filter")
    assert [name for name in free if name and name not in objects] == []


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_typed_into_the_fields_is_what_is_sent(tool: dict[str, Any]) -> None:
    """The texts of a form that holds the example, typed into a fresh one."""
    filled = FormModel(json.dumps(tool["inputSchema"]))
    filled.load(parse(json.dumps(tool["example"])))
    fresh = FormModel(json.dumps(tool["inputSchema"]))
    fresh.load(parse(json.dumps(tool["example"])))
    for before, after in zip(nodes(filled.root), nodes(fresh.root), strict=True):
        if before.text and before.choice < 0:
            after.write(before.text)
    assert fresh.arguments_json() == filled.arguments_json()


@pytest.mark.parametrize("tool", TOOLS)
def test_the_schema_is_checked_whole_and_the_example_fits(tool: dict[str, Any]) -> None:
    compiled = compile_schema(tool["inputSchema"])
    assert compiled.not_checked == ()
    assert problems(compiled, tool["example"]) == ()
    assert tool["name"] in EMPTY or problems(compiled, []) or tool["name"] == "no_type"


@pytest.mark.parametrize("tool", TOOLS)
def test_the_command_line_reads_the_example_as_it_is_meant(tool: dict[str, Any]) -> None:
    pairs = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in tool["example"].items()
        if name
    ]
    read = read_arguments(pairs, "", tool["inputSchema"])
    assert read == {name: value for name, value in tool["example"].items() if name}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "any"},
        {"type": "Object"},
        {"type": ["object", "null"]},
        {"type": "object", "properties": []},
        {"type": "object", "properties": None},
        {"type": "object", "required": True},
        {"type": "object", "properties": {"a": {"type": "any"}, "b": {"type": "String"}, "c": "text"}},
    ],
)
def test_an_odd_schema_has_a_form_all_the_same(schema: dict[str, Any]) -> None:
    form = FormModel(json.dumps(schema))
    assert form.plain
    form.load(parse('{"a": 1}'))
    assert form.arguments_json() == '{"a":1}'
