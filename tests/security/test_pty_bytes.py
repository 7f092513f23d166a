"""Invariant 4 where it counts: the bytes that reach a real terminal while everybody lies to the app."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lengths import some
from tests.security.hostile import EVIL, MARKUP, PIECES
from tests.security.pty_app import ESC, F1, F2, F4, HOME, NARROW, WIDE, app, started
from tests.security.tour import ARGUMENTS, PASSPHRASE, assert_clean, config, tour


def test_the_app_itself_writes_no_clipboard_no_link_and_no_device_string(
    allowed: frozenset[tuple[str, str]],
) -> None:
    """The allow-list of the other tests allows nothing dangerous."""
    kinds = {kind for kind, _ in allowed}
    assert kinds <= {"CSI", "OSC", "C0", "ESC"}
    assert {what for kind, what in allowed if kind == "OSC"} <= {"2", "22"}
    assert {what for kind, what in allowed if kind == "C0"} <= {"U+000A", "U+000D"}


@pytest.mark.parametrize("size", some([WIDE, NARROW], 1), ids=str)
def test_hostile_servers_reach_no_terminal(
    size: tuple[int, int], allowed: frozenset[tuple[str, str]], tmp_path: Path
) -> None:
    with app(*started(tmp_path, config("evil")), size=size, env=PASSPHRASE) as face:
        tour(face, ARGUMENTS)
        assert_clean(face, allowed)
        shown = face.shown()
    for visible in ("<U+001B>]52;c;", "<U+009D>", "<U+202E>", "<U+E0072>", "<U+200B>", "<U+0000>", MARKUP):
        assert visible in shown, f"{visible} was never shown: the test has not looked there"


def test_hostile_names_and_commands_in_config_files(
    allowed: frozenset[tuple[str, str]], tmp_path: Path
) -> None:
    """A person's file and an mcpServers file of somebody else's, with every piece in every place."""
    theirs = {
        "mcpServers": {
            f"{number} {piece}": {
                "command": "/nowhere/" + piece.replace("\0", ""),
                "args": [piece.replace("\ud83d", "")],
                "env": {"A B": piece},
            }
            for number, piece in enumerate(PIECES.values())
        }
    }
    other = tmp_path / "mcp.json"
    other.write_text(json.dumps(theirs))
    name, value = (json.dumps(EVIL[:length].replace("\x7f", "")) for length in (60, 400))
    mine = f"[servers.{name}]\ncommand = {value}\n[{name}]\n{name} = {value}\n"
    with app(*started(tmp_path, mine, "--mcp-config", str(other)), env=PASSPHRASE) as face:
        face.ready()
        face.press(F2)
        face.until("a server's")
        face.press(HOME)
        face.press("l")
        face.until("LOG ·")
        face.press(ESC)
        face.gone("LOG ·")
        face.press(F1)
        face.until("FROM ANYWHERE")
        face.press(ESC)
        face.gone("FROM ANYWHERE")
        face.press(F4)
        face.until("▌ Ask, or tell it what to do")
        face.press("still here")
        face.until("still here")
        face.leave()
        assert_clean(face, allowed)
        assert "<U+001B>]52" in face.shown()
