"""From exec to a usable screen, and what `--help` costs: `python -m tests.bench.start [ROUNDS]`.

First frame: the time from exec until all four titles and the composer stand on a pty, against a
bare Textual app's first text, interleaved, medians; with 0 and with 30 servers configured. Help:
CPU time against `python -c 'import textual.app'`. Start it with bytecode caching on.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench._terminal import on_terminal, read_within

# The first letter stands under the cursor, apart from the others.
TITLES = (b"SERVERS", b"TOOLS", b"APPROVALS", b"sk, or tell")
BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("BARE-TEXT")
Bare().run()
"""
SERVER = Path(__file__).parent.parent / "engine" / "faults" / "server.py"
LIMIT_S = 60.0


def first_text(command: list[str], wanted: tuple[bytes, ...]) -> float:
    """Return the milliseconds from exec until all of these stand on the terminal."""
    started = time.perf_counter()
    with on_terminal(command) as terminal:
        seen = b""
        while not all(text in seen for text in wanted):
            data = read_within(terminal, started + LIMIT_S)
            if not data:
                raise SystemExit(f"nothing like {wanted} within {LIMIT_S} s: {seen[-2000:]!r}")
            seen += data
        return (time.perf_counter() - started) * 1000


def cpu(command: list[str]) -> float:
    """Return the CPU milliseconds (user and system) of one run of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def config(folder: Path, servers: int) -> list[str]:
    """Return the command that starts the app on a config with that many tiny servers."""
    file = folder / f"config-{servers}.toml"
    tables = [
        f'[servers.s{number}]\ncommand = "{sys.executable}"\nargs = ["-I", "-S", "{SERVER}"]\n'
        for number in range(servers)
    ]
    file.write_text("[agent]\n" + "\n".join(tables))
    state = folder / f"state-{servers}"
    return [sys.executable, "-m", "omni_tui", "--config", str(file), "--state-dir", str(state), "--new"]


def main(rounds: int) -> None:
    """Measure and print."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = [sys.executable, "-c", BARE]
        apps = {count: config(folder, count) for count in (0, 30)}
        times: dict[str, list[float]] = {"bare": [], "0": [], "30": []}
        for _ in range(rounds + 1):
            times["bare"].append(first_text(bare, (b"BARE-TEXT",)))
            for count, command in apps.items():
                times[str(count)].append(first_text(command, TITLES))
        medians = {key: statistics.median(values[1:]) for key, values in times.items()}
        help_times, control = [], []
        for _ in range(rounds):
            control.append(cpu([sys.executable, "-c", "import textual.app"]))
            help_times.append(cpu([sys.executable, "-m", "omni_tui", "--help"]))
    processors = len(os.sched_getaffinity(0))
    print(f"bare Textual app, exec to text {medians['bare']:7.0f} ms   {processors} processors")
    for servers in ("0", "30"):
        took, ratio = medians[servers], medians[servers] / medians["bare"]
        print(f"first frame with {servers:>2} servers    {took:7.0f} ms   {ratio:.2f}x (budget 1.6x)")
    ours, theirs = statistics.median(help_times), statistics.median(control)
    share = ours / theirs
    print(f"--help, CPU                    {ours:7.0f} ms   {share:.2f}x import textual.app (budget 0.5x)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
