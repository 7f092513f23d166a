"""Six servers on a real terminal, of which one is well: the others cost their own rows and nothing else."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.lengths import LONG
from tests.security.pty_app import CTRL_U, ENTER, ESC, F2, F3, F4, F9, NARROW, WIDE, PtyApp, app, started
from tests.security.tour import PASSPHRASE, assert_clean

FAULTS = Path(__file__).parents[1] / "engine" / "faults" / "server.py"
MODES = {"good": "good", "wrong": "", "mute": "deaf", "mortal": "good", "noisy": "flood"}
MODES["nasty"] = "hostile"
COMPOSER = "▌ Ask, or tell it what to do"


def config() -> str:
    """Return the six; the one that hangs has long enough to be seen hanging."""
    made = []
    for name, mode in MODES.items():
        made.append(f"[servers.{name}]")
        if not mode:
            made.append("command = 'no-such-program-anywhere'")
            continue
        made.append(f"command = {sys.executable!r}")
        made.append(f"args = ['-I', '-S', {str(FAULTS)!r}, {mode!r}]")
        if mode == "deaf":
            made.append("connect_timeout = 8")
    return "\n".join(made)


def row(face: PtyApp, server: str) -> str:
    """Return what the list of servers says of one."""
    lines = (line[2:38].strip() for line in face.text.splitlines())
    return next((line for line in lines if re.match(rf"\S {server}\b", line)), "")


def until_row(face: PtyApp, server: str, *words: str) -> None:
    face.until(lambda _: any(word in row(face, server) for word in words))


def order(face: PtyApp) -> list[str]:
    """Return the servers in the order of their rows: those that failed come first."""
    found = (re.match(r"\S (\w+)\b", line[2:38].strip()) for line in face.text.splitlines())
    return list(dict.fromkeys(one[1] for one in found if one is not None and one[1] in MODES))


def go_to(face: PtyApp, server: str) -> None:
    """Put the cursor of the list on a server, once no row moves any more; its details stand below."""
    face.press(F2)
    seen: list[str] = []
    while server not in seen or seen != order(face):
        seen = order(face)
        while face.pump(0.3):
            pass
    face.press("\x1b[H", *["\x1b[B"] * seen.index(server))


def call(face: PtyApp, server: str, tool: str, shown: str) -> None:
    """Call a tool by hand through its form, by keys alone, and wait for what it says."""
    face.press(F3, CTRL_U, "/", *f"{server} {tool}", ENTER)
    face.until(lambda text: f"{server} › {tool}" in text and "form · JSON  ctrl+r" in text)
    face.press(F9)
    face.until(shown)
    face.press(ESC)
    face.gone("F9 run")


def keys_work(face: PtyApp, word: str) -> None:
    """What is typed stands in the composer."""
    face.press(F4, *word)
    face.until(f"▌ {word}")
    face.press(CTRL_U)
    face.until(COMPOSER)


@pytest.mark.slow
@pytest.mark.skipif(
    not LONG, reason="a short run tries the faults without a screen: test_servers_failures.py"
)
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=str)
def test_bad_servers_cost_their_own_rows_only(
    size: tuple[int, int], allowed: frozenset[tuple[str, str]], tmp_path: Path
) -> None:
    with app(*started(tmp_path, config()), size=size, env=PASSPHRASE) as face:
        face.ready()
        keys_work(face, "while-they-start")
        go_to(face, "wrong")
        until_row(face, "good", "13 tools")
        until_row(face, "noisy", "13 tools")
        until_row(face, "wrong", "✗ wrong")
        assert "✗" not in row(face, "mute")
        call(face, "good", "echo", "{}")
        call(face, "mortal", "die", "outcome unknown")
        keys_work(face, "one-has-died")
        call(face, "good", "echo", "{}")
        go_to(face, "wrong")
        face.until("no-such-program-anywhere")
        go_to(face, "noisy")
        face.press("l")
        face.until("noise noise")
        face.press(ESC)
        face.gone("LOG ·")
        go_to(face, "mute")
        until_row(face, "mute", "✗ mute")
        face.until("did not answer")
        until_row(face, "mortal", "13 tools")  # it was started again
        call(face, "mortal", "echo", "{}")
        call(face, "noisy", "echo", "{}")
        keys_work(face, "still-here")
        face.leave()
        assert_clean(face, allowed)
        assert "Traceback" not in face.shown()
