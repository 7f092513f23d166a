"""Which models could be used: by keys in the environment, and by servers on this machine. Never unasked."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

PROVIDER_KEYS: dict[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "openrouter": ("OPENROUTER_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "cohere": ("COHERE_API_KEY",),
    "cohere_chat": ("COHERE_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
    "azure": ("AZURE_API_KEY",),
}
"""The variables each provider's key is read from, by LiteLLM's prefix."""

_EXAMPLES = {
    "anthropic": "anthropic/claude-sonnet-4-5",
    "openai": "openai/gpt-5",
    "gemini": "gemini/gemini-2.5-flash",
    "openrouter": "openrouter/anthropic/claude-sonnet-4.5",
    "mistral": "mistral/mistral-large-latest",
    "groq": "groq/llama-3.3-70b-versatile",
    "deepseek": "deepseek/deepseek-chat",
    "xai": "xai/grok-4",
}


class ModelSuggestion(NamedTuple):
    """A model that could be used: its name, which variable speaks for it, and whether it costs money."""

    model: str
    because: str
    costs_money: bool


def suggest(environ: Mapping[str, str]) -> ModelSuggestion | None:
    """Return the model that the environment speaks for, None if nothing does.

    It is for showing: whoever uses it asks the person first where it costs money. Only the names of
    variables are ever told, never their values.
    """
    for provider, model in _EXAMPLES.items():
        for key in PROVIDER_KEYS[provider]:
            if environ.get(key, "").strip():
                return ModelSuggestion(model, f"{key} is set", costs_money=True)
    if environ.get("OLLAMA_HOST", "").strip():
        return ModelSuggestion("ollama_chat/qwen3", "OLLAMA_HOST is set", costs_money=False)
    return None


def key_in(provider: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and value of the variable that holds a provider's key; both "" if there is none."""
    for name in PROVIDER_KEYS.get(provider, ()):
        if value := environ.get(name, "").strip():
            return name, value
    return "", ""


def suggest_all(environ: Mapping[str, str]) -> list[ModelSuggestion]:
    """Return every model that the environment speaks for; see `suggest`."""
    found = [
        ModelSuggestion(model, f"{key} is set", costs_money=True)
        for provider, model in _EXAMPLES.items()
        if (key := key_in(provider, environ)[0])
    ]
    if environ.get("OLLAMA_HOST", "").strip():
        found.append(ModelSuggestion("ollama_chat/qwen3", "OLLAMA_HOST is set", costs_money=False))
    return found


# --- servers on this machine ------------------------------------------------------------------


class LocalModelServer(NamedTuple):
    """A model server as it is usually found: LiteLLM's prefix, its port, where it lists its models."""

    name: str
    provider: str
    port: int
    path: str


LOCAL_SERVERS = (
    LocalModelServer("Ollama", "ollama_chat", 11434, "/api/tags"),
    LocalModelServer("LM Studio", "lm_studio", 1234, "/v1/models"),
    LocalModelServer("llama.cpp", "llamafile", 8080, "/v1/models"),
    LocalModelServer("vLLM", "hosted_vllm", 8000, "/v1/models"),
)
"""Each under a prefix of its own that never leads to a service on the network."""

LOCAL_BASES = {
    "lm_studio": ("LM_STUDIO_API_BASE", "http://127.0.0.1:1234/v1"),
    "llamafile": ("LLAMAFILE_API_BASE", "http://127.0.0.1:8080/v1"),
    "hosted_vllm": ("HOSTED_VLLM_API_BASE", "http://127.0.0.1:8000/v1"),
}
"""Where a local provider is asked if nothing is set: the variable that says otherwise, the address."""

LOOK_S = 0.3
_LARGEST = 256 * 1024
_MOST = 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,150}")


async def look_around(
    servers: Sequence[LocalModelServer] = LOCAL_SERVERS, *, timeout_s: float = LOOK_S
) -> list[ModelSuggestion]:
    """Ask the usual ports of this machine for models; what does not answer as expected is passed over.

    One request for a list to each, on the loopback address, side by side; nothing is generated.
    """
    found = await asyncio.gather(*(_ask(server, timeout_s) for server in servers))
    return [suggestion for suggestions in found for suggestion in suggestions]


async def _ask(server: LocalModelServer, timeout_s: float) -> list[ModelSuggestion]:
    try:
        async with asyncio.timeout(timeout_s):
            body = await _get(server.port, server.path)
        names = _names(json.loads(body))
    except (OSError, TimeoutError, ValueError, RecursionError, asyncio.IncompleteReadError):
        return []
    because = f"{server.name} on this machine (port {server.port})"
    return [ModelSuggestion(f"{server.provider}/{name}", because, costs_money=False) for name in names]


async def _get(port: int, path: str) -> bytes:
    """Return the body of an answer with status 200. Raises `OSError`, `ValueError`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LARGEST)
    try:
        # HTTP/1.0, so that the answer ends with the connection and comes in one piece.
        request = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n\r\n"
        writer.write(request.encode())
        await writer.drain()
        answer = bytearray()
        while len(answer) <= _LARGEST and (piece := await reader.read(65_536)):
            answer += piece
    finally:
        writer.close()
    head, found, body = bytes(answer).partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if not found or len(answer) > _LARGEST or status[1:2] != [b"200"]:
        raise ValueError("no list of models")
    return body


def _names(value: object) -> list[str]:
    """Return the models of a list in Ollama's or OpenAI's shape; only names that are safe as they are."""
    if not isinstance(value, dict):
        return []
    listed = value.get("models", value.get("data"))
    names: list[str] = []
    for entry in listed if isinstance(listed, list) else []:
        name = entry.get("name", entry.get("id")) if isinstance(entry, dict) else None
        if isinstance(name, str) and _NAME.fullmatch(name) and "embed" not in name.lower():
            names.append(name)
    return list(dict.fromkeys(names))[:_MOST]
