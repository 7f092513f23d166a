"""Hostile strings through every widget and every sink.

`python -m tests.security.fuzz [COUNT] [SEED] [sinks] [screen]`: both parts if none is named.

The screen's part runs the real face on a pseudo-terminal whose bytes are read by a parser of their own;
the other part calls what prints, logs and shows without a screen. COUNT is for
each part, 100,000 by default.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.security import fuzz_sinks
from tests.security.face_widgets import OWN_WORDS
from tests.security.hostile_strings import NUMBERED, HostileStrings, unseen_in
from tests.security.terminal_bytes import Control, read

BATCH = 10_000
"""Strings of one process of the app: starting one takes as long as a thousand strings."""
SIZE = (170, 110)
_COPY = re.compile(r"52;c;[A-Za-z0-9+/=]*")
_MODES = ("25", "7", "1000", "1003", "1004", "1006", "1015", "1049", "2004", "2026", "2048")
OURS = {
    *(("CSI", f"?{mode}{what}") for mode in _MODES for what in ("h", "l", "$p")),
    *(("CSI", what) for what in ("H", "m", "<u", ">1u", ">25u", "22;2t", "23;2t")),
    *(("OSC", what) for what in ("2", "22")), *(("C0", what) for what in ("U+000A", "U+000D")),
}  # fmt: skip
"""What the app itself writes: modes, places and colours, the title and the mouse's shape, ends of lines."""


SILENT_S = 120.0
"""The face paints often while strings are given to it; one that is silent for so long stands still."""


class Screen(NamedTuple):
    """What came of a run of the face: strings given to it, those seen on the terminal, what was wrong."""

    made: int
    seen: int
    sorts: frozenset[tuple[str, str]]
    wrong: tuple[str, ...]
    not_shown: frozenset[str] = frozenset()
    """Widgets that no string was seen in, of those that show more than words of our own."""


def tape_of(seed: int, count: int, *, bare: bool = False) -> tuple[bytes, dict[str, object]]:
    """Run the face on a terminal; return every byte it wrote and its report."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        words = [str(seed), str(count), str(report), *(["bare"] if bare else [])]
        environ = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "XDG_CONFIG_HOME": folder,
        }
        for name in ("COLUMNS", "LINES"):  # they would count for more than the terminal's size
            environ.pop(name, None)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.fuzz_app", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        tape = bytearray()
        try:
            with contextlib.suppress(OSError):  # as Linux tells that the last process has closed it
                while select.select([ours], [], [], SILENT_S)[0] and (data := os.read(ours, 65536)):
                    tape += data
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            os.close(ours)
        if not report.exists():
            end = bytes(tape[-3000:]).decode("utf-8", "replace").replace("\x1b", "␛")
            return bytes(tape), {
                "made": 0,
                "rounds": 0,
                "failures": [f"it ended with {process.returncode}: {end}"],
            }
        return bytes(tape), json.loads(report.read_text())


def look_at(tape: bytes, report: dict[str, object]) -> Screen:
    """Return what is on a tape: nothing that a person could not see, in text or in a title."""
    wrong = [str(one) for one in report["failures"]]  # type: ignore[attr-defined]
    sorts = set()
    text = []
    for item in read(tape):
        if not isinstance(item, Control):
            text.append(item)
            continue
        if item.sort == ("OSC", "52") and _COPY.fullmatch(item.data):
            continue  # copying is what the person asked for; the clipboard's text is in base64
        sorts.add(item.sort)
        if unseen := unseen_in(item.data):
            wrong.append(f"{sorted(unseen)} in a {item.kind}: {item.data[:200]!r}")
    shown = "".join(text)
    if unseen := unseen_in(shown):
        wrong.append(f"{sorted(unseen)} on the terminal")
    not_shown = frozenset(map(str, report.get("not_shown", ()))) - OWN_WORDS.keys()  # type: ignore[call-overload]
    seen = len(set(NUMBERED.findall(shown)))
    return Screen(int(str(report["made"])), seen, frozenset(sorts), tuple(wrong), not_shown)


def screens(seed: int, count: int) -> Iterator[Screen]:
    """Run the face as often as it takes."""
    for batch, first in enumerate(range(0, count, BATCH)):
        looked = look_at(*tape_of(seed + batch, min(BATCH, count - first)))
        extra = tuple(f"a control that it does not use itself: {sort}" for sort in looked.sorts - OURS)
        yield looked._replace(wrong=(*looked.wrong, *extra))


def sinks(seed: int, count: int) -> Iterator[str]:
    """Give the strings to every sink; yield what is wrong."""
    strings = HostileStrings(seed)
    with TemporaryDirectory() as folder:
        while strings.made < count:
            number = strings.made
            try:
                for name, text in fuzz_sinks.all_of(strings, folder):
                    if unseen := unseen_in(text):
                        yield f"string {number}, {name}: {sorted(unseen)} in {text[:200]!r}"
            except Exception as error:
                yield f"string {number}: {type(error).__name__}: {error}"


def _print(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    parts = sys.argv[3:] or ["sinks", "screen"]
    _print(f"seed {seed}")
    began = time.monotonic()
    wrong: list[str] = []
    if "sinks" in parts:
        wrong += sinks(seed, count)
        _print(f"sinks: {count:,} strings, {len(wrong)} faults, {time.monotonic() - began:.0f} s")
    for one in wrong[:50]:
        _print(one)
    began, made, seen = time.monotonic(), 0, 0
    for run in screens(seed, count) if "screen" in parts else ():
        made, seen = made + run.made, seen + run.seen
        faults = [*run.wrong, *(f"no string was seen in {name}" for name in sorted(run.not_shown))]
        wrong += faults
        said = f"screen: {made:,} strings, {seen:,} of them painted, {len(wrong)} faults"
        _print(f"{said}, {time.monotonic() - began:.0f} s")
        for one in faults[:50]:
            _print(one)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
