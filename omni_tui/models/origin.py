"""The origin of an answer: the place that wrote it, which alone gets its reasoning back.

Some providers require their plain reasoning back after a call; a signed thought is refused by everyone but
its signer. An answer carries its origin, and its thoughts are left out when the conversation continues
elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from omni_tui.models.base import Message

ONE_MAKER = frozenset({"deepseek", "moonshot", "zai", "minimax", "xai"})
"""Providers of a single maker, which accept the reasoning of any of their models."""

SIGNATURE = "__thought__"
"""LiteLLM's separator between the id of a Gemini call and the signature of its thought."""

_OPENAI = "api.openai.com"
_TAKES_NO_REASONING = frozenset(
    {
        "anthropic", "azure", "bedrock", "cerebras", "cohere", "cohere_chat", "gemini", "groq", "mistral",
        "perplexity", "sambanova", "vertex_ai", "vertex_ai_beta",
    }
)  # fmt: skip
"""Providers that refuse `reasoning_content` in a request or use another field."""


def origin_of(name: str, provider: str, address: str = "") -> str:
    """Return the origin in one line: provider, address and model, each without spaces."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    place = f"{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}".lower() or "-"
    model = name.strip().removeprefix(f"{provider}/")
    return " ".join(part.replace(" ", "_") for part in (provider or "-", place, model))


def is_same_family(one: str, other: str) -> bool:
    """Whether plain reasoning from one origin may be sent to another: the same, or of the same maker."""
    if not one or not other:
        return False
    if one == other:
        return True
    provider = one.partition(" ")[0]
    return provider in ONE_MAKER and one.rpartition(" ")[0] == other.rpartition(" ")[0]


def is_elsewhere(address: str) -> bool:
    """Whether the address is a server of OpenAI's protocol other than OpenAI."""
    return bool(address) and _OPENAI not in address.lower()


def takes_reasoning(provider: str, address: str = "") -> bool:
    """Whether a provider accepts `reasoning_content`, unless its quirks say otherwise."""
    if provider == "openai":
        return is_elsewhere(address)
    return provider not in _TAKES_NO_REASONING


def returned(messages: Sequence[Message], here: str) -> list[Message]:
    """Return the messages without thoughts of other origins than `here`."""
    out: list[Message] = []
    for message in messages:
        if message.thinking and not (here and message.origin == here):
            message = msgspec.structs.replace(message, thinking=())
        if message.reasoning and not is_same_family(message.origin, here):
            message = msgspec.structs.replace(message, reasoning="")
        out.append(message)
    return out


def unsigned_id(ident: str) -> str:
    """Return the id of a call without LiteLLM's signature in it."""
    return ident.partition(SIGNATURE)[0]
