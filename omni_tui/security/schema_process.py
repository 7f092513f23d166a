"""Checks one value against one schema in a process of its own, which can be stopped.

Some schemas cost time without bound: where alternatives refer to each other, each level of a value
doubles the work, and nothing else runs in the engine meanwhile. As a program it reads
`{"schema": …, "value": …}` and writes a list of [steps of the place, what is wrong]. It needs
`jsonschema_rs` and the standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

PATTERN_SIZE = 64 * 1024
"""Bytes of a compiled pattern: the time to compile one is bounded by it."""
DEADLINE = 2.0
"""Seconds for one check, with the start of the process."""
_MEMORY = 1 << 30
_MOST = 20


class CheckGivenUp(Exception):
    """The check took too long, or its process broke."""


def check_in_process(schema: Any, value: Any) -> list[tuple[list[str | int], str]]:
    """Return what is wrong, at most 20 things. Blocks for two seconds at most. Raises `CheckGivenUp`."""
    question = json.dumps({"schema": schema, "value": value}).encode()
    environment = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-I", __file__], input=question, capture_output=True, timeout=DEADLINE,
            env=environment, check=True,
        )  # fmt: skip
        return [(list(where), str(what)) for where, what in json.loads(done.stdout)]
    except subprocess.TimeoutExpired:
        raise CheckGivenUp("it takes too long") from None
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise CheckGivenUp(f"the check failed ({type(error).__name__})") from error


def _refuse(uri: str) -> Any:
    raise ValueError(f"it refers to {uri}, outside itself")


def main() -> None:
    """Check what stands on the standard input."""
    import resource

    import jsonschema_rs

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
    question = json.load(sys.stdin.buffer)
    options = jsonschema_rs.RegexOptions(size_limit=PATTERN_SIZE, dfa_size_limit=1 << 20)
    validator = jsonschema_rs.validator_for(question["schema"], pattern_options=options, retriever=_refuse)
    found: list[tuple[list[str | int], str]] = []
    for error in validator.iter_errors(question["value"]):
        found.append((list(error.instance_path), str(error.message)[:1_000]))
        if len(found) >= _MOST:
            break
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
