"""A model that proposes calls at random, with arguments that no other call has (most of the time)."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncGenerator

from omni_tui.models.base import ModelEvent, ModelRequest, ToolCall
from omni_tui.models.message_history import estimate
from tests.proof.said import Said
from tests.scripted_model import reply

SERVERS = ("box", "web")
TOOLS = ("look", "put", "put", "drop")
THEN = ("", "", "", "", "ask", "ask", "fail", "wait", "refuse", "busy", "cut", "task")
MOST_STEPS = 2


class RandomArguments:
    """Makes the arguments of calls. `name` is different in each process, so that all of them are."""

    def __init__(self, chance: random.Random, name: str, said: Said) -> None:
        self._chance = chance
        self._said = said
        self._made = 0
        self._last = ""
        self.name = name

    def make(self) -> str:
        """Return the arguments of one call as JSON; now and then the same as before, or broken."""
        roll = self._chance.random()
        if roll < 0.01:
            return self._chance.choice(('{"n":1}', '{"n":"a","n":"b"}', "[]", '{"m":"x"}'))
        if not self._last or roll >= 0.05:
            self._made += 1
            then = self._chance.choice(THEN)
            if roll < 0.075:
                then = self._chance.choice(("kill", "kill", "kill", "kill", "exit"))
            self._last = json.dumps({"n": f"{self.name}-{self._made}", **({"then": then} if then else {})})
        return self.note(self._last)

    def note(self, text: str) -> str:
        """Say that these arguments are about to be used, and return them."""
        self._said.made(text)
        return text


class RandomModel:
    """Answers with calls, with a plan where one is asked for, or with words."""

    name = "random"
    label = ""

    def __init__(self, chance: random.Random, arguments: RandomArguments) -> None:
        self._chance = chance
        self._arguments = arguments
        self._calls = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer a request."""
        if request.purpose == "plan":
            yield reply(self._plan())
            return
        answers = 0
        for message in request.messages:
            answers = 0 if message.role == "user" else answers + (message.role == "assistant")
        if request.purpose in ("answer", "task") and answers < MOST_STEPS and self._chance.random() < 0.85:
            calls = [self._call() for _ in range(self._chance.choice((1, 1, 1, 2, 3)))]
            yield reply("so be it", *calls)
        else:
            yield reply("done")

    def _call(self) -> ToolCall:
        self._calls += 1
        # Ids come again in other answers, as some providers' do.
        tool = f"{self._chance.choice(SERVERS)}__{self._chance.choice(TOOLS)}"
        return ToolCall(f"p{self._calls % 7}-{self._calls % 2}", tool, self._arguments.make())

    def _plan(self) -> str:
        tools = [f"{server}/{name}" for server in SERVERS for name in sorted(set(TOOLS))]
        tasks = [
            {"id": f"t{number}", "title": f"task {number}", "goal": f"goal {number}", "tools": tools}
            for number in range(self._chance.choice((1, 2)))
        ]
        return json.dumps({"analysis": "as asked", "phases": [{"title": "one", "tasks": tasks}]})

    def context_window(self) -> int | None:
        """Tokens the model takes: nobody knows."""
        return None

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens."""
        return estimate(request.messages)
