"""The roles take turns, whatever came before; nothing that was said is left out."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from omni_tui.models.base import Message, ToolCall
from omni_tui.models.message_history import GO_ON, NO_ANSWER, in_order, is_strict
from tests.scripted_model import close_history

WORDS = st.sampled_from(["one", "two", "three"])
ENTRIES = st.one_of(
    st.builds(lambda text: [Message("user", text)], WORDS),
    st.builds(lambda text: [Message("assistant", text)], WORDS),
    st.builds(
        lambda ident, text: [Message("assistant", text, calls=(ToolCall(ident, "t", "{}"),))],
        st.sampled_from(["a", "b"]),
        st.sampled_from(["", "I call"]),
    ),
)


def roles(messages: list[Message]) -> list[str]:
    return [message.role for message in messages]


@given(st.lists(ENTRIES, max_size=10), st.booleans(), st.booleans())
def test_any_history_has_an_order_that_a_strict_template_takes(
    entries: list[list[Message]], system: bool, prompt: bool
) -> None:
    said = [message for entry in entries for message in entry]
    head = [Message("system", "the prompt")] if prompt else []
    out = in_order([*head, *close_history(said)], strict=True, system=system)
    if prompt and system:
        assert out.pop(0).role == "system"
    assert "system" not in roles(out)
    if not out:
        return
    assert out[0].role == "user"
    assert out[-1].role in ("user", "tool")
    for before, after in itertools.pairwise(out):
        allowed = {"user": ("assistant",), "assistant": ("user", "tool"), "tool": ("tool", "assistant")}
        assert after.role in allowed[before.role]
        if before.role == "assistant":
            assert (after.role == "tool") == bool(before.calls)
    words = [word for message in said for word in message.text.split()]
    sent = [word for message in out for word in message.text.split()]
    assert [word for word in sent if word in ("one", "two", "three")] == [
        word for word in words if word in ("one", "two", "three")
    ]


def test_an_answer_is_put_between_a_result_and_the_next_message_only_where_one_must_stand() -> None:
    history = [
        Message("user", "what time"),
        Message("assistant", calls=(ToolCall("1", "t", "{}"),)),
        Message("tool", "cancelled", call_id="1"),
        Message("user", "are you there"),
        Message("user", "and now"),
    ]
    strict = in_order(history, strict=True)
    assert roles(strict) == ["user", "assistant", "tool", "assistant", "user"]
    assert strict[3].text == NO_ANSWER
    assert strict[4].text == "are you there\n\nand now"
    assert roles(in_order(history, strict=False)) == ["user", "assistant", "tool", "user"]


def test_a_partial_answer_and_the_next_become_one_and_the_person_has_the_last_word() -> None:
    history = [Message("user", "hi"), Message("assistant", "half"), Message("assistant", "whole")]
    assert in_order(history, strict=True)[1:] == [
        Message("assistant", "half\n\nwhole"),
        Message("user", GO_ON),
    ]


def test_a_system_prompt_that_is_refused_stands_before_the_first_words() -> None:
    history = [Message("system", "be brief"), Message("user", "hi"), Message("assistant", "ho")]
    assert in_order(history, strict=False, system=False)[0] == Message("user", "be brief\n\nhi")


def test_who_is_known_to_take_any_order_is_left_alone() -> None:
    assert not is_strict("anthropic")
    assert not is_strict("openai")
    assert not is_strict("openai", "https://api.openai.com/v1")
    assert is_strict("mistral")
    assert is_strict("openai", "http://127.0.0.1:1234/v1")
    assert is_strict("ollama_chat")
