"""Checks of a form's values: by the engine for a tool, against the schema's limits for an elicitation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from omni_tui.face.form.exact_json import Json, JsonNumber, NotJson, ascii_json, parse
from omni_tui.face.form.schema import Field
from omni_tui.face.port import REQUEST_ERRORS
from omni_tui.protocol import JsonText
from omni_tui.protocol.commands import CheckArguments
from omni_tui.protocol.events import ArgumentsChecked

if TYPE_CHECKING:
    from omni_tui.face.port import Port

_FORMATS = {
    "email": (re.compile(r"[^@\s]+@[^@\s]+"), "an e-mail address, like name@example.org"),
    "uri": (re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+"), "an address, like https://example.org"),
    "date": (re.compile(r"\d{4}-\d\d-\d\d"), "a date, like 2026-01-31"),
    "date-time": (
        re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)"),
        "a date and time, like 2026-01-31T09:30:00Z",
    ),
}
_LONGEST = 2_000
"""Characters of a value that are checked against a format."""
MAX_PROBLEMS = 50


async def limit_problems(field: Field, values: JsonText) -> list[tuple[str, str]]:
    """Return the values of an object that break a limit: JSON Pointer and reason, a few at most.

    For elicitations; the engine checks again.
    """
    try:
        value = parse(values)
    except NotJson:
        return []
    if not isinstance(value, dict):
        return []
    found: list[tuple[str, str]] = []
    for each in field.fields:
        if each.name in value:
            where = "/" + each.name.replace("~", "~0").replace("/", "~1")
            found += [(where, what) for what in _of(each, value[each.name])]
        if len(found) >= MAX_PROBLEMS:
            break
    return found[:MAX_PROBLEMS]


def _of(field: Field, value: Json) -> Iterator[str]:
    if isinstance(value, str) and field.kind == "text":
        yield from _between(field, "minLength", "maxLength", len(value), "character")
        known = _FORMATS.get(str(field.schema.get("format")))
        if known is not None and not known[0].fullmatch(value[:_LONGEST]):
            yield f"it must be {known[1]}"
    elif isinstance(value, list) and field.kind == "array":
        yield from _between(field, "minItems", "maxItems", len(value), "item")
        different = {ascii_json(item) for item in value}
        if field.schema.get("uniqueItems") is True and len(different) < len(value):
            yield "no item may be there twice"
    elif isinstance(value, JsonNumber) and field.kind in ("number", "integer"):
        yield from _range(field, value)


def _between(field: Field, low: str, high: str, size: int, unit: str) -> Iterator[str]:
    least, most = _decimal(field.schema.get(low)), _decimal(field.schema.get(high))
    if least is not None and size < least:
        yield f"it needs at least {least} {unit}s, not {size}"
    if most is not None and size > most:
        yield f"it may have at most {most} {unit}s, not {size}"


def _range(field: Field, value: JsonNumber) -> Iterator[str]:
    number = _decimal(value)
    least, most = _decimal(field.schema.get("minimum")), _decimal(field.schema.get("maximum"))
    if number is None:
        return
    if least is not None and number < least:
        yield f"it must be at least {least}"
    if most is not None and number > most:
        yield f"it must be at most {most}"


def _decimal(value: Json | None) -> Decimal | None:
    if not isinstance(value, JsonNumber) or len(value.text) > 60:
        return None
    try:
        return Decimal(value.text)
    except InvalidOperation:
        return None


async def engine_problems(
    port: Port, server: str, tool: str, arguments: JsonText
) -> list[tuple[str, str]] | None:
    """Return what is wrong with a tool's arguments according to the engine, None if it does not say."""
    command = CheckArguments(server=server, tool=tool, arguments_json=arguments)
    try:
        reply: ArgumentsChecked = await port.ask(command, timeout=10)
    except REQUEST_ERRORS:
        return None
    return [(problem.where, problem.what) for problem in reply.problems]
