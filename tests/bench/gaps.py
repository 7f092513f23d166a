"""How long the screen stands still: `python -m tests.bench.gaps`.

A 20 Hz ticker in the real app on a pty; printed is the longest gap between two of its writes while
the app begins, while nothing happens (the control), while LiteLLM loads and answers (an `llmock`
server), and while a 5 MB text and a 5 MB structured result arrive. The ticker's own period is 50 ms.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench._ticks import watched

SERVER = Path(__file__).parent.parent / "engine" / "faults" / "server.py"
LIMIT_S = 120.0
BUDGET_MS = 100


def measure(config: Path, state: Path) -> dict[str, list[float]]:
    """Return the gaps between the ticker's writes, in milliseconds, by phase."""
    command = [sys.executable, "-m", "tests.bench._ticker_app", str(config), str(state)]
    return watched(command, LIMIT_S, OPENAI_API_KEY="sk-none-000000000").screen


def main() -> None:
    """Measure and print."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.bench._model_double"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as double:
            assert double.stdout is not None
            base = double.stdout.readline().strip()
            config = folder / "config.toml"
            config.write_text(
                f'[model]\nname = "openai/gpt-4o"\napi_base = "{base}"\n'
                f'[servers.big]\ncommand = "{sys.executable}"\nargs = ["-I", "-S", "{SERVER}"]\n'
            )
            try:
                gaps = measure(config, folder / "state")
            finally:
                double.terminate()
    names = {
        "begin": "the first server's tools appear",
        "idle": "nothing happens (control)",
        "litellm": "LiteLLM loads and answers",
        "text5MB": "a 5 MB text result arrives",
        "rows5MB": "a 5 MB structured result arrives",
    }
    for phase, title in names.items():
        found = sorted(gaps.get(phase, [0.0]))
        print(
            f"{title:34} longest gap {found[-1]:6.0f} ms   median {found[len(found) // 2]:4.0f} ms   "
            f"{len(found)} ticks   (budget {BUDGET_MS} ms)"
        )


if __name__ == "__main__":
    main()
