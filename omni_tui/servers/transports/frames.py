"""JSON-RPC messages as lines of bytes: exact when written, lenient and limited when read."""

from __future__ import annotations

import gc
import json
import re
from typing import Any

from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCResponse, RequestId
from pydantic_core import from_json

from omni_tui.servers.transports.json_rpc import (
    InvalidMessage,
    OpenRequests,
    message_body,
    parse_message,
    unreadable_response,
)

MAX_LINE = 16 * 1024 * 1024
"""Longest line of a server, in bytes, without the line feed."""

MAX_CONTAINERS = 1_500_000
"""Most opening braces and brackets in one line: parsing more would block the loop for too long."""

MAX_REPAIRED = 400_000
"""Most backslashes in a large line that is repaired: each takes half a microsecond of the loop."""

_LARGE = 1024 * 1024
_HEAD = 300
"""How far from either end of a broken line its id is searched, in bytes."""
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


def encode(message: JSONRPCMessage) -> bytes:
    """Return a message as one line. Raises `ValueError` for what JSON lacks (NaN, lone surrogates)."""
    text = json.dumps(message_body(message), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def read(line: bytes, requests: OpenRequests) -> list[JSONRPCMessage | InvalidMessage]:
    """Return the messages of one line, and its invalid parts.

    Usually that is one message. Servers also write lists of messages, several in a row, and messages
    after other words. A malformed or unreadable answer becomes the error of its request, if that is open.
    """
    try:
        body = load(line)
    except InvalidMessage as error:
        if len(line) < _LARGE and (found := _pieces(line, requests)):
            return found
        key = _id_of_broken(line)
        if key is not None and requests.method(key):
            return [unreadable_response(key, str(error))]
        return [error]
    return _messages(body, requests)


def is_whole(line: bytes) -> bool:
    """Return whether a text is one or several complete JSON objects or lists."""
    text = line.decode("utf-8", "replace").strip("\ufeff\0 \t\r\n")
    at = 0
    while at < len(text):
        if text[at] not in "{[":
            return False
        try:
            _, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return False
        while at < len(text) and text[at].isspace():
            at += 1
    return bool(text)


def parse(line: bytes) -> JSONRPCMessage:
    """Read a line with one message. Raises `InvalidMessage`."""
    found = read(line, OpenRequests())
    if len(found) != 1:
        raise InvalidMessage(f"{len(found)} messages in the place of one")
    if isinstance(found[0], InvalidMessage):
        raise found[0]
    return found[0]


def _messages(body: Any, requests: OpenRequests) -> list[JSONRPCMessage | InvalidMessage]:
    found: list[JSONRPCMessage | InvalidMessage] = []
    for each in body if isinstance(body, list) else [body]:
        try:
            found.append(parse_message(each, requests))
        except InvalidMessage as error:
            found.append(error)
    return found


def _pieces(line: bytes, requests: OpenRequests) -> list[JSONRPCMessage | InvalidMessage]:
    """Return the messages of a line with several messages or with other words.

    Beside other words only answers to open requests count: a server may repeat messages in debug lines.
    """
    text = line.decode("utf-8", "replace")
    values: list[Any] = []
    rest, at = "", 0
    for _ in range(_MOST_PIECES):
        start = min((place for place in (text.find("{", at), text.find("[", at)) if place >= 0), default=-1)
        if start < 0:
            break
        rest += text[at:start]
        try:
            value, at = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            rest, at = rest + text[start], start + 1
            continue
        if isinstance(value, dict) and "jsonrpc" in value:
            values.append(value)
        else:
            rest += text[start:at]
    rest = (rest + text[at:]).strip()
    messages = [message for value in values for message in _messages(value, requests)]
    if not rest:
        return messages
    answers: list[JSONRPCMessage | InvalidMessage] = [
        message
        for message in messages
        if isinstance(message, JSONRPCResponse | JSONRPCError) and requests.method(message.id)
    ]
    return [*answers, InvalidMessage("words beside a message")] if answers else []


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_MOST_PIECES = 50
_BROKEN_ID = re.compile(rb'"id"\s*:\s*(?:(\d{1,15})|"([^"\\]{1,200})")')


def _id_of_broken(line: bytes) -> RequestId | None:
    """Return the id in a broken answer, None if it cannot be found."""
    head, tail = line[:_HEAD], line[-_HEAD:]
    if b'"method"' in head or b'"jsonrpc"' not in head + tail:
        return None
    found = _BROKEN_ID.search(head) or _BROKEN_ID.search(tail)
    if found is None:
        return None
    return int(found[1]) if found[1] else found[2].decode("utf-8", "replace")


def load(line: bytes) -> Any:
    """Parse JSON. A large line is checked first, and parsed with the garbage collector off."""
    if len(line) < _LARGE:
        try:
            return from_json(line, allow_inf_nan=False)
        except ValueError:
            return _repair(line)
    if line.count(b"{") + line.count(b"[") > MAX_CONTAINERS:
        raise InvalidMessage(f"more than {MAX_CONTAINERS:,} objects and lists in one message")
    collecting = gc.isenabled()
    gc.disable()
    try:
        return from_json(line, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        if line.count(b"\\") > MAX_REPAIRED:
            raise InvalidMessage(str(error)) from error
        return _repair(line)
    finally:
        if collecting:
            gc.enable()


def _repair(line: bytes) -> Any:
    """Parse a line whose text is cut in the middle of a character, as some servers send it.

    Half surrogate pairs and invalid UTF-8 become U+FFFD.
    """
    repaired = _ESCAPE.sub(lambda match: rb"\ufffd" if match[1] else match[0], line)
    try:
        return from_json(repaired.decode("utf-8", "replace"), allow_inf_nan=False)
    except ValueError as error:
        raise InvalidMessage(f"not JSON, {str(error)[:120]}") from error
