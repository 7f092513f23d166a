"""A server of the standard library that lists what a file says: `lists.py ERA FILE [SEEN]`.

ERA is `legacy` or `modern`. FILE is JSON: for each list method the pages, each `{"after": CURSOR,
"result": …}` or `{"after": CURSOR, "error": …}`, where a page without `after` is the first. Every
request is appended to SEEN, one a line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ERA, FILE = sys.argv[1], Path(sys.argv[2])
SEEN = Path(sys.argv[3]) if len(sys.argv) > 3 else None
CACHED = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if ERA == "modern" else {}


def page(method: str, params: dict[str, Any]) -> dict[str, Any]:
    for each in json.loads(FILE.read_text())[method]:
        if each.get("after") == params.get("cursor"):
            return {"error": each["error"]} if "error" in each else {"result": {**CACHED, **each["result"]}}
    return {"error": {"code": -32602, "message": "no such cursor"}}


def answer(message: dict[str, Any]) -> dict[str, Any]:
    method, params = message["method"], message.get("params") or {}
    offered = json.loads(FILE.read_text())
    can: dict[str, Any] = {}
    for kind in ("tools", "prompts", "resources"):
        if any(kind in each for each in offered):
            can[kind] = {}
    more = {"instructions": offered["instructions"]} if "instructions" in offered else {}
    if method == "server/discover" and ERA == "modern":
        versions = {"supportedVersions": ["2026-07-28"], "capabilities": can}
        return {"result": {**versions, "serverInfo": {"name": "lists", "version": "1"}, **CACHED, **more}}
    if method == "initialize":
        info = {"protocolVersion": "2025-06-18", "capabilities": can}
        return {"result": {**info, "serverInfo": {"name": "lists", "version": "1"}, **more}}
    if method == "tools/call":
        text = json.dumps(params.get("arguments"))
        return {"result": {**CACHED, "content": [{"type": "text", "text": text}]}}
    if method in offered:
        return page(method, params)
    return {"error": {"code": -32601, "message": "method not found"}}


for line in sys.stdin:
    asked = json.loads(line)
    if SEEN is not None:
        with SEEN.open("a") as seen:
            seen.write(line)
    if "id" in asked and "method" in asked:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer(asked)}) + "\n")
        sys.stdout.flush()
