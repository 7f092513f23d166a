"""A refusal that another form of the same request can help is helped at once, and kept in mind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omni_tui.agents import ToolOutcome, run_turn
from omni_tui.engine.model_files import ModelQuirksFile
from omni_tui.models.base import Message, ModelRequest, ToolCall, ToolSpec
from omni_tui.models.tool_calling_mode import ToolModeModel
from tests.engine.agent_host import QUICK, FakeHost, spec
from tests.wire.double import Fail, Say, double
from tests.wire.judges import gemma, openai, template
from tests.wire.litellm_fixtures import ADD, ASK, MARKS, collect, fail, warm

__all__ = ["warm"]

pytestmark = MARKS

ODD = ToolSpec("s__odd", "refuse me", {"type": "object", "properties": {"a": {"type": "number"}}})
MENDED = ToolSpec("s__odd", "take me", ODD.parameters)
ODDER = spec("s__odder", "a")
WORDS = {
    "openai": "Invalid schema for function 's__odd': In context=('a',), array schema missing items.",
    "anthropic": "tools.1.custom.input_schema.properties: Property keys should match pattern '^[a-z]+$'",
    "gemini": "Invalid value at 'tools[0].function_declarations[1].parameters.properties[0].value' (type)",
    "ollama": "template: :108: executing at <index $prop.Type 0> of tools[1]: error calling index",
}


@pytest.mark.parametrize("name", list(WORDS))
async def test_a_tool_that_is_refused_is_set_aside_with_words_and_the_rest_goes_on(name: str) -> None:
    told: list[tuple[str, str, str]] = []

    def judge(body: dict[str, Any]) -> str:
        return WORDS[name] if "refuse me" in json.dumps(body) else ""

    async with double(name, [Say("hello"), Say("again"), Say("mended")], judge) as wire:
        model = wire.model(on_refused=lambda *words: told.append(words))
        await collect(model, ModelRequest(ASK.messages, (ADD, ODD, ODDER)))
        assert sorted(wire.tools()) == ["demo__add", "s__odder"]
        await collect(model, ModelRequest(ASK.messages, (ADD, ODD, ODDER)))
        assert len(wire.bodies) == 3, "it is not offered again"
        await collect(model, ModelRequest(ASK.messages, (ADD, MENDED, ODDER)))
        assert sorted(wire.tools()) == ["demo__add", "s__odd", "s__odder"]
    assert [(one, tool) for one, tool, _ in told] == [(model.name, "s__odd")]
    assert told[0][2]


@pytest.mark.parametrize(
    "words",
    [
        "messages.3.content: s__odd was called",
        "model s__other not found",
        "Function call `s__odd` in the 4. content block is missing a `thought_signature`.",
        "`tool_use` ids were found without `tool_result` blocks: s__odd",
    ],
)
async def test_other_refusals_set_no_tool_aside(words: str) -> None:
    async with double("openai", [Fail(400, words)]) as wire:
        await fail(wire.model(), ModelRequest(ASK.messages, (ADD, ODD)))
        assert len(wire.bodies) == 1


async def test_schemas_that_are_refused_without_a_name_are_sent_in_their_simplest_form() -> None:
    deep = ToolSpec("s__deep", "it", {"properties": {"a": {"type": "object", "properties": {"b": {}}}}})

    def judge(body: dict[str, Any]) -> str:
        text = json.dumps(body["tools"])
        return "failed to parse grammar of a tool's schema" if '"b"' in text else ""

    async with double("openai", [Say("ok")], judge) as wire:
        await collect(wire.model("openai/local"), ModelRequest(ASK.messages, (deep,)))
        sent = wire.bodies[-1]["tools"][0]["function"]["parameters"]["properties"]
    assert sent == {"a": {"type": "object"}}


async def test_descriptions_that_are_too_long_are_shortened_for_who_says_so() -> None:
    wordy = ToolSpec("s__wordy", "w" * 3_000, {})

    def judge(body: dict[str, Any]) -> str:
        said = body["tools"][0]["function"]["description"]
        words = "Invalid 'tools[0].function.description': string too long, maximum length 1024"
        return words if len(said) > 1_024 else ""

    async with double("openai", [Say("ok")], judge) as wire:
        await collect(wire.model(), ModelRequest(ASK.messages, (wordy,)))
        assert wire.tools() == ["s__wordy"]


async def test_a_system_prompt_that_is_refused_is_said_by_the_person_and_that_is_remembered(
    tmp_path: Path,
) -> None:
    async with double("openai", [Say("ok"), Say("ok")], gemma) as wire:
        await collect(
            wire.model("openai/gemma-2", memory=ModelQuirksFile(tmp_path)), ModelRequest(ASK.messages)
        )
        assert len(wire.bodies) == 2
        await collect(
            wire.model("openai/gemma-2", memory=ModelQuirksFile(tmp_path)), ModelRequest(ASK.messages)
        )
        assert len(wire.bodies) == 3, "after a restart it is known"
        assert wire.sent()[0].text == "Be brief.\n\nadd 17 and 25"


async def test_reasoning_is_sent_back_filled_in_and_left_out_as_the_provider_wants() -> None:
    call = ToolCall("call_1", "demo__add", '{"a": 1, "b": 2}')
    foreign = (
        *ASK.messages,
        Message("assistant", calls=(call,), reasoning="foreign", origin="elsewhere - x"),
        Message("tool", "3", call_id="call_1"),
    )

    def wants(body: dict[str, Any]) -> str:
        missing = any(m.get("tool_calls") and not m.get("reasoning_content") for m in body["messages"])
        return "thinking is enabled but reasoning_content is missing in message 2" if missing else ""

    async with double("openai", [Say("ok")], wants) as wire:
        await collect(wire.model("moonshot/kimi-k3"), ModelRequest(foreign, (ADD,)))
        assert "foreign" not in json.dumps(wire.bodies)
    async with double("openai", [Say("x", thought="own"), Say("ok")], openai) as wire:
        model = wire.model("openai/local")
        first = await collect(model, ASK)
        history = (*ASK.messages, first[-1].message, Message("user", "so"))  # type: ignore[union-attr]
        await collect(model, ModelRequest(history, (ADD,)))
        assert [("own" in json.dumps(body)) for body in wire.bodies] == [False, True, False]


async def test_a_signature_that_is_refused_is_left_out() -> None:
    def judge(body: dict[str, Any]) -> str:
        bad = '"thinking"' in json.dumps(body["messages"])
        return "messages.1.content.0: Invalid `signature` in `thinking` block" if bad else ""

    async with double("anthropic", [Say("x", thought="hm"), Say("ok")], judge) as wire:
        model = wire.model()
        first = await collect(model)
        history = (*ASK.messages, first[-1].message, Message("user", "so"))  # type: ignore[union-attr]
        await collect(model, ModelRequest(history, (ADD,)))
        assert len(wire.bodies) == 3


async def test_a_template_without_a_place_for_results_gets_them_as_text() -> None:
    def judge(body: dict[str, Any]) -> str:
        if any(message["role"] == "tool" for message in body["messages"]):
            return "Conversation roles must alternate user/assistant/user/assistant/..."
        return template(body)

    async def add(_: ToolCall) -> ToolOutcome:
        return ToolOutcome("42", "succeeded")

    host = FakeHost(add)
    script = [Say("I add.", (("demo__add", '{"a": 17, "b": 25}'),)), Say("It is 42.")]
    async with double("openai", script, judge) as wire:
        model = ToolModeModel(wire.model("openai/local"))
        ended = await run_turn(host, model, turn="t", settings=QUICK)
    assert (ended.status, host.messages[-1].text) == ("done", "It is 42.")


async def test_the_window_that_an_overflow_tells_is_kept_to_and_remembered(tmp_path: Path) -> None:
    def judge(body: dict[str, Any]) -> str:
        tokens = len(json.dumps(body["messages"])) // 4
        words = f"This model's maximum context length is 4096 tokens. You requested {tokens} tokens."
        return words if tokens > 4_096 else ""

    def host() -> FakeHost:
        made = FakeHost()
        made.messages[:0] = [
            Message(role=role, text=f"{n} " * 500) for n in range(15) for role in ("user", "assistant")
        ]
        return made

    async with double("openai", [Say("numbers"), Say("ok"), Say("numbers"), Say("ok")], judge) as wire:
        model = wire.model("openai/local", memory=ModelQuirksFile(tmp_path))
        assert model.context_window() is None
        assert (await run_turn(host(), model, turn="t", settings=QUICK)).status == "done"
        assert len(wire.bodies) == 3
        again = wire.model("openai/local", memory=ModelQuirksFile(tmp_path))
        assert again.context_window() == 4_096
        assert (await run_turn(host(), again, turn="t", settings=QUICK)).status == "done"
        assert len(wire.bodies) == 5, "nothing is refused any more"
