"""Results are kept whole, shown in bounded safe parts, and told to the model verbatim."""

from __future__ import annotations

import base64
import json

import pytest

from omni_tui.protocol import UserError
from omni_tui.servers.base import RawResult
from omni_tui.tools.results import (
    PREVIEW,
    STRUCTURED,
    WHOLE,
    StoredResult,
    encode_result,
    model_text,
    part_bytes,
    part_text,
    previews,
)

PNG = base64.b64encode(b"\x89PNG....").decode()
MIXED = RawResult(
    content=[
        {"type": "text", "text": "hello\x1b[31m\u202e"},
        {"type": "image", "data": PNG, "mimeType": "image/png"},
        {"type": "resource_link", "uri": "file:///a", "name": "a", "description": "the file a"},
        {"type": "resource", "resource": {"uri": "note://1", "text": "inside", "mimeType": "text/plain"}},
        {"type": "made-up", "x": 1},
    ],
    structured={"n": 1},
    has_structured=True,
)


def test_a_result_comes_back_as_it_was_stored() -> None:
    assert StoredResult.load(encode_result(MIXED)).raw() == MIXED


def test_half_surrogates_survive_storage() -> None:
    odd = RawResult(content=[{"type": "text", "text": "\ud800"}])
    assert StoredResult.load(encode_result(odd)).raw() == odd


def test_structured_null_is_not_the_same_as_none_given() -> None:
    null = RawResult(content=[], structured=None, has_structured=True)
    assert StoredResult.load(encode_result(null)).has_structured
    assert not StoredResult.load(encode_result(RawResult(content=[]))).has_structured


def test_previews_are_safe_and_say_what_each_part_is() -> None:
    parts = previews(MIXED)
    assert [part.kind for part in parts] == ["text", "image", "link", "resource", "text", "structured"]
    assert all("\x1b" not in part.text and "\u202e" not in part.text for part in parts)
    assert parts[1].size == 8 or parts[1].size == 9
    assert parts[2].uri == "file:///a"
    assert parts[-1].index == STRUCTURED


def test_previews_are_bounded_and_say_so() -> None:
    part = previews(RawResult(content=[{"type": "text", "text": "x" * 5_000_000}]))[0]
    assert part.truncated
    assert part.size == 5_000_000
    assert len(part.text) < PREVIEW + 100


def test_every_part_can_be_read_whole() -> None:
    stored = StoredResult.load(encode_result(MIXED))
    assert part_text(stored, 0)[0] == "hello\x1b[31m\u202e"
    assert json.loads(part_text(stored, STRUCTURED)[0]) == {"n": 1}
    assert json.loads(part_text(stored, WHOLE)[0])["content"] == MIXED.content
    with pytest.raises(UserError):
        part_text(stored, 9)


def test_binary_parts_are_saved_decoded() -> None:
    stored = StoredResult.load(encode_result(MIXED))
    assert part_bytes(stored, 1) == b"\x89PNG...."
    assert part_bytes(stored, 3) == b"inside"


def test_the_model_gets_the_text_verbatim_and_a_word_for_the_rest() -> None:
    text = model_text(MIXED)
    assert text.startswith("hello\x1b[31m\u202e\n[image, image/png")
    assert "file:///a" in text


def test_structured_content_alone_reaches_the_model() -> None:
    assert json.loads(model_text(RawResult([], {"n": 1}, True))) == {"n": 1}


@pytest.mark.parametrize(
    "block", [{}, {"type": 7}, {"type": "image"}, {"type": "resource"}, {"type": "resource", "resource": 3}]
)
def test_malformed_blocks_do_not_break_anything(block: dict[str, object]) -> None:
    result = RawResult(content=[block])
    assert len(previews(result)) == 1
    assert isinstance(model_text(result), str)
    part_bytes(StoredResult.load(encode_result(result)), 0)
