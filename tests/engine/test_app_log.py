"""The app's own log is searched in the engine, and what stands in it is made safe."""

from __future__ import annotations

import json
from pathlib import Path

from omni_tui.observability.logs import FILE
from omni_tui.protocol import events as e
from omni_tui.protocol.app_log import AppLogRead, ReadAppLog
from tests.engine.rig import rig
from tests.scripted_model import ScriptedModel, reply


async def test_words_are_found_and_made_safe(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("done")])) as running:
        folder = running.engine.context.loaded.paths.log_dir
        folder.mkdir(parents=True, exist_ok=True)
        stamp = {"timestamp": "2026-11-29T20:00:00Z", "level": "warning"}
        lines = [
            {**stamp, "event": "a server\x1b[2J failed", "server": "bad\u202ename"},
            {**stamp, "event": "call finished", "elapsed": 3, "timestamp": "never"},
        ]
        (folder / FILE).write_text("".join(f"{json.dumps(each)}\n" for each in lines))
        found = await running.ask(ReadAppLog(words="WARNING failed"))
        assert isinstance(found, AppLogRead)
        (line,) = found.lines
        assert line.at > 0
        shown = line.event + line.facts + line.text
        assert "failed" in shown
        assert not {"\x1b", "\u202e"} & set(shown)
        both = await running.ask(ReadAppLog())
        assert isinstance(both, AppLogRead)
        assert [each.at > 0 for each in both.lines] == [False, True]
        assert both.file.endswith(FILE)
        refused = await running.ask(ReadAppLog(words="x" * 501))
        assert isinstance(refused, e.CommandFailed)
