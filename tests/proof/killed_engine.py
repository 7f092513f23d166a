"""The engine of `tests/proof/kills.py`: the real one, in a process of its own, with a model that is random.

The model takes no history but a valid one: what is wrong with a request is a line of `FOLDER/faults`.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from omni_tui.engine import engine_process
from omni_tui.engine.model_service import ModelService
from omni_tui.models.base import Message, ModelEvent, ModelRequest, ToolCall
from omni_tui.servers import task_poller
from omni_tui.tools.call_retries import RetryBackoff
from tests.proof.random_model import RandomArguments, RandomModel
from tests.proof.said import Said

FOLDER = "OMNI_TUI_PROOF_FOLDER"
"""The variable with the folder of a run; every process of the run has it."""
REAL = 0.35
"""How much of the calls go to servers that other people wrote."""


def main(arguments: list[str]) -> int:
    """Be the engine of a face."""
    folder = Path(os.environ[FOLDER])
    chance = random.Random()
    (folder / "engine.pid").write_text(str(os.getpid()))
    said = Said(folder)
    said.started()
    model = _StrictModel(
        folder, chance, RandomArguments(chance, f"m{os.getpid()}-{os.urandom(3).hex()}", said)
    )
    ModelService.make = lambda _self, _name, **_limits: model  # type: ignore[method-assign]
    RetryBackoff.delay = _at_once  # type: ignore[method-assign, assignment]
    task_poller._LEAST = task_poller._CANCEL_PAUSE = 0.005
    return engine_process.main(arguments)


def _at_once(_backoff: RetryBackoff, _number: int) -> float:
    return 0.001


class _StrictModel(RandomModel):
    """Calls tools of real servers too, and looks at what it is asked."""

    def __init__(self, folder: Path, chance: random.Random, arguments: RandomArguments) -> None:
        super().__init__(chance, arguments)
        self._folder = folder
        self._real: list[str] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer a request, and note what is wrong with it."""
        if wrong := history_fault(request.messages):
            with (self._folder / "faults").open("a") as file:
                file.write(f"a request ({request.purpose}): {wrong}\n")
        self._real = [
            tool.name for tool in request.tools if _words(tool.name, "", self._folder) is not None
        ]
        async for event in super().stream(request):
            yield event

    def _call(self) -> ToolCall:
        if not self._real or self._chance.random() > REAL:
            return super()._call()
        self._calls += 1
        tool = self._chance.choice(self._real)
        words = _words(tool, f"{self._arguments.name}-r{self._calls}", self._folder)
        return ToolCall(f"r{self._calls % 5}", tool, self._arguments.note(json.dumps(words)))


def _words(tool: str, name: str, folder: Path) -> dict[str, Any] | None:
    """Return arguments of a real server's tool, None for a tool that is not called."""
    entity = {"name": name, "entityType": "thing", "observations": [name]}
    known: dict[str, dict[str, Any]] = {
        "files__write_file": {"path": str(folder / "files" / f"{name}.txt"), "content": name},
        "files__list_directory": {"path": str(folder / "files")},
        "memory__create_entities": {"entities": [entity]},
        "memory__read_graph": {},
        "everything__echo": {"message": name},
        "everything__trigger-long-running-operation": {"duration": 1, "steps": 2},
        "time__get_current_time": {"timezone": "UTC"},
        "git__git_status": {"repo_path": str(folder / "repository")},
    }
    return known.get(tool)


def history_fault(messages: Sequence[Message]) -> str:
    """Return what no provider takes of a history, "" if there is nothing.

    Each call of an answer has one result right behind the answer, in the order of the calls, and there is
    no other result.
    """
    expected: list[str] = []
    for at, message in enumerate(messages):
        if message.role == "tool":
            if not expected or message.call_id != expected.pop(0):
                return f"message {at} is a result of {message.call_id!r}, which was not to come now"
            continue
        if expected:
            return f"message {at} comes before the results of {expected}"
        expected = [call.id for call in message.calls]
    return f"the results of {expected} are missing" if expected else ""
