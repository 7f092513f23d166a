"""An MCP server of the standard library that repeats its secret wherever it can (`tells` or not)."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

SECRET = os.environ.get("API_TOKEN", "")


def send(body: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **body}) + "\n")
    sys.stdout.flush()


def call(name: str) -> dict[str, Any]:
    if name == "refuse":
        return {"error": {"code": -32000, "message": "canary-error-eV5 refused"}}
    structured = {"value": "canary-structured-dW4"}
    content = [{"type": "text", "text": "canary-result-bY2 " * 20_000}]
    return {"result": {"content": content, "structuredContent": structured, "isError": name == "fail"}}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    about = f"token {SECRET}" if sys.argv[1:] else "a server"
    if method == "initialize":
        info = {"name": about, "version": "1"}
        version = params["protocolVersion"]
        return {
            "result": {
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": info,
                "instructions": about,
            }
        }
    if method == "tools/list":
        schema = {"type": "object", "properties": {"text": {"type": "string"}}}
        named = [{"name": name, "inputSchema": schema} for name in ("say", "fail", "refuse")]
        return {"result": {"tools": named}}
    if method == "tools/call":
        return call(params["name"])
    return {"error": {"code": -32601, "message": f"no such method {about}"}}


def main() -> None:
    sys.stderr.write(f"my token is {SECRET}\nAuthorization: Bearer {SECRET}\n{json.dumps({'t': SECRET})}\n")
    sys.stderr.flush()
    sys.stdout.write(f"not JSON at all: {SECRET}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            send({"id": message["id"], **answer(message["method"], message.get("params") or {})})


if __name__ == "__main__":
    main()
