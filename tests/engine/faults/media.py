"""A server of the standard library that returns what it is asked for: pictures, sound, lies.

Its tool `give` answers with the content blocks of its argument `blocks`; `make` with one block of
`size` bytes that begins as `head` (base64) says. Reading `a://x?MIME&BASE64` gives that blob.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any


def give(arguments: dict[str, Any]) -> dict[str, Any]:
    if "blocks" in arguments:
        return {"content": arguments["blocks"]}
    data = base64.b64decode(arguments["head"]).ljust(arguments["size"], b"\0")
    block = {"type": "image", "data": base64.b64encode(data).decode(), "mimeType": arguments["mime"]}
    return {"content": [block]}


def read(params: dict[str, Any]) -> dict[str, Any]:
    uri = params["uri"]
    mime, _, blob = uri.partition("?")[2].partition("&")
    return {"contents": [{"uri": uri, "mimeType": mime, "blob": blob}]}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        can: dict[str, Any] = {"tools": {}, "resources": {}}
        about = {"protocolVersion": params["protocolVersion"], "capabilities": can}
        return {**about, "serverInfo": {"name": "media", "version": "1"}}
    if method == "tools/list":
        return {"tools": [{"name": "give", "inputSchema": {"type": "object"}}]}
    if method == "tools/call":
        return give(params["arguments"])
    if method == "resources/read":
        return read(params)
    return {"resources/list": {"resources": []}}.get(method)


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        result = answer(message["method"], message.get("params") or {})
        error = {"error": {"code": -32601, "message": "no"}}
        body = {"result": result} if result is not None else error
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}) + "\n")
        sys.stdout.flush()
