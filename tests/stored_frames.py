"""Every kind of message in every shape: what is put on the wire and into a journal to be stored.

A shape is made from the type alone: a message with no more than it must have, one with everything
it may have, and one more for every word that a field of fixed words can hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
from msgspec import inspect

from omni_tui.protocol.commands import AnyCommand
from omni_tui.protocol.events import AnyEvent

_PLAN = (
    '{"analysis":"as asked","phases":[{"title":"first","tasks":[{"id":"t1","title":"one","goal":"do one",'
    '"tools":["box/put"],"after":[]}]}]}'
)
_EXACT = {
    "plan_json": _PLAN,
    "body_json": (
        '{"role":"assistant","text":"so it is","calls":[{"id":"c1","name":"box__put","arguments":"{}"}]}'
    ),
    "content_json": '{"name":"Ada"}',
    "arguments": '{\n  "text": "one"\n}',
    "url": "https://mcp.example/auth",
    "v": 1,
}
_MOMENT = 1_795_900_000.5


def commands() -> list[type[Any]]:
    """Return the classes of all commands."""
    return list(get_args(AnyCommand))


def events() -> list[type[Any]]:
    """Return the classes of all events and replies."""
    return list(get_args(AnyEvent))


def tag(kind: type[Any]) -> str:
    """Return the name that a message has in a frame."""
    return str(kind.__struct_config__.tag)


def shapes(kind: type[Any]) -> Iterator[Any]:
    """Yield messages of a kind in every shape."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for values in _shapes(info):
        yield msgspec.convert({str(info.tag_field): info.tag, **values}, kind)


def _shapes(info: inspect.StructType) -> Iterator[dict[str, Any]]:
    fields = {field.encode_name: field for field in info.fields}
    every = {name: list(_values(name, field.type)) for name, field in fields.items()}
    full = {name: values[0] for name, values in every.items()}
    yield {name: full[name] for name, field in fields.items() if field.required}
    yield full
    for name, values in every.items():
        for other in values[1:]:
            yield {**full, name: other}


def _values(name: str, kind: inspect.Type) -> Iterator[Any]:
    """Yield values of a field: the first is no default."""
    match kind:
        case inspect.UnionType(types=choices):
            chosen = [each for each in choices if not isinstance(each, inspect.NoneType)]
            for each in chosen:
                yield from _values(name, each)
            if len(chosen) != len(choices):
                yield None
        case inspect.LiteralType(values=words):
            yield from reversed(words)
        case inspect.StructType():
            yield from reversed(list(_shapes(kind)))
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            yield list(_values(name, item))
        case inspect.DictType(value_type=item):
            yield {"first": next(_values(name, item)), "second": next(_values(name, item))}
        case inspect.BoolType():
            yield True
            yield False
        case _:
            yield _plain(name, kind)


def _plain(name: str, kind: inspect.Type) -> Any:
    if name in _EXACT and not isinstance(kind, inspect.NoneType):
        return _EXACT[name]
    match kind:
        case inspect.IntType():
            return 7
        case inspect.FloatType():
            return _MOMENT if name in {"ts", "since", "until", "next_try", "created", "updated"} else 2.5
        case inspect.StrType():
            return '{"a":1}' if name.endswith("_json") else f"the {name.replace('_', ' ')}, “é” [b]"
        case inspect.NoneType():
            return None
    raise TypeError(f"{name}: {kind} is a type of which no value is made here")


def built_in(value: Any) -> Any:
    """Return a value as JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(value))


def without_added(new: Any, stored: Any) -> Any:
    """Return a JSON value without the keys that the stored one has not: fields may be added."""
    if isinstance(new, dict) and isinstance(stored, dict):
        return {key: without_added(value, stored[key]) for key, value in new.items() if key in stored}
    if isinstance(new, list) and isinstance(stored, list) and len(new) == len(stored):
        return [without_added(one, other) for one, other in zip(new, stored, strict=True)]
    return new


__all__ = ["built_in", "commands", "events", "shapes", "tag", "without_added"]
