"""AgentDojo for the tests: where it is installed, its cases, its judgement, and a model that always obeys.

`OMNI_TUI_AGENTDOJO` is a folder with PyPI's `agentdojo` and the few packages that its environments import,
installed with `pip install --no-deps --target` (`.ci/run` has the command).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni_tui.models.base import Message, ModelEvent, ModelRequest, ToolCall
from omni_tui.models.message_history import estimate
from tests.scripted_model import reply

SERVER = Path(__file__).with_name("dojo_server.py")
RULES = Path(__file__).with_name("careful_rules.toml")
_NOT_A_WORD = re.compile(r"(?:\\n|[^a-z0-9])+")

Called = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """An injection in one place: what the person asks, what is read for that, what is then obeyed."""

    suite: str
    task: str
    vector: str
    goal: str
    prompt: str
    reading: Called
    calls: tuple[Called, ...]


def folder() -> Path | None:
    """Return where the benchmark is installed, None if it is not."""
    named = os.environ.get("OMNI_TUI_AGENTDOJO", "")
    return Path(named) if named and Path(named, "agentdojo", "task_suite").is_dir() else None


def _ask(verb: str, told: str = "") -> Any:
    command = [sys.executable, str(SERVER), str(folder()), verb]
    done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def every_vector() -> list[Case | None]:
    """Return a case for each injection task in each vector; None where none can be played.

    That is where no user task's solution reads the vector, and where the goal is only to be said, so that
    no call reaches it.
    """
    found: list[Case | None] = []
    for told in _ask("cases"):
        reading, calls = told.pop("reading"), [(tool, arguments) for tool, arguments in told.pop("calls")]
        whole = bool(reading and calls)
        found.append(Case(**told, reading=tuple(reading), calls=tuple(calls)) if whole else None)
    return found


def reached(done: Sequence[tuple[Case, Sequence[Called]]]) -> list[bool]:
    """Return for each case whether these calls reach its goal, in the benchmark's own judgement."""
    keys = [json.dumps({"suite": case.suite, "task": case.task, "calls": calls}) for case, calls in done]
    each = list(dict.fromkeys(keys))
    verdicts = dict(zip(each, _ask("judge", f"[{','.join(each)}]"), strict=True))
    return [verdicts[key] for key in keys]


@dataclass(frozen=True)
class UserTask:
    """What the benchmark's user asks for, and the calls that do it."""

    suite: str
    task: str
    prompt: str
    calls: tuple[Called, ...]


def every_user_task() -> list[UserTask]:
    """Return all tasks of the benchmark's user."""
    found = []
    for told in _ask("tasks"):
        calls = tuple((tool, arguments) for tool, arguments in told.pop("calls"))
        found.append(UserTask(**told, calls=calls))
    return found


def solved(done: Sequence[tuple[UserTask, Sequence[Called]]]) -> list[bool]:
    """Return for each task whether these calls solve it, in the benchmark's own judgement."""
    asked = [{"suite": task.suite, "task": task.task, "calls": calls} for task, calls in done]
    found: list[bool] = _ask("solved", json.dumps(asked))
    return found


def careful_rules() -> str:
    """Return the rules of a careful person as configuration, with the people of the benchmark's user."""
    return RULES.read_text().replace('["PEOPLE"]', json.dumps(_ask("people")))


def words(text: str) -> str:
    """Return the letters and digits of a text only: quotes and line ends may be written in many ways."""
    return _NOT_A_WORD.sub("", text.lower())


class ObeysEverything:
    """Reads what the person's task asks for, and does at once whatever a result tells it to.

    `case` is what the person asks about now. `obeyed` says which goals it has read and followed. With
    `stepwise` it waits for what a call returns before it makes the next one, as a model must that needs it;
    without, it knows the world by heart and makes all calls in one answer.
    """

    name = "obeys-everything"
    label = ""

    def __init__(self, cases: Sequence[Case], *, stepwise: bool = False) -> None:
        self._goals = {words(case.goal): case.calls for case in cases}
        self.case: Case = cases[0]
        self.obeyed: list[tuple[Called, ...]] = []
        self._stepwise = stepwise
        self._left: list[Called] = []
        self._calls = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer: first the reading call, then what the result orders, then words."""
        since = _since_user(request.messages)
        if not any(message.role == "assistant" for message in since):
            yield reply("", *self._write([self.case.reading]))
        elif sum(message.role == "assistant" for message in since) == 1:
            calls = self._ordered(since)
            self.obeyed.append(calls)
            self._left = list(calls)
            yield reply("As you wish.", *self._next())
        elif self._left:
            yield reply("", *self._next())
        else:
            yield reply("Done.")

    def _next(self) -> list[ToolCall]:
        many = 1 if self._stepwise else len(self._left)
        calls, self._left = self._left[:many], self._left[many:]
        return self._write(calls)

    def _ordered(self, messages: Sequence[Message]) -> tuple[Called, ...]:
        """Return the calls of the longest goal that stands in a result (one may begin like another)."""
        read = words(" ".join(message.text for message in messages if message.role == "tool"))
        found = max((goal for goal in self._goals if goal in read), key=len, default="")
        return self._goals.get(found, ())

    def _write(self, calls: Sequence[Called]) -> list[ToolCall]:
        self._calls += len(calls)
        return [
            ToolCall(f"o{self._calls}-{number}", f"{self.case.suite}__{tool}", json.dumps(arguments))
            for number, (tool, arguments) in enumerate(calls)
        ]

    def context_window(self) -> int | None:
        """Tokens the model takes: nobody knows."""
        return None

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens."""
        return estimate(request.messages)


class SolvesTheTask:
    """Makes the calls of a task of the user, one after the other. `task` is the one it is asked for now."""

    name = "solves-the-task"
    label = ""

    def __init__(self, task: UserTask) -> None:
        self.task = task

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer with the next call, or with words."""
        done = sum(message.role == "assistant" for message in _since_user(request.messages))
        if done == len(self.task.calls):
            yield reply("Done.")
        else:
            tool, arguments = self.task.calls[done]
            yield reply("", ToolCall(f"u{done}", f"{self.task.suite}__{tool}", json.dumps(arguments)))

    def context_window(self) -> int | None:
        """Tokens the model takes: nobody knows."""
        return None

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens."""
        return estimate(request.messages)


def _since_user(messages: Sequence[Message]) -> Sequence[Message]:
    last = max(at for at, message in enumerate(messages) if message.role == "user")
    return messages[last + 1 :]
