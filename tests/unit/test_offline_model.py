"""The offline rules: what they call, ask and decline, over the demonstration's own tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_tui.demo.tools import TOOLS
from omni_tui.models import make_model
from omni_tui.models._argument_reader import fill
from omni_tui.models._request_interpreter import ClarifyingQuestion, RequestInterpreter
from omni_tui.models.base import Message, ModelRequest, Reply, TextPart, ThoughtPart, ToolSpec
from omni_tui.models.message_history import tool_message
from omni_tui.models.offline import LABEL, OfflineModel
from omni_tui.models.tool_search import Ranker, stem, words

DEMO = tuple(
    ToolSpec(
        f"demo__{tool['name']}",
        tool["description"],
        tool["inputSchema"],
        read_only=bool(tool["annotations"].get("readOnlyHint")),
    )
    for tool in TOOLS
)


class Talk:
    """A conversation with the rules; tools are answered by the test."""

    def __init__(self, tools: tuple[ToolSpec, ...] = DEMO) -> None:
        self.tools = tools
        self.model = OfflineModel()
        self.messages: list[Message] = [Message(role="system", text="…")]
        self.thoughts = ""
        self.text = ""

    async def say(self, text: str) -> list[tuple[str, Any]]:
        self.messages.append(Message(role="user", text=text))
        return await self.turn()

    async def result(self, *texts: str, status: str = "succeeded") -> list[tuple[str, Any]]:
        calls = self.messages[-1].calls
        for call, text in zip(calls, texts, strict=True):
            self.messages.append(tool_message(call, text, status))
        return await self.turn()

    async def turn(self) -> list[tuple[str, Any]]:
        request = ModelRequest(tuple(self.messages), self.tools)
        events = [event async for event in self.model.stream(request)]
        last = events[-1]
        assert isinstance(last, Reply)
        self.thoughts = "".join(event.text for event in events if isinstance(event, ThoughtPart))
        self.text = "".join(event.text for event in events if isinstance(event, TextPart))
        assert last.message.text == self.text
        assert (last.label, last.complete) == (LABEL, True)
        self.messages.append(last.message)
        return [
            (call.name.removeprefix("demo__"), json.loads(call.arguments)) for call in last.message.calls
        ]


@pytest.mark.parametrize(
    ("said", "tool", "arguments"),
    [
        ("add 17 and 25", "add", {"a": 17, "b": 25}),
        ("Please add 17 and 25.", "add", {"a": 17, "b": 25}),
        ("add -3 to 1,000.5", "add", {"a": -3, "b": 1000.5}),
        ("what is the sum of twelve and thirty-one?", "add", {"a": 12, "b": 31}),
        ("add a=3 b=4.5", "add", {"a": 3, "b": 4.5}),
        ('add {"a": 1, "b": 2}', "add", {"a": 1, "b": 2}),
        ("write a note saying buy milk", "write_note", {"name": "buy-milk", "text": "buy milk"}),
        (
            "write a note called shopping saying milk and eggs",
            "write_note",
            {"name": "shopping", "text": "milk and eggs"},
        ),
        ('write "buy milk" to the note shopping', "write_note", {"name": "shopping", "text": "buy milk"}),
        (
            "write the note shopping: milk and eggs",
            "write_note",
            {"name": "shopping", "text": "milk and eggs"},
        ),
        ("read the note shopping", "read_note", {"name": "shopping"}),
        ("show me the shopping note", "read_note", {"name": "shopping"}),
        ("What does the note shopping say?", "read_note", {"name": "shopping"}),
        ("read note todo-list please", "read_note", {"name": "todo-list"}),
        ("list my notes", "list_notes", {}),
        ("delete the note shopping", "delete_note", {"name": "shopping"}),
        ("wait 3 seconds", "slow_count", {"to": 3, "delay_s": 1}),
        ("count to 5 slowly", "slow_count", {"to": 5}),
        ("count to five with 0.2 seconds delay", "slow_count", {"to": 5, "delay_s": 0.2}),
        ("make it fail", "always_fails", {}),
        ("make it fail because of the rain", "always_fails", {"reason": "the rain"}),
        ("show the weather report for Oslo", "weather_report", {"city": "Oslo"}),
        ("what's the weather in New York?", "weather_report", {"city": "New York"}),
        ("echo hello world", "echo", {"text": "hello world"}),
        ('echo "a = b"', "echo", {"text": "a = b"}),
        ("show me a picture", "picture", {}),
        ("/call add a=17 b=25", "add", {"a": 17, "b": 25}),
        ('/call demo__echo text="two words"', "echo", {"text": "two words"}),
        ('/call demo__add {"a": 1, "b": 2}', "add", {"a": 1, "b": 2}),
    ],
)
async def test_plain_words_become_one_call(said: str, tool: str, arguments: dict[str, Any]) -> None:
    assert await Talk().say(said) == [(tool, arguments)]


@pytest.mark.parametrize(
    "said",
    [
        "who is the president of France?",
        "thank you",
        "tell me a story",
        "/call nothing_like_this x=1",
        "/call add a=blue b=2",
        "/call add a=12abc b=2",
        "/call add {broken",
        "/frobnicate",
        "",
    ],
)
async def test_what_no_tool_does_is_declined_not_guessed(said: str) -> None:
    talk = Talk()
    assert await talk.say(said) == []
    assert talk.text


async def test_thoughts_tell_the_words_the_scores_and_the_sources() -> None:
    talk = Talk()
    await talk.say("add 17 and 25")
    assert "Words matched: add." in talk.thoughts
    assert "Best: add, score" in talk.thoughts
    assert "Next: write_note" in talk.thoughts
    assert "a = 17 (the next number)" in talk.thoughts


async def test_a_name_made_from_the_text_is_told() -> None:
    talk = Talk()
    await talk.say("write a note saying buy milk")
    assert "no name was given, so it is made from the text" in talk.thoughts


async def test_a_result_is_quoted_never_retold() -> None:
    talk = Talk()
    await talk.say("add 17 and 25")
    assert await talk.result("42") == []
    assert talk.text == "`add` answered:\n\n```\n42\n```"


async def test_a_structured_result_is_quoted_as_json() -> None:
    talk = Talk()
    await talk.say("show the weather report for Oslo")
    await talk.result('{"city": "Oslo", "sky": "rain"}')
    assert "```json\n" in talk.text


async def test_a_result_cannot_break_out_of_its_block_and_is_bounded() -> None:
    talk = Talk()
    await talk.say("echo x")
    await talk.result("```\n# not mine\n" + "y" * 10_000)
    assert talk.text.startswith("`echo` answered:\n\n````\n")
    assert talk.text.endswith("\n````")
    assert len(talk.text) < 5_000


@pytest.mark.parametrize(
    ("status", "words"),
    [("failed", "failed"), ("rejected", "rejected by you"), ("uncertain", "may or may not")],
)
async def test_a_failure_is_said_as_one(status: str, words: str) -> None:
    talk = Talk()
    await talk.say("make it fail, then add 1 and 2")
    assert await talk.result("because", status=status) == []
    assert words in talk.text
    assert "Not done after that" in talk.text


async def test_a_missing_value_is_asked_for_and_the_next_line_fills_it() -> None:
    talk = Talk()
    assert await talk.say("show me the weather please") == []
    assert "`city`" in talk.text
    assert await talk.say("Bergen") == [("weather_report", {"city": "Bergen"})]


async def test_a_wrong_value_is_asked_for_again() -> None:
    talk = Talk()
    await talk.say("count slowly")
    assert "`to`" in talk.text
    assert await talk.say("soon") == []
    assert "no integer" in talk.text
    assert await talk.say("4") == [("slow_count", {"to": 4})]


async def test_two_missing_values_are_asked_for_one_by_one() -> None:
    talk = Talk()
    assert await talk.say("add some numbers") == []
    assert "`a`" in talk.text
    assert await talk.say("17") == []
    assert "`b`" in talk.text
    assert await talk.say("25") == [("add", {"a": 17, "b": 25})]


async def test_a_question_can_be_left_alone() -> None:
    talk = Talk()
    await talk.say("show me the weather")
    assert await talk.say("never mind") == []
    assert "Nothing was done" in talk.text
    assert await talk.say("Bergen") == []
    await talk.say("show me the weather")
    assert await talk.say("add 1 and 2") == [("add", {"a": 1, "b": 2})]


async def test_tools_that_fit_alike_are_offered_not_chosen() -> None:
    one, two = (
        ToolSpec(
            f"{server}__echo", "Echo a text", DEMO[1].parameters, read_only=True, label=f"{server} › echo"
        )
        for server in ("one", "two")
    )
    for answer in ("2", "two", "two › echo", "the second", "two__echo"):
        talk = Talk((one, two))
        assert await talk.say("echo hello") == []
        assert "`one › echo`" in talk.text
        assert "`two › echo`" in talk.text
        assert "__" not in talk.text
        assert await talk.say(answer) == [("two__echo", {"text": "hello"})]


def file_tools(*described: tuple[str, str]) -> tuple[ToolSpec, ...]:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    return tuple(ToolSpec(f"s__{name}", about, schema) for name, about in described)


async def test_it_never_chooses_between_reading_and_destroying() -> None:
    tools = file_tools(("inspect_file", "Look at a file"), ("delete_file", "Remove a file for good"))
    best, other = Ranker(tools).search("inspect or look at the file x or delete it")
    assert best.score * 0.6 < other.score < best.score * 0.9
    talk = Talk(tools)
    assert await talk.say("inspect or look at the file x or delete it") == []
    assert "destroys" in talk.text


async def test_the_same_distance_is_enough_where_nothing_is_destroyed() -> None:
    talk = Talk(
        file_tools(("inspect_file", "Look at a file"), ("archive_file", "Put a file away for good"))
    )
    assert await talk.say("inspect or look at the file x or archive it") == [
        ("s__inspect_file", {"name": "x"})
    ]


async def test_a_then_b_is_two_steps() -> None:
    talk = Talk()
    assert await talk.say("add 17 and 25, then show the weather for Oslo") == [("add", {"a": 17, "b": 25})]
    assert await talk.result("42") == [("weather_report", {"city": "Oslo"})]
    assert await talk.result("rain") == []
    assert talk.text.index("42") < talk.text.index("rain")


async def test_a_result_is_passed_on_only_when_it_is_named() -> None:
    talk = Talk()
    await talk.say("add 17 and 25, then echo the result")
    assert await talk.result("42") == [("echo", {"text": "42"})]
    assert "since you named it" in talk.thoughts
    await talk.say("add 1 and 2, then write a note saying the result")
    assert await talk.result("3") == [("write_note", {"name": "the-result", "text": "3"})]
    assert "Words matched: write, note." in talk.thoughts


async def test_independent_clauses_are_called_together() -> None:
    talk = Talk()
    calls = await talk.say("add 1 and 2; show the weather for Oslo")
    assert calls == [("add", {"a": 1, "b": 2}), ("weather_report", {"city": "Oslo"})]
    assert len({call.id for call in talk.messages[-1].calls}) == 2
    assert await talk.result("3", "rain") == []
    assert "3" in talk.text
    assert "rain" in talk.text


async def test_told_text_is_not_cut_at_and_or_then() -> None:
    calls = await Talk().say("write a note saying buy milk and read the paper")
    assert calls == [("write_note", {"name": "buy-milk-and", "text": "buy milk and read the paper"})]


async def test_a_later_question_leaves_the_first_result_in_view() -> None:
    talk = Talk()
    await talk.say("add 1 and 2, then show the weather report")
    assert await talk.result("3") == []
    assert "3" in talk.text
    assert "`city`" in talk.text
    assert await talk.say("Oslo") == [("weather_report", {"city": "Oslo"})]


@pytest.mark.parametrize("said", ["help", "hello", "what can you do?"])
async def test_help_lists_what_there_is(said: str) -> None:
    talk = Talk()
    assert await talk.say(said) == []
    assert "add(a, b)" in talk.text
    assert "not a language model" in talk.text


async def test_without_tools_it_says_so() -> None:
    talk = Talk(())
    assert await talk.say("add 1 and 2") == []
    assert "no tools are connected" in talk.text


async def test_the_same_conversation_gives_the_same_bytes() -> None:
    first, second = Talk(), Talk()
    for talk in (first, second):
        await talk.say("add 17 and 25, then list the notes")
        await talk.result("42")
        await talk.result("none")
        await talk.say("echo hi")
    assert first.messages == second.messages
    ids = [call.id for message in first.messages for call in message.calls]
    assert len(ids) == len(set(ids)) == 3


async def test_it_streams_in_pieces() -> None:
    request = ModelRequest((Message(role="user", text="help"),), DEMO)
    events = [event async for event in OfflineModel().stream(request)]
    assert sum(isinstance(event, TextPart) for event in events) > 10


@pytest.mark.parametrize("name", ["", "offline", "Offline", "offline/rules"])
def test_it_is_what_no_name_means(name: str) -> None:
    model = make_model(name, environ={})
    assert isinstance(model, OfflineModel)
    assert model.label == "offline rules - not a language model"


# --- arguments --------------------------------------------------------------------------------


def tool(required: str, **properties: Any) -> ToolSpec:
    return ToolSpec(
        "s__do_thing", "Do it", {"type": "object", "properties": properties, "required": required.split()}
    )


STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("text", "spec", "values"),
    [
        ("do it in celsius", tool("unit", unit={"enum": ["celsius", "kelvin"]}), {"unit": "celsius"}),
        ("do it recursively", tool("", recursive={"type": "boolean"}), {"recursive": True}),
        ("do it without recursive", tool("", recursive={"type": "boolean"}), {"recursive": False}),
        (
            "do thing with 1, 2 and 3",
            tool("n", n={"type": "array", "items": {"type": "number"}}),
            {"n": [1, 2, 3]},
        ),
        ("do thing with ~/notes/a.txt", tool("path", path=STRING), {"path": "~/notes/a.txt"}),
        ("do thing with README.md", tool("path", path=STRING), {"path": "README.md"}),
        (
            "do thing at https://a.example/x?y=1.",
            tool("url", url=STRING),
            {"url": "https://a.example/x?y=1"},
        ),
        ("do thing 5", tool("n", n={"anyOf": [{"type": "null"}, {"type": "integer"}]}), {"n": 5}),
        ("do thing 5", tool("n", n={"type": ["null", "integer"]}), {"n": 5}),
        ("do thing 2.5", tool("n", n={"type": "integer"}), {}),
        ("do thing 7", tool("", n={"type": "integer"}), {}),
    ],
)
def test_arguments_by_type(text: str, spec: ToolSpec, values: dict[str, Any]) -> None:
    filled = fill(text, spec)
    assert filled.values == values
    assert filled.missing == [key for key in spec.parameters["required"] if key not in values]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": None},
        {"properties": {"a": True}},
        {"required": "a"},
        {"properties": {"a": {"anyOf": 3}}},
    ],
)
def test_odd_schemas_break_nothing(schema: dict[str, Any]) -> None:
    assert RequestInterpreter((ToolSpec("s__do_thing", "", schema),)).resolve("do thing with x") is not None


# --- the ranker -------------------------------------------------------------------------------


def test_words_split_names_and_stem() -> None:
    assert words("readTextFile list_notes the HTTPLine 17 adding") == [
        stem(word) for word in ("read", "text", "file", "list", "note", "http", "line", "add")
    ]
    assert [stem(word) for word in ("notes", "note", "cities", "running", "boxes", "fails")] == [
        stem(word) for word in ("note", "note", "city", "run", "box", "fail")
    ]


def test_the_ranker_is_deterministic_and_finds_names_first() -> None:
    ranker = Ranker(DEMO)
    assert ranker.search("read a note")[0].tool.name == "demo__read_note"
    assert ranker.search("read a note") == ranker.search("read a note")
    assert Ranker(()).search("anything") == []


def test_tools_without_a_description_can_be_asked_about() -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    step = RequestInterpreter(
        (ToolSpec("a__put_text", "", schema), ToolSpec("b__put_text", "\n", schema))
    ).resolve("put text")
    assert isinstance(step, ClarifyingQuestion)
    assert "1. `a__put_text`\n2. `b__put_text`" in step.text
