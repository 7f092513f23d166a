"""What LiteLLM makes of our schemas for Gemini is what Gemini's documents allow."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omni_tui.models._worker import ensure_litellm
from omni_tui.models.base import ModelRequest, ToolSpec
from omni_tui.models.litellm_tools import LiteLLMTools
from tests.lengths import examples
from tests.unit.test_provider_schema import ANYTHING, SCHEMAS, WORDS
from tests.wire.litellm_fixtures import MARKS, warm

__all__ = ["warm"]

pytestmark = MARKS

TYPES = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}
FIELDS = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties",
    "required", "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf",
    "propertyOrdering", "default", "items", "minimum", "maximum",
}  # fmt: skip


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    yield node
    for value in node.get("properties", {}).values():
        yield from nodes(value)
    for value in node.get("anyOf", []):
        yield from nodes(value)
    if "items" in node:
        yield from nodes(node["items"])


@settings(max_examples=examples(200), suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(WORDS), ANYTHING, max_size=8) | SCHEMAS)
def test_gemini_gets_what_it_takes(schema: dict[str, Any]) -> None:
    ensure_litellm()
    from litellm.llms.vertex_ai.common_utils import build_vertex_schema

    (wire,) = LiteLLMTools("gemini").of(ModelRequest((), (ToolSpec("s__t", "it", schema),)))
    built = build_vertex_schema(copy.deepcopy(wire["function"]["parameters"]))
    for node in nodes(built):
        assert isinstance(node, dict)
        assert node.keys() <= FIELDS, "a word that Gemini does not know"
        kind = str(node.get("type", "")).upper()
        assert kind in TYPES or "anyOf" in node
        if kind == "ARRAY":
            assert node.get("items")
        if "enum" in node:
            assert kind == "STRING"
            assert node["enum"]
            assert all(isinstance(value, str) and value for value in node["enum"])
        assert set(node.get("required", [])) <= set(node.get("properties", {}))
