"""The tools of the demo server. Standard library only."""

from __future__ import annotations

import base64
import json
import re
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

ABOUT = "demo://about"
_NOTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,62}")

Json = dict[str, Any]
ReportProgress = Callable[[float, float, str], None]


class RpcError(Exception):
    """An error of the protocol, with its JSON-RPC code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ToolFailed(Exception):
    """A tool failed; the text is for the model and the person."""


def _schema(required: str = "", **properties: Json) -> Json:
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required.split()
    return schema


def _tool(name: str, title: str, description: str, schema: Json, **annotations: bool) -> Json:
    given = annotations or {"readOnly": True}
    hints = {f"{hint}Hint": value for hint, value in given.items()} | {"openWorldHint": False}
    return {
        "name": name,
        "title": title,
        "description": description,
        "inputSchema": schema,
        "annotations": {"title": title, **hints},
    }


_NUMBER = {"type": "number"}
_NAME = {
    "type": "string",
    "description": "Letters, digits, spaces, - and _.",
    "minLength": 1,
    "maxLength": 63,
    "pattern": f"^{_NOTE_NAME.pattern}$",
}
_WEATHER: Json = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "sky": {"type": "string", "enum": ["clear", "cloudy", "rain", "snow"]},
        "temperature_c": {"type": "number"},
        "wind_kmh": {"type": "integer", "minimum": 0},
        "made_up": {"type": "boolean", "description": "Always true: no weather was observed."},
    },
    "required": ["city", "sky", "temperature_c", "wind_kmh", "made_up"],
}

TOOLS: list[Json] = [
    _tool(
        "add",
        "Add two numbers",
        "Add two numbers and return the sum.",
        _schema(
            "a b",
            a=_NUMBER | {"description": "The first number."},
            b=_NUMBER | {"description": "The second."},
        ),
    ),
    _tool(
        "echo",
        "Echo a text",
        "Return the text exactly as it came.",
        _schema("text", text={"type": "string", "description": "What to say back."}),
    ),
    _tool("list_notes", "List the notes", "List the names of all notes.", _schema()),
    _tool(
        "read_note",
        "Read a note",
        "Return the text of one note.",
        _schema("name", name=_NAME),
    ),
    _tool(
        "write_note",
        "Write a note",
        "Write a note. If there is one of that name, the text is added below it; nothing is lost.",
        _schema("name text", name=_NAME, text={"type": "string", "description": "The text to keep."}),
        readOnly=False,
        destructive=False,
        idempotent=False,
    ),
    _tool(
        "delete_note",
        "Delete a note",
        "Delete a note for good.",
        _schema("name", name=_NAME),
        readOnly=False,
        destructive=True,
        idempotent=True,
    ),
    _tool(
        "slow_count",
        "Count slowly",
        "Count from 1 to a number with a pause before each, and report progress. It can be cancelled.",
        _schema(
            "to",
            to={"type": "integer", "description": "Where to stop.", "minimum": 1, "maximum": 1000},
            delay_s={
                "type": "number",
                "description": "Seconds before each number.",
                "default": 0.3,
                "minimum": 0,
                "maximum": 10,
            },
        ),
    ),
    _tool(
        "always_fails",
        "Fail on purpose",
        "Fail with the given reason, to show what a failure looks like.",
        _schema(
            reason={"type": "string", "description": "What to say.", "default": "because it was asked to"}
        ),
    ),
    _tool(
        "weather_report",
        "Made-up weather",
        "Return invented weather for a city, always the same for the same name. It is not an observation.",
        _schema(
            "city", city={"type": "string", "description": "Any name.", "minLength": 1, "maxLength": 100}
        ),
    )
    | {"outputSchema": _WEATHER},
    _tool(
        "picture",
        "Show a picture",
        "Return a small picture and a link to what this server says about itself.",
        _schema(),
    ),
]

PROMPT: Json = {
    "name": "tour",
    "title": "Show me around",
    "description": "Ask for a short tour of the demonstration's tools.",
    "arguments": [{"name": "focus", "description": "What to look at most, e.g. notes.", "required": False}],
}
RESOURCE: Json = {
    "uri": ABOUT,
    "name": "about",
    "title": "About this server",
    "description": "What the demonstration does, and what it does not.",
    "mimeType": "text/plain",
}


def check_arguments(arguments: Json, schema: Json) -> None:
    """Check arguments against a tool's schema. Raises `ToolFailed` with the first mistake."""
    properties: Json = schema["properties"]
    for name in arguments:
        if name not in properties:
            raise ToolFailed(
                f"there is no argument named {name!r}; known: {', '.join(properties) or 'none'}"
            )
    for name in schema.get("required", []):
        if name not in arguments:
            raise ToolFailed(f"the argument {name!r} is missing")
    for name, value in arguments.items():
        _check_value(name, value, properties[name])


def _check_value(name: str, value: Any, rule: Json) -> None:
    kinds: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float)}
    if isinstance(value, bool) or not isinstance(value, kinds[rule["type"]]):
        raise ToolFailed(f"{name} must be of type {rule['type']}")
    size = len(value) if isinstance(value, str) else value
    low, high = ("minLength", "maxLength") if isinstance(value, str) else ("minimum", "maximum")
    if size < rule.get(low, size) or size > rule.get(high, size):
        raise ToolFailed(f"{name} must be from {rule.get(low, 0)} to {rule.get(high, 'any size')}")
    if isinstance(value, str) and not re.search(rule.get("pattern", ""), value):
        raise ToolFailed(
            f"{name} may have letters, digits, spaces, - and _ only, and begins with one of the first two"
        )


class DemoTools:
    """The tools as methods: each takes checked arguments and returns a `tools/call` result."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, name: str, arguments: Json, stop: threading.Event, report: ReportProgress) -> Json:
        """Run one tool. Raises `RpcError` for an unknown one, `ToolFailed`."""
        tool = next((tool for tool in TOOLS if tool["name"] == name), None)
        if tool is None:
            raise RpcError(-32602, f"Unknown tool: {name}")
        check_arguments(arguments, tool["inputSchema"])
        if name == "slow_count":
            return self.slow_count(stop, report, **arguments)
        method: Callable[..., Json] = getattr(self, name)
        return method(**arguments)

    def add(self, a: float, b: float) -> Json:
        """Return the sum."""
        return text_result(json.dumps(a + b))

    def echo(self, text: str) -> Json:
        """Return the text."""
        return text_result(text)

    def list_notes(self) -> Json:
        """Return the names of the notes, one a line."""
        names = sorted(file.stem for file in self._folder.glob("*.txt"))
        return text_result("\n".join(names) or "There are no notes yet.")

    def read_note(self, name: str) -> Json:
        """Return a note's text."""
        return text_result(self._existing(name).read_text("utf-8"))

    def write_note(self, name: str, text: str) -> Json:
        """Write a note, or add to one."""
        file = self._folder / f"{name}.txt"
        self._folder.mkdir(parents=True, exist_ok=True)
        known = file.exists()
        with file.open("a", encoding="utf-8") as note:
            note.write(("\n" if known else "") + text)
        return text_result(f"Added to the note {name}." if known else f"Wrote the note {name}.")

    def delete_note(self, name: str) -> Json:
        """Delete a note."""
        self._existing(name).unlink()
        return text_result(f"Deleted the note {name}.")

    def slow_count(
        self, stop: threading.Event, report: ReportProgress, to: int, delay_s: float = 0.3
    ) -> Json:
        """Count, with a pause before each number."""
        for number in range(1, to + 1):
            if stop.wait(delay_s):
                raise ToolFailed(f"cancelled at {number}")
            report(number, to, f"counted to {number}")
        return text_result(f"Counted to {to}.")

    def always_fails(self, reason: str = "because it was asked to") -> Json:
        """Fail."""
        raise ToolFailed(reason)

    def weather_report(self, city: str) -> Json:
        """Invent weather from the city's name."""
        seed = zlib.crc32(city.strip().lower().encode())
        sky = ("clear", "cloudy", "rain", "snow")[seed % 4]
        degrees = (seed >> 8) % 60 / 2 - (20 if sky == "snow" else 0)
        report = {
            "city": city,
            "sky": sky,
            "temperature_c": degrees,
            "wind_kmh": (seed >> 16) % 70,
            "made_up": True,
        }
        return text_result(json.dumps(report)) | {"structuredContent": report}

    def picture(self) -> Json:
        """Return a picture and a link."""
        image = {"type": "image", "data": base64.b64encode(_png()).decode(), "mimeType": "image/png"}
        link = {"type": "resource_link", **RESOURCE}
        return {"content": [image, link], "isError": False}

    def _existing(self, name: str) -> Path:
        file = self._folder / f"{name}.txt"
        if not file.is_file():
            raise ToolFailed(f"there is no note named {name!r}; list_notes tells which there are")
        return file


def text_result(text: str, *, failed: bool = False) -> Json:
    """Return a result of one text."""
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def _png() -> bytes:
    """Return a small picture: two colours running into each other."""
    size = 48
    step = 255 // (size - 1)
    rows = b"".join(
        b"\0" + b"".join(bytes((x * step, 96, y * step)) for x in range(size)) for y in range(size)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
