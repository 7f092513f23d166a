"""How heavy a schema is at most: what cannot be told is without bound. Hostile schemas first."""

from __future__ import annotations

from typing import Any

import pytest

from omni_tui.security.schema_weight import WITHOUT_BOUND, schema_weight


def recursive(reference: str, **more: Any) -> dict[str, Any]:
    branch = {"properties": {"n": {"$ref": reference}, "leaf": False}}
    return {"$defs": {"r": {"anyOf": [branch, branch], **more}}, "$ref": "#/$defs/r"}


@pytest.mark.parametrize(
    "schema",
    [
        {**recursive("#/%24defs/r"), "$ref": "#/%24defs/r"},
        recursive("#/$defs/r"),
        recursive("#r", **{"$anchor": "r"}),
        recursive("#", **{"$id": "other"}),
        recursive("#", id="other"),
        recursive(""),
        {"$ref": "#/$defs/missing"},
        {"$ref": 3},
        {"$dynamicRef": "#r", "$defs": {"r": {"$dynamicAnchor": "r"}}},
        {"$recursiveRef": "other"},
        {"properties": {"a": {"$id": "b", "type": "string"}}},
        {
            "$defs": {"a": {"properties": {"n": {"$ref": "#"}}}},
            "$ref": "#/$defs/a",
            "properties": {"n": {"$ref": "#"}},
        },
    ],
)
def test_a_schema_whose_work_cannot_be_told_has_no_bound(schema: dict[str, Any]) -> None:
    assert schema_weight(schema) == WITHOUT_BOUND


def test_a_property_with_the_name_of_a_keyword_counts_in_full() -> None:
    heavy = {"anyOf": [{"type": "string"}] * 50}
    assert schema_weight({"properties": {"definitions": heavy}}) > 50


@pytest.mark.parametrize(
    "schema",
    [
        {"$id": "https://example.org/a", "properties": {"id": {"type": "string"}, "not": {}}},
        {"properties": {"next": {"$ref": "#"}, "name": {"type": "string"}}},
        {"$defs": {"a/b": {"type": "string"}}, "items": {"$ref": "#/$defs/a~1b"}},
        {"$recursiveRef": "#/$defs/a", "$defs": {"a": True}},
    ],
)
def test_a_plain_schema_is_about_as_heavy_as_it_is_long(schema: dict[str, Any]) -> None:
    assert schema_weight(schema) < 20
