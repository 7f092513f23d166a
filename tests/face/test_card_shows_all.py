"""What a card says of itself is true cell by cell: whatever the arguments are, at whatever size."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from textual.content import Content

from omni_tui.face.approval.argument_lines import key_name
from omni_tui.face.approval.card_body import CardBody, fit_card
from omni_tui.face.approval.pending_call import PendingCallItem
from omni_tui.face.approval.values import _EDITS
from omni_tui.face.approval.visible import visible_identifier
from omni_tui.protocol import JsonText
from tests.face.scenario import approval
from tests.lengths import SEED, times
from tests.proof.cards import draw_cards, draw_views


async def test_every_leaf_is_in_the_cells_or_counted_as_not_shown() -> None:
    drawn = await draw_cards(times(60, 400), SEED)
    assert 0 < drawn.whole < drawn.cards


async def test_the_whole_view_paints_every_leaf_and_the_exact_text() -> None:
    await draw_views(times(10, 100), SEED)


def test_a_card_says_under_which_mode_its_call_waits() -> None:
    plain = PendingCallItem(approval("c1")).body(80)
    under = PendingCallItem(msgspec.structs.replace(approval("c1"), mode="orchestrator")).body(80)
    assert not any("mode: " in line.plain and "waits in" in line.plain for line in plain.head)
    assert any("waits in orchestrator mode: " in line.plain for line in under.head)


@pytest.mark.parametrize(
    "odd", ["\u200d", "\u200c", "\u200b", "\u202e", "\u00a0", "\u3000", "\ufe0f", "\U000e0061"]
)
@pytest.mark.parametrize(
    "where", ["value", "key", "deep", "edit", "block", "server", "tool", "why", "target"]
)
def test_what_does_not_show_is_marked_wherever_it_stands_on_a_card(odd: str, where: str) -> None:
    word = f"क{odd}ष"
    shown: dict[str, dict[str, object]] = {
        "value": {"a": word},
        "key": {word: 1},
        "deep": {"a": [{"b": word}] * 40},
        "edit": {"oldText": word, "newText": "x"},
        "block": {"a": f"x\n{word}"},
    }
    changes: dict[str, dict[str, Any]] = {
        "server": {"server": word},
        "tool": {"label": word},
        "why": {"why": (word,)},
        "target": {"target": word},
    }
    item = approval("c1", shown.get(where, {"a": "plain"}))
    changed = changes.get(where, {})
    body = PendingCallItem(msgspec.structs.replace(item, **changed)).body(200)
    lines = [*body.head, *body.arguments, *body.verdict, *body.origin, *body.says]
    text = "\n".join(line.plain for line in lines)
    assert odd not in text
    code = f"<U+{ord(odd):04X}>"
    assert code in text or json.dumps(word)[1:-1] in text
    if where in shown:
        assert json.dumps(word)[1:-1] in text, "how it is sent stands there too"
        assert "sent exactly as shown" not in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("github", "github"),
        ("gіthub", "gі<U+0456>thub"),
        ("ｇithub", "ｇ<U+FF47>ithub"),
        ("раураl", "р<U+0440>а<U+0430>у<U+0443>р<U+0440>а<U+0430>l"),
        ("файлы", "файлы"),
        ("été", "été"),
        ("git‐hub", "git‐<U+2010>hub"),
        ("aжb", "aж<U+0436>b"),
    ],
)
def test_letters_that_pass_for_others_are_marked_in_names(name: str, shown: str) -> None:
    assert visible_identifier(name) == shown
    item = msgspec.structs.replace(approval("c1"), server=name)
    assert shown in PendingCallItem(item).body(200).head[0].plain


def test_a_line_that_does_not_fit_its_row_makes_no_card_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    body = CardBody(
        [Content("head")], [Content("x" * 50)], [Content("all 1 shown")], [], [], blocks=[(1, 1)]
    )
    lines, whole = fit_card(body, [], (40, 20), lambda line: line.cell_length <= 40, "A opens it")
    assert not whole
    assert not any("all 1 shown" in line.plain for line in lines)
    assert any("1 more line" in line.plain for line in lines)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("path", "path"), ("a.b[0]", "a.b[0]"), ("$filter", "$filter"), ("", '""'), ("a b", '"a b"'),
        ("path: /tmp", '"path: /tmp"'), ("sent as", '"sent as"'), ('a"b', '"a\\"b"'),
        ("a\u200bb", '"a\\u200bb"'),
        ("a<U+200B>b", '"a<U+200B>b"'), ("… 3 more lines", '"… 3 more lines"'), ("a\nb", '"a\\nb"'),
    ],
)  # fmt: skip
def test_keys_that_could_be_misread_are_quoted(key: str, shown: str) -> None:
    assert key_name(key).plain == shown


def test_arguments_nested_too_deep_are_shown_as_the_text_that_is_sent() -> None:
    text = '{"a":' + "[" * 400 + "1" + "]" * 400 + "}"
    item = msgspec.structs.replace(approval("c1"), arguments_json=JsonText(text), size=len(text))
    body = PendingCallItem(item).body(60)
    assert "".join(line.plain for line in body.arguments) == text
    assert "as the text that is sent" in body.verdict[0].plain


def test_no_row_of_a_value_begins_where_names_begin() -> None:
    value = {
        "deep": {"a": ["x" * 30 + "path  /etc/passwd"] * 9},
        "long": "y" * 300,
        "lines": "z" * 90 + "\n" + "z" * 90,
    }
    text = json.dumps(value)
    item = msgspec.structs.replace(approval("c1"), arguments_json=JsonText(text), size=len(text))
    for width in range(24, 120):
        starts = {line.plain.split(" ")[0] for line in PendingCallItem(item).body(width).arguments}
        assert starts <= {"", *value}


@pytest.mark.parametrize(("old", "new"), _EDITS)
def test_an_edit_is_shown_with_the_names_of_its_two_texts(old: str, new: str) -> None:
    """`search` and `replace` ask a tool for something else than `old` and `new`."""
    edit = {old: "a\nb", new: "a\nc", "path": "x"}
    others = {"before": "one", "after": "two"}
    for value in (edit, {"edits": [edit, others]}):
        text = json.dumps(value)
        item = msgspec.structs.replace(approval("c1"), arguments_json=JsonText(text), size=len(text))
        for width in (24, 80):
            shown = [line.plain for line in PendingCallItem(item).body(width).arguments]
            named = "".join("".join(shown).split())
            assert f"-{old}+{new}" in named
            if value is not edit:
                assert "⋯-before+after" in named
