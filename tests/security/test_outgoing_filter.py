"""The second ring: a widget that forgot to make text safe still sends nothing harmful to the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.pty_app import NARROW, WIDE, PtyApp, app
from tests.security.terminal_bytes import not_seen

PROGRAM = ("-m", "tests.security.unsafe_app")
THEIRS = {"38;5;201;9", "66;66", "6"}


def harm(face: PtyApp) -> set[str]:
    """Return what of the unsafe text reached the terminal."""
    found = not_seen(face.shown())
    for control in face.controls():
        if control.kind in ("DCS", "APC", "PM", "SOS", "C1", "BAD") or control.data in THEIRS:
            found.add(control.kind)
        if control.kind == "OSC" and control.what not in ("2", "22"):
            found.add(f"OSC {control.what}")
        if control.kind == "C0" and control.what not in ("U+000A", "U+000D"):
            found.add(control.what)
    return found


def run(*arguments: str, folder: Path, size: tuple[int, int]) -> set[str]:
    with app(*arguments, "demo", "--state-dir", str(folder), size=size, program=PROGRAM) as face:
        face.until(
            lambda _screen: b"unsafe-ends" in face.tape
        )  # bare, nothing on the screen can be trusted
        return harm(face)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["160x45", "80x24"])
def test_unsafe_text_in_a_widget_is_clean_on_the_terminal(size: tuple[int, int], tmp_path: Path) -> None:
    assert run(folder=tmp_path, size=size) == set()


def test_without_the_filter_the_same_widget_would_do_harm(tmp_path: Path) -> None:
    """The other test looks where harm would be: Textual itself lets it through."""
    found = run("bare", folder=tmp_path, size=WIDE)
    assert {"OSC 52", "OSC 8", "U+202E", "U+E0072", "U+200B"} <= found
