"""AgentDojo with every way to decide, and the figures of each: `python -m tests.proof.agentdojo`.

`OMNI_TUI_AGENTDOJO` names the folder that the benchmark is installed in.
"""

from __future__ import annotations

import os
import sys

import pytest

TESTS = "tests/security/test_agentdojo.py"

if __name__ == "__main__":
    os.environ["OMNI_TUI_REQUIRE"] = "agentdojo"
    sys.exit(pytest.main([TESTS, "-q", "-rP"]))
