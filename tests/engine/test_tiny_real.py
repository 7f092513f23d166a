"""The tiny local model itself, where `OMNI_TUI_TINY` names the folder it is installed in.

What it says is not judged: it is often wrong. That it answers, and that what it calls is a call, is.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from omni_tui.demo.tools import TOOLS
from omni_tui.engine import model_room
from omni_tui.models import tiny
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.models import FindModels, ModelsFound
from omni_tui.tools.schema import compile_schema, problems
from tests.engine.rig import rig

pytestmark = [pytest.mark.slow, pytest.mark.needs("tiny")]


@pytest.fixture(autouse=True)
def its_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(os.environ["OMNI_TUI_TINY"])
    yield
    tiny.close()
