"""Questions of servers for the face's tests: one of each kind, and hostile ones."""

from __future__ import annotations

import json
from typing import Any

from omni_tui.protocol import JsonText, SafeText
from omni_tui.protocol.server_requests import ServerRequestOpened
from tests.face.scenario import START

BOOKING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "description": "Who is travelling"},
        "seats": {"type": "integer", "minimum": 1, "maximum": 9, "default": 2},
        "class": {
            "type": "string",
            "oneOf": [{"const": "eco", "title": "Economy"}, {"const": "biz", "title": "Business"}],
            "default": "eco",
        },
        "meals": {
            "type": "array",
            "items": {"type": "string", "enum": ["vegan", "kosher", "none"]},
            "uniqueItems": True,
            "maxItems": 2,
        },
        "mail": {"type": "string", "format": "email"},
        "insured": {"type": "boolean", "default": True},
    },
    "required": ["name", "seats"],
}
ADDRESS = "https://pay.example/checkout?order=4711&return=%2Fdone"
REQUEST: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": {"type": "text", "text": "Here are three issues.\n1. slow\n2. loud"}},
        {"role": "assistant", "content": {"type": "text", "text": "I have read them."}},
        {"role": "user", "content": {"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"}},
    ],
    "systemPrompt": "You sort issues by how grave they are.",
    "maxTokens": 400,
    "temperature": 0.2,
    "stopSequences": ["END"],
}


def asked(kind: str = "form", content: object = None, **changes: object) -> ServerRequestOpened:
    """Return a question; `content` is what belongs to the server's words."""
    value = (
        {"form": BOOKING, "url": {"url": ADDRESS}, "sampling": REQUEST}[kind]
        if content is None
        else content
    )
    text = value if isinstance(value, str) else json.dumps(value)
    labels = {"form": "asks for values", "url": "asks to open a page", "sampling": "asks your model"}
    messages = {
        "form": "I can book the train to Kyoto. Who is travelling, and how?",
        "url": "To go on, pay for the order on the shop's own page.",
        "sampling": "",
    }
    values: dict[str, object] = {
        "ask": "a1",
        "server": "travel",
        "kind": kind,
        "stage": "asked",
        "label": SafeText(labels[kind]),
        "message": SafeText(messages[kind]),
        "digest": "digest-a1",
        "content": SafeText(json.dumps(value, indent=2) if not isinstance(value, str) else value),
        "content_json": JsonText(text),
        "size": len(text),
        "complete": True,
        "differs": False,
        "target": SafeText("https://travel.example/mcp"),
        "transport": "http",
        "ts": START + 46,
    }
    if kind == "url":
        values |= {"host": SafeText("pay.example"), "browser": True}
    if kind == "sampling":
        values |= {
            "model": SafeText("anthropic/claude-sonnet-4-5"),
            "budget": SafeText("$0.42 of $0.50 left"),
        }
    return ServerRequestOpened(**{**values, **changes})  # type: ignore[arg-type]


def review(text: str = "1. slow is graver than 2. loud.", **changes: object) -> ServerRequestOpened:
    """Return a model's answer that waits to be sent."""
    return asked("sampling", {"text": text}, stage="review", digest="digest-review", **changes)
