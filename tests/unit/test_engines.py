"""What an engine is told that is started in the place of one that has gone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from omni_tui.cli import app
from omni_tui.protocol import LaunchOptions


async def test_only_the_first_engine_takes_flags_over_what_was_set_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[LaunchOptions] = []

    async def link() -> None:
        return None

    def spawn(options: LaunchOptions) -> SimpleNamespace:
        started.append(options)
        return SimpleNamespace(process=None, link=link)

    monkeypatch.setattr(app, "spawn_engine", spawn)
    engines = app.EngineStarter(LaunchOptions(mode="auto", resume="new"))
    await engines.connect()
    await engines.connect()
    first, second = started
    assert (first.resume, first.again) == ("new", False)
    assert (second.resume, second.again, second.mode) == ("auto", True, "auto")
