"""Where an answer came from, and what of it may go back there: reasoning is returned to its maker only.

A provider that thinks in the open wants its reasoning back behind a call; a signed thought is refused
everywhere but where it was signed. So an answer carries the place it came from, and whatever belongs to
that place alone is left out when the conversation goes on somewhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from omni_tui.models.base import Message

ONE_MAKER = frozenset({"deepseek", "moonshot", "zai", "minimax", "xai"})
"""Providers whose models all come from one house, which takes the reasoning of each for that of any."""

SIGNATURE = "__thought__"
"""What LiteLLM puts between the id of a Gemini call and the signature of the thought that led to it."""

_OPENAI = "api.openai.com"
_TAKES_NO_REASONING = frozenset(
    {
        "anthropic", "azure", "bedrock", "cerebras", "cohere", "cohere_chat", "gemini", "groq", "mistral",
        "perplexity", "sambanova", "vertex_ai", "vertex_ai_beta",
    }
)  # fmt: skip
"""Providers that refuse `reasoning_content` in a request, or that have another way of their own."""


def origin_of(name: str, provider: str, address: str = "") -> str:
    """Return the place that answers in one line: provider, address and model, no space within them."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    place = f"{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}".lower() or "-"
    model = name.strip().removeprefix(f"{provider}/")
    return " ".join(part.replace(" ", "_") for part in (provider or "-", place, model))


def is_same_family(one: str, other: str) -> bool:
    """Whether plain reasoning from one place may be sent to another: the same, or another of its house."""
    if not one or not other:
        return False
    if one == other:
        return True
    provider = one.partition(" ")[0]
    return provider in ONE_MAKER and one.rpartition(" ")[0] == other.rpartition(" ")[0]


def is_elsewhere(address: str) -> bool:
    """Whether OpenAI's protocol is spoken there by somebody else."""
    return bool(address) and _OPENAI not in address.lower()


def takes_reasoning(provider: str, address: str = "") -> bool:
    """Whether a provider takes `reasoning_content` back, before anything else was found out."""
    if provider == "openai":
        return is_elsewhere(address)
    return provider not in _TAKES_NO_REASONING


def returned(messages: Sequence[Message], here: str) -> list[Message]:
    """Return the messages without the thoughts that belong to another place than `here`."""
    return [_returned(message, here) for message in messages]


def _returned(message: Message, here: str) -> Message:
    changes: dict[str, object] = {}
    if message.thinking and not (here and message.origin == here):
        changes["thinking"] = ()
    if message.reasoning and not is_same_family(message.origin, here):
        changes["reasoning"] = ""
    return msgspec.structs.replace(message, **changes) if changes else message


def unsigned_id(ident: str) -> str:
    """Return the id of a call without the signature that LiteLLM hides in it."""
    return ident.partition(SIGNATURE)[0]
