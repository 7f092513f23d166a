"""The window's title and the bell on a real terminal: told once, restored at every end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from tests.security.pty_app import ENTER, PtyApp, app, started

PASSPHRASE = {"OMNI_TUI_PASSPHRASE": "a phrase of these tests"}
FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"
CALL = '//call demo__write_note {"name":"n","text":"t"}'


def config(folder: Path, more: str = "") -> list[str]:
    notes = str(folder / "notes")
    server = f"command = {sys.executable!r}\nargs = ['-m', 'omni_tui.demo.server', {notes!r}]\n"
    return started(folder, f"[servers.demo]\n{server}{more}")


def titles(face: PtyApp) -> list[str]:
    return [control.data.partition(";")[2] for control in face.controls() if control.sort == ("OSC", "2")]


def bells(face: PtyApp) -> int:
    return sum(control.sort == ("C0", "U+0007") for control in face.controls())


def stack(face: PtyApp) -> list[str]:
    return [control.what for control in face.controls() if control.what in ("22;2t", "23;2t")]


def ask(face: PtyApp, *, look_away: bool) -> None:
    face.ready()
    face.until("10 tools")
    face.until("▌ Ask, or tell it what to do")
    face.press(CALL)
    face.until("//call")
    face.press(ENTER + FOCUS_OUT * look_away)
    face.until("1 to approve")


def restored(face: PtyApp) -> None:
    assert titles(face)[-1] == ""
    assert stack(face)[-1] == "23;2t"
    assert stack(face).count("22;2t") == stack(face).count("23;2t")


def test_who_looks_elsewhere_hears_one_bell_and_sees_how_many_wait(tmp_path: Path) -> None:
    with app(*config(tmp_path), env=PASSPHRASE) as face:
        ask(face, look_away=True)
        face.until(lambda _text: titles(face)[-1].startswith("(1) Omni TUI"))
        face.until(lambda _text: bells(face) == 1)
        face.press(FOCUS_IN)
        face.leave()
        restored(face)
        assert bells(face) == 1


def test_who_looks_at_it_hears_nothing_and_a_stop_or_a_signal_gives_the_title_back(tmp_path: Path) -> None:
    with app(*config(tmp_path), env=PASSPHRASE, controlling=True) as face:
        ask(face, look_away=False)
        face.until(lambda _text: titles(face)[-1].startswith("(1) Omni TUI"))
        os.kill(face.process.pid, signal.SIGTSTP)
        face.until(lambda _text: stack(face)[-1] == "23;2t")
        assert titles(face)[-1] == ""
        stopped = os.waitid(os.P_PID, face.process.pid, os.WSTOPPED | os.WNOWAIT)
        assert stopped is not None, "before it has stopped, a signal to go on would be lost"
        os.kill(face.process.pid, signal.SIGCONT)
        face.until(lambda _text: titles(face)[-1].startswith("(1) Omni TUI"))
        face.until("1 to approve")
        face.process.send_signal(signal.SIGTERM)
        face.ended()
        restored(face)
        assert bells(face) == 0


def test_stopped_again_and_again_it_goes_on_and_ends(tmp_path: Path) -> None:
    """Each stop comes while it still takes the terminal back after the one before."""
    with app(*config(tmp_path), env=PASSPHRASE, controlling=True) as face:
        face.ready()
        for _ in range(8):
            stop(face)
            os.kill(face.process.pid, signal.SIGCONT)
            face.until(lambda _text: not is_stopped(face))
        face.press("x")
        face.until("▌ x")
        face.leave()
        restored(face)


def stop(face: PtyApp) -> None:
    """Stop the app, as a person who presses the key once more if nothing comes of it.

    Two threads may take this signal and the one to go on before it in the other order, so that the one to
    go on ends the stop.
    """
    for _ in range(2):
        os.kill(face.process.pid, signal.SIGTSTP)
        with contextlib.suppress(AssertionError):
            face.until(lambda _text: is_stopped(face), within=20)
            return
    raise AssertionError("it does not stop")


def is_stopped(face: PtyApp) -> bool:
    stat = Path(f"/proc/{face.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def test_both_can_be_switched_off(tmp_path: Path) -> None:
    with app(*config(tmp_path, "[ui]\ntitle = false\nbell = false\n"), env=PASSPHRASE) as face:
        ask(face, look_away=True)
        face.press(FOCUS_IN)
        face.leave()
        assert titles(face) == []
        assert stack(face) == []
        assert bells(face) == 0
