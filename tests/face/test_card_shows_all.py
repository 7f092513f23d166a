"""What a card says of itself is true cell by cell: whatever the arguments are, at whatever size.

`OMNI_TUI_CARDS=20000 pytest -s tests/face/test_card_shows_all.py` tries as many cards as it is told.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from typing import Any

import msgspec
import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.geometry import Region
from textual.widget import Widget

from omni_tui.face.approval.argument_lines import key_name
from omni_tui.face.approval.arming import Arming
from omni_tui.face.approval.card import ApprovalCard, key_lines
from omni_tui.face.approval.card_body import CardBody, fit_card
from omni_tui.face.approval.pending_call import PendingCallItem
from omni_tui.face.approval.visible import visible_identifier
from omni_tui.face.themes import fallback_variables
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol import JsonText
from omni_tui.protocol.events import ApprovalRequested
from tests.face.fake import FakeClock
from tests.face.random_cards import Maker, Table, cells, missing, missing_of_edit, sent
from tests.face.scenario import approval
from tests.lengths import times

CARDS = int(os.environ.get("OMNI_TUI_CARDS") or times(40, 200))
pytestmark = pytest.mark.timeout(max(120, CARDS))
SIZES = 8
"""How many sizes are tried; the cards are shared out among them."""


class OneCard(App[None]):
    """A card, or the view that shows the whole of an item, over the whole terminal."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return fallback_variables()

    def compose(self) -> ComposeResult:
        yield self.widget


def say(words: str) -> None:
    """Tell whoever runs this with `-s` how much was tried."""
    sys.stdout.write(f"\n{words}")


def a_card() -> ApprovalCard:
    arming = Arming(FakeClock(0.0))

    def keys() -> list[Content]:
        assert card.item is not None
        return key_lines(card.item, lambda name: name[0], "$done", card.size.width)

    card = ApprovalCard(arming, keys, lambda: [])
    return card


def call_with(arguments: Table) -> ApprovalRequested:
    text = sent(arguments)
    return msgspec.structs.replace(approval("c1"), arguments_json=JsonText(text), size=len(text))


def painted(widget: Widget) -> str:
    """Return the text of every cell of a widget, as it is painted."""
    width, height = widget.outer_size
    return "\n".join(strip.text for strip in widget.render_lines(Region(0, 0, width, height)))


def not_found(arguments: Table, text: str) -> list[list[str]]:
    """Return for each argument that is not in the cells what is missing of it."""
    seen = cells(text)
    if len({key for key, _value in arguments}) == 3 and arguments[0][0] in ("oldText", "old_str", "search"):
        edit = missing_of_edit(arguments, seen)
        lost = [edit, edit, missing(*arguments[2], seen)]
    else:
        lost = [missing(key, value, seen) for key, value in arguments]
    return [each for each in lost if each]


def check(card: ApprovalCard, arguments: Table) -> bool:
    """Hold what the card says against what it painted; True if it says that all is there."""
    card.show(PendingCallItem(call_with(arguments)))
    text = painted(card)
    lost, words = not_found(arguments, text), cells(text)
    count = len(arguments)
    claims = {0: "ittakesnoarguments", 1: "theoneargumentisshown"}.get(count, f"all{count}argumentsshown")
    whole = card._arming.painted is not None and card._arming.painted.whole
    assert (claims in words) == whole, text
    if whole:
        assert lost == [], text
    elif count > 1 and lost:
        counted = re.search(rf"(\d+)of{count}argumentsnotshownwhole", words)
        assert counted is not None, text
        assert int(counted.group(1)) >= len(lost), (lost, text)
    else:
        assert re.search(r"…\d+morelines?", words) is not None, text
    return whole


@pytest.mark.parametrize("part", range(SIZES))
async def test_every_leaf_is_in_the_cells_or_counted_as_not_shown(part: int) -> None:
    size = random.Random(part)
    width, height = size.randint(24, 140), size.choice((8, 15, 24, 45, 200))
    card, wholes, cards = a_card(), 0, max(1, CARDS // SIZES)
    async with OneCard(card).run_test(size=(width, height)) as pilot:
        await pilot.pause()
        for seed in range(cards):
            wholes += check(card, Maker(part * 1_000_000 + seed).arguments())
    say(
        f"{cards} cards at {width}x{height}: {wholes} whole, {cards - wholes} cut, every leaf accounted for"
    )


@pytest.mark.parametrize("part", range(SIZES))
async def test_the_whole_view_paints_every_leaf_and_the_exact_text(part: int) -> None:
    size = random.Random(100 + part)
    width, height = size.randint(24, 140), size.choice((8, 15, 24, 45))
    view, cards = LinesView(), max(1, CARDS // SIZES // 4)
    async with OneCard(view).run_test(size=(width, height)) as pilot:
        await pilot.pause()
        for seed in range(cards):
            arguments = Maker(part * 1_000_000 + seed).arguments()
            item = call_with(arguments)
            body = PendingCallItem(item).body(view.room)
            view.show([*body.arguments, *body.verdict, Content(item.arguments_json)])
            text = "\n".join(view.render_line(y).text for y in range(view.count))
            assert not_found(arguments, text) == []
            assert cells(item.arguments_json) in cells(text)
    say(f"{cards} whole views at {width}x{height}: every leaf painted")


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
    lines, whole = fit_card(body, [], (40, 20), lambda line: line.cell_length <= 40)
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
