"""A tiny MCP server of the standard library that can misbehave in one chosen way: `server.py [MODE] [FILE]`.

Without a mode it behaves. It speaks the handshake protocol; in the modes `modern` and `asks` the
stateless one. FILE is where it notes process ids or received frames, if the mode does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

MODE = sys.argv[1] if len(sys.argv) > 1 else "good"
FILE = sys.argv[2] if len(sys.argv) > 2 else ""
MODERN = MODE in ("modern", "asks")
HOSTILE = [
    "[/] [bold red]markup[/]",
    "\x1b[2J\x1b]0;owned\x07escape",
    "right\u202eleft\u2066bidi",
    "zero\u200bwidth\ufeff",
    "line\nbreak\ttab",
    "a" * 400,
    "\ud83d half",
]
lock = threading.Lock()
seen: dict[str, Any] = {"cancelled": [], "lists": 0, "listen": None, "extra": False}


def send(body: dict[str, Any]) -> None:
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **body}) + "\n")
        sys.stdout.flush()


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": f"The {name[:20]} tool", "inputSchema": {"type": "object"}, **more}


def tools() -> list[dict[str, Any]]:
    if MODE == "hostile":
        return [tool(name, title=name, annotations={"title": name}) for name in HOSTILE]
    if MODE == "sloppy":
        return [tool("echo"), {"name": 7}, "nonsense", {"name": "no schema"}]
    names = [
        "echo",
        "wait",
        "hang",
        "die",
        "big",
        "fail",
        "refuse",
        "cancelled",
        "change",
        "odd",
        "null",
        "exit",
    ]
    return [tool(name) for name in names + (["extra"] if seen["extra"] else [])]


def done(content: list[Any], **more: Any) -> dict[str, Any]:
    return {"content": content, **({"resultType": "complete"} if MODERN else {}), **more}


def text(value: Any) -> dict[str, Any]:
    return done([{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}])


def wait(params: dict[str, Any], request: Any) -> None:
    """Report progress `times` times, every `pause` seconds, then answer."""
    arguments = params["arguments"]
    for step in range(arguments["times"]):
        time.sleep(arguments["pause"])
        note = {
            "progressToken": params["_meta"]["progressToken"],
            "progress": step + 1,
            "message": f"step {step}\x1b",
        }
        send({"method": "notifications/progress", "params": note})
    send({"id": request, "result": text("waited")})


def call(params: dict[str, Any], request: Any) -> None:
    name, arguments = params["name"], params.get("arguments") or {}
    if MODE == "dies_in_call" or name == "die":
        sys.stderr.write("about to crash\nsegmentation of the mind\n")
        sys.stderr.flush()
        os._exit(9)
    if name == "exit":
        send({"id": request, "result": text("bye")})
        os._exit(0)
    if name == "wait":
        threading.Thread(target=wait, args=(params, request), daemon=True).start()
    elif name == "change":
        seen["extra"] = True
        send({"id": request, "result": text("changed")})
        changed()
    elif name == "refuse":
        send({"id": request, "error": {"code": -32602, "message": "no \x1b[31mthanks"}})
    elif name != "hang":
        send({"id": request, "result": answer(name, arguments)})


def answer(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if MODE == "asks":
        asked = {
            "method": "elicitation/create",
            "params": {"message": "who?", "requestedSchema": {"type": "object"}},
        }
        return {"resultType": "input_required", "inputRequests": {"a": asked}, "requestState": "s"}
    if name == "big":
        return done([{"type": "text", "text": "x" * arguments["size"]}])
    if name == "fail":
        return done([{"type": "text", "text": "it failed"}], isError=True)
    if name == "cancelled":
        return text(seen["cancelled"])
    if name == "odd":
        return {
            "content": [{"type": "unheard of", "b": None}, 7],
            "structuredContent": [1.0, None],
            "isError": False,
        }
    if name == "null":
        return done([], structuredContent=None)
    return done(
        [{"type": "text", "text": json.dumps(arguments)}], structuredContent={"arguments": arguments}
    )


def changed() -> None:
    params: dict[str, Any] = {}
    if MODERN:
        params = {"_meta": {"io.modelcontextprotocol/subscriptionId": seen["listen"]}}
    send({"method": "notifications/tools/list_changed", "params": params})


def listing(params: dict[str, Any]) -> dict[str, Any]:
    seen["lists"] += 1
    if MODE == "endless":
        return {"tools": [tool(f"t{seen['lists']}")], "nextCursor": f"c{seen['lists']}"}
    if MODE == "circling":
        return {"tools": [tool(f"t{seen['lists']}")], "nextCursor": "again"}
    if MODE == "many":
        return {"tools": [tool(f"t{number}") for number in range(5000)]}
    if MODE == "pages":
        page = int(params.get("cursor", "0"))
        following = {"nextCursor": str(page + 1)} if page < 3 else {}
        return {"tools": [tool(f"t{page}")], **following}
    result: dict[str, Any] = {"tools": tools()}
    return result | ({"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if MODERN else {})


def capabilities() -> dict[str, Any]:
    more = {"prompts": {}, "resources": {}} if MODE == "offers" else {}
    return {"tools": {"listChanged": True}, **more}


def handle(message: dict[str, Any]) -> None:
    method, request, params = message.get("method"), message.get("id"), message.get("params") or {}
    if MODE == "record":
        with open(FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps(message) + "\n")
    if method == "server/discover" and MODERN:
        about = {
            "supportedVersions": ["2026-07-28"],
            "capabilities": capabilities(),
            "resultType": "complete",
        }
        send({"id": request, "result": {**about, "ttlMs": 0, "cacheScope": "public"}})
    elif method == "initialize" and not MODERN:
        about = {"protocolVersion": params["protocolVersion"], "capabilities": capabilities()}
        info = {"name": "fault\x1b[7m", "version": "1"}
        send({"id": request, "result": {**about, "serverInfo": info, "instructions": "Be gentle."}})
    elif method == "subscriptions/listen" and MODERN:
        seen["listen"] = request
        meta = {"io.modelcontextprotocol/subscriptionId": request}
        honoured = {"_meta": meta, "notifications": {"toolsListChanged": True}}
        send({"method": "notifications/subscriptions/acknowledged", "params": honoured})
    elif method == "tools/list":
        if MODE == "refuses_list" or (MODE == "hangs_list" and time.sleep(3600) is None):
            send({"id": request, "error": {"code": -32603, "message": "not today"}})
            return
        send({"id": request, "result": listing(params)})
        after_list()
    elif method == "prompts/list":
        send({"id": request, "result": {"prompts": [{"name": "p"}]}})
    elif method == "resources/list":
        send({"id": request, "result": {"resources": [{"name": "r", "uri": "a://b"}] * 2}})
    elif method == "tools/call":
        call(params, request)
    elif method == "notifications/cancelled":
        seen["cancelled"].append(params["requestId"])
    elif request is not None and method is not None:
        send({"id": request, "error": {"code": -32601, "message": "no such method"}})


def after_list() -> None:
    if MODE == "dies_idle":
        sys.stderr.write("out of luck\n")
        sys.stderr.flush()
        threading.Timer(0.1, os._exit, (3,)).start()
    if MODE == "huge_line":
        sys.stdout.write("{" + "x" * 20_000_000)
        sys.stdout.flush()


def flood() -> None:
    line = b"noise " * 20 + b"\n"
    while True:
        os.write(2, line * 500)


def grandchild() -> None:
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
    child = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    with open(FILE, "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {child.pid}\n")


def main() -> None:
    if MODE == "exits":
        sys.stderr.write("first line\nno licence found\n")
        sys.exit(3)
    if MODE in ("stubborn", "grandchild"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if MODE == "grandchild":
        grandchild()
    if MODE == "flood":
        threading.Thread(target=flood, daemon=True).start()
    if MODE == "junk":
        sys.stdout.write('Welcome!\n[1, 2]\n\n{"half": \n{}\n' * 50)
    if MODE == "deaf":
        time.sleep(3600)
    for line in sys.stdin:
        if MODE != "mute":
            handle(json.loads(line))
    if MODE in ("stubborn", "grandchild"):
        time.sleep(3600)


main()
