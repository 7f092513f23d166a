"""Keeps and returns bytes, without the app."""

from pathlib import Path

import omni_tui_folder as plugin
import pytest

SESSION = "00000000-0000-7000-8000-000000000001"


def test_it_returns_what_it_was_given(tmp_path: Path) -> None:
    (memory,) = plugin.omni_memory()
    memory.open(str(tmp_path)).put(SESSION, b"one")
    memory.open(str(tmp_path)).put(SESSION, b"two")
    store = memory.open(str(tmp_path))
    assert store.get(SESSION) == b"two"
    assert list(store.sessions()) == [SESSION]


def test_an_unknown_session_is_none(tmp_path: Path) -> None:
    (memory,) = plugin.omni_memory()
    with pytest.raises(KeyError):
        memory.open(str(tmp_path)).get("../../etc/passwd")
