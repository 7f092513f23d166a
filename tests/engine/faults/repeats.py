"""A program that says things twice, repeats what it was trusted with, or never answers a ping.

`repeats.py [silent|future|METHOD]`: with `silent` it answers no ping, with `future` it speaks a protocol
version that nobody knows yet, with the name of a method it answers that with the error -32000. The
token that it repeats is in `ITS_TOKEN`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

TOKEN = os.environ.get("ITS_TOKEN", "")
NAMES = ["twice", "late", "refused_first", "refuse", "reveal", "log"]


def send(**body: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **body}) + "\n")
    sys.stdout.flush()


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}], **more}


def call(request: Any, name: str, token: str) -> list[dict[str, Any]]:
    """Return the answers to a call, in order."""
    refusal = {"code": -32000, "message": f"the token {token} is wrong", "data": {"seen": [token]}}
    answers: dict[str, list[dict[str, Any]]] = {
        "twice": [{"result": text("first")}, {"result": text("second")}],
        "late": [{"result": text("first")}],
        "refused_first": [{"error": refusal}, {"result": text("second")}],
        "refuse": [{"error": refusal}],
        "reveal": [{"result": text(f"it is {token}", isError=True, structuredContent={token: token})}],
        "log": [{"result": text("logged")}],
    }
    return [{"id": request, **answer} for answer in answers[name]]


def answers_to(message: dict[str, Any], token: str) -> list[dict[str, Any]]:
    """Return what is sent for a message."""
    method, request = message.get("method"), message.get("id")
    if request is None:
        return []
    if method in sys.argv[1:]:
        return [{"id": request, "error": {"code": -32000, "message": "the database is down"}}]
    if method == "initialize":
        about = {"capabilities": {"tools": {}, "logging": {}}, "serverInfo": {"name": "r", "version": "1"}}
        version = "2031-01-01" if "future" in sys.argv else message["params"]["protocolVersion"]
        return [{"id": request, "result": {"protocolVersion": version, **about}}]
    if method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in NAMES]
        return [{"id": request, "result": {"tools": tools}}]
    if method == "tools/call":
        return call(request, message["params"]["name"], token)
    if method in ("ping", "logging/setLevel"):
        return [{"id": request, "result": {}}]
    return [{"id": request, "error": {"code": -32601, "message": "no such method"}}]


def main() -> None:
    last: list[dict[str, Any]] = []
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("method") == "ping" and "silent" in sys.argv:
            continue
        called = message.get("params", {}).get("name") if message.get("method") == "tools/call" else ""
        if called == "log":
            send(method="notifications/message", params={"level": "error", "data": f"with {TOKEN}"})
        if called == "late" and last:
            send(**last[0])  # the answer to the call before, once more
        answers = answers_to(message, TOKEN)
        # Both in one write, so that the second is there when the first is read.
        sys.stdout.write("".join(json.dumps({"jsonrpc": "2.0", **each}) + "\n" for each in answers))
        sys.stdout.flush()
        last = answers if called else last


if __name__ == "__main__":
    main()
