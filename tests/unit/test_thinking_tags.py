"""Thinking that stands in the text: what is taken out of an answer, and what stays in it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.models._answer_assembler import AnswerAssembler, ThinkingSplitter, split_thinking


def streamed(text: str, size: int) -> tuple[str, str]:
    thinking = ThinkingSplitter()
    parts = [thinking.add(text[at : at + size]) for at in range(0, len(text), size)]
    parts.append(thinking.rest())
    return "".join(part.thought for part in parts), "".join(part.text for part in parts)


@pytest.mark.parametrize(
    ("said", "thought", "text"),
    [
        ("<think>plan</think>Answer", "plan", "Answer"),
        ("\n <think>\nplan\n</think>\n\nAnswer", "plan", "Answer"),
        ("<THINK>plan</Think>Answer", "plan", "Answer"),
        ("<thinking>plan</thinking>Answer", "plan", "Answer"),
        ("<thought>plan</thought>Answer", "plan", "Answer"),
        ("<reasoning>plan</reasoning> Answer", "plan", "Answer"),
        ("[THINK]plan[/THINK]Answer", "plan", "Answer"),
        ("<think></think>Answer", "", "Answer"),
        ("<think>a</think>\n<think>b</think>Answer", "a\n\nb", "Answer"),
        ("<think>is `</think>` a tag?</think>Answer", "is `</think>` a tag?", "Answer"),
        ("<think>plan</think>Then <think>this</think> stays", "plan", "Then <think>this</think> stays"),
    ],
)
def test_what_an_answer_begins_with_is_thinking(said: str, thought: str, text: str) -> None:
    assert split_thinking(said) == (thought, text)
    for size in (1, 2, 3, 7, len(said)):
        seen, answer = streamed(said, size)
        assert answer == text
        assert "".join(seen.split()) == "".join(thought.split())


@pytest.mark.parametrize(
    "said",
    [
        "Answer",
        "  <thin",
        "<b>bold</b>",
        "The tag <think>stays</think> here",
        "Use `</think>` to close it",
        "Use ``a ` </think>`` to close it",
        "```html\n<think>x</think>\n```",
        "First:\n```\n</think>\n```\nDone",
        "~~~\n</think>",
        "Open with <think> and close with </think>.",
        "<think> opens it, and nothing closes it",
    ],
)
def test_everything_else_stays_in_the_answer(said: str) -> None:
    assert split_thinking(said) == ("", said)


@pytest.mark.parametrize("closing", ["</think>", "</thinking>", "[/THINK]"])
def test_a_closing_tag_alone_ends_thinking(closing: str) -> None:
    assert split_thinking(f"I plan `code`.\n{closing}\n\nAnswer `x`.") == ("I plan `code`.", "Answer `x`.")


def test_thinking_that_a_limit_cut_off_is_no_answer() -> None:
    assert split_thinking("<think>I plan and", whole=False) == ("I plan and", "")
    assert split_thinking("<think>a</think><think>I plan and") == ("a\n\nI plan and", "")


PIECES = [
    "<think>",
    "</think>",
    "<thinking>",
    "</thinking>",
    "`",
    "```\n",
    " ",
    "\n",
    "a",
    "<",
    "/thi",
    "nk>",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.integers(1, 9))
def test_it_does_not_matter_how_it_is_cut_up(said: str, size: int) -> None:
    assert streamed(said, size) == streamed(said, max(1, len(said)))


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_what_streams_as_an_answer_is_the_answer_or_told_later(said: str) -> None:
    thought, text = split_thinking(said, whole=False)
    seen, answer = streamed(said, 3)
    if seen:
        assert answer == text
    else:
        assert answer.strip() in (text.strip(), said.strip())
    assert "".join((thought + text).split()) in "".join(said.split()) or thought


def delta(text: str) -> SimpleNamespace:
    return SimpleNamespace(content=text, reasoning_content=None, tool_calls=None, thinking_blocks=None)


def test_the_message_is_without_it_and_keeps_what_came() -> None:
    collector = AnswerAssembler()
    for piece in ("<think>pl", "an</th", "ink>\nAnswer"):
        collector.add(delta(piece))
    message = collector.message()
    assert (message.text, message.raw) == ("Answer", "<think>plan</think>\nAnswer")
    assert collector.late_thought() == "", "it was told as a thought while it came"


def test_what_was_shown_before_a_lone_closing_tag_is_told_to_have_been_thinking() -> None:
    collector = AnswerAssembler()
    shown = [collector.add(delta(piece)) for piece in ("pl", "an</think>", "Answer")]
    assert "".join(text for _, text in shown) == "plan</think>Answer"
    assert (collector.message().text, collector.late_thought()) == ("Answer", "plan")
