"""Turns answers of authorisation servers, as they really come, into what the SDK reads.

Each function repairs one thing that the SDK (2.3.0) refuses although its meaning is clear, and can be
removed once the SDK accepts it. No answer becomes valid that names another server or no token.
"""

from __future__ import annotations

import json
import math
from typing import Any
from urllib.parse import parse_qsl

import httpx2

from omni_tui.servers.auth.urls import same_issuer

_FORM = "application/x-www-form-urlencoded"
_FRAMING = ("content-length", "content-encoding", "transfer-encoding", "content-type")
_LONGEST_LIFETIME = 10 * 365 * 86_400
_LONGEST_WORDS = 4096


def normalised(request: httpx2.Request, response: httpx2.Response, issuer: str) -> httpx2.Response:
    """Return an answer in the SDK's form. `issuer`: whose metadata is requested, "" if unknown."""
    if response.status_code not in (200, 201):
        return response
    if request.method == "GET":
        return _metadata(response, issuer)
    if request.headers.get("content-type", "").startswith(_FORM):
        return _token(response)
    return response


def without_scope(request: httpx2.Request, response: httpx2.Response) -> httpx2.Request | None:
    """Return a registration that was refused for its scope without the scope, else None.

    The sign-in itself asks for the scopes again, where the person sees them.
    """
    if request.method != "POST" or not 400 <= response.status_code < 500:
        return None
    asked = json_object(request.content)
    if asked is None or "redirect_uris" not in asked or not asked.get("scope"):
        return None
    if b"scope" not in response.content[:_LONGEST_WORDS].lower():
        return None
    del asked["scope"]
    return httpx2.Request("POST", request.url, json=asked, headers={"Content-Type": "application/json"})


def _metadata(response: httpx2.Response, issuer: str) -> httpx2.Response:
    """Drop empty members, and write the issuer as it was requested."""
    body = json_object(response.content)
    if body is None:
        return response
    kept = _without_empty(body)
    named = kept.get("issuer")
    if isinstance(named, str) and issuer and same_issuer(named, issuer):
        kept["issuer"] = issuer
    return response if kept == body else _instead(response, 200, kept)


def _token(response: httpx2.Response) -> httpx2.Response:
    """Accept a token answer as a form (GitHub without `Accept`), with fractions, or an error with 200."""
    body = json_object(response.content) or _form(response.content)
    if not body:
        return response
    if not body.get("access_token") and isinstance(body.get("error"), str):
        return _instead(response, 400, body)
    kept = _without_empty(body)
    if "expires_in" in kept:
        lifetime = _seconds(kept.pop("expires_in"))
        if lifetime is not None:
            kept["expires_in"] = lifetime
    if isinstance(kept.get("scope"), list):
        kept["scope"] = " ".join(str(each) for each in kept["scope"])
    return _instead(response, 200, kept)


def _seconds(value: object) -> int | None:
    """Return a token's lifetime in whole seconds, None if it is invalid."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(min(max(number, 0), _LONGEST_LIFETIME)) if math.isfinite(number) else None


def _form(content: bytes) -> dict[str, Any] | None:
    """Return a form-encoded token answer, None if it is not one."""
    try:
        fields = dict(parse_qsl(content.decode("ascii"), strict_parsing=True, max_num_fields=50))
    except (UnicodeDecodeError, ValueError):
        return None
    return fields if {"access_token", "error"} & fields.keys() else None


def json_object(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a body, None if there is none."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _without_empty(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None and value != ""}


def _instead(response: httpx2.Response, status: int, body: dict[str, Any]) -> httpx2.Response:
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in _FRAMING]
    return httpx2.Response(status, headers=headers, json=body, request=response.request)
