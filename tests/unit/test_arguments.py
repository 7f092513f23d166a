"""Arguments are read strictly and written in one way."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.tools.call_arguments import BadArguments, canonical, parse_arguments

HOSTILE = [
    "[1]",
    '"x"',
    "null",
    "7",
    "{",
    '{"a":1,"a":2}',
    '{"a":{"b":1,"b":1}}',
    '{"a":NaN}',
    '{"a":Infinity}',
    '{"a":1e999}',
    '{"a":' + "1" * 5000 + "}",
    '{"a":"\\ud800"}',
    '{"a":' + "[" * 40 + "]" * 40 + "}",
    '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    '{"a":"' + "x" * 300_000 + '"}',
    "{'a':1}",
    '{"a":1}x',
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_two_parsers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(BadArguments):
        parse_arguments(text)


def test_nothing_means_no_arguments() -> None:
    assert parse_arguments("") == {}


def test_a_prototype_is_an_ordinary_key() -> None:
    assert parse_arguments('{"__proto__":{"x":1}}') == {"__proto__": {"x": 1}}


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values, max_size=5)


@given(objects)
def test_canonical_bytes_come_back_unchanged(value: dict[str, object]) -> None:
    data = canonical(value)
    assert parse_arguments(data.decode()) == value
    assert canonical(json.loads(data)) == data


@given(objects)
def test_canonical_bytes_do_not_depend_on_key_order(value: dict[str, object]) -> None:
    assert canonical(dict(reversed(list(value.items())))) == canonical(value)
