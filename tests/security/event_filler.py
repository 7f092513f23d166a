"""Fills every field of any event with hostile strings, so that a new field is tried without being named."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from omni_tui.protocol import AnyCommand, AnyEvent, CommandReply, JsonText
from omni_tui.protocol.text import SafeText
from tests.security.hostile_strings import HostileStrings

EVENTS: tuple[type[msgspec.Struct], ...] = typing.get_args(AnyEvent)
COMMANDS: tuple[type[msgspec.Struct], ...] = typing.get_args(AnyCommand)
REPLIES = tuple(kind for kind in EVENTS if issubclass(kind, CommandReply))
_KEPT = frozenset({"seq", "ts", "request", "public"})
"""Fields that say when and to what, which the link fills in."""


class Filler:
    """Makes events. The engine would have made their texts safe; here it has forgotten to.

    `names` says what fields hold that link events to each other (`server`, `call`).
    """

    def __init__(self, strings: HostileStrings, names: Mapping[str, str] | None = None) -> None:
        self.strings = strings
        self.names = dict(names or {})
        self._draw = strings.random
        self._inside = 0

    def make(self, kind: type[Any], /, **fixed: object) -> Any:
        """Return a value of a struct."""
        hints = typing.get_type_hints(kind)
        values = {}
        for field in msgspec.structs.fields(kind):
            name = field.name
            if name in fixed:
                values[name] = fixed[name]
            elif name not in _KEPT or field.required:
                values[name] = self._value(hints[name], name)
        return kind(**values)

    def _value(self, kind: Any, name: str) -> Any:
        origin = typing.get_origin(kind)
        if kind is JsonText:
            return self._json(name)
        if kind is SafeText:
            return self.strings.next()
        if kind is str:
            return self.names[name] if name in self.names else self.strings.next(300)
        if origin is typing.Literal:
            return self._draw.choice(typing.get_args(kind))
        if origin in (typing.Union, types.UnionType):
            return self._value(next(one for one in typing.get_args(kind) if one is not type(None)), name)
        if origin is tuple:
            inside = typing.get_args(kind)
            if len(inside) == 2 and inside[1] is Ellipsis:
                return self._several(inside[0], name)
            return tuple(self._value(each, name) for each in inside)
        if origin in (list, dict):
            inside = typing.get_args(kind)
            one = self._value(inside[-1], name)
            return [one] if origin is list else {self.strings.next(60): one}
        return self._plain(kind, name)

    def _several(self, kind: Any, name: str) -> tuple[Any, ...]:
        """Return a few values, sometimes more than a screen holds; few of what each of them has several."""
        count = self._draw.choice((1, 2, 3) if self._inside else (1, 3, 30, 60))
        self._inside += 1
        values = tuple(self._value(kind, name) for _ in range(count))
        self._inside -= 1
        return values

    def _plain(self, kind: Any, name: str) -> Any:
        if kind is bool:
            return self._draw.random() < 0.5
        if kind is int:
            return self._draw.choice((0, 1, 3, 1_000_000))
        if kind is float:
            return self._draw.choice((0.0, 0.5, 1_794_060_150.0))
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.make(kind)
        return self.strings.next()

    def _json(self, name: str) -> JsonText:
        return self.schema() if "schema" in name else self.json_value()

    def json_value(self) -> JsonText:
        """Return an object whose keys and values are such strings."""
        text = self.strings.next
        return JsonText(json.dumps({text(60): text(), "list": [text(), {text(60): text()}], "n": 1}))

    def schema(self) -> JsonText:
        """Return a schema with every kind of field that a form has."""
        text = self.strings.next
        about = {"title": text(), "description": text(), "default": text(), "examples": [text()]}
        field = {"type": "string", **about}
        choice = {"enum": [text(80), text(80)], "description": text()}
        nested = {"type": "object", "properties": {text(40): field}, "required": [text(40)]}
        boxes = {"type": "array", "title": text(40), "items": {"enum": [text(20), text(20)]}}
        items = {"type": "array", "title": text(40), "items": field}
        fields = {
            text(40): field, text(40): choice, text(40): nested, text(40): boxes, text(40): items,
            text(40): {"type": "boolean", **about}, "n": {"pattern": text(60)},
        }  # fmt: skip
        required = ["n"]
        whole = {"type": "object", "title": text(), "required": required, "properties": fields}
        return JsonText(json.dumps(whole))
