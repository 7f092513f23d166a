"""Messages in LiteLLM's form, with the ids, images and thoughts that each provider accepts."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from omni_tui.models._answer_assembler import DETAILS, SIGNED_TEXT
from omni_tui.models.base import Message, ToolCall
from omni_tui.models.origin import returned, unsigned_id
from omni_tui.security.text import encodable

MOST_IMAGES = 8
"""The most images in one request; of more, the newest are sent."""
IMAGE_TOKENS = 1_600
"""Estimated tokens of an image: Anthropic's maximum; others take less."""

EMPTY = "(empty)"
NO_REASONING = " "
"""The shortest text that a provider accepts as reasoning that it did not write."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_MISTRAL_ID = re.compile(r"[A-Za-z0-9]{9}")
GEMINI = frozenset({"gemini", "vertex_ai", "vertex_ai_beta"})

Arguments = Callable[[ToolCall], str]
"""Returns the arguments of a call as its model wrote them."""


def to_litellm(
    messages: Sequence[Message],
    provider: str,
    model: str,
    *,
    images: bool = False,
    here: str = "",
    reasoning: bool = False,
    fill: bool = False,
    arguments: Arguments | None = None,
) -> list[dict[str, Any]]:
    """Return closed messages in LiteLLM's form.

    Thoughts go back unchanged, but only to `here`, where they came from. With `reasoning`, plain thoughts
    are sent too; with `fill`, other answers get a blank. Call ids that the provider would refuse are
    replaced, in call and result alike, and none is used twice. Images are sent if the model takes `images`,
    those of results only to the models that accept them there; a line replaces each image that is left out.
    """
    claude = provider == "anthropic" or "claude" in model.lower()
    if provider in GEMINI:
        messages = _without_twins(messages)
    messages = returned(messages, here)
    ids = _Ids(provider, here)
    pictures = _Pictures(messages, images=images, in_results=claude)
    out: list[dict[str, Any]] = []
    for message in messages:
        content = pictures.content(message)
        if message.role == "tool":
            ident = ids.result(message.call_id)
            out.append({"role": "tool", "tool_call_id": ident, "content": content or EMPTY})
            continue
        wire: dict[str, Any] = {"role": message.role, "content": content or EMPTY}
        if message.calls:
            wire["content"] = encodable(message.text) if message.text.strip() else None
            named = zip(message.calls, ids.calls(message), strict=True)
            wire["tool_calls"] = [_call(call, ident, arguments) for call, ident in named]
        if message.role == "assistant":
            wire |= _thoughts(message, provider, claude=claude, reasoning=reasoning, fill=fill)
        out.append(wire)
    return out


def _thoughts(
    message: Message, provider: str, *, claude: bool, reasoning: bool, fill: bool
) -> dict[str, Any]:
    """Return the thoughts of a message to send back, in the provider's fields."""
    details = [dict(block) for block in message.thinking if _kind(block).startswith(DETAILS)]
    if details and provider == "openrouter":
        return {"reasoning_details": details}
    if provider in GEMINI:
        signed = [block["signature"] for block in message.thinking if _kind(block) == SIGNED_TEXT]
        return {"provider_specific_fields": {"thought_signatures": signed}} if signed else {}
    blocks = [dict(block) for block in message.thinking if "thinking" in _kind(block)]
    if claude and blocks:
        return {"thinking_blocks": blocks}
    if reasoning and (message.reasoning or fill):
        return {"reasoning_content": encodable(message.reasoning) or NO_REASONING}
    return {}


def _kind(block: dict[str, Any]) -> str:
    return str(block.get("type", ""))


def _without_twins(messages: Sequence[Message]) -> list[Message]:
    """Leave out repeated calls of one message, and their results.

    LiteLLM sends one of them to Gemini but both results, and Gemini requires equal numbers.
    """
    out: list[Message] = []
    dropped: set[str] = set()
    for message in messages:
        if message.role == "tool" and message.call_id in dropped:
            continue
        if message.calls:
            seen = {(call.name, call.arguments): call for call in reversed(message.calls)}
            kept = tuple(call for call in message.calls if seen[call.name, call.arguments] is call)
            dropped = {call.id for call in message.calls} - {call.id for call in kept}
            message = msgspec.structs.replace(message, calls=kept)
        out.append(message)
    return out


# --- images -----------------------------------------------------------------------------------


class _Pictures:
    """Chooses the images of a conversation to send: the newest that the model accepts."""

    def __init__(self, messages: Sequence[Message], *, images: bool, in_results: bool) -> None:
        self._images = images
        self._in_results = in_results
        total = sum(len(message.images) for message in messages if self._may(message))
        self._old = max(0, total - MOST_IMAGES)

    def _may(self, message: Message) -> bool:
        return self._images and (message.role == "user" or (message.role == "tool" and self._in_results))

    def content(self, message: Message) -> str | list[dict[str, Any]]:
        words = encodable(message.text)
        if not message.images:
            return words if words.strip() else ""
        if not self._may(message):
            where = " in results" if self._images else ""
            return words + _left_out(len(message.images), f"this model takes none{where}")
        old = min(self._old, len(message.images))
        self._old -= old
        text = words + (_left_out(old, "only the newest are sent") if old else "")
        parts: list[dict[str, Any]] = [{"type": "text", "text": text or "(a picture)"}]
        for image in message.images[old:]:
            url = f"data:{image.mime};base64,{image.data}"
            parts.append({"type": "image_url", "image_url": {"url": url}})
        return parts if len(parts) > 1 else text


def _left_out(count: int, why: str) -> str:
    return f"\n[Omni TUI: {count} picture{'s were' if count > 1 else ' was'} left out here: {why}]"


# --- calls ------------------------------------------------------------------------------------


def _call(call: ToolCall, ident: str, arguments: Arguments | None) -> dict[str, Any]:
    text = arguments(call) if arguments is not None else call.arguments
    function = {"name": litellm_name(call.name), "arguments": encodable(text).strip() or "{}"}
    return {"id": ident, "type": "function", "function": function}


def litellm_name(name: str) -> str:
    """Return the name of a call as a provider accepts it; a model may have made up any name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unnamed"


class _Ids:
    """The ids of calls as one provider accepts them, each unique."""

    def __init__(self, provider: str, here: str) -> None:
        self._provider = provider
        self._here = here
        self._used: set[str] = set()
        self._open: dict[str, deque[str]] = {}

    def calls(self, message: Message) -> list[str]:
        self._open.clear()
        own = bool(self._here) and message.origin == self._here
        return [self._named(call.id, own=own) for call in message.calls]

    def result(self, ident: str) -> str:
        waiting = self._open.get(ident)
        return waiting.popleft() if waiting else self._fitting(unsigned_id(ident))

    def _named(self, ident: str, *, own: bool) -> str:
        # Gemini requires the signature in its own ids; others refuse it.
        own = own and self._provider in GEMINI
        name = ident if own else self._fitting(unsigned_id(ident))
        number = 1
        while name in self._used or not name:
            number += 1
            name = self._hashed(f"{ident}\0{number}")
        self._used.add(name)
        self._open.setdefault(ident, deque()).append(name)
        return name

    def _fitting(self, ident: str) -> str:
        fits = _MISTRAL_ID if self._provider == "mistral" else _ID
        return ident if fits.fullmatch(ident) or self._provider in GEMINI else self._hashed(ident)

    def _hashed(self, ident: str) -> str:
        digest = hashlib.sha256(ident.encode(errors="surrogatepass")).hexdigest()
        return digest[:9] if self._provider == "mistral" else f"call_{digest[:24]}"
