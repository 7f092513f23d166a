"""Where a server's or a model's words are shown: how to go there on a terminal, and what may be seen."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.lengths import some
from tests.security.hostile import MARKUP
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
    PAGE_DOWN,
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


def page_down_to(face: PtyApp, words: str) -> None:
    """Page down until words stand on the screen; they may be there at once."""
    for _ in range(12):
        with contextlib.suppress(AssertionError):
            face.until(words, within=1.0)
            return
        face.press(PAGE_DOWN)
    raise AssertionError(f"{words!r} is on no page:\n{face.text}")


def look_at_servers(face: PtyApp) -> None:
    face.press(F2)
    face.until(lambda text: len(re.findall(r"● .*?\d+ too", text)) == 2)
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
    face.press("/", *name)
    face.until(lambda text: re.search(rf"(?m)^▌  {name}\b", text) is not None)
    face.press(ENTER)
    face.until(
        lambda text: re.search(rf"◆ .* › {name}\b", text) is not None and "form · JSON  ctrl+r" in text
    )


def call_by_hand(face: PtyApp, name: str, answer: str) -> None:
    open_tool(face, name)
    face.press(F9)
    face.until(f"{answer} {MARKUP}"[: face.columns // 2])
    face.press(ESC)
    face.gone("F9 run")


def look_at_tools(face: PtyApp) -> None:
    face.press(F3)
    face.until("▾ nasty")
    face.press(END, HOME)
    open_tool(face, "show")
    face.press(F8)
    face.until("title-show")
    page_down_to(face, "THE SERVER SAYS")
    face.press(END, HOME, F8)
    face.gone("THE SERVER SAYS")
    face.press(ESC)
    face.gone("F9 run")
    for name in some(("show", "structured", "fails", "lines", "moves"), 3):
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
    face.until("waits in")
    face.press("v")
    face.until(lambda text: "waits in" not in text)
    face.press(END, ESC)
    face.until("waits in")
    press_until(face, ("A",), lambda text: "waits in" not in text)
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


@cache
def plainly(folder: str) -> frozenset[tuple[str, str]]:
    """Return what the app writes to a terminal when everybody speaks plainly."""
    with app(*started(Path(mkdtemp(dir=folder)), config("plain")), env=PASSPHRASE) as face:
        tour(face, {"text": f"plain {MARKUP}"})
        return frozenset(control.sort for control in face.controls())
