"""Markdown as lines: what it looks like, and that hostile text stays text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_tui.face.lines import Line, copied_text
from omni_tui.face.transcript.code import highlight
from omni_tui.face.transcript.markdown import MAX_CHARS, code_blocks, markdown
from omni_tui.face.transcript.stream import StreamText
from tests.face.page import ANSWER
from tests.lengths import examples


def rows(text: str, width: int = 60, indent: int = 2) -> list[str]:
    return [line.text.rstrip() for line in markdown(text, width, indent=indent)]


def roles(lines: list[Line], word: str) -> str:
    return next(span.role for line in lines for span in line.spans if word in span.text)


def test_blocks_stand_apart_and_tight_lists_together() -> None:
    assert rows("# Head\ntext\n\n- a\n- b\n  1. c\n\nend") == [
        "  Head", "", "  text", "", "  • a", "  • b", "    1. c", "", "  end",
    ]  # fmt: skip


def test_inline_styles_become_roles() -> None:
    lines = markdown("# Big *one*\n\nsome **strong** and `code` ~~gone~~", 60)
    assert roles(lines, "Big") == "h1"
    assert roles(lines, "one") == "h1 em"
    assert roles(lines, "strong") == "text strong"
    assert roles(lines, "code") == "text code-inline"
    assert roles(lines, "gone") == "text s"


def test_a_link_shows_where_it_leads() -> None:
    assert rows("[your bank](https://evil.example)") == ["  your bank (https://evil.example)"]
    assert rows("<https://ok.example>") == ["  https://ok.example"]


def test_html_and_images_are_shown_as_what_they_are() -> None:
    assert rows("<script>x</script>") == ["  <script>x</script>"]
    assert rows("a <b>c</b>\n\n![pic](http://e.example/p.png)")[-1] == "  ▣ pic (http://e.example/p.png)"


def test_code_is_highlighted_shaded_and_named() -> None:
    lines = markdown("```python\nreturn 'x'  # why\n```", 40)
    assert roles(lines, "return") == "code code-keyword"
    assert roles(lines, "'x'") == "code code-string"
    assert roles(lines, "why") == "code code-comment"
    assert lines[0].text.endswith("python")
    assert lines[0].fill == "code"
    assert copied_text(lines) == "return 'x'  # why"


def test_code_keeps_its_columns_and_is_cut_not_wrapped_at_words() -> None:
    assert rows("```\nif x:\n    aaa bbb\n```", 12, 0) == ["  if x:", "      aaa bb", "  b"]


def test_long_code_lines_copy_back_whole() -> None:
    code = "x = " + "abc " * 40
    assert copied_text(markdown(f"```\n{code}\n```", 30)) == code


def test_an_ordered_list_keeps_its_numbers_aligned() -> None:
    assert rows("9. a\n10. b", indent=0) == [" 9. a", "10. b"]


def test_quotes_carry_their_bar_through_the_air() -> None:
    assert rows("> a\n>\n> b", indent=0) == ["▎ a", "▎", "▎ b"]


def test_a_table_has_aligned_columns() -> None:
    assert rows("| a | long head |\n|--|--|\n| 日本 | x |\n| y |", indent=0) == [
        "a     long head",
        "────  ─────────",
        "日本  x",
        "y",
    ]


def test_a_table_too_wide_wraps_its_cells_then_gives_each_field_a_line() -> None:
    table = "| name | what it does |\n|--|--|\n| git_status | shows the working tree |"
    assert rows(table, 30, 0) == [
        "name        what it does",
        "──────────  ──────────────────",
        "git_status  shows the working",
        "            tree",
    ]
    assert rows(table, 15, 0) == ["name:", "  git_status", "what it does:", "  shows the", "  working tree"]


def test_code_blocks_are_found_in_order() -> None:
    assert code_blocks("a\n```sh\none\n```\n- x\n  ```\n  two\n  ```\n") == ["one", "two"]


@settings(max_examples=examples(150))
@given(st.text(alphabet="ab *_`#>-|[]()!~\n1.日\u0301<", max_size=200), st.integers(10, 60))
def test_any_text_gives_lines_that_fit(text: str, width: int) -> None:
    for line in markdown(text, width, indent=2):
        assert line.width <= width or width < 24  # deep nesting in a window that narrow


@pytest.mark.parametrize(
    "text",
    [
        "[/]",
        "[@click=app.quit]x[/]",
        "[red]x[/red]",
        "[link=http://evil]x[/]",
        "[/path]",
        '{"a":[true,false]}',
    ],
)
def test_markup_stays_text(text: str) -> None:
    assert rows(text, indent=0) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 30_000,
        "*a " * 20_000,
        "> " * 5_000,
        "`" * 30_000 + "a",
        "|" * 20_000,
        "- " * 9_000,
        "x" * 1_000_000,
    ],
)
def test_hostile_markdown_is_done_in_time(text: str) -> None:
    begun = time.process_time()
    assert markdown(text, 80)
    assert time.process_time() - begun < 5  # quadratic work would take minutes


@pytest.mark.parametrize("depth", [3, 8, 9, 10, 18, 19, 40])
@pytest.mark.parametrize("mark", ["> ", "- "])
def test_nothing_nests_so_deep_that_it_vanishes(mark: str, depth: int) -> None:
    assert "kept" in copied_text(markdown(mark * depth + "kept", 80))


def test_a_text_too_long_is_shown_as_it_is() -> None:
    assert copied_text(markdown("**a** " * MAX_CHARS, 80)).startswith("**a** **a**")


def test_highlighting_changes_no_character() -> None:
    for language in ("python", "json", "diff", "bash", "nonsense", "", "html"):
        code = "\n\n def f(:\n\t'unclosed\n+ x\n- y\r\n\n"
        assert "".join(span.text for span in highlight(code, language)) == code


def stream_of(text: str, step: int, width: int = 60) -> list[str]:
    stream = StreamText()
    lines: list[Line] = []
    for at in range(0, len(text), step):
        stream.feed(text[at : at + step])
        lines = stream.lines(width, 2)
    return [line.text.rstrip() for line in lines]


def test_what_streams_is_plain_until_its_block_is_complete() -> None:
    stream = StreamText()
    stream.feed("a **b")
    assert [line.text for line in stream.lines(60, 2)] == ["  a **b"]
    stream.feed("**\n\nnext")
    assert [line.text for line in stream.lines(60, 2)] == ["  a b", "", "  next"]


def test_a_code_block_is_complete_with_its_fence() -> None:
    stream = StreamText()
    stream.feed("```py\nreturn 1\n")
    assert roles(stream.lines(60, 0), "return 1") == "code"
    stream.feed("```\n")
    assert roles(stream.lines(60, 0), "return") == "code code-keyword"


def test_an_empty_line_inside_a_fence_ends_nothing() -> None:
    stream = StreamText()
    stream.feed("```\na\n\nb\n```\n")
    assert [line.text.rstrip() for line in stream.lines(20, 0)] == ["  a", "", "  b"]


@pytest.mark.parametrize("step", [1, 7, 50])
def test_the_streamed_text_ends_as_the_whole_would(step: int) -> None:
    text = ANSWER + "\n"
    assert stream_of(text + "\nend\n", step)[:-2] == rows(ANSWER)


def test_finished_lines_stay_the_same_objects() -> None:
    stream = StreamText()
    stream.feed("one\n\ntwo\nthree")
    before = stream.lines(60, 2)
    stream.feed(" more")
    after = stream.lines(60, 2)
    assert all(a is b for a, b in zip(before[:-1], after, strict=False))


def test_another_width_draws_the_whole_text_again() -> None:
    stream = StreamText()
    stream.feed("alpha beta\n\ngamma")
    stream.lines(60, 0)
    assert [line.text for line in stream.lines(6, 0)] == ["alpha", "beta", "", "gamma"]


def test_a_stream_that_is_sent_again_starts_over() -> None:
    stream = StreamText()
    stream.feed("wrong")
    stream.lines(60, 0)
    stream.clear()
    stream.feed("right")
    assert [line.text for line in stream.lines(60, 0)] == ["right"]
    assert stream.text == "right"
