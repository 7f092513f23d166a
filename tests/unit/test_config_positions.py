"""Lines of keys, held against a writer that knows where it put them."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.config.problems import KeyPath, TomlPositions

TEXT = '''\
top = 1 # a = 2
[a]
b.c = """
[not.a.table]
x = 1
"""
"quoted key" = [
  { n = 1 }, # ]
  "]", ']',
]
[a.'single']
d = 2020-01-01
[[many]]
e = 1
[[many]]
e = 2
[many.inner]
f = 3
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("a",), 2),
        (("a", "b"), 3),
        (("a", "b", "c"), 3),
        (("a", "quoted key"), 7),
        (("a", "quoted key", 0, "n"), 7),
        (("a", "single", "d"), 12),
        (("many",), 13),
        (("many", 0, "e"), 14),
        (("many", 1, "e"), 16),
        (("many", 1, "inner", "f"), 18),
        (("not", "a", "table"), 1),
        (("a", "missing"), 2),
    ],
)
def test_lines(path: KeyPath, line: int) -> None:
    tomllib.loads(TEXT)
    assert TomlPositions(TEXT).line(path) == line


_keys = st.text(alphabet="abcdefgh", min_size=1, max_size=4)
_values = st.sampled_from(
    [
        "1",
        '"a#b"',
        "'c = [\"'",
        "[1, 2, # x\n 3]",
        '"""\n[x]\n\\""" y\n"""',
        "{ q = '}' }",
        "'''\n]\n'''",
        "true",
    ]
)


@given(st.dictionaries(_keys, st.dictionaries(_keys, _values, max_size=4), max_size=5))
def test_finds_every_key_of_any_file(tables: dict[str, dict[str, str]]) -> None:
    text, expected = "", {}
    for table, values in tables.items():
        text += f"\n# comment\n[ {table} ]\n"
        for key, value in values.items():
            expected[(table, key)] = text.count("\n") + 1
            text += f"{key} = {value}\n"
    tomllib.loads(text)
    positions = TomlPositions(text)
    assert {path: positions.line(path) for path in expected} == expected
