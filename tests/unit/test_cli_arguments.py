"""`KEY=VALUE`: the value a person means, by the tool's schema."""

from __future__ import annotations

from typing import Any

import pytest

from omni_tui.cli.output import CliError
from omni_tui.cli.tool_arguments import read_arguments


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "17", "17"),
        ({"type": "string"}, '"x"', '"x"'),
        ({"type": "string"}, "a=b", "a=b"),
        ({"type": "integer"}, "17", 17),
        ({"type": "integer"}, "3.0", 3.0),
        ({"type": "number"}, "17", 17),
        ({"type": "number"}, "-1.5e3", -1500.0),
        ({"type": "boolean"}, "true", True),
        ({"type": "array"}, "[1, 2]", [1, 2]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "integer"]}, "seven", "seven"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "7", 7),
        ({"enum": [1, 2]}, "2", 2),
        ({"enum": ["1", "2"]}, "2", "2"),
        ({}, "7", 7),
        ({}, "seven", "seven"),
        (True, "null", None),
        ({"type": "string"}, "", ""),
    ],
)
def test_values_get_the_schemas_type(schema: Any, text: str, value: object) -> None:
    read = read_arguments([f"k={text}"], "", {"properties": {"k": schema}})
    assert read == {"k": value}
    assert type(read["k"]) is type(value)


@pytest.mark.parametrize(
    ("pairs", "whole", "words"),
    [
        (["n=x"], "", "n must be a whole number, not 'x'"),
        (["n=1.5"], "", "whole number"),
        (["n=true"], "", "whole number"),
        (["n"], "", "is not KEY=VALUE"),
        (["=1"], "", "is not KEY=VALUE"),
        (["n=1", "n=2"], "", "given twice"),
        (["m=1"], "", "no argument m; known: n"),
        ([], "[1]", "must be a JSON object"),
        ([], "{", "is not JSON"),
    ],
)
def test_mistakes_are_usage_errors(pairs: list[str], whole: str, words: str) -> None:
    schema = {"properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    with pytest.raises(CliError) as caught:
        read_arguments(pairs, whole, schema)
    assert words in caught.value.what
    assert caught.value.status == 2


def test_words_go_over_the_whole_and_unknown_ones_pass_where_the_schema_is_open() -> None:
    assert read_arguments(["a=1", "z=2"], '{"a": 0, "b": [1]}', {}) == {"a": 1, "b": [1], "z": 2}
