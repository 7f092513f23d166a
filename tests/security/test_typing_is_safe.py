"""Invariant 5 with real keys: whoever is typing approves nothing, whatever arrives meanwhile."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lengths import some
from tests.security.pty_app import CTRL_U, ENTER, ESC, F4, F5, PATIENCE_S, PtyApp, app, started

PASSPHRASE = {"OMNI_TUI_PASSPHRASE": "a phrase of these tests"}
DRAFT = "yes do it AAA"
COMPOSER = "▌ Ask, or tell it what to do"
"""The empty composer with the keys in it: the bar at its left says so."""


def written(folder: Path) -> list[str]:
    """Return the notes there are: what was approved has left one."""
    return sorted(path.name for path in (folder / "notes").glob("*"))


def waiting(text: str) -> int:
    found = re.search(r"(\d+) to approve", text)
    return int(found[1]) if found else 0


@pytest.fixture
def face(tmp_path: Path) -> Iterator[PtyApp]:
    """The app on the bundled server, whose notes lie in the test's folder."""
    notes = str(tmp_path / "notes")
    server = f"command = {sys.executable!r}\nargs = ['-m', 'omni_tui.demo.server', {notes!r}]\n"
    with app(*started(tmp_path, f"[servers.demo]\n{server}"), env=PASSPHRASE) as running:
        running.ready()
        running.until("10 tools")
        running.until(COMPOSER)
        yield running


def propose(face: PtyApp) -> None:
    face.press('//call demo__write_note {"name":"n","text":"t"}')
    face.until("//call")
    face.press(ENTER)


def at_the_card(face: PtyApp) -> None:
    propose(face)
    face.until(lambda text: waiting(text) == 1)
    face.press(F5)
    face.until("A approve")


def back_at_the_card(face: PtyApp) -> None:
    """Show the card again, also where one of the keys has opened the editor of its arguments."""
    end = time.monotonic() + PATIENCE_S
    while "A approve" not in face.text:
        assert time.monotonic() < end, face.text
        face.press(F5)
        face.pump(0.5)
        if "keep it as it was" in face.text:
            face.press(ESC)
            face.gone("keep it as it was")


@pytest.mark.parametrize("before", some([6, *range(len(DRAFT) + 1)], 1))
def test_an_approval_that_arrives_between_two_keys_is_left_alone(
    before: int, face: PtyApp, tmp_path: Path
) -> None:
    """The first keys come with the message that leads to the call, the others after the call is there."""
    propose(face)
    face.until(COMPOSER)  # the message is gone, the call on its way
    face.press(DRAFT[:before])
    face.until(lambda text: waiting(text) == 1)
    face.press(DRAFT[before:])
    face.until(f"▌ {DRAFT}")
    face.press("\r")
    face.until(COMPOSER)  # it was taken as a message, and waits for the end of the turn
    assert waiting(face.text) == 1
    face.leave()
    assert written(tmp_path) == []


def test_what_comes_together_is_keys_or_a_paste_and_a_paste_sends_nothing(face: PtyApp) -> None:
    """Keys that come together (a slow line, a fast hand) mean what they mean one by one."""
    face.press("hi\rab")
    face.until(lambda text: "I am rules" in text)
    face.until("▌ ab")
    assert "hiab" not in face.text
    face.press(CTRL_U)
    face.until(COMPOSER)
    face.paste("build log:\n\x1b[31merror\x1b[0m\rno such file\rsecond \x1b[1mbold\x1b[0m line\rA\rlast")
    face.until("pasted · 4 characters in it do not show")
    face.until("last")
    face.press(ENTER)
    face.gone("pasted")
    face.until(COMPOSER)
    # What no hand can type at once.
    face.press("/quit\rfirst line\rsecond line\r")
    face.until("pasted · enter sends")
    face.until("second line")
    face.press(ENTER)
    face.gone("pasted")
    face.leave()


def test_what_comes_in_one_go_decides_nothing(face: PtyApp, tmp_path: Path) -> None:
    """A paste, and keys that no hand presses: an unbracketed paste, a macro, a key held down.

    The key for the chat and what is written there may come together: all of it is for the chat.
    """
    at_the_card(face)
    for paste in some(["AAAA", "A", "R", "yes\rA\rR\r"], 2):
        face.paste(paste)
        face.press_until(F4, "F5 to decide")
        face.until(COMPOSER)
        assert waiting(face.text) == 1, paste
        face.press_until(F5, "A approve")
    for keys in some(["AAAA", "RRRR", "xR", "xA", "Really, do it A", "yes A"], 3):
        face.press(keys)
        face.press(F5)
        face.until(lambda text: waiting(text) == 1)
        back_at_the_card(face)
        face.press(F4)
        face.press_until(CTRL_U, COMPOSER)  # what nothing is bound to was typed there
        assert waiting(face.text) == 1, keys
        back_at_the_card(face)
    for text in some(["A note, please", "Really?", "A", "R"], 2):
        face.press(F4 + text)
        face.until(f"▌ {text}")
        assert waiting(face.text) == 1, text
        face.press(CTRL_U)
        face.until(COMPOSER)
        face.press_until(F5, "A approve")
    face.leave()
    assert written(tmp_path) == []
