"""In the place of the package `xllamacpp`: the "model" is a JSON file that says how to behave.

`answers` are given one after the other, the last again and again; `log` is a file that gets each request,
`slow` the seconds that loading takes.
`mode`: "endless" goes on until it is told to stop, "deaf" does not listen to that, "mute" says nothing,
"dies" says something and ends by the signal in `signal`, "gone" does so at once; "no memory" and "broken"
fail to load.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

Json = dict[str, Any]
Take = Callable[[Json], bool]


def _die(number: int) -> NoReturn:
    os.kill(os.getpid(), number)
    # Another thread gets the signal: this one says nothing more until then.
    while True:
        threading.Event().wait()


class _Any:
    def __getattr__(self, name: str) -> Any:
        made = _Any()
        setattr(self, name, made)
        return made


class CommonParams(_Any):
    pass


class Server:
    def __init__(self, params: Any) -> None:
        with open(params.model.path, encoding="utf-8") as file:
            self._how: Json = json.load(file)
        time.sleep(self._how.get("slow", 0))
        if self.mode == "no memory":
            raise MemoryError
        if self.mode == "broken":
            raise RuntimeError("Failed to init server")
        assert len(params.api_keys[0]) == 64
        assert os.stat(os.path.dirname(params.hostnames[0])).st_mode & 0o777 == 0o700
        self._asked = 0

    @property
    def mode(self) -> str:
        return str(self._how.get("mode", ""))

    def handle_chat_completions(self, body: Json, take: Take) -> None:
        self._handle(body, take, lambda text: {"delta": {"content": text}})

    def handle_completions(self, body: Json, take: Take) -> None:
        self._handle(body, take, lambda text: {"text": text})

    def _handle(self, body: Json, take: Take, choice: Callable[[str], Json]) -> None:
        if "log" in self._how:
            with open(self._how["log"], "a", encoding="utf-8") as file:
                file.write(json.dumps({"environ": sorted(os.environ), **body}) + "\n")
        if self.mode == "mute":
            threading.Event().wait()
        if self.mode == "gone":
            _die(self._how["signal"])
        answers = self._how["answers"]
        answer = answers[min(self._asked, len(answers) - 1)]
        self._asked += 1
        if isinstance(answer, dict):
            take(answer)
            return
        while True:
            for text in (answer[: len(answer) // 2], answer[len(answer) // 2 :]):
                if take({"choices": [{"finish_reason": None, **choice(text)}]}) and self.mode != "deaf":
                    return
            if self.mode == "dies":
                _die(self._how["signal"])
            if self.mode not in ("endless", "deaf"):
                break
            time.sleep(0.002)
        usage = {"prompt_tokens": 20, "completion_tokens": 5}
        take({"choices": [{"finish_reason": self._how.get("finish", "stop"), **choice("")}]})
        take({"choices": [], "usage": usage})
