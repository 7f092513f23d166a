"""Names of servers and tools: what looks like an ASCII letter and is another is marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.config.spec import ServerSpec
from omni_tui.protocol.events import ServerChanged
from omni_tui.security.identifiers import identifier, marked
from omni_tui.security.text import safe_line
from omni_tui.servers import Processes, ServerRegistry


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("f\u0456les", "f\u0456<U+0456>les"),  # Cyrillic
        ("files\u03bf", "files\u03bf<U+03BF>"),  # Greek
        ("g\u0131t", "g\u0131<U+0131>t"),  # Latin without a dot
        ("\uff47it", "\uff47<U+FF47>it"),  # full width
        ("\U0001d5c0it", "\U0001d5c0<U+1D5C0>it"),  # mathematical
        ("git\u2011hub", "git\u2011<U+2011>hub"),  # a hyphen of another kind
        ("git\u2024hub", "git\u2024<U+2024>hub"),
        ("g\u0307it", "g\u0307<U+0307>it"),  # a mark on a letter
        ("\u0441\u043e\u0440\u0435", "\u0441<U+0441>\u043e<U+043E>\u0440<U+0440>\u0435<U+0435>"),
    ],
)
def test_look_alikes_are_marked(name: str, shown: str) -> None:
    assert identifier(name) == shown
    assert marked(name) != name


@pytest.mark.parametrize(
    "name",
    [
        "files",
        "my server-2.x",
        "café",
        "größe",
        "файлы",
        "сервер-db",
        "サーバー",
        "文件mcp",
        "ファイル",
        "文件",
        "ملفات",
        "αρχεία",
        "파일",
    ],
)
def test_names_that_cannot_be_mistaken_stay_as_they_are(name: str) -> None:
    assert identifier(name) == name
    assert marked(name) == name


@given(st.text(max_size=100))
def test_what_is_shown_is_safe_and_bounded(name: str) -> None:
    shown = identifier(name)
    assert len(shown) <= 400
    assert safe_line(shown, limit=1000) == shown


@given(st.text("abcxyz_-019", min_size=1, max_size=40), st.sampled_from("аеорсухіѕјһоνıɑｏ"))
def test_no_two_names_look_the_same(name: str, other: str) -> None:
    """A name with one of its letters replaced is never shown as the name."""
    for at in range(len(name)):
        assert identifier(name[:at] + other + name[at + 1 :]) != name
        assert "<U+" in identifier(name[:at] + other + name[at + 1 :] + "a")


def test_a_servers_row_shows_its_name_marked_and_keeps_it_whole(tmp_path: Path) -> None:
    spec = ServerSpec(name="f\u0456les", command="x")
    registry = ServerRegistry(
        authority=lambda _dispatch: False, processes=Processes(tmp_path, "t"), listener=cast(Any, None)
    )
    registry.add(spec)
    told: ServerChanged = registry.snapshot()[0]
    assert told.label == "f\u0456<U+0456>les"
    assert told.name == spec.name
