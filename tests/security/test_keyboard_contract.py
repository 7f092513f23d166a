"""The keyboard contract on a real terminal: at most the one decision that was meant, whatever happens.

A matrix of what happens between the picture and the key, and of how the key comes. By default a sample of
it, drawn with the seed `OMNI_TUI_SEED` (a failure names the seed); all of it with `OMNI_TUI_LONG=1`.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omni_tui.face.approval.arming import QUIET_S
from tests.lengths import LONG
from tests.security.pty_app import CTRL_P, DOWN, END, ENTER, ESC, F1, F4, F5, WIDE, PtyApp, app, started
from tests.security.test_typing_is_safe import COMPOSER, PASSPHRASE, waiting, written
from tests.security.tour import press_until

SEED = int(os.environ.get("OMNI_TUI_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
SAMPLE = 14
FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"
THREE = " and ".join(f"write a note name={name} text=t" for name in "abc")
ESCAPE_S = 0.13
SETTLE_S = 0.3
"""A held decision is over by then."""

Disturb = Callable[[PtyApp], None]
Press = Callable[[PtyApp], None]


@pytest.fixture
def face(tmp_path: Path) -> Iterator[PtyApp]:
    """The app with three calls that wait, and the first one's card."""
    notes = str(tmp_path / "notes")
    server = f"command = {sys.executable!r}\nargs = ['-m', 'omni_tui.demo.server', {notes!r}]\n"
    arguments = started(tmp_path, f"[servers.demo]\n{server}")
    program = ("-m", "tests.security.slow_loop_app")
    with app(*arguments, env=PASSPHRASE, program=program, controlling=True) as running:
        running.ready()
        running.until("10 tools")
        running.until(COMPOSER)
        running.press(*(word + " " for word in THREE.split()))
        running.until("name=c")
        running.press(ENTER)
        running.until(lambda text: waiting(text) == 3)
        to_the_card(running)
        yield running


def to_the_card(face: PtyApp) -> None:
    """Go to the approvals, to the first call, and let its card stand until a key counts."""
    face.press_until(F5, "A approve")
    press_until(face, ("1",), lambda text: "A approve" in text)
    rest(face, QUIET_S * 2)


def rest(face: PtyApp, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        face.pump(left)


def escape(face: PtyApp) -> None:
    """Press Esc, and wait until it is no beginning of another key any more, which is sooner than arming."""
    face.press(ESC)
    rest(face, ESCAPE_S)


# --- what comes between the picture and the key ---------------------------------------------------


def resize(face: PtyApp) -> None:
    narrower = WIDE[0] - 1 if face.columns == WIDE[0] else WIDE[0]
    face.resize(narrower, face.rows)


def resize_back_and_forth(face: PtyApp) -> None:
    face.resize(face.columns - 7, face.rows)
    face.resize(face.columns + 7, face.rows)


def look_away_and_back(face: PtyApp) -> None:
    face.press(FOCUS_OUT, FOCUS_IN)


def look_away_and_back_at_once(face: PtyApp) -> None:
    face.send(FOCUS_OUT + FOCUS_IN)


def suspend(face: PtyApp) -> None:
    os.kill(face.process.pid, signal.SIGTSTP)
    stat = Path(f"/proc/{face.process.pid}/stat")
    face.until(lambda _text: stat.read_text().rpartition(")")[2].split()[0] == "T")
    os.kill(face.process.pid, signal.SIGCONT)


def opened(key: str, shows: str) -> Disturb:
    def open_and_close(face: PtyApp) -> None:
        face.press(key)
        face.until(shows)
        rest(face, QUIET_S * 2)
        escape(face)

    return open_and_close


def sheet(face: PtyApp) -> None:
    if "the 3 marked" not in face.text:
        for _ in range(3):
            face.press("m", DOWN)
    face.press("M")
    face.until("calls together?")
    face.press(END, "3")
    rest(face, QUIET_S * 2)
    escape(face)


def feedback(face: PtyApp) -> None:
    face.press("f")
    face.until("the model reads this")
    face.press("A")
    escape(face)


def there_and_back(face: PtyApp) -> None:
    face.press(F4, F5)


def another_row(face: PtyApp) -> None:
    face.press(DOWN)


def another_key(face: PtyApp) -> None:
    face.press("z")


def pasted(face: PtyApp) -> None:
    face.paste("some text")


def blocked(face: PtyApp) -> None:
    """The card is another one by the time the loop goes on."""
    face.send(DOWN)
    os.kill(face.process.pid, signal.SIGUSR1)


DISTURBANCES: dict[str, Disturb] = {
    "resize": resize,
    "resize-twice": resize_back_and_forth,
    "focus": look_away_and_back,
    "focus-at-once": look_away_and_back_at_once,
    "suspend": suspend,
    "help": opened(F1, "FROM ANYWHERE"),
    "palette": opened(CTRL_P, "find a command"),
    "full-view": opened("v", "exactly as it is sent"),
    "sheet": sheet,
    "feedback": feedback,
    "panes": there_and_back,
    "row": another_row,
    "key": another_key,
    "paste": pasted,
    "blocked": blocked,
}


# --- how the key comes ----------------------------------------------------------------------------


def once(face: PtyApp) -> None:
    face.send("A")


def in_one_go(face: PtyApp) -> None:
    face.send("AAA")


def held(face: PtyApp) -> None:
    """As a keyboard repeats it: the first pause is long, then thirty a second."""
    face.send("A")
    for _ in range(6):
        rest(face, 0.033)
        face.send("A")


def while_stopped(face: PtyApp) -> None:
    """Typed while the process does not run; all of it is read at once when it goes on."""
    os.kill(face.process.pid, signal.SIGSTOP)
    try:
        for _ in range(4):
            face.send("A")
            rest(face, 0.05)
    finally:
        os.kill(face.process.pid, signal.SIGCONT)


def while_blocked(face: PtyApp) -> None:
    """Typed while the loop stands still: each key is read on its own, in time."""
    os.kill(face.process.pid, signal.SIGUSR1)
    rest(face, 0.1)
    face.send("A")
    rest(face, 0.15)
    face.send("A")
    rest(face, 1.0)


KEYS: dict[str, Press] = {
    "once": once,
    "in-one-go": in_one_go,
    "held": held,
    "stopped": while_stopped,
    "blocked": while_blocked,
}

MATRIX = list(itertools.product(DISTURBANCES, KEYS))


def cases() -> list[tuple[str, str]]:
    """Return what is tried: everything, or a sample with each disturbance or each way in it."""
    chance = random.Random(SEED)
    if LONG:
        return chance.sample(MATRIX, len(MATRIX))
    ways = [chance.choice(list(KEYS)) for _ in DISTURBANCES]
    return chance.sample(list(zip(DISTURBANCES, ways, strict=True)), SAMPLE)


def try_one(face: PtyApp, disturbance: str, way: str) -> None:
    """Disturb and press, and let a decision be carried out that was taken by mistake."""
    DISTURBANCES[disturbance](face)
    KEYS[way](face)
    face.read_all()
    rest(face, SETTLE_S)


def test_no_key_decides_that_comes_with_something_else(face: PtyApp, tmp_path: Path) -> None:
    """None of them was meant for the picture: the quiet time had begun anew."""
    for disturbance, way in cases():
        where = f"{disturbance} × {way}, seed {SEED}"
        try_one(face, disturbance, way)
        assert written(tmp_path) == [], f"{where}\n{face.text}"
        to_the_card(face)
        assert waiting(face.text) == 3, f"{where}\n{face.text}"
    # A calm key still decides, and it decides one.
    press_until(face, ("A",), lambda text: waiting(text) == 2)
    rest(face, SETTLE_S)
    assert waiting(face.text) == 2
    face.until(lambda _text: len(written(tmp_path)) == 1)
    face.leave()


def test_keys_that_come_by_themselves_decide_one_call_at_most(face: PtyApp, tmp_path: Path) -> None:
    """The first of them may be the one that was meant; the next call is nobody's."""
    left = 3
    for way in ("in-one-go", "stopped", "held", "blocked"):
        before = left
        assert before >= 2, "a second decision would not be seen"
        KEYS[way](face)
        face.read_all()
        rest(face, SETTLE_S + QUIET_S * 2)
        left = waiting(face.text)
        assert left >= before - 1, f"{way}\n{face.text}"
        assert left == before or way not in ("in-one-go", "stopped"), f"{way}\n{face.text}"
        to_the_card(face)
    face.leave()
    assert len(written(tmp_path)) == 3 - left
