"""The form of a server's question: filled in, refused, put aside, outlived by its question."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from omni_tui.face.form.arguments_form import CHECK_DELAY
from omni_tui.face.form.checks import limit_problems
from omni_tui.face.form.model import FormModel
from omni_tui.face.form.rows import CheckboxBar
from omni_tui.face.screens.elicitation import ElicitationScreen
from omni_tui.protocol import AnyEvent, JsonText, SafeText
from omni_tui.protocol.commands import CheckArguments
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.server_requests import AnswerServerRequest, ServerRequestClosed
from tests.face.asks import BOOKING, asked
from tests.face.conftest import Face, until
from tests.face.scenario import approval, ready
from tests.face.test_approvals_keys import arrive, pane_of
from tests.face.test_hostile_text import assert_harmless, drawn
from tests.lengths import some

SIZE = (120, 40)


async def opened(face: Face, pilot: Pilot[None]) -> ElicitationScreen:
    """Press A on the card and wait for the form."""
    await arrive(face, pilot)
    await pilot.press("A")
    face.clock.advance(0.1)
    await until(pilot, lambda: isinstance(face.app.screen, ElicitationScreen))
    screen = face.app.screen
    assert isinstance(screen, ElicitationScreen)
    await until(pilot, lambda: screen.focused is not None)
    return screen


def sent(face: Face) -> list[AnswerServerRequest]:
    return face.link.sent(AnswerServerRequest)


async def test_defaults_stand_there_and_the_values_are_sent_with_f9() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        assert "I can book the train to Kyoto" in drawn(face.app)
        await pilot.press(*"Ada", "f9")
        await until(pilot, lambda: bool(sent(face)))
        answer = sent(face)[0]
        assert (answer.ask, answer.digest, answer.action) == ("a1", "digest-a1", "accept")
        assert json.loads(answer.content_json) == {
            "name": "Ada",
            "seats": 2,
            "class": "eco",
            "insured": True,
        }
        await until(pilot, lambda: face.app.screen is face.app.main)
        assert face.link.sent(CheckArguments) == []


async def test_what_is_missing_or_breaks_a_limit_is_said_at_the_field() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("f9")
        await until(pilot, lambda: "needs a value" in drawn(face.app))
        await pilot.press("A", "tab", "backspace", *"12")
        await until(pilot, lambda: screen.form.problems == 2)
        text = drawn(face.app)
        assert "it needs at least 2 characters, not 1" in text
        assert "it must be at most 9" in text
        assert sent(face) == []


async def test_what_the_engine_refuses_stays_on_the_form_with_its_words() -> None:
    face = Face(ready(), asked())
    face.link.refuse(
        AnswerServerRequest, "Not sent", "the value of name is a secret you keep", "write something else"
    )
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        await pilot.press(*"Ada", "f9")
        await until(pilot, lambda: "a secret you keep" in drawn(face.app))
        assert face.app.screen is screen
        assert json.loads(screen.form.arguments_json or "")["name"] == "Ada"
        del face.link.answers[AnswerServerRequest]
        await pilot.press("x", "f9")
        await until(pilot, lambda: len(sent(face)) == 2)
        assert json.loads(sent(face)[1].content_json)["name"] == "Adax"


async def test_esc_keeps_what_was_typed_while_the_question_is_open() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        await pilot.press(*"Ada", "tab", "backspace", *"x")
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)
        assert sent(face) == []
        screen = await opened(face, pilot)
        text = drawn(face.app)
        assert "Ada" in text
        assert screen.form.arguments_json is None  # "x" is no number, and is still there
        await pilot.press("f4")
        await until(pilot, lambda: face.app.screen is face.app.main)
        screen = await opened(face, pilot)
        assert "Ada" in drawn(face.app)
        await pilot.press("escape")
        face.link.emit(ServerRequestClosed(ask="a1", outcome="withdrawn", decider="server"))
        face.link.emit(asked())
        await until(pilot, lambda: pane_of(face).queue.keys == ["ask:a1"])
        await until(pilot, lambda: face.app.screen is face.app.main)
        await pilot.press("down")  # one ended while the keys were here: the next is chosen, not forced
        await opened(face, pilot)
        assert "Ada" not in drawn(face.app)


async def test_the_json_view_is_kept_as_well() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(screen.focused, TextArea))
        screen.form.query_one(TextArea).text = '{"name": "broken'
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)
        screen = await opened(face, pilot)
        assert screen.form.raw
        assert screen.form.query_one(TextArea).text == '{"name": "broken'


async def test_a_question_that_is_over_cannot_be_answered_and_what_was_typed_can_be_copied() -> None:
    face = Face(ready(), asked())
    copied: list[str] = []

    async def copy(text: str, what: str) -> None:
        copied.append(text)

    face.app._copy = copy  # type: ignore[method-assign]
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        await pilot.press(*"Ada")
        face.link.emit(
            ServerRequestClosed(
                ask="a1", outcome="withdrawn", decider="server", reason=SafeText("it timed out")
            )
        )
        await until(pilot, lambda: "withdrawn by the server: it timed out" in drawn(face.app))
        await pilot.press("f9", "f12", "f12", "f7")
        await until(pilot, lambda: bool(copied))
        assert json.loads(copied[0])["name"] == "Ada"
        assert sent(face) == []
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_a_question_that_changes_under_the_form_is_not_answered() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        await pilot.press(*"Ada")
        face.link.emit(asked(content={"type": "object", "properties": {"pin": {}}}, digest="another"))
        await until(pilot, lambda: "the request changed" in drawn(face.app))
        await pilot.press("f9", "f9")
        await pilot.pause()
        assert sent(face) == []


async def test_declining_from_the_form_takes_the_key_twice() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        await pilot.press("f12")
        await until(pilot, lambda: "again declines" in drawn(face.app))
        await pilot.pause(2 * CHECK_DELAY)  # a check that ends says nothing new about the values
        assert sent(face) == []
        await pilot.press("f12")
        await until(pilot, lambda: [a.action for a in sent(face)] == ["decline"])
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_the_end_that_comes_before_the_reply_closes_the_form() -> None:
    face = Face(ready(), asked())

    def answer(_command: Any) -> list[AnyEvent]:
        return [ServerRequestClosed(ask="a1", outcome="accepted", decider="user"), CommandDone()]

    face.link.answers[AnswerServerRequest] = answer
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        await pilot.press(*"Ada", "f9")
        await until(pilot, lambda: face.app.screen is face.app.main)
        assert pane_of(face).count == 0


async def test_a_silent_engine_is_said_and_nothing_is_sent_twice_at_once() -> None:
    face = Face(ready(), asked())
    face.link.answers[AnswerServerRequest] = lambda _c: []
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        await pilot.press(*"Ada", "f9")
        await until(pilot, lambda: "sending" in drawn(face.app))
        await pilot.press("f9", "f9")
        await asyncio.sleep(0)
        assert len(sent(face)) == 1


async def test_keys_typed_ahead_send_what_they_say() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        await pilot.press(*"Grace", "f9")
        await until(pilot, lambda: bool(sent(face)))
        assert json.loads(sent(face)[0].content_json)["name"] == "Grace"


async def test_another_session_ends_the_form() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        face.app.clear_session()
        await until(pilot, lambda: bool(screen.over))
        await pilot.press("f9")
        await pilot.pause()
        assert sent(face) == []


async def test_some_of_a_few_values_are_ticked() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        await pilot.press(*"Ada", "tab", "tab", "tab")
        assert isinstance(screen.focused, CheckboxBar)
        assert "□ vegan  □ kosher  □ none" in drawn(face.app)
        await pilot.press("space", "right", "right", "space")
        assert "■ vegan  □ kosher  ■ none" in drawn(face.app)
        assert json.loads(screen.form.arguments_json or "")["meals"] == ["vegan", "none"]
        await pilot.press("space", "left", "space", "left", "space")
        assert json.loads(screen.form.arguments_json or "")["meals"] == ["kosher"]
        await pilot.press("right", "space")
        assert "meals" not in json.loads(screen.form.arguments_json or "")
        await pilot.press("space", "escape")
        await until(pilot, lambda: face.app.screen is face.app.main)
        await opened(face, pilot)
        assert "□ vegan  ■ kosher  □ none" in drawn(face.app)


async def test_ticks_with_titles_and_defaults_take_a_row_each_where_they_are_long() -> None:
    named = [{"const": f"c{n}", "title": f"a rather long title, number {n}"} for n in range(5)]
    many = {"type": "array", "items": {"anyOf": named}, "default": ["c3", "c1"], "minItems": 1}
    sorted_many = {**many, "default": ["c1", "c3"]}
    schema = {"type": "object", "properties": {"out": many, "in": sorted_many}}
    face = Face(ready(), asked("form", schema))
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        (bar,) = screen.form.query(CheckboxBar)  # the other default has an order that boxes would lose
        await until(pilot, lambda: bar.size.height == 5)
        assert "■ a rather long title, number 3" in drawn(face.app)
        await pilot.press("f9")
        await until(pilot, lambda: bool(sent(face)))
        assert json.loads(sent(face)[0].content_json) == {"out": ["c3", "c1"], "in": ["c1", "c3"]}


async def test_a_limit_is_checked_before_anything_is_sent() -> None:
    face = Face(ready(), asked())
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        await pilot.press("A", "f9")
        await until(pilot, lambda: "at least 2 characters" in drawn(face.app))
        assert sent(face) == []
        await pilot.press("f9")  # again: whoever takes the values has the last word
        await until(pilot, lambda: len(sent(face)) == 1)


# --- schemas of every kind

DEEP: dict[str, Any] = {"type": "string"}
for _ in range(30):
    DEEP = {"type": "object", "properties": {"in": DEEP}, "required": ["in"]}
ODD: dict[str, Any] = {
    "500 fields": {
        "type": "object",
        "properties": {f"field{n}": {"type": "string", "default": f"d{n}"} for n in range(500)},
        "required": [f"field{n}" for n in range(500)],
    },
    "nested": DEEP,
    "bad types": {
        "type": "object",
        "properties": {
            "a": {"type": "nonsense"}, "b": {"type": 7}, "c": "no schema", "d": None, "e": {"enum": "x"},
            "f": {"type": "integer", "default": "no number"}, "g": {"type": "array"},
            "": {"type": "string"},
            "h": {"oneOf": [{"const": 1}, 3]}, "i": {"type": "boolean", "default": "yes"},
            "j": {"type": "string", "minLength": "x", "maxLength": -1, "format": {}}, "k": [],
            "l": {"type": "number", "minimum": "0", "maximum": None, "default": 1e400},
        },
        "required": "all of them",
    },
    "a list": ["not", "an", "object"],
    "a string type": {"type": "string"},
    "a number": "7",
    "no json": "{",
    "nothing": "",
    "null": "null",
    "no fields": {"type": "object", "properties": {}},
    "refers to itself": {
        "$defs": {"a": {"type": "object", "properties": {"again": {"$ref": "#/$defs/a"}}}},
        "$ref": "#/$defs/a",
    },
    "properties are a list": {"type": "object", "properties": ["a"]},
}  # fmt: skip


@pytest.mark.parametrize("name", some(ODD, 5))
@pytest.mark.parametrize("size", [(120, 40), (80, 24)], ids=["medium", "narrow"])
async def test_no_schema_breaks_the_card_or_the_form(name: str, size: tuple[int, int]) -> None:
    text = ODD[name] if isinstance(ODD[name], str) else json.dumps(ODD[name]).replace("Infinity", "1e400")
    face = Face(ready(), asked("form", text, message=SafeText("word " * 3000)), approval("c2"))
    async with face.app.run_test(size=size) as pilot:
        pane = await arrive(face, pilot)
        assert_harmless(drawn(face.app))
        pane.decide("ask:a1", "digest-a1", "approve")
        await until(pilot, lambda: isinstance(face.app.screen, ElicitationScreen))
        screen = face.app.screen
        assert isinstance(screen, ElicitationScreen)
        await until(pilot, lambda: screen.form.is_mounted)
        await pilot.press("tab", "x", "f9", "ctrl+r", "ctrl+r", "end", "f9")
        await pilot.pause()
        assert_harmless(drawn(face.app))
        assert face.app.is_running


async def test_what_is_no_form_is_answered_in_json() -> None:
    face = Face(ready(), asked("form", {"type": "string"}))
    async with face.app.run_test(size=SIZE) as pilot:
        pane = await arrive(face, pilot)
        assert "answer in JSON" in " ".join(line.plain for line in pane.card._lines)
        screen = await opened(face, pilot)
        assert screen.form.raw
        screen.form.query_one(TextArea).text = '{"value": 1}'
        await pilot.press("f9")
        await until(pilot, lambda: bool(sent(face)))
        assert sent(face)[0].content_json == '{"value":1}'


async def test_a_form_without_fields_can_be_agreed_to() -> None:
    face = Face(ready(), asked("form", ODD["no fields"]))
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("A")
        face.clock.advance(0.1)
        await until(pilot, lambda: "It needs no values" in drawn(face.app))
        await pilot.press("f9")
        await until(pilot, lambda: [a.content_json for a in sent(face)] == ["{}"])


# --- the pure parts


def test_defaults_that_do_not_fit_are_left_out() -> None:
    properties = {
        "a": {"type": "integer", "default": "no number"},
        "b": {"type": "string", "default": "b"},
        "c": {"enum": ["x", "y"], "default": "z"},
        "d": {"type": "array", "items": {"enum": ["x", "y"]}, "default": ["y"]},
    }
    model = FormModel(json.dumps({"type": "object", "properties": properties, "required": ["a"]}))
    model.prefill()
    assert json.loads(model.arguments_json() or "") == {"b": "b", "d": ["y"]}


def test_old_names_of_choices_are_their_titles() -> None:
    schema = {"type": "object", "properties": {"c": {"enum": ["a", "b"], "enumNames": ["First", "Second"]}}}
    (field,) = FormModel(json.dumps(schema)).field.fields
    assert [choice.label for choice in field.choices] == ["First", "Second"]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("name", "A", "it needs at least 2 characters, not 1"),
        ("seats", 0, "it must be at least 1"),
        ("seats", 10, "it must be at most 9"),
        ("mail", "nobody", "it must be an e-mail address, like name@example.org"),
        ("meals", ["vegan", "vegan"], "no item may be there twice"),
        ("meals", ["vegan", "kosher", "none"], "it may have at most 2 items, not 3"),
        ("name", "Ada", ""),
        ("seats", 9, ""),
        ("mail", "ada@example.org", ""),
        ("meals", ["vegan"], ""),
    ],
)
async def test_limits(name: str, value: object, what: str) -> None:
    field = FormModel(json.dumps(BOOKING)).field
    found = await limit_problems(field, JsonText(json.dumps({name: value})))
    assert found == ([(f"/{name}", what)] if what else [])
