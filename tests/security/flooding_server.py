"""An MCP server of the standard library that floods its host: `flooding_server.py HOW FILE MEGABYTES`.

`HOW`: `notes` (log messages), `line` (a message without an end), `errors` (its standard error), `pages`
(a list of tools without an end), `results` (calls answered with 15 MiB). How many bytes it got rid of is in
`FILE`; after so many megabytes it is quiet.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

HOW, FILE, MOST = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) << 20
CHUNK = "x" * (64 << 10)
_sent = 0
_writing = threading.Lock()


def write(number: int, data: bytes) -> None:
    """Write all of it, and note how much it was so far."""
    global _sent
    with _writing:
        while data:
            done = os.write(number, data)
            data, _sent = data[done:], _sent + done
        FILE.write_text(str(_sent))


def send(message: dict[str, Any]) -> None:
    write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def flood() -> None:
    """Send what nobody asked for."""
    note = {"method": "notifications/message", "params": {"level": "info", "data": CHUNK}}
    while _sent < MOST:
        if HOW == "notes":
            send(note)
        else:
            write(2 if HOW == "errors" else 1, CHUNK.encode())


def tools(page: int) -> dict[str, Any]:
    """Return one page of tools; there always is another one."""
    schema = {"type": "object", "description": CHUNK[:4_000]}
    names = [f"tool_{page}_{number}" for number in range(100)]
    listed = [{"name": name, "description": CHUNK[:8_000], "inputSchema": schema} for name in names]
    more = {"nextCursor": str(page + 1)} if HOW == "pages" else {}
    return {"tools": listed[: None if HOW == "pages" else 1], **more}


def answer(message: dict[str, Any]) -> dict[str, Any]:
    method, params = message["method"], message.get("params") or {}
    if method == "initialize":
        about = {"capabilities": {"tools": {}, "logging": {}}, "serverInfo": {"name": HOW, "version": "1"}}
        return {"result": {"protocolVersion": "2025-06-18", **about}}
    if method == "tools/list":
        return {"result": tools(int(params.get("cursor") or 0))}
    if method == "tools/call":
        return {"result": {"content": [{"type": "text", "text": "x" * (15 << 20)}]}}
    return {"error": {"code": -32601, "message": "unknown"}}


for line in sys.stdin:
    given = json.loads(line)
    if given.get("id") is not None:
        send({"id": given["id"], **answer(given)})
    if given.get("method") == "notifications/initialized" and HOW in ("notes", "line", "errors"):
        threading.Thread(target=flood, daemon=True).start()
