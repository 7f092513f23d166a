"""Expands URI templates (RFC 6570), all four levels, and names their variables.

The SDK's own (mcp 2.3.0, `mcp.shared.uri_template`) also matches addresses, as a server must, and so
refuses templates that can only be expanded: `{path*}`, `{name:3}`, `{a}{b}`.

`{path*}` is FastMCP's form of a path with several parts: its slashes stay, as in `{+path}`. Names with a
hyphen are accepted, though the RFC has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

LONGEST_TEMPLATE = 8_192
MAX_VARIABLES = 256
_PART = re.compile(r"\{([^{}]*)\}|[{}]|[^{}]+")
_VARIABLE = re.compile(r"(?P<name>(?:[A-Za-z0-9_.-]|%[0-9A-Fa-f]{2})+)(?P<how>\*|:[1-9][0-9]{0,3})?")
_OPERATORS = "+#./;?&"
_RESERVED = ":/?#[]@!$&'()*+,;="
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")


class BadTemplate(Exception):
    """An invalid template; the text says why, and is not safe to show as it is."""


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str
    explode: bool = False
    prefix: int = 0


@dataclass(frozen=True, slots=True)
class _Expression:
    operator: str
    variables: tuple[_Variable, ...]


def variables_of(template: str) -> tuple[str, ...]:
    """Return the names of a template's variables in their order. Raises `BadTemplate`."""
    names: dict[str, None] = {}
    for part in _parsed(template):
        if isinstance(part, _Expression):
            names |= dict.fromkeys(variable.name for variable in part.variables)
    if len(names) > MAX_VARIABLES:
        raise BadTemplate(f"its address has more than {MAX_VARIABLES} variables")
    return tuple(names)


def expand(template: str, values: Mapping[str, str]) -> str:
    """Return the expanded address; an empty value counts as missing. Raises `BadTemplate`."""
    return "".join(
        _expanded(part, values) if isinstance(part, _Expression) else _encoded(part, reserved=True)
        for part in _parsed(template)
    )


def _parsed(template: str) -> Iterator[str | _Expression]:
    if len(template) > LONGEST_TEMPLATE:
        raise BadTemplate(f"its address is longer than {LONGEST_TEMPLATE:,} characters")
    for found in _PART.finditer(template):
        if found[1] is not None:
            yield _expression(found[1])
        elif found[0] in "{}":
            raise BadTemplate(f"its address has a {found[0]} without its counterpart")
        else:
            yield found[0]


def _expression(body: str) -> _Expression:
    operator = body[0] if body[:1] and body[0] in _OPERATORS else ""
    variables: list[_Variable] = []
    for written in body[len(operator) :].split(","):
        found = _VARIABLE.fullmatch(written)
        if found is None:
            raise BadTemplate(f"{{{body[:100]}}} in its address is no variable")
        how = found["how"] or ""
        variables.append(
            _Variable(found["name"], explode=how == "*", prefix=int(how[1:]) if how[:1] == ":" else 0)
        )
    return _Expression(operator, tuple(variables))


def _expanded(part: _Expression, values: Mapping[str, str]) -> str:
    """Expand one expression (RFC 6570, section 3.2)."""
    pieces: list[str] = []
    for variable in part.variables:
        value = values.get(variable.name, "")
        if not value:
            continue
        if variable.prefix:
            value = value[: variable.prefix]
        pieces += _pieces(part.operator, variable, value)
    if not pieces:
        return ""
    separator = {"": ",", "+": ",", "#": ",", "?": "&"}.get(part.operator, part.operator)
    first = "" if part.operator == "+" else part.operator
    return first + separator.join(pieces)


def _pieces(operator: str, variable: _Variable, value: str) -> list[str]:
    if variable.explode and operator == "/":
        return [_encoded(step, reserved=False) for step in value.strip("/").split("/")]
    if variable.explode and operator == "":
        return ["/".join(_encoded(step, reserved=False) for step in value.split("/"))]
    text = _encoded(value, reserved=operator in ("+", "#"))
    return [f"{variable.name}={text}"] if operator in (";", "?", "&") else [text]


def _encoded(text: str, *, reserved: bool) -> str:
    """Percent-encode a text; with `reserved`, reserved and encoded characters stay."""
    if not reserved:
        return quote(text, safe="~", errors="replace")
    plain = _ENCODED.split(text)
    kept = [*_ENCODED.findall(text), ""]
    return "".join(
        quote(piece, safe=_RESERVED + "~", errors="replace") + code
        for piece, code in zip(plain, kept, strict=True)
    )
