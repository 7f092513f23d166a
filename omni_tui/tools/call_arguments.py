"""Reads the arguments of a call strictly, and writes them in one canonical form.

The person approves the canonical bytes, the gate hashes them, and the server gets them.
"""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
_MAX_DIGITS = 400


class BadArguments(Exception):
    """Text that is not a JSON object we would send. The message is for the model or the person."""


def parse_arguments(text: str) -> dict[str, Any]:
    """Read a JSON object. Refuse what two parsers could read differently.

    Raises `BadArguments` for anything that is not an object, for duplicate keys, NaN and infinities,
    numbers of more than 400 digits, lone surrogates, over 256 KiB, or nesting deeper than 32.
    """
    if len(text) > MAX_BYTES:
        raise BadArguments(f"the arguments are {len(text):,} characters long; {MAX_BYTES:,} are allowed")
    try:
        value = _decoder.decode(text or "{}")
    except RecursionError:
        raise BadArguments(f"the arguments are nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise BadArguments(f"not valid JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(value, dict):
        raise BadArguments(f"the arguments must be a JSON object, not {_kind(value)}")
    if _depth(value) > MAX_DEPTH:
        raise BadArguments(f"the arguments are nested deeper than {MAX_DEPTH} levels")
    canonical(value)
    return value


def canonical(value: dict[str, Any]) -> bytes:
    """Return the one byte form of an arguments object: sorted keys, no spaces, UTF-8.

    Raises `BadArguments` for what JSON or UTF-8 cannot hold.
    """
    try:
        return _encoder.encode(value).encode()
    except UnicodeEncodeError:
        raise BadArguments("a string holds half of a surrogate pair, which cannot be sent") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise BadArguments(f"not a JSON object: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadArguments("a key occurs twice in one object")
    return value


def _no_constant(name: str) -> Any:
    raise BadArguments(f"{name} is not JSON")


def _bounded_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise BadArguments(f"a number has {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise BadArguments(f"the number {digits[:40]} is too large")
    return value


def _depth(value: Any) -> int:
    deepest, stack = 0, [(value, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        stack.extend((child, depth + 1) for child in children)
    return deepest


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_bounded_int, parse_float=_finite
)
_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
