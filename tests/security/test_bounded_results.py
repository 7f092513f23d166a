"""What a server answers without measure reaches the face in small pieces, and is kept whole."""

from __future__ import annotations

import msgspec
import pytest

from omni_tui.engine.handlers.base import text_page
from omni_tui.protocol import MAX_FRAME, encode
from omni_tui.protocol.events import CallFinished
from omni_tui.security.text import MAX_MARKS, safe
from omni_tui.servers.base import RawResult
from omni_tui.tools.results import PREVIEW, StoredResult, encode_result, part_text, previews
from tests.lengths import times

SIZE = times(1_000_000, 10_000_000)
SHAPES = {
    "one line": "x" * SIZE,
    "a million lines": "\n" * 1_000_000 + "end",
    "100,000 marks": "a" + "\u0301" * 100_000 + "end",
    "unseen": "\u202e\x1b[31m\U000e0072" * (SIZE // 20),
    "wide": "漢" * (SIZE // 10),
    "half characters": "\ud83d" * (SIZE // 20),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_monstrous_result_reaches_the_face_in_small_pieces(shape: str) -> None:
    text = SHAPES[shape]
    many = [{"type": "text", "text": text[:20_000]}] * 500
    result = RawResult(
        content=[{"type": "text", "text": text}, *many], structured=text, has_structured=True
    )
    stored = StoredResult.load(encode_result(result))
    assert stored.raw() == result
    parts = previews(result)
    assert max(len(part.text) for part in parts) <= PREVIEW
    event = CallFinished(call="c", state="succeeded", parts=parts[:2], elapsed_ms=1.0, size=len(text))
    assert len(encode(event)) < MAX_FRAME
    whole, kind, mime = part_text(stored, 0)
    shown = safe(whole, limit=len(whole) * 12)
    read, pages = 0, 0
    while read < len(shown):
        page = text_page("c", 0, read, 60_000, shown, kind, mime)
        assert page.text, "it does not go on"
        assert len(msgspec.json.encode(page)) < MAX_FRAME
        if pages < 3:
            assert page.text == shown[read : read + len(page.text)]
        read, pages = read + len(page.text), pages + 1
        if pages == 3:  # the rest is more of the same
            read = max(read, len(shown) - 100_000)
    assert "\u0301" * (MAX_MARKS + 1) not in shown
