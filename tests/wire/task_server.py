"""A server of tasks, raw JSON-RPC, in the ways the extension allows and in those it does not.

`task_server.py stdio|PORT FOLDER`. FOLDER/requests has each request as it came (a JSON object a line,
with its HTTP headers); a tool that waits goes on when FOLDER/go is there. FOLDER/tasks outlives the
process, so that a server started again knows its tasks. Protocol 2026-07-28 only.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TASKS = "io.modelcontextprotocol/tasks"
STAMP = "2026-07-28T10:00:00Z"
CODES = {"unknown": -32602, "internal": -32603, "method": -32601, "capability": -32021}
NAMES = [
    "plain",
    "quick",
    "waits",
    "never",
    "zero_poll",
    "far_poll",
    "odd_poll",
    "renames",
    "big",
    "strange",
    "forgets",
    "expires",
    "fails",
    "cancelled",
    "asks",
    "no_result",
    "no_id",
    "long_id",
    "tool_error",
    "breaks_schema",
    "stubborn",
    "done_on_cancel",
    "hiccups",
    "broken",
    "seeded",
    "nested",
]


class Server:
    """The server's state: its tasks by id, and how often each was asked after."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = folder / "tasks"
        self.tasks: dict[str, dict[str, Any]] = (
            json.loads(self.kept.read_text()) if self.kept.exists() else {}
        )
        self.lock = threading.Lock()

    def handle(self, message: dict[str, Any], headers: dict[str, str]) -> dict[str, Any] | None:
        with self.lock:
            with (self.folder / "requests").open("a", encoding="utf-8") as file:
                file.write(json.dumps({**message, "headers": headers}) + "\n")
            if "id" not in message:
                return None
            try:
                body = {"result": self.answer(message["method"], message.get("params") or {})}
            except LookupError as refusal:
                code, _, words = str(refusal.args[0]).partition(" ")
                body = {"error": {"code": CODES[code], "message": words}}
            self.kept.write_text(json.dumps(self.tasks))
            return {"jsonrpc": "2.0", "id": message["id"], **body}

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "server/discover":
            capabilities: dict[str, Any] = {"tools": {}, "extensions": {TASKS: {}}}
            about = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities}
            return {**about, "resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
        if method == "tools/list":
            listed = [self.tool(name) for name in NAMES]
            return {"tools": listed, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        declared = params["_meta"]["io.modelcontextprotocol/clientCapabilities"].get("extensions", {})
        if method == "tools/call":
            return self.call(params["name"], params.get("arguments") or {}, TASKS in declared)
        if method.startswith("tasks/"):
            if TASKS not in declared:
                raise LookupError("capability Missing required client capability")
            task = self.tasks.get(params["taskId"])
            if task is None:
                raise LookupError("unknown Failed to retrieve task: Task not found")
            return {"resultType": "complete", **getattr(self, method.removeprefix("tasks/"))(task, params)}
        raise LookupError(f"method no {method}")

    @staticmethod
    def tool(name: str) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object"}
        more = {"outputSchema": {**schema, "required": ["n"]}} if name == "breaks_schema" else {}
        return {"name": name, "description": name, "inputSchema": schema, **more}

    # --- calls

    def call(self, name: str, arguments: dict[str, Any], tasks: bool) -> dict[str, Any]:
        if name == "plain" or (not tasks and name != "seeded"):
            return {"resultType": "complete", **self.result("at once")}
        number = len(self.tasks) + 1
        task = {"taskId": f"task-{number}\u202e", "tool": name, "gets": 0, "status": "working", **arguments}
        if name == "long_id":
            task["taskId"] = "x" * 5000
        self.tasks[task["taskId"]] = task
        seed = {"resultType": "task", **self.shown(task)}
        if name == "no_id":
            seed["taskId"] = 7
        if name == "seeded":
            task["status"] = seed["status"] = "completed"
        return seed

    @staticmethod
    def result(text: str, **more: Any) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": text}], **more}

    def shown(self, task: dict[str, Any]) -> dict[str, Any]:
        poll: Any = {"zero_poll": 0, "far_poll": 1e12, "odd_poll": "soon"}.get(task["tool"], 100)
        ttl: Any = {"expires": 200, "odd_poll": -5}.get(task["tool"])
        times = {"createdAt": STAMP, "lastUpdatedAt": STAMP, "ttlMs": task.get("ttl", ttl)}
        message = f"seen {task['gets']} times \x1b[31m"
        words = {"statusMessage": message, "pollIntervalMs": task.get("poll", poll)}
        return {"taskId": task["taskId"], "status": task["status"], **times, **words}

    # --- about tasks

    def get(self, task: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        task["gets"] += 1
        tool, gets = task["tool"], task["gets"]
        ready = (self.folder / "go").exists() if tool in ("waits", "asks") else gets > 2
        if tool == "asks" and task["status"] == "working" and not task.get("answers"):
            task["status"] = "input_required"
        if tool == "asks" and task.get("answers"):
            task["status"] = "working"
            ready = True
        if tool == "forgets" and gets > 2:
            raise LookupError("unknown Failed to retrieve task: Task has expired")
        if tool == "broken" or (tool == "hiccups" and gets == 2):
            raise LookupError("internal the store is busy")
        if (
            ready
            and task["status"] == "working"
            and tool not in ("never", "stubborn", "expires", "done_on_cancel")
        ):
            task["status"] = {"fails": "failed", "cancelled": "cancelled"}.get(tool, "completed")
        shown = {**self.shown(task), **self.end(task)}
        if tool == "renames" and gets > 1:
            shown["taskId"] = "somebody-elses"
        if tool == "strange" and gets > 1:
            shown["status"] = "\x1bmeditating"
        return shown

    def end(self, task: dict[str, Any]) -> dict[str, Any]:
        tool = task["tool"]
        if task["status"] == "input_required":
            wanted = {"message": "who?", "requestedSchema": {"type": "object"}}
            return {"inputRequests": {"who": {"method": "elicitation/create", "params": wanted}}}
        if task["status"] == "failed":
            return {"error": {"code": -32603, "message": "the rate limit \x1b[2J was reached"}}
        if task["status"] != "completed" or tool == "no_result":
            return {}
        if tool == "nested":
            return {"result": {"resultType": "task", "taskId": "another", "status": "working"}}
        if tool == "big":
            return {"result": self.result("x" * int(task.get("size", 0)))}
        more: dict[str, Any] = {"isError": True} if tool == "tool_error" else {}
        if tool == "breaks_schema":
            more["structuredContent"] = {"m": 1}
        said = f"done, {task.get('answers', '')}" if tool == "asks" else "done"
        return {"result": self.result(said, **more)}

    def update(self, task: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        task["answers"] = params["inputResponses"]
        return {}

    def cancel(self, task: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        if task["tool"] == "done_on_cancel":
            task["status"] = "completed"
        elif task["status"] in ("working", "input_required") and task["tool"] != "stubborn":
            task["status"] = "cancelled"
        return {}


def stdio(server: Server) -> None:
    for line in sys.stdin:
        answer = server.handle(json.loads(line), {})
        if answer is not None:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def http(server: Server, port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = server.handle(message, {key.lower(): value for key, value in self.headers.items()})
            body = json.dumps(answer).encode() if answer is not None else b""
            self.send_response(200 if body else 202)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_error(405)

        def log_message(self, *args: Any) -> None:
            return

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    there = Server(Path(sys.argv[2]))
    if sys.argv[1] == "stdio":
        stdio(there)
    else:
        http(there, int(sys.argv[1]))
