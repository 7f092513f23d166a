"""Reads JSON values as JSON-RPC messages, as servers really write them.

A message is read where its meaning is clear. A malformed answer to an open request becomes the error
of that request, so that it fails at once with the server's words and does not wait for its time-out.
Everything else is an `InvalidMessage`, which the caller has to report.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mcp.shared.dispatcher import coerce_request_id
from mcp_types import (
    CONNECTION_CLOSED,
    PARSE_ERROR,
    REQUEST_TIMEOUT,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)
from pydantic import ValidationError

_SHOWN = 1000
"""How many characters of an odd answer are quoted."""
_OPEN = 4096
NO_CODE = 0
"""The code of an error without a numeric code of the server."""

_WITHOUT_RESULT = frozenset({"ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
"""Requests whose result is empty, so that any value means the same."""
_WORDS_OF_ERROR = ("message", "msg", "error", "detail", "details", "reason", "description", "title")


class InvalidMessage(Exception):
    """Something on the wire that is no JSON-RPC message and answers no request; the text says why."""


class MalformedResponse(JSONRPCError):
    """The error that a request gets whose answer is malformed.

    `answered`: the server said what happened to the request. False if its answer could not be read, so
    that the request may have been carried out.
    """

    answered: bool = True


class OpenRequests:
    """Our requests that wait for an answer, by id, with their methods."""

    def __init__(self) -> None:
        self._methods: dict[RequestId, str] = {}

    def asked(self, request: JSONRPCRequest) -> None:
        """Note that a request is sent."""
        self._methods[coerce_request_id(request.id)] = request.method
        if len(self._methods) > _OPEN:
            del self._methods[next(iter(self._methods))]

    def answered(self, request: RequestId | None) -> None:
        """Note that an answer came."""
        if request is not None:
            self._methods.pop(coerce_request_id(request), None)

    def sole(self) -> RequestId | None:
        """Return the only open request, None if there are more or none: an error without id is about it."""
        return next(iter(self._methods)) if len(self._methods) == 1 else None

    def method(self, request: object) -> str:
        """Return the method of an open request, "" if no request has that id."""
        if isinstance(request, bool) or not isinstance(request, int | str):
            return ""
        return self._methods.get(coerce_request_id(request), "")


def parse_message(body: Any, requests: OpenRequests) -> JSONRPCMessage:
    """Return a JSON value as a message. Raises `InvalidMessage`."""
    if not isinstance(body, Mapping):
        raise InvalidMessage("not a JSON object")
    key = _id(body.get("id"))
    answers = "result" in body or "error" in body
    if "method" in body and not (answers and requests.method(key)):
        return _asking(body, key)
    if body.get("error") is not None and not _empty_error(body):
        return _error(body["error"], key, requests)
    if key is None:
        raise InvalidMessage(
            "a result without the id of a request" if answers else "not a JSON-RPC message"
        )
    return _result(body, key, requests.method(key))


def _result(body: Mapping[str, Any], key: RequestId, method: str) -> JSONRPCMessage:
    answers = "result" in body or "error" in body
    result = body.get("result")
    if isinstance(result, dict):
        return JSONRPCResponse(jsonrpc="2.0", id=key, result=result)
    if method in _WITHOUT_RESULT and answers:
        return JSONRPCResponse(jsonrpc="2.0", id=key, result={})
    if not method:
        raise InvalidMessage("an answer without a result, to no request that is open")
    if answers:
        shown = "" if result is None else f": {_compact(result)}"
        what = f"it answered with {_kind(result)} in place of a result{shown}"
        if method == "tools/call":
            what += "; the tool has probably run"
    else:
        what = "it answered with neither a result nor an error"
    return _failure(key, what)


def unreadable_response(key: RequestId, why: str) -> MalformedResponse:
    """Return the error for a request whose answer cannot be read."""
    what = f"its answer could not be read: {why}; it has probably been carried out"
    error = ErrorData(code=PARSE_ERROR, message=what)
    return MalformedResponse(jsonrpc="2.0", id=key, error=error, answered=False)


def _failure(
    key: RequestId | None,
    what: str,
    code: int = NO_CODE,
    data: Any = None,
    kind: type[JSONRPCError] = MalformedResponse,
) -> JSONRPCError:
    return kind(jsonrpc="2.0", id=key, error=ErrorData(code=code, message=what, data=data))


def error_words(error: ErrorData, words: Callable[[str], str] = str, *, with_code: bool = True) -> str:
    """Return an error's text with the beginning of its data; `words` makes that safe to show."""
    text = error.message
    data = error.data
    if data not in (None, "", [], {}) and data != text:
        shown = data if isinstance(data, str) else _compact(data)
        text += f": {shown[:_SHOWN]}"
        if len(shown) > _SHOWN:
            text += f"… ({len(shown) - _SHOWN} more characters)"
    return words(text) + (f" (error {error.code})" if with_code and error.code != NO_CODE else "")


def _asking(body: Mapping[str, Any], key: RequestId | None) -> JSONRPCMessage:
    params = {"params": body["params"]} if body.get("params") not in (None, []) else {}
    try:
        if key is not None:
            return JSONRPCRequest(jsonrpc="2.0", id=key, method=body["method"], **params)
        if body.get("id") is None:
            return JSONRPCNotification(jsonrpc="2.0", method=body["method"], **params)
    except (ValidationError, TypeError) as error:
        raise InvalidMessage("not a JSON-RPC message") from error
    raise InvalidMessage("a request whose id is neither text nor a whole number")


def _empty_error(body: Mapping[str, Any]) -> bool:
    """Whether an error is empty beside a result, as from languages that write every field."""
    error = body["error"]
    empty = not error or (isinstance(error, Mapping) and not any(error.values()))
    return empty and isinstance(body.get("result"), dict)


def _error(error: Any, key: RequestId | None, requests: OpenRequests) -> JSONRPCError:
    if isinstance(error, Mapping):
        code, text = _whole(error.get("code")), error.get("message")
        if code is not None and isinstance(text, str):
            whole = isinstance(error.get("code"), int)
            return _failure(
                key, text, code, error.get("data"), JSONRPCError if whole else MalformedResponse
            )
    if not requests.method(key):
        raise InvalidMessage("a malformed error, to no request that is open")
    if not isinstance(error, Mapping):
        return _failure(key, error if isinstance(error, str) and error.strip() else _compact(error))
    found = (error[name] for name in _WORDS_OF_ERROR if isinstance(error.get(name), str))
    text = next((words for words in found if words.strip()), "it refused and gave no reason")
    code = _whole(error.get("code"))
    if code is None and error.get("code") not in (None, ""):
        text += f" (error {_compact(error['code']).strip(chr(34))[:100]})"
    return _failure(key, text, NO_CODE if code is None else code, error.get("data"))


def _id(value: Any) -> RequestId | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) else None


def _whole(value: Any) -> int | None:
    """Return a code as a number, also if it is written as text."""
    if isinstance(value, str):
        return int(value) if value.strip().lstrip("-").isdecimal() and len(value) < 12 else None
    number = _id(value)
    return number if isinstance(number, int) else None


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = ((bool, "true or false"), (str, "text"), (int | float, "a number"), (list, "a list"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "something else")


def _compact(value: Any) -> str:
    """Return a value as JSON, cut to size."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        text = repr(value)
    return text if len(text) <= 4 * _SHOWN else text[: 4 * _SHOWN] + "…"


# -32000, -32001 and -32700: codes that many servers give to errors of theirs, and the SDK (2.3.0) to its
# own about a closed connection, a time-out and an unreadable answer.
AMBIGUOUS = (CONNECTION_CLOSED, REQUEST_TIMEOUT, PARSE_ERROR)


def move_ambiguous_code(message: JSONRPCMessage) -> None:
    """Move an ambiguous code of a server's own error into its text, in place."""
    if isinstance(message, JSONRPCError) and not isinstance(message, MalformedResponse):
        error = message.error
        if error.code in AMBIGUOUS:
            error.message, error.code = f"{error.message} (error {error.code})", NO_CODE


def message_body(message: JSONRPCMessage) -> dict[str, Any]:
    """Return a message as a JSON object; its content is not copied."""
    body: dict[str, Any] = {"jsonrpc": "2.0"}
    if not isinstance(message, JSONRPCNotification):
        body["id"] = message.id
    if isinstance(message, JSONRPCRequest | JSONRPCNotification):
        body["method"] = message.method
        if message.params is not None:
            body["params"] = message.params
    elif isinstance(message, JSONRPCResponse):
        body["result"] = message.result
    else:
        body["error"] = {"code": message.error.code, "message": message.error.message}
        if message.error.data is not None:
            body["error"]["data"] = message.error.data
    return body
