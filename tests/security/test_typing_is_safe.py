"""Invariant 5 with real keys: whoever is typing approves nothing, whatever arrives meanwhile."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lengths import some
from tests.security.pty_app import ENTER, F4, F5, PtyApp, app, started

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


@pytest.mark.parametrize("before", some(range(0, len(DRAFT) + 1, 3), 3))
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


def test_a_message_sent_and_the_next_one_begun_in_one_go(face: PtyApp) -> None:
    """Keys that come together (a slow line, a fast hand) mean what they mean one by one."""
    face.press("hi\rab")
    face.until(lambda text: "I am rules" in text)
    face.until("▌ ab")
    assert "hiab" not in face.text
    face.leave()


def test_what_no_hand_can_type_at_once_is_a_paste_and_sends_nothing(face: PtyApp) -> None:
    face.press("/quit\rfirst line\rsecond line\r")
    face.until("pasted · enter sends")
    face.until("second line")
    face.press(ENTER)
    face.gone("pasted")
    face.leave()


def test_a_coloured_log_is_one_paste(face: PtyApp) -> None:
    face.paste("build log:\n\x1b[31merror\x1b[0m\rno such file\rsecond \x1b[1mbold\x1b[0m line\rA\rlast")
    face.until("pasted · 4 characters in it do not show")
    face.until("last")
    face.leave()


@pytest.mark.parametrize("paste", some(["AAAA", "A", "R", "yes\rA\rR\r"], 2))
def test_a_paste_into_the_approvals_decides_nothing(paste: str, face: PtyApp, tmp_path: Path) -> None:
    at_the_card(face)
    face.paste(paste)
    face.press_until(F4, COMPOSER)
    assert waiting(face.text) == 1
    face.leave()
    assert written(tmp_path) == []


@pytest.mark.parametrize("keys", some(["AAAA", "RRRR", "xR", "xA", "Really, do it A", "yes A"], 3))
def test_keys_in_one_go_decide_nothing(keys: str, face: PtyApp, tmp_path: Path) -> None:
    """An unbracketed paste, a macro, a key held down."""
    at_the_card(face)
    face.press(keys)
    face.press(F5)
    face.until(lambda text: waiting(text) == 1)
    face.leave()
    assert written(tmp_path) == []


@pytest.mark.parametrize("text", some(["A note, please", "Really?", "A", "R"], 2))
def test_going_to_the_chat_and_writing_at_once_decides_nothing(
    text: str, face: PtyApp, tmp_path: Path
) -> None:
    """The key for the chat and what is written there come together: all of it is for the chat."""
    at_the_card(face)
    face.press(F4 + text)
    face.until(f"▌ {text}")
    assert waiting(face.text) == 1
    face.leave()
    assert written(tmp_path) == []
