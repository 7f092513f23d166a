"""Names for models: legal, at most 64 characters, stable, reversible, never colliding."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from omni_tui.tools.tool_names import model_name, nearest_names

LEGAL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")


def test_an_ordinary_pair_keeps_its_name() -> None:
    assert model_name("files", "read_file") == "files__read_file"


def test_the_name_never_changes_between_runs() -> None:
    assert model_name("my server", "läs/fil") == model_name("my server", "läs/fil")
    assert (
        model_name("files", "x" * 80)
        == "files__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_"
        + (model_name("files", "x" * 80)[-6:])
    )


@given(st.text(min_size=1, max_size=100), st.text(min_size=1, max_size=200))
def test_every_name_is_legal(server: str, tool: str) -> None:
    assert LEGAL.fullmatch(model_name(server, tool))


pieces = st.text(st.sampled_from("ab_-.é"), min_size=1, max_size=6)


@given(st.sets(st.tuples(pieces, pieces), max_size=30))
def test_no_two_pairs_share_a_name(pairs: set[tuple[str, str]]) -> None:
    assert len({model_name(*pair) for pair in pairs}) == len(pairs)


def test_a_wrong_name_has_neighbours() -> None:
    names = ["files__read_file", "files__write_file", "git__status"]
    assert nearest_names("file__readfile", names)[0] == "files__read_file"
