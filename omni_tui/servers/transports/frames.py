"""JSON-RPC messages as lines of bytes: exact on the way out, forgiving and bounded on the way in."""

from __future__ import annotations

import gc
import json
import re
from typing import Any

from mcp_types import (
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)
from pydantic import ValidationError
from pydantic_core import from_json

MAX_LINE = 16 * 1024 * 1024
"""Longest line of a server, in bytes, line feed not counted."""

MAX_CONTAINERS = 1_500_000
"""Most opening braces and brackets in one line: more would hold the loop for too long while parsing."""

MAX_MENDED = 400_000
"""Most backslashes in a large line that is mended: each costs half a microsecond of the loop."""

_LARGE = 1024 * 1024
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


class JunkLine(Exception):
    """A line that is no JSON-RPC message."""


def encode(message: JSONRPCMessage) -> bytes:
    """Return a message as one line. Arguments keep their order, nulls, and numbers as they are.

    Raises `ValueError` for what JSON cannot say (NaN, lone surrogates).
    """
    if isinstance(message, JSONRPCRequest | JSONRPCNotification):
        body: dict[str, Any] = {"jsonrpc": "2.0"}
        if isinstance(message, JSONRPCRequest):
            body["id"] = message.id
        body["method"] = message.method
        if message.params is not None:
            body["params"] = message.params
    else:
        body = message.model_dump(by_alias=True, mode="json", exclude_unset=True)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def parse(line: bytes) -> JSONRPCMessage:
    """Read one line. Raises `JunkLine`."""
    body = load(line)
    if not isinstance(body, dict):
        raise JunkLine("not a JSON object")
    try:
        return _message(body)
    except (ValidationError, KeyError, TypeError) as error:
        raise JunkLine("not a JSON-RPC message") from error


def _message(body: dict[str, Any]) -> JSONRPCMessage:
    version = body["jsonrpc"]
    if "method" in body:
        params = {"params": body["params"]} if body.get("params") is not None else {}
        if "id" in body:
            return JSONRPCRequest(jsonrpc=version, id=body["id"], method=body["method"], **params)
        return JSONRPCNotification(jsonrpc=version, method=body["method"], **params)
    if "result" in body:
        return JSONRPCResponse(jsonrpc=version, id=body["id"], result=body["result"])
    return JSONRPCError(jsonrpc=version, id=body.get("id"), error=body["error"])


def load(line: bytes) -> Any:
    """Parse JSON. A large line is checked first, and parsed without collections of garbage in between."""
    if len(line) < _LARGE:
        try:
            return from_json(line, allow_inf_nan=False)
        except ValueError:
            return _repair(line)
    if line.count(b"{") + line.count(b"[") > MAX_CONTAINERS:
        raise JunkLine(f"more than {MAX_CONTAINERS:,} objects and lists in one message")
    collecting = gc.isenabled()
    gc.disable()
    try:
        return from_json(line, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        if line.count(b"\\") > MAX_MENDED:
            raise JunkLine(str(error)) from error
        return _repair(line)
    finally:
        if collecting:
            gc.enable()


def _repair(line: bytes) -> Any:
    """Parse a line again whose text is cut in the middle of a character, as some servers send it.

    Half of a surrogate pair and invalid UTF-8 become U+FFFD; anything else that is wrong stays wrong.
    """
    mended = _ESCAPE.sub(lambda match: rb"\ufffd" if match[1] else match[0], line)
    try:
        return from_json(mended.decode("utf-8", "replace"), allow_inf_nan=False)
    except ValueError as error:
        raise JunkLine("not JSON") from error
