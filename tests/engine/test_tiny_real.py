"""The tiny local model itself, as a plugin, where `OMNI_TUI_TINY` names the folder it is installed in.

What it says is not judged: it is often wrong. That it answers, and that what it calls is a call, is.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from omni_tui_tiny import model as tiny

from omni_tui.demo.tools import TOOLS
from omni_tui.engine import model_service
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.models import FindModels, ModelsFound
from omni_tui.protocol.plugins import EnablePlugin
from omni_tui.security.schema_checker import compile_schema, problems
from tests.engine.rig import Rig, rig
from tests.plugin_folder import PluginFolder

E = TypeVar("E", bound=e.Event)

pytestmark = [pytest.mark.slow, pytest.mark.needs("tiny")]


@pytest.fixture(autouse=True)
def its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(os.environ["OMNI_TUI_TINY"])
    site = PluginFolder(tmp_path / "site")
    site.metadata("omni_tui_tiny", "[omni_tui.plugins]\ntiny = omni_tui_tiny\n")
    (site.folder / "omni_tui_tiny").symlink_to(Path(tiny.__file__).parent)
    monkeypatch.syspath_prepend(site.folder)
    yield
    tiny.close()


async def enable(running: Rig) -> None:
    """Switch the plugin on."""
    answer = await running.ask(EnablePlugin(name="tiny", version="1.0"))
    assert isinstance(answer, e.CommandDone), answer


async def patiently(running: Rig, kind: type[E]) -> E:
    """Return the first event of a kind: two slow cores that others use may take a minute for it."""
    for _ in range(2):
        with contextlib.suppress(TimeoutError):
            return await running.until(kind)
    return await running.until(kind)


async def test_it_answers_in_words_and_a_call_of_it_waits_in_the_gate(tmp_path: Path) -> None:
    async with rig(tmp_path, config='\n[model]\nname = "tiny"\nmax_tokens = 40\n') as running:
        await running.connected()
        await enable(running)
        assert await running.ask(c.SendMessage(text="hi")) is not None
        answer = await patiently(running, e.Answer)
        await running.until(e.TurnEnded)
        assert answer.label == tiny.LABEL
        assert any(letter.isalpha() for letter in answer.text)

        await running.ask(c.SendMessage(text="Add 17 and 25"))
        asked = await patiently(running, e.ApprovalRequested)
        tool = next(each for each in TOOLS if each["name"] == asked.tool)
        assert asked.server == "demo"
        assert problems(compile_schema(tool["inputSchema"]), json.loads(asked.arguments_json)) == ()
        assert running.of(e.CallFinished) == [], "nothing runs before it is approved"
        await running.ask(c.StopRun())


async def test_it_is_among_the_models_with_its_label_and_is_not_chosen_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody() -> list[object]:
        return []

    monkeypatch.setattr(model_service, "find_local_models", nobody)
    async with rig(tmp_path, demo=False) as running:
        await enable(running)
        found = await running.ask(FindModels())
        assert isinstance(found, ModelsFound)
        there = {each.name: each for each in found.models}
        assert list(there) == ["tiny", "offline"]
        assert tiny.LABEL in there["tiny"].because
        assert not there["tiny"].costs_money
        assert there["offline"].current
        assert running.session.model().name == "offline"
