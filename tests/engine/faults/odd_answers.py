"""A server of the handshake protocol that writes what it pleases: `odd_answers.py FRAMING`.

FRAMING says how it writes: `lines`, `mark` (a byte order mark before each), `headers` (Content-Length),
`bare` (no line feed), `batch` (lists), `words` (behind words on the same line). A call of the tool `raw`
writes its argument `text` to standard output, with `$ID` replaced by the id of the request.
"""

from __future__ import annotations

import json
import sys
from typing import Any

FRAMING = sys.argv[1] if len(sys.argv) > 1 else "lines"
OUT = sys.stdout.buffer


def send(body: dict[str, Any]) -> None:
    data = json.dumps({"jsonrpc": "2.0", **body}).encode()
    whole = {
        "lines": data + b"\n",
        "mark": b"\xef\xbb\xbf" + data + b"\r\n",
        "headers": b"Content-Length: %d\r\nContent-Type: x/y; charset=utf-8\r\n\r\n" % len(data) + data,
        "bare": data,
        "batch": b"[" + data + b"]\n",
        "words": b"INFO [main] ready " + data + b"\n",
    }
    OUT.write(whole[FRAMING])
    OUT.flush()


for line in sys.stdin:
    message = json.loads(line)
    request, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if request is None or method is None:
        continue
    if method == "initialize":
        about = {"name": "odd", "version": "1"}
        caps: dict[str, Any] = {"tools": {}, "logging": {}}
        version = params["protocolVersion"]
        send(
            {
                "id": request,
                "result": {"protocolVersion": version, "capabilities": caps, "serverInfo": about},
            }
        )
    elif method == "tools/list":
        send({"id": request, "result": {"tools": [{"name": "raw", "inputSchema": {"type": "object"}}]}})
    elif method == "tools/call":
        text = params["arguments"].get("text")
        if text is None:
            send({"id": request, "result": {"content": [{"type": "text", "text": "as it should be"}]}})
        else:
            OUT.write(text.replace("$ID", json.dumps(request)).encode() + b"\n")
            OUT.flush()
    elif method == "logging/setLevel":
        send({"id": request, "result": None})
    else:
        send({"id": request, "error": {"code": -32601, "message": "Method not found"}})
