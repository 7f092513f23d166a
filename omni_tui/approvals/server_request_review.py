"""Checks a server request before the person sees it: warnings and refusals.

Source: MCP 2025-11-25, client/elicitation, "Security considerations": no form may ask for secrets, a
URL is shown whole and nothing is fetched from it before the person agrees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from omni_tui.models.base import Message
from omni_tui.servers.auth.urls import UrlOrigin, authorize_problem
from omni_tui.servers.server_request_types import ServerRequest

MAX_FIELDS = 100
MAX_MESSAGES = 200
MAX_TEXT = 40_000
"""Longest sampling request that is taken, in characters of all its messages: it is shown whole."""

_SECRET = re.compile(
    r"(?<![a-z])(?:pass(?:word|wd|phrase|code)?|pwd|secrets?|api ?key|access ?key|private ?key"
    r"|(?:access |auth |bearer |refresh |api |session |security )?token|credentials?|cvv|cvc|csc"
    r"|pin(?: code)?|otp|one time (?:code|password)|mfa|2fa|ssn|social security"
    r"|(?:credit |debit )?card number|iban|seed phrase|mnemonic)(?![a-z])"
)


@dataclass(frozen=True, slots=True)
class ServerRequestReview:
    """`why`: what the person should know first. `refused`: why it cannot be accepted, "" if it can."""

    why: tuple[str, ...] = ()
    refused: str = ""
    host: str = ""


class InvalidServerRequest(Exception):
    """A server request that cannot be answered, with the reason."""


def review_server_request(ask: ServerRequest) -> ServerRequestReview:
    """Review a server request by its content."""
    if ask.kind == "form":
        return _judge_form(ask.body)
    if ask.kind == "url":
        return _judge_page(str(ask.body.get("url", "")))
    try:
        sampling_messages(ask.body)
    except InvalidServerRequest as trouble:
        return ServerRequestReview(refused=str(trouble))
    return ServerRequestReview()


# --- forms --------------------------------------------------------------------------------------


def _judge_form(schema: dict[str, Any]) -> ServerRequestReview:
    properties = schema.get("properties")
    if schema.get("type", "object") != "object" or not isinstance(properties, dict | None):
        return ServerRequestReview(refused="what it asks for is not a form")
    if len(properties or {}) > MAX_FIELDS:
        return ServerRequestReview(refused=f"its form has more than {MAX_FIELDS} fields")
    if secret := next(secret_fields(schema), ""):
        return ServerRequestReview(
            refused=f"it asks for a secret ({secret}); the protocol forbids that in forms"
        )
    return ServerRequestReview()


def secret_fields(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the names of free text or number fields that ask for a secret."""
    properties = schema.get("properties")
    for name, field in properties.items() if isinstance(properties, dict) else ():
        field = field if isinstance(field, dict) else {}
        if field.get("type") in ("boolean", "array") or field.keys() & {"enum", "oneOf", "anyOf", "const"}:
            continue
        if _is_secret(str(name), field):
            yield str(name)


def _is_secret(name: str, field: dict[str, Any]) -> bool:
    if field.get("format") == "password" or field.get("writeOnly") is True:
        return True
    if any(_SECRET.search(_words(str(text))) for text in (name, field.get("title") or "")):
        return True
    return field.get("type", "string") == "string" and _asks(str(field.get("description") or ""))


def _words(text: str) -> str:
    """Return a name in small letters with its words apart: `apiKey` and `api_key` are `api key`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return " ".join(re.split(r"[\W_]+", apart)).lower()


def _asks(description: str) -> bool:
    """Whether a description asks to enter a secret, not just mentions one."""
    words = _words(description)
    found = re.search(r"(?:enter|type|give|provide|paste|your) (?:\w+ ){0,3}", words)
    return found is not None and _SECRET.search(words, found.start()) is not None


# --- pages --------------------------------------------------------------------------------------


def _judge_page(url: str) -> ServerRequestReview:
    if problem := authorize_problem(url):
        return ServerRequestReview(refused=problem.replace("the sign-in page", "the page"))
    origin = UrlOrigin.of(url)
    why = []
    if "xn--" in origin.host:
        why.append(f"its host name has letters that may look like others: {_decoded(origin.host)}")
    if re.fullmatch(r"[0-9.]+|.*:.*", origin.host):
        why.append("its host is an IP address, not a name")
    if origin.port not in (80, 443):
        why.append(f"it uses the unusual port {origin.port}")
    if urlsplit(url).query:
        why.append("its URL carries data of the server: what follows the ? goes to that host")
    return ServerRequestReview(tuple(why), host=origin.host)


def _decoded(host: str) -> str:
    try:
        return host.encode("ascii").decode("idna")
    except UnicodeError:
        return host


# --- sampling -----------------------------------------------------------------------------------


def sampling_messages(body: dict[str, Any]) -> tuple[Message, ...]:
    """Return the messages that a sampling request sends to the model. Raises `InvalidServerRequest`.

    Source: MCP 2025-11-25, client/sampling. Tools are not advertised; images and audio are not sent.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidServerRequest("the request has no messages")
    if len(messages) > MAX_MESSAGES:
        raise InvalidServerRequest(f"the request has more than {MAX_MESSAGES} messages")
    system = body.get("systemPrompt")
    made = [Message(role="system", text=system)] if isinstance(system, str) and system else []
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise InvalidServerRequest("a message has a role other than user or assistant")
        made.append(Message(role=message["role"], text=_text(message.get("content"))))
    if body.get("tools"):
        raise InvalidServerRequest("it wants the model to call its own tools, which is not supported")
    if sum(len(message.text) for message in made) > MAX_TEXT:
        raise InvalidServerRequest(f"the request has more than {MAX_TEXT:,} characters")
    return tuple(made)


def _text(content: object) -> str:
    blocks = content if isinstance(content, list) else [content]
    texts = []
    for block in blocks:
        if not isinstance(block, dict) or block.get("type") != "text" or not isinstance(
            block.get("text"), str
        ):  # fmt: skip
            kind = block.get("type", "something else") if isinstance(block, dict) else "something else"
            raise InvalidServerRequest(f"a message holds {str(kind)[:40]}; only text is sent to the model")
        texts.append(block["text"])
    return "\n".join(texts)


def requested_tokens(body: dict[str, Any]) -> int:
    """Return the length of answer that a sampling request asks for, in tokens.

    Raises `InvalidServerRequest`.
    """
    wanted = body.get("maxTokens")
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise InvalidServerRequest("maxTokens must be a whole number above 0")
    return wanted


def cut_at(text: str, body: dict[str, Any]) -> tuple[str, bool]:
    """Return an answer up to the first of the request's stop sequences, and whether it held one."""
    stops = body.get("stopSequences")
    places = [
        text.find(stop)
        for stop in (stops if isinstance(stops, list) else ())
        if isinstance(stop, str) and stop and stop in text
    ]
    return (text[: min(places)], True) if places else (text, False)
