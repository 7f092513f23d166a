"""The title that a session gets from its first message."""

from __future__ import annotations

import pytest

from omni_tui.engine.conversation import TITLE_WIDTH, title_of


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("add 17 and 25", "add 17 and 25"),
        ("  two\n lines\t here ", "two lines here"),
        (
            "write a note n with text hello, then delete the note n",
            "write a note n with text hello, then delete …",
        ),
        ("x" * 100, "x" * (TITLE_WIDTH - 1) + "…"),
        ("x" * 100_000, "x" * (TITLE_WIDTH - 1) + "…"),
        ("turn \x1b[31mred\u202e", "turn <U+001B>[31mred<U+202E>"),
        ("\x00", "<U+0000>"),
    ],
)
def test_it_is_the_first_words_on_one_line(text: str, title: str) -> None:
    assert title_of(text) == title


def test_nothing_to_say_has_a_title_too() -> None:
    assert title_of("") == "…"
