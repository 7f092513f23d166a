"""A small, real MCP server over stdio, for `omni-tui demo`: notes, sums, a slow count, a failure.

Standard library only, so that it runs under `python -I -S` and answers at once. It speaks the protocol up
to 2025-11-25 (`initialize`) and writes only in the folder named on the command line.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

if not __package__:  # started by its path
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from omni_tui.demo.tools import (
    ABOUT,
    PROMPT,
    RESOURCE,
    TOOLS,
    DemoTools,
    Json,
    RpcError,
    ToolFailed,
    text_result,
)

VERSION = "1.0"
PROTOCOLS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
INSTRUCTIONS = (
    "A demonstration. Sums, notes kept in a temporary folder, a count that takes a while, made-up weather, "
    "and a tool that always fails."
)


class DemoServer:
    """JSON-RPC on lines: reads in one thread, runs each call of a tool in its own."""

    def __init__(self, folder: Path) -> None:
        self._tools = DemoTools(folder)
        self._running: dict[str, threading.Event] = {}
        self._writing = threading.Lock()
        self._methods: dict[str, Callable[[Json], Json]] = {
            "initialize": self._initialize,
            "ping": lambda _: {},
            "tools/list": lambda _: {"tools": TOOLS},
            "prompts/list": lambda _: {"prompts": [PROMPT]},
            "prompts/get": self._prompt,
            "resources/list": lambda _: {"resources": [RESOURCE]},
            "resources/templates/list": lambda _: {"resourceTemplates": []},
            "resources/read": self._read,
        }

    def serve(self) -> None:
        """Answer until the input ends, then stop what still runs."""
        for line in sys.stdin.buffer:
            if line.strip():
                self._take(line)
        for stop in list(self._running.values()):
            stop.set()

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            self._send({"id": None, "error": {"code": -32700, "message": "Parse error"}})
            return
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            if not (isinstance(message, dict) and ("result" in message or "error" in message)):
                self._send({"id": None, "error": {"code": -32600, "message": "Invalid request"}})
            return
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        if "id" not in message:
            stop = self._running.get(str(params.get("requestId")))
            if message["method"] == "notifications/cancelled" and stop:
                stop.set()
        elif isinstance(message["id"], bool) or not isinstance(message["id"], str | int):
            self._send({"id": None, "error": {"code": -32600, "message": "Invalid request"}})
        elif message["method"] == "tools/call":
            stop = self._running[str(message["id"])] = threading.Event()
            threading.Thread(target=self._call, args=(message["id"], params, stop), daemon=True).start()
        else:
            self._answer(message["id"], message["method"], params)

    def _answer(self, request: str | int, method: str, params: Json) -> None:
        try:
            if method not in self._methods:
                raise RpcError(-32601, f"Method not found: {method}")
            self._send({"id": request, "result": self._methods[method](params)})
        except RpcError as error:
            self._send({"id": request, "error": {"code": error.code, "message": str(error)}})

    def _call(self, request: str | int, params: Json, stop: threading.Event) -> None:
        arguments = params.get("arguments") or {}
        token = (params.get("_meta") or {}).get("progressToken")

        def report(progress: float, total: float, message: str) -> None:
            if token is not None:
                params = {"progressToken": token, "progress": progress, "total": total, "message": message}
                self._send({"method": "notifications/progress", "params": params})

        answer: Json
        try:
            if not isinstance(arguments, dict):
                raise RpcError(-32602, "arguments must be an object")
            answer = {"result": self._tools.run(str(params.get("name")), arguments, stop, report)}
        except RpcError as error:
            answer = {"error": {"code": error.code, "message": str(error)}}
        except (ToolFailed, OSError) as error:
            answer = {"result": text_result(str(error), failed=True)}
        del self._running[str(request)]
        if not stop.is_set():  # a cancelled request gets no answer
            self._send({"id": request, **answer})

    def _send(self, message: Json) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\n"
        with self._writing:
            try:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            except (BrokenPipeError, ValueError):  # nobody listens any more
                return

    def _initialize(self, params: Json) -> Json:
        wanted = params.get("protocolVersion")
        return {
            "protocolVersion": wanted if wanted in PROTOCOLS else PROTOCOLS[0],
            "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
            "serverInfo": {"name": "omni-tui-demo", "title": "Demonstration", "version": VERSION},
            "instructions": INSTRUCTIONS,
        }

    def _prompt(self, params: Json) -> Json:
        if params.get("name") != PROMPT["name"]:
            raise RpcError(-32602, f"Unknown prompt: {params.get('name')}")
        focus = str((params.get("arguments") or {}).get("focus") or "everything")
        text = f"Show me around your tools, {focus} above all. Use one of them, and say what happened."
        message = {"role": "user", "content": {"type": "text", "text": text}}
        return {"description": PROMPT["description"], "messages": [message]}

    def _read(self, params: Json) -> Json:
        if params.get("uri") != ABOUT:
            raise RpcError(-32002, f"Resource not found: {params.get('uri')}")
        return {"contents": [{"uri": ABOUT, "mimeType": "text/plain", "text": INSTRUCTIONS}]}


def main() -> None:
    """Serve notes from the folder named on the command line, else from a temporary one."""
    if len(sys.argv) > 1:
        DemoServer(Path(sys.argv[1])).serve()
        return
    with tempfile.TemporaryDirectory(prefix="omni-tui-notes-") as folder:
        DemoServer(Path(folder)).serve()


if __name__ == "__main__":
    main()
