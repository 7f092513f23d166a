"""A server of the standard library that asks the person: `asks.py legacy|modern [FILE]`.

Each tool asks in its own way and answers with what it was told, as JSON text. FILE gets every line
that came in. In the legacy protocol it sends requests; in the modern one it answers `input_required`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

MODERN = sys.argv[1] == "modern"
FILE = sys.argv[2] if len(sys.argv) > 2 else ""
BAD = "\x1b]52;c;aGk=\x07\u202eevil [@click=app.quit]x[/]"

FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Your name", "default": "Ada"},
        "age": {"type": "integer", "minimum": 0},
        "sure": {"type": "boolean", "default": True},
        "colour": {"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "g"}]},
    },
    "required": ["name"],
}
SECRET = {"type": "object", "properties": {"dbPassword": {"type": "string"}}}


def form(schema: Any = FORM, message: str = "Who are you?") -> dict[str, Any]:
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": message, "requestedSchema": schema},
    }


def page(url: str = "https://example.com/pay?id=7") -> dict[str, Any]:
    more = {} if MODERN else {"elicitationId": "e-1"}
    return {
        "method": "elicitation/create",
        "params": {"mode": "url", "message": "Please pay", "url": url, **more},
    }


def sampling(text: Any = "Say hello") -> dict[str, Any]:
    content = text if isinstance(text, dict) else {"type": "text", "text": text}
    params = {
        "messages": [{"role": "user", "content": content}],
        "systemPrompt": "Be short",
        "maxTokens": 50,
        "stopSequences": ["STOP"],
    }
    return {"method": "sampling/createMessage", "params": params}


ASKS: dict[str, Any] = {
    "form": {"a": form()},
    "hostile": {"a": form({"type": "object", "properties": {BAD: {"type": "string"}}}, BAD)},
    "secret": {"a": form(SECRET)},
    "nested": {"a": form({"type": "object", "properties": {"x": {"type": "object"}}})},
    "page": {"a": page()},
    "evil_page": {"a": page("javascript:alert(1)")},
    "sample": {"a": sampling()},
    "long_form": {"a": form({**FORM, "description": "x" * 60_000})},
    "long_page": {"a": page(f"https://example.com/?{'x' * 60_000}")},
    "long_sample": {"a": sampling("x" * 60_000)},
    "image": {"a": sampling({"type": "image", "data": "aGk=", "mimeType": "image/png"})},
    "roots": {"a": {"method": "roots/list"}},
    "three": {"a": form(), "b": page(), "c": sampling()},
    "flood": {str(number): form() for number in range(12)},
    "unknown": {"a": {"method": "moon/shine", "params": {}}},
    "withdraw": {"a": form()},
    "needs_page": {},
    "endless": {"a": form()},
    "state_only": {},
    "plain": {},
}
waiting: dict[str, tuple[Any, str, set[str], dict[str, Any]]] = {}


def send(body: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **body}) + "\n")
    sys.stdout.flush()


def text(value: Any) -> dict[str, Any]:
    more = {"resultType": "complete"} if MODERN else {}
    return {"content": [{"type": "text", "text": json.dumps(value)}], **more}


def tools() -> dict[str, Any]:
    more = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if MODERN else {}
    schema = {"type": "object"}
    return {"tools": [{"name": name, "inputSchema": schema} for name in ASKS], **more}


def call(request: Any, params: dict[str, Any]) -> None:
    name = params["name"]
    if name == "needs_page":
        data = {"elicitations": [page()["params"]]}
        send({"id": request, "error": {"code": -32042, "message": "visit it first", "data": data}})
    elif MODERN:
        call_modern(request, name, params)
    elif not ASKS[name]:
        send({"id": request, "result": text("done")})
    else:
        waiting[name] = (request, name, set(ASKS[name]), {})
        for key, asked in ASKS[name].items():
            send({"id": f"{name}/{key}", **asked})
        if name == "withdraw":
            send({"method": "notifications/cancelled", "params": {"requestId": "withdraw/a"}})
            send({"id": request, "result": text("never mind")})


def call_modern(request: Any, name: str, params: dict[str, Any]) -> None:
    state, given = params.get("requestState"), params.get("inputResponses")
    again = name == "endless" or (name == "state_only" and state != "s-2")
    if name != "plain" and (again or state is None):
        number = 1 if state is None else int(state[2:]) + 1
        asks = {"inputRequests": ASKS[name]} if ASKS[name] else {}
        result = {"resultType": "input_required", "requestState": f"s-{number}", **asks}
        send({"id": request, "result": result})
        return
    send({"id": request, "result": text({"state": state, "given": given, "args": params.get("arguments")})})


def answered(message: dict[str, Any]) -> None:
    name, _, key = str(message["id"]).partition("/")
    request, name, left, given = waiting[name]
    given[key] = message.get("result", message.get("error"))
    left.discard(key)
    if not left and name != "withdraw":
        send({"id": request, "result": text({"given": given})})


def handle(message: dict[str, Any]) -> None:
    method, request, params = message.get("method", ""), message.get("id"), message.get("params") or {}
    if not method:
        answered(message)
    elif method == "initialize" and not MODERN:
        about = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
        send({"id": request, "result": {**about, "serverInfo": {"name": "asks", "version": "1"}}})
    elif method == "server/discover" and MODERN:
        about = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        more = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
        send({"id": request, "result": {**about, **more}})
    elif method == "tools/list":
        send({"id": request, "result": tools()})
    elif method == "tools/call":
        call(request, params)
    elif request is not None:
        send({"id": request, "error": {"code": -32601, "message": "unknown"}})


for line in sys.stdin:
    if FILE:
        with open(FILE, "a", encoding="utf-8") as file:
            file.write(line)
    handle(json.loads(line))
