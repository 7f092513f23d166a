"""Invariant 4 where it counts: the bytes that reach a real terminal while everybody lies to the app."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.security.hostile import EVIL, MARKUP, PIECES
from tests.security.pty_app import (
    CTRL_P,
    CTRL_U,
    END,
    ENTER,
    ESC,
    F1,
    F2,
    F3,
    F4,
    F5,
    F8,
    F9,
    HOME,
    NARROW,
    WIDE,
    PtyApp,
    app,
    started,
)
from tests.security.terminal_bytes import not_seen

HOSTILE = Path(__file__).with_name("hostile.py")
ARGUMENTS = {"text": "\x1b]52;c;RVZJTA==\x07 file\u202egpj.exe \u200b\U000e0072 [/] " + MARKUP}
PASSPHRASE = {"OMNI_TUI_PASSPHRASE": "a phrase of these tests"}
THEIRS = {"38;5;201;9", "66;66"}
"""Parameters in the hostile texts that nothing of ours has."""


def config(mode: str) -> str:
    """Two servers that say the same; the name of one of them is markup."""
    server = f"command = {sys.executable!r}\nargs = ['-I', '-S', {str(HOSTILE)!r}, {mode!r}]\n"
    return f"[servers.nasty]\n{server}\n[servers.'{MARKUP}']\n{server}"


def press_until(face: PtyApp, keys: tuple[str, ...], what: Callable[[str], bool]) -> None:
    """Press keys again until they have shown what they do: focus moves a moment after the key for it."""
    for _ in range(12):
        face.press(*keys)
        with contextlib.suppress(AssertionError):
            face.until(what, within=1.0)
            return
        # What says why a key did nothing covers the card, so that the next one does nothing either.
        face.until(lambda text: "ook again" not in text and "ot yet:" not in text)
    raise AssertionError(f"{keys} have no effect:\n{face.text}")


def look_at_servers(face: PtyApp) -> None:
    face.press(F2)
    face.until(lambda text: len(re.findall(r"\d+ too", text)) == 2)
    face.press(HOME)
    face.until("stdio ·")
    face.press("l")
    face.until("LOG ·")
    face.until("stderr-ends")
    face.press(HOME, END, ESC)
    face.gone("LOG ·")


def open_tool(face: PtyApp, name: str) -> None:
    face.press(F3)
    face.until("TOOLS")
    face.press(CTRL_U)
    face.until("/ type to filter")

    def found(text: str) -> bool:
        return re.search(rf"(?m)^▌  {name}\b", text) is not None

    # Bindings work after the characters that follow them at once: never both in one go.
    for _ in range(12):
        face.press(name)
        with contextlib.suppress(AssertionError):
            face.until(found, within=0.7)
            break
        face.press("/")
        with contextlib.suppress(AssertionError):
            face.until(lambda text: "▌  /" in text and "/ type" not in text, within=0.2)
        face.press(CTRL_U)
        face.until("/ type to filter")
    face.until(found)
    face.press(ENTER)
    face.until(lambda text: re.search(rf"◆ .* › {name}\b", text) is not None and "form · JSON" in text)


def call_by_hand(face: PtyApp, name: str, answer: str) -> None:
    open_tool(face, name)
    # The form may still be on its way when its line of keys stands there.
    press_until(face, (F9,), lambda text: f"{answer} {MARKUP}"[: face.columns // 2] in text)
    face.press(ESC)
    face.gone("F9 run")


def look_at_tools(face: PtyApp) -> None:
    face.press(F3)
    face.until("▾ nasty")
    face.press(END, HOME)
    open_tool(face, "show")
    face.press(F8)
    face.until("THE SERVER SAYS")
    face.press(END, HOME, F8)
    face.gone("THE SERVER SAYS")
    face.press(ESC)
    face.gone("F9 run")
    for name in ("show", "structured", "fails", "lines", "moves"):
        call_by_hand(face, name, f"result-{name}")
    call_by_hand(face, "refuses", "error-refuses")


def look_at_help(face: PtyApp) -> None:
    face.press(F1)
    face.until("FROM ANYWHERE")
    face.press(ESC)
    face.gone("FROM ANYWHERE")
    face.press(CTRL_P)
    face.until("find a command")
    face.press("log")
    face.until("log")
    face.press(ESC)
    face.gone("🔎")


def let_the_agent_call(face: PtyApp, arguments: dict[str, str]) -> None:
    face.press(F4)
    face.until("▌ Ask, or tell it what to do")  # the bar at its left says that the keys are there
    # Two slashes: one would be a command of the composer's.
    face.press(f"//call nasty__show {json.dumps(arguments)}")
    face.until("//call")
    face.press(ENTER)
    face.gone("//call")
    face.until(lambda text: re.search(r"(?i)approvals 1\b", text) is not None)
    face.press(F5)
    face.until("asked because")
    face.press("v")
    face.until(lambda text: "asked because" not in text)
    face.press(END, ESC)
    face.until("asked because")
    press_until(face, ("A",), lambda text: "asked because" not in text)
    face.press(F4)
    face.until("not a language model")


def tour(face: PtyApp, arguments: dict[str, str]) -> None:
    """Go everywhere where a server's or a model's words are shown."""
    face.ready()
    look_at_servers(face)
    look_at_tools(face)
    look_at_help(face)
    let_the_agent_call(face, arguments)
    row, column = face.where(MARKUP)
    face.click(row, column + MARKUP.index("x"))
    face.press(F4)
    face.until("▌ Ask, or tell it what to do")
    face.press("still here")
    face.until("still here")
    face.leave()


def assert_clean(face: PtyApp, allowed: frozenset[tuple[str, str]]) -> None:
    """Nothing of theirs reached the terminal, and nothing that a person could not see."""
    controls = face.controls()
    assert {control.sort for control in controls} <= allowed
    assert not [control for control in controls if control.data in THEIRS]
    assert not_seen(face.shown()) == set()
    titles = [control.data for control in controls if control.kind == "OSC"]
    assert not_seen("".join(titles)) == set()


@pytest.fixture
def allowed(tmp_path_factory: pytest.TempPathFactory) -> frozenset[tuple[str, str]]:
    """What the app writes when everybody speaks plainly."""
    return plainly(str(tmp_path_factory.getbasetemp()))


@cache
def plainly(folder: str) -> frozenset[tuple[str, str]]:
    with app(*started(Path(mkdtemp(dir=folder)), config("plain")), env=PASSPHRASE) as face:
        tour(face, {"text": f"plain {MARKUP}"})
        return frozenset(control.sort for control in face.controls())


def test_the_app_itself_writes_no_clipboard_no_link_and_no_device_string(
    allowed: frozenset[tuple[str, str]],
) -> None:
    """The allow-list of the other tests allows nothing dangerous."""
    kinds = {kind for kind, _ in allowed}
    assert kinds <= {"CSI", "OSC", "C0", "ESC"}
    assert {what for kind, what in allowed if kind == "OSC"} <= {"2", "22"}
    assert {what for kind, what in allowed if kind == "C0"} <= {"U+000A", "U+000D"}


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["160x45", "80x24"])
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
