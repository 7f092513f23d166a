"""What was said in a run, on disk before the engine is told, so that a check need not believe the engine.

`said.jsonl` has a line for each start of an engine, each set of arguments that was made up, each approval
(of what was shown), each call by hand and each rule.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from omni_tui.protocol.events import ApprovalRequested

FILE = "said.jsonl"


class Said:
    """Adds to the file of a folder, in one write for each line."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _say(self, **words: object) -> None:
        os.write(self._file, json.dumps(words).encode() + b"\n")

    def started(self) -> None:
        """Say that an engine starts: no approval of before counts from now on."""
        self._say(started=time.time())

    def made(self, arguments: str) -> None:
        """Say that a model or a person is about to use these arguments, once."""
        self._say(made=arguments)

    def approves(self, shown: ApprovalRequested) -> None:
        """Say that the person agrees to exactly what is shown."""
        self._say(approved=shown.call, server=shown.server, tool=shown.tool, arguments=shown.arguments_json)

    def by_hand(self, server: str, tool: str, arguments: str) -> None:
        """Say that the person calls a tool."""
        self._say(by_hand=arguments, server=server, tool=tool)

    def rule(self, toml: str, scope: str) -> None:
        """Say that the person wants a rule."""
        self._say(rule=toml, scope=scope)
