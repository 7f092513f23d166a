"""The form with real keys: what is typed is what would be sent, and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from omni_tui.face.form.arguments_form import BATCH, ArgumentsForm, RawBox
from omni_tui.face.form.checks import engine_problems
from omni_tui.face.form.controls import ChoiceBar
from omni_tui.face.form.rows import FieldRow, GroupRow
from omni_tui.protocol import SafeText
from omni_tui.protocol.commands import CheckArguments
from omni_tui.protocol.events import ArgumentsChecked, Problem
from tests.face.tool_app import HOSTILE, ScriptedPort, ToolApp, assert_safe, until

SCHEMAS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "unit" / "data" / "schemas.json").read_text()
)


def real(server: str, tool: str) -> dict[str, Any]:
    found: dict[str, Any] = next(t for t in SCHEMAS[server] if t["name"] == tool)["inputSchema"]
    return found


def schema(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return of_properties(properties, required)


def of_properties(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


@asynccontextmanager
async def shown(
    of: dict[str, Any],
    arguments: str = "",
    *,
    port: ScriptedPort | None = None,
    size: tuple[int, int] = (80, 40),
) -> AsyncIterator[tuple[Pilot[None], ArgumentsForm, ToolApp]]:
    port = port or ScriptedPort()
    form = ArgumentsForm(json.dumps(of), arguments, check=partial(engine_problems, port, "files", "tool"))
    app = ToolApp(form, port=port)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        form.focus_first()
        await pilot.pause()
        yield pilot, form, app


def row(form: ArgumentsForm, name: str) -> FieldRow:
    return next(r for r in form.query(FieldRow) if r.node.field.name == name)


async def test_typing_fills_in_the_arguments_and_enter_sends_nothing() -> None:
    async with shown(real("filesystem", "search_files")) as (pilot, form, app):
        await pilot.press(*"notes", "enter", *"*.md", "enter")
        assert form.arguments_json == '{"path":"notes","pattern":"*.md"}'
        assert {type(c) for c in [*app.port.sent, *app.port.asked]} <= {CheckArguments}


async def test_a_list_grows_and_shrinks_by_keys() -> None:
    async with shown(real("filesystem", "edit_file")) as (pilot, form, _):
        await pilot.press("p", "tab")
        assert isinstance(form.screen.focused, GroupRow)
        await pilot.press("plus")
        await pilot.pause()
        await pilot.press("tab", "tab", *"old", "tab", *"new")
        assert form.arguments_json == '{"path":"p","edits":[{"oldText":"old","newText":"new"}]}'
        await pilot.press(*["shift+tab"] * 3)
        assert isinstance(form.screen.focused, GroupRow)
        await pilot.press("plus", "minus", "minus")
        await pilot.pause()
        assert form.arguments_json == '{"path":"p","edits":[]}'
        assert len(form.query(FieldRow)) == 3


async def test_an_item_in_the_middle_is_removed_and_the_others_stay() -> None:
    of = schema(names={"type": "array", "items": {"type": "string"}})
    async with shown(of, '{"names": ["a", "b", "c"]}') as (pilot, form, _):
        await pilot.press("tab", "tab")
        await pilot.press("shift+delete")
        await pilot.pause()
        assert form.arguments_json == '{"names":["a","c"]}'


async def test_what_is_missing_is_said_once_the_field_was_left() -> None:
    async with shown(real("git", "git_diff")) as (pilot, form, app):
        assert "needs a value" not in app.seen()
        await pilot.press("tab")
        await pilot.pause()
        assert row(form, "repo_path").problem == "needs a value"
        assert row(form, "target").problem == ""
        assert form.show_problems()
        assert row(form, "target").problem == "needs a value"
        await pilot.pause()
        assert form.screen.focused is row(form, "repo_path").query_one(Input)


async def test_a_number_that_is_none_is_said_at_once_and_blocks() -> None:
    async with shown(schema(n={"type": "integer"})) as (pilot, form, _):
        await pilot.press("1", "2", "x")
        assert "not a number" in row(form, "n").problem
        assert not form.arguments_json
        await pilot.press("backspace")
        assert form.arguments_json == '{"n":12}'
        assert row(form, "n").problem == ""


async def test_large_numbers_are_sent_to_the_last_digit() -> None:
    digits = "123456789012345678901234567890.10"
    async with shown(schema(n={"type": "number"})) as (pilot, form, _):
        await pilot.press(*digits.replace(".", "."))
        assert form.arguments_json == f'{{"n":{digits}}}'
        await pilot.press("ctrl+r")
        assert digits in form.query_one(RawBox).text
        await pilot.press("ctrl+r")
        assert form.arguments_json == f'{{"n":{digits}}}'


async def test_the_engine_is_asked_after_a_pause_and_its_answer_stands_at_the_field() -> None:
    port = ScriptedPort()
    problem = Problem(where=SafeText("/edits/0/newText"), what=SafeText("is too short"))
    port.answers[CheckArguments] = lambda _c: ArgumentsChecked(problems=(problem,))
    arguments = '{"path":"p","edits":[{"oldText":"a","newText":"b"}]}'
    async with shown(real("filesystem", "edit_file"), arguments, port=port) as (pilot, form, _):
        await pilot.press(*"qrst")
        await until(pilot, lambda: row(form, "newText").problem, "the problem at its field")
        assert row(form, "newText").problem == "is too short"
        assert [c.arguments_json for c in port.of(CheckArguments)][-1] == form.arguments_json
        assert len(port.of(CheckArguments)) <= 2


async def test_a_problem_without_a_field_is_said_above_the_form() -> None:
    port = ScriptedPort()
    problem = Problem(where=SafeText(""), what=SafeText("too many properties"))
    port.answers[CheckArguments] = lambda _c: ArgumentsChecked(problems=(problem,))
    async with shown(schema(a={"type": "string"}), port=port) as (pilot, _, app):
        await until(pilot, lambda: "too many properties" in app.seen(), "the problem")


async def test_values_are_carried_to_json_and_back() -> None:
    async with shown(real("git", "git_log")) as (pilot, form, _):
        await pilot.press(*"/repo", "ctrl+r")
        raw = form.query_one(RawBox)
        assert json.loads(raw.text) == {"repo_path": "/repo"}
        raw.text = '{"repo_path": "/other", "max_count": 3, "start_timestamp": null}'
        await pilot.pause()
        assert form.arguments_json == '{"repo_path":"/other","max_count":3,"start_timestamp":null}'
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert not form.raw
        assert row(form, "max_count").query_one(Input).value == "3"
        assert "null is sent" in row(form, "start_timestamp").query_one(Input).placeholder


async def test_broken_json_stays_where_it_is() -> None:
    async with shown(real("git", "git_log")) as (pilot, form, app):
        await pilot.press("ctrl+r")
        form.query_one(RawBox).text = '{"repo_path": '
        await pilot.pause()
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert form.raw
        assert form.query_one(RawBox).text == '{"repo_path": '
        assert "not JSON" in app.seen()
        assert form.arguments_json is None


async def test_a_form_that_is_no_json_yet_does_not_lose_what_was_typed() -> None:
    async with shown(schema(n={"type": "integer"})) as (pilot, form, app):
        await pilot.press("x", "ctrl+r")
        await pilot.pause()
        assert not form.raw
        assert row(form, "n").query_one(Input).value == "x"
        assert "correct the marked field" in app.seen()


async def test_a_pasted_text_keeps_all_its_lines() -> None:
    async with shown(schema(note={"type": "string"})) as (pilot, form, _):
        await pilot.press("a")
        assert isinstance(form.screen.focused, Input)
        form.screen.focused.post_message(events.Paste("one\ntwo\r\nthree"))
        await until(pilot, lambda: form.query(TextArea).filter("TextBox"), "a control with lines")
        await pilot.pause()
        assert json.loads(form.arguments_json or "") == {"note": "aone\ntwo\nthree"}
        await pilot.press("!")
        assert json.loads(form.arguments_json or "") == {"note": "aone\ntwo\nthree!"}


async def test_ctrl_j_goes_on_on_a_new_line() -> None:
    async with shown(schema(note={"type": "string"})) as (pilot, form, _):
        await pilot.press("a", "ctrl+j")
        await pilot.pause()
        await pilot.press("b")
        assert json.loads(form.arguments_json or "") == {"note": "a\nb"}


async def test_characters_that_do_not_show_are_edited_as_escapes() -> None:
    async with shown(schema(note={"type": "string"})) as (pilot, form, app):
        assert isinstance(form.screen.focused, Input)
        form.screen.focused.post_message(events.Paste("a\x1b]52;c;x\x07\u202eb"))
        await until(pilot, lambda: row(form, "note").node.as_json, "the text as JSON")
        await pilot.pause()
        assert json.loads(form.arguments_json or "") == {"note": "a\x1b]52;c;x\x07\u202eb"}
        assert_safe(app)
        assert "\\u202e" in app.seen()


async def test_omitted_empty_and_null_are_chosen_on_purpose() -> None:
    async with shown(schema(note={"type": ["string", "null"]})) as (pilot, form, _):
        said = [form.arguments_json]
        for _ in range(3):
            await pilot.press("ctrl+o")
            await pilot.pause()
            said.append(form.arguments_json)
        assert said == ["{}", '{"note":""}', '{"note":null}', "{}"]
        await pilot.press("x")
        assert form.arguments_json == '{"note":"x"}'


async def test_a_map_is_filled_in_by_keys_and_values() -> None:
    env = {"type": "object", "additionalProperties": {"type": "string"}}
    async with shown(schema(env=env, last={"type": "string"})) as (pilot, form, app):
        await pilot.press("plus", "down", "down", *"HOME", "down", *"/root")
        assert form.arguments_json == '{"env":{"HOME":"/root"}}'
        await pilot.press("up", "up", "up", "plus")
        assert len(form.query(GroupRow)) == 3
        assert_safe(app)


async def test_a_field_of_two_types_takes_plain_text_and_says_which_it_takes() -> None:
    either = {"type": ["string", "integer"], "description": "a name or a number"}
    async with shown(schema(who=either)) as (pilot, form, _app):
        assert "text or integer · a name or a number" in row(form, "who").render().plain
        await pilot.press(*"Ada")
        assert form.arguments_json == '{"who":"Ada"}'
        await pilot.press("backspace", "backspace", "backspace", *"12")
        assert form.arguments_json == '{"who":12}'


async def test_a_name_that_is_cut_stands_in_full_below() -> None:
    name = "a_name_that_is_longer_than_its_column_is_wide"
    parts = {name: {"type": "string"}, "x" + name: {"type": "array", "items": {"type": "string"}}}
    async with shown(of_properties(parts)) as (_pilot, form, _app):
        for each in parts:
            first, *below = row(form, each).render().plain.splitlines()
            assert each not in first
            assert any(each in line for line in below)


async def test_choices_by_arrows_and_letters() -> None:
    async with shown(real("everything", "get-annotated-message")) as (pilot, form, _):
        assert isinstance(form.screen.focused, ChoiceBar)
        await pilot.press("right", "right")
        assert form.arguments_json == '{"messageType":"success"}'
        await pilot.press("d")
        assert form.arguments_json == '{"messageType":"debug"}'
        await pilot.press("down", "space")
        assert form.arguments_json == '{"messageType":"debug","includeImage":true}'
        await pilot.press("backspace")
        assert form.arguments_json == '{"messageType":"debug"}'


async def test_a_click_chooses_too() -> None:
    async with shown(real("everything", "get-annotated-message")) as (pilot, form, _):
        await pilot.click(ChoiceBar, offset=(12, 0))
        assert form.arguments_json == '{"messageType":"success"}'


async def test_many_choices_show_one_at_a_time() -> None:
    of = schema(("zone",), zone={"enum": [f"Europe/City{n}" for n in range(200)]})
    async with shown(of) as (pilot, form, app):
        await pilot.press("end")
        assert form.arguments_json == '{"zone":"Europe/City199"}'
        assert "200 of 200" in app.seen()
        await pilot.press("right")
        assert form.arguments_json == '{"zone":"Europe/City0"}'


async def test_a_nested_object_opens_and_closes() -> None:
    of = schema(where={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
    async with shown(of) as (pilot, form, _):
        assert len(form.query(FieldRow)) == 1
        await pilot.press("right")
        await pilot.pause()
        assert len(form.query(FieldRow)) == 2
        assert form.arguments_json == "{}"
        await pilot.press("tab", *"Bern")
        assert form.arguments_json == '{"where":{"city":"Bern"}}'


async def test_a_tool_without_arguments_says_so() -> None:
    async with shown(real("memory", "read_graph")) as (_, form, app):
        assert "takes no arguments" in app.seen()
        assert form.arguments_json == "{}"


async def test_thousands_of_fields_are_mounted_as_they_are_reached() -> None:
    of = of_properties({f"field{n}": {"type": "string"} for n in range(3000)})
    async with shown(of) as (pilot, form, _):
        assert len(form.query(FieldRow)) == BATCH
        await pilot.press(*["tab"] * BATCH)
        await until(pilot, lambda: len(form.query(FieldRow)) == 2 * BATCH, "the next rows")
        await until(pilot, lambda: row(form, f"field{BATCH}").has_focus_within, "the first of them")
        await pilot.press("x")
        assert form.arguments_json == f'{{"field{BATCH}":"x"}}'


HOSTILE_SCHEMAS: dict[str, Any] = {
    "markup": schema(
        (HOSTILE,),
        **{
            HOSTILE: {"type": "string", "description": HOSTILE, "default": HOSTILE},
            "[/]": {"enum": [HOSTILE, "[red]x[/red]", None]},
            "": {"type": "integer", "title": HOSTILE},
            "list": {"type": "array", "items": {"type": "string"}, "default": [HOSTILE]},
            "~/": {"type": "object", "properties": {HOSTILE: {"$ref": "#"}}, "required": [HOSTILE]},
        },
    ),
    "recursive": {"$ref": "#/$defs/n", "$defs": {"n": schema(("next",), next={"$ref": "#/$defs/n"})}},
    "long": of_properties({"x" * 10_000: {"type": "string", "description": "y" * 500_000}}),
    "wrong": {"type": "object", "properties": {"a": 1, "b": [], "c": None, "d": {"type": 5, "enum": {}}}},
}


@pytest.mark.parametrize("of", HOSTILE_SCHEMAS.values(), ids=HOSTILE_SCHEMAS)
async def test_hostile_schemas_are_shown_safely(of: dict[str, Any]) -> None:
    async with shown(of) as (pilot, form, app):
        for group in form.query(GroupRow):
            group.action_unfold(True)
        await pilot.pause()
        form.show_problems()
        await pilot.press("tab", "x", "tab", "right", "tab", "ctrl+r")
        await pilot.pause()
        assert_safe(app)


async def test_hostile_arguments_come_back_exactly() -> None:
    value = {"path": HOSTILE, "edits": [{"oldText": HOSTILE, "newText": "\r\n\x00"}], HOSTILE: HOSTILE}
    async with shown(real("filesystem", "edit_file"), json.dumps(value)) as (pilot, form, app):
        assert json.loads(form.arguments_json or "") == value
        assert_safe(app)
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert_safe(app)
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert json.loads(form.arguments_json or "") == value


async def test_other_arguments_can_be_loaded_later() -> None:
    async with shown(real("git", "git_log")) as (pilot, form, _):
        await pilot.press(*"/repo")
        form.load('{"repo_path":"/else","max_count":7}')
        await pilot.pause()
        await pilot.pause()
        assert form.arguments_json == '{"repo_path":"/else","max_count":7}'
        assert row(form, "repo_path").query_one(Input).value == "/else"


async def test_the_arrows_leave_every_kind_of_field() -> None:
    """↓ reaches the last field from the first one and ↑ leads back, whatever the fields are."""
    of = schema(
        ("name", "body", "kind"),
        name={"type": "string"},
        body={"type": "string", "description": "a text with several lines", "format": "multiline"},
        kind={"enum": ["a", "b"]},
        many={"type": "array", "items": {"type": "string"}},
        inner={"type": "object", "properties": {"x": {"type": "integer"}}},
        any={},
        map={"type": "object", "additionalProperties": {"type": "string"}},
        mixed={"anyOf": [{"type": "string"}, {"type": "object"}]},
        flag={"type": "boolean"},
        last={"type": "number"},
    )
    given = json.dumps({"name": "n", "body": "one\ntwo\nthree", "kind": "a", "any": {"a": [1, 2]}})
    async with shown(of, given) as (pilot, form, app):
        assert list(form.query(TextArea)), "one of them has several lines"
        first = app.focused
        seen = []
        for _ in range(60):
            if app.focused not in seen:
                seen.append(app.focused)
            await pilot.press("down")
            if app.focused is first:
                break
        assert set(app.screen.focus_chain) <= set(seen)
        back = [app.focused]
        for _ in range(60):
            await pilot.press("up")
            back.append(app.focused)
            if app.focused is first:
                break
        assert set(seen) <= set(back) | {first}
