"""What is not known is never shown as nothing, and every number says of what it is."""

from __future__ import annotations

import re

import pytest

from omni_tui.face.formats import money, short_money
from omni_tui.face.overview import Overview
from omni_tui.face.widgets.status import right_parts
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import EngineReady, Usage, UsageChanged
from omni_tui.protocol.models import Spending
from tests.face import scenario

PRICED, UNPRICED = Usage(input=900, output=100, cost=0.25), Usage(input=900, output=100, cost=None)


def bar(*used: Usage, spending: Spending | None = None) -> str:
    overview = Overview()
    ready = scenario.ready()
    assert isinstance(ready, EngineReady)
    overview.apply(ready)
    for each in used:
        overview.apply(UsageChanged(turn="t1", usage=each))
    if spending is not None:
        overview.apply(spending)
    return "  ".join(content.plain for _, content in right_parts(overview, wide=True))


@pytest.mark.parametrize(
    ("used", "shown"),
    [
        ((), ""),
        ((UNPRICED,), ""),
        ((PRICED,), "$0.25"),
        ((PRICED, UNPRICED), "≥$0.25"),
        ((UNPRICED, PRICED), "≥$0.25"),
        ((Usage(input=9, output=1, cost=0.0), UNPRICED), ""),
        ((Usage(input=9, output=1, cost=0.002),), "<$0.01"),
        ((Usage(input=9, output=1, cost=0.0),), "$0.00"),
    ],
)
def test_the_bar_shows_a_price_only_where_one_is_known(used: tuple[Usage, ...], shown: str) -> None:
    found = re.findall(r"[≥<]*\$[\d.]+", bar(*used))
    assert found == ([shown] if shown else [])


def test_a_day_without_a_price_is_told_in_tokens() -> None:
    day = Spending(session_tokens=0, session_cost=0.0, day_tokens=12_400, day_cost=0.0, unpriced=3)
    assert "12.4k tok today" in bar(spending=day)
    assert "$" not in bar(spending=day)


def test_the_sentence_says_what_is_unknown() -> None:
    overview = Overview()
    overview.apply(
        Spending(
            session_tokens=10, session_cost=0.0, day_tokens=20, day_cost=0.5, unpriced=2, session_unpriced=1
        )
    )
    words = overview.spending_summary()
    assert "this session 10 tokens, price unknown" in words
    assert "today 20 tokens, at least $0.5000" in words
    assert "the price of 2 requests today is unknown" in words


def test_another_session_begins_with_known_prices() -> None:
    overview = Overview()
    overview.apply(UsageChanged(turn="t1", usage=UNPRICED))
    overview.clear_session()
    assert not overview.unpriced


def test_amounts() -> None:
    assert (money(0.0), money(0.5), money(0.0, unpriced=True)) == ("$0", "$0.5000", "price unknown")
    assert (short_money(0.0), short_money(0.0, unpriced=True)) == ("$0.00", "")
    assert SafeText(short_money(1.5, unpriced=True)) == "≥$1.50"
