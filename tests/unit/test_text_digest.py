"""Hashes of long texts: the same as of the whole, and without a second one of it in memory."""

from __future__ import annotations

import hashlib
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from omni_tui.models.base import ToolCall
from omni_tui.models.message_history import tool_message
from omni_tui.security.text_digest import text_digest

LONG = ("x" * 9_999 + "😀") * 300
"""Three million characters of four bytes each in memory."""


@given(st.lists(st.text(st.characters(), max_size=20) | st.sampled_from(["\ud83d", "\udc00\ud800", "\0"])))
def test_it_is_the_hash_of_the_whole(parts: list[str]) -> None:
    whole = "\0".join(parts).encode(errors="surrogatepass")
    assert text_digest(*parts) == hashlib.sha256(whole).hexdigest()


def test_pieces_make_no_difference() -> None:
    for text in (LONG, "\ud83d" * 200_001, "é" * ((1 << 16) + 1)):
        whole = ("id\0" + text).encode(errors="surrogatepass")
        assert text_digest("id", text) == hashlib.sha256(whole).hexdigest()


def test_a_long_result_is_told_to_a_model_without_a_copy_of_it() -> None:
    call = ToolCall("c1", "files__read", "{}")
    tool_message(call, LONG, "succeeded")  # what is made once
    tracemalloc.start()
    try:
        message = tool_message(call, LONG, "succeeded")
        text_digest("same", LONG)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(message.text) < 100_000
    assert peak < 2_000_000, "a copy would have twelve million bytes"
