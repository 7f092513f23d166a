"""An MCP server of the standard library that writes down what really arrives.

`recording_server.py FOLDER NAME` speaks over its pipes; `recording_web.py` is the same over HTTP.

Each `tools/call` is a line of `FOLDER/arrived.jsonl` before anything else happens. It speaks the protocol
of 2026-07-28. What an argument `then` asks for happens after the line: `ask` (further rounds), `fail`,
`wait`, `refuse`, `busy` (nothing ran, try again), `cut` (no answer), `task` (it goes on as a task, which
this process remembers), `exit` (it ends; over HTTP a cut), `kill` (kill -9 of the process named in
`FOLDER/engine.pid`). The tools change with `FOLDER/version-NAME`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "string"}, "then": {"type": "string"}},
    "required": ["n"],
    "additionalProperties": False,
}
HINTS = {
    "look": {"readOnlyHint": True},
    "put": {"readOnlyHint": False, "destructiveHint": False},
    "drop": {"readOnlyHint": False, "destructiveHint": True},
}
FORM = {"type": "object", "properties": {"name": {"type": "string"}}}
AND = {"role": "user", "content": {"type": "text", "text": "and?"}}
ASKED: dict[str, dict[str, Any]] = {
    "form": {"method": "elicitation/create", "params": {"message": "who?", "requestedSchema": FORM}},
    "model": {"method": "sampling/createMessage", "params": {"messages": [AND], "maxTokens": 9}},
}
MOST_ROUNDS = 3
TASKS = "io.modelcontextprotocol/tasks"
STAMP = "2026-07-28T10:00:00Z"
CACHED = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
DONE = {"content": [{"type": "text", "text": "done"}]}
CUT, OK, ACCEPTED, BUSY = 0, 200, 202, 429
"""Statuses of answers, those of HTTP; `CUT` for no answer at all."""

Answer = tuple[int, dict[str, Any]]
"""A status, and with `OK` the result or the error of JSON-RPC."""


class RecordingServer:
    """Records the calls of a server of that name, and answers everything."""

    def __init__(self, folder: Path, name: str, *, ends: bool) -> None:
        """`ends`: whether a call may end this process."""
        self._folder = folder
        self._name = name
        self._ends = ends
        self._tasks: dict[str, str] = {}
        """What became of each task."""

    def record(self, params: dict[str, Any]) -> None:
        """Append what arrived, in one write."""
        arrived = {"server": self._name, "tool": params["name"], "arguments": params.get("arguments") or {}}
        line = json.dumps({**arrived, "round": "requestState" in params}).encode() + b"\n"
        file = os.open(self._folder / "arrived.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, line)
        os.close(file)

    def answer(self, message: dict[str, Any]) -> Answer:
        """Return the answer to one message."""
        method, params = message.get("method", ""), message.get("params") or {}
        if message.get("id") is None:
            return ACCEPTED, {}
        if method == "server/discover":
            offered: dict[str, Any] = {"tools": {}, "extensions": {TASKS: {}}}
            return OK, {"result": {"supportedVersions": ["2026-07-28"], "capabilities": offered, **CACHED}}
        if method == "tools/list":
            return OK, {"result": {"tools": self._tools(), **CACHED}}
        if method == "tools/call":
            return self._answer_call(params)
        if method in ("tasks/get", "tasks/cancel") and params["taskId"] in self._tasks:
            return OK, {"result": {"resultType": "complete", **self._task(method, params["taskId"])}}
        return OK, {"error": {"code": -32601, "message": "unknown"}}

    def _tools(self) -> list[dict[str, Any]]:
        version = self._folder / f"version-{self._name}"
        words = version.read_text() if version.exists() else "as it was"
        return [
            {"name": name, "description": words, "inputSchema": SCHEMA, "annotations": HINTS[name]}
            for name in HINTS
        ]

    def _answer_call(self, params: dict[str, Any]) -> Answer:
        self.record(params)
        then = (params.get("arguments") or {}).get("then", "")
        rounds = int(params.get("requestState") or 0)
        self._act(then)
        if then in ("cut", "exit") and random.random() < 0.7:
            return CUT, {}
        if then == "busy" and random.random() < 0.7:
            return BUSY, {}
        if then == "refuse":
            return OK, {"error": {"code": -32602, "message": "no"}}
        if then == "ask" and rounds < MOST_ROUNDS and random.random() < 0.9 / (1 + rounds):
            return OK, {"result": further_round(rounds + 1)}
        if then == "task":
            task = f"{self._name}-{random.getrandbits(32):x}"
            self._tasks[task] = "working"
            return OK, {"result": {"resultType": "task", **self._about(task)}}
        if then == "ask" and rounds and random.random() < 0.2:
            return CUT, {}
        return OK, {"result": {"resultType": "complete", **DONE, "isError": then == "fail"}}

    def _task(self, method: str, task: str) -> dict[str, Any]:
        if method == "tasks/cancel":
            self._tasks[task] = "cancelled"
            return {}
        if self._tasks[task] == "working":
            self._tasks[task] = random.choice(("working", "working", "completed", "failed"))
        ends: dict[str, dict[str, Any]] = {
            "completed": {"result": DONE},
            "failed": {"error": {"code": -32603, "message": "not now"}},
        }
        return {**self._about(task), **ends.get(self._tasks[task], {})}

    def _about(self, task: str) -> dict[str, Any]:
        times = {"createdAt": STAMP, "lastUpdatedAt": STAMP, "ttlMs": None, "pollIntervalMs": 1}
        return {"taskId": task, "status": self._tasks[task], **times}

    def _act(self, then: str) -> None:
        if then == "exit" and self._ends:
            os._exit(3)
        if then == "kill":
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((self._folder / "engine.pid").read_text()), signal.SIGKILL)
        if then == "wait":
            time.sleep(random.uniform(0.0, 0.03))


def further_round(number: int) -> dict[str, Any]:
    """Return a result that asks for something: of the person, of the model, both, or only to come again."""
    asked = random.choice((("form",), ("form",), ("model",), ("form", "model"), ()))
    found: dict[str, Any] = {"resultType": "input_required", "requestState": str(number)}
    return {**found, "inputRequests": {name: ASKED[name] for name in asked}} if asked else found


class Pipes:
    """Reads messages of the standard input, and answers on the standard output."""

    def __init__(self, server: RecordingServer) -> None:
        self._server = server
        self._writing = threading.Lock()

    def serve(self) -> None:
        """Answer until the input ends: calls side by side."""
        for line in sys.stdin:
            message = json.loads(line)
            if message.get("method") == "tools/call":
                threading.Thread(target=self._take, args=(message,), daemon=True).start()
            else:
                self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        status, body = self._server.answer(message)
        if status == ACCEPTED:
            return
        body = body or {"error": {"code": -32000, "message": "not now"}}
        with self._writing:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    Pipes(RecordingServer(Path(sys.argv[1]), sys.argv[2], ends=True)).serve()
