"""Thoughts go back to where they came from, and nowhere else; calls and results keep fitting together."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.models._answer_assembler import Thoughts
from omni_tui.models.base import Message, ToolCall
from omni_tui.models.litellm_messages import to_litellm
from omni_tui.models.origin import is_same_family, origin_of, takes_reasoning

SIGNED = ({"type": "thinking", "thinking": "hm", "signature": "SIG"},)
DETAILS = ({"type": "reasoning.encrypted", "data": "ENC", "index": 0},)
CALL = ToolCall("call_1", "demo__add", '{"a": 1}')
PLACES = {
    "claude": origin_of("anthropic/claude-opus-4-5", "anthropic"),
    "other claude": origin_of("anthropic/claude-sonnet-4-5", "anthropic"),
    "like claude": origin_of("anthropic/MiniMax-M2.1", "anthropic", "https://api.minimax.io/anthropic"),
    "claude elsewhere": origin_of("anthropic/claude-opus-4-5", "anthropic", "https://proxy.example"),
    "deepseek": origin_of("deepseek/deepseek-chat", "deepseek"),
    "other deepseek": origin_of("deepseek/deepseek-reasoner", "deepseek"),
    "local": origin_of("openai/qwen3", "openai", "http://127.0.0.1:1234/v1"),
    "other local": origin_of("openai/glm", "openai", "http://127.0.0.1:1234/v1"),
    "nowhere": "",
}


def exchange(origin: str, ident: str = "call_1", **thoughts: object) -> list[Message]:
    call = ToolCall(ident, CALL.name, CALL.arguments)
    return [
        Message("user", "add"),
        Message("assistant", calls=(call,), origin=origin, **thoughts),  # type: ignore[arg-type]
        Message("tool", "3", call_id=ident, name="demo__add"),
    ]


@pytest.mark.parametrize(("made", "here"), list(itertools.product(PLACES, PLACES)))
def test_signed_thinking_goes_back_to_the_very_place_only(made: str, here: str) -> None:
    history = exchange(PLACES[made], thinking=SIGNED)
    sent = to_litellm(history, "anthropic", "anthropic/claude-opus-4-5", here=PLACES[here])
    assert ("SIG" in json.dumps(sent)) == (made == here != "nowhere")


@pytest.mark.parametrize(("made", "here"), list(itertools.product(PLACES, PLACES)))
def test_open_reasoning_goes_back_to_the_same_house_only(made: str, here: str) -> None:
    history = exchange(PLACES[made], reasoning="I should add.")
    sent = to_litellm(history, "deepseek", "deepseek/x", here=PLACES[here], reasoning=True)
    family = {made, here} <= {"deepseek", "other deepseek"}
    assert ("I should add." in json.dumps(sent)) == ((made == here and made != "nowhere") or family)


def test_an_aggregator_is_not_one_house() -> None:
    one = origin_of("openrouter/deepseek/deepseek-v4", "openrouter")
    other = origin_of("openrouter/moonshotai/kimi-k2", "openrouter")
    assert not is_same_family(one, other)


def test_a_provider_that_refuses_reasoning_gets_none() -> None:
    assert not any(
        takes_reasoning(name)
        for name in ("openai", "groq", "mistral", "cerebras", "azure", "gemini", "anthropic")
    )
    assert takes_reasoning("openai", "http://127.0.0.1:8000/v1")
    assert not takes_reasoning("openai", "https://api.openai.com/v1")
    assert all(
        takes_reasoning(name) for name in ("deepseek", "moonshot", "openrouter", "hosted_vllm", "zai")
    )
    history = exchange(PLACES["local"], reasoning="I should add.")
    sent = to_litellm(history, "openai", "openai/qwen3", here=PLACES["local"], reasoning=False)
    assert "reasoning" not in json.dumps(sent)


def test_who_insists_on_reasoning_gets_a_blank_for_that_of_others() -> None:
    history = exchange(PLACES["claude"], reasoning="secret", thinking=SIGNED)
    sent = to_litellm(history, "deepseek", "deepseek/x", here=PLACES["deepseek"], reasoning=True, fill=True)
    assert sent[1]["reasoning_content"] == " "
    assert "secret" not in json.dumps(sent)


def test_details_of_openrouter_go_back_in_its_own_field() -> None:
    here = origin_of("openrouter/google/gemini-3-pro", "openrouter")
    history = exchange(here, thinking=DETAILS, reasoning="open")
    sent = to_litellm(history, "openrouter", "openrouter/google/gemini-3-pro", here=here, reasoning=True)
    assert sent[1]["reasoning_details"] == list(DETAILS)
    other = origin_of("openrouter/anthropic/claude-opus-4.5", "openrouter")
    assert "ENC" not in json.dumps(to_litellm(history, "openrouter", "x", here=other, reasoning=True))


def test_the_signature_in_an_id_of_gemini_stays_with_gemini() -> None:
    here = origin_of("gemini/gemini-3-pro", "gemini")
    history = exchange(here, "call_9__thought__U0lH")
    own = to_litellm(history, "gemini", "gemini/gemini-3-pro", here=here)
    assert own[1]["tool_calls"][0]["id"] == own[2]["tool_call_id"] == "call_9__thought__U0lH"
    for provider, place in (
        ("gemini", origin_of("gemini/gemini-2.5-flash", "gemini")),
        ("openai", PLACES["local"]),
        ("anthropic", PLACES["claude"]),
        ("mistral", origin_of("mistral/m", "mistral")),
    ):
        sent = to_litellm(history, provider, "x", here=place)
        assert "U0lH" not in json.dumps(sent)
        assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]


@pytest.mark.parametrize("provider", ["openai", "anthropic", "mistral", "ollama_chat", "deepseek"])
@given(ids=st.lists(st.sampled_from(["call_0", "call_1", "", "functions.add:0", "x" * 90]), min_size=1))
def test_no_id_is_used_twice_and_each_result_finds_its_call(provider: str, ids: list[str]) -> None:
    history = [message for ident in ids for message in exchange("", ident)[1:]]
    sent = to_litellm(history, provider, "m")
    called = [message["tool_calls"][0]["id"] for message in sent if message["role"] == "assistant"]
    assert len(set(called)) == len(called)
    assert called == [message["tool_call_id"] for message in sent if message["role"] == "tool"]
    if provider == "mistral":
        assert all(ident.isalnum() and len(ident) == 9 for ident in called)


def test_a_name_that_a_model_made_up_is_one_that_providers_take() -> None:
    calls = tuple(ToolCall(str(n), name, "{}") for n, name in enumerate(["", "read file", "é" * 99]))
    (sent,) = to_litellm([Message("assistant", calls=calls)], "openai", "m")
    names = [call["function"]["name"] for call in sent["tool_calls"]]
    assert names == ["unnamed", "read_file", "_" * 64]


def test_half_a_surrogate_pair_can_be_sent() -> None:
    sent = to_litellm(
        [Message("user", "a\ud83d"), Message("assistant", "b", reasoning="c\ude00", origin="p q r")],
        "deepseek", "m", here="p q r", reasoning=True,
    )  # fmt: skip
    json.dumps(sent, ensure_ascii=False).encode()
    assert sent[0]["content"] == "a\ufffd"


def test_thoughts_are_gathered_as_they_stream() -> None:
    class Delta:
        def __init__(self, **fields: object) -> None:
            self.__dict__.update(fields)

    thoughts = Thoughts()
    thoughts.add(Delta(reasoning_content="I "))
    thoughts.add(Delta(reasoning_content="add", content="x"))
    for text in ("Fir", "st"):
        detail = {"type": "reasoning.text", "text": text, "index": 0}
        thoughts.add(Delta(reasoning_details=[detail, "junk", {"type": 5}]))
    thoughts.add(Delta(reasoning_details=[{"type": "reasoning.text", "signature": "S", "index": 0}]))
    thoughts.add(Delta(reasoning_details=[{"type": "reasoning.encrypted", "data": "E", "index": 1}]))
    thoughts.add(Delta(provider_specific_fields={"thought_signatures": ["G", "G", None]}))
    assert thoughts.text == "I add"
    assert thoughts.blocks == (
        {"type": "reasoning.text", "text": "First", "index": 0, "signature": "S"},
        {"type": "reasoning.encrypted", "data": "E", "index": 1},
        {"type": "thought_signature", "signature": "G"},
    )
