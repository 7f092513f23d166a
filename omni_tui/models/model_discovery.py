"""Find models that could be used: by API keys in the environment, and on model servers of this machine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from omni_tui.models.model_facts import ModelServer

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
"""The environment variables with each provider's key, by LiteLLM's prefix."""

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
    """A model that could be used: its name, how it was found, and whether it costs money."""

    model: str
    because: str
    costs_money: bool


def key_in(provider: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and value of the variable with a provider's key; both "" if there is none."""
    for name in PROVIDER_KEYS.get(provider, ()):
        if value := environ.get(name, "").strip():
            return name, value
    return "", ""


def suggest_all(environ: Mapping[str, str]) -> list[ModelSuggestion]:
    """Return every model whose key is in the environment. Names variables, never their values."""
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
    """A model server: LiteLLM's prefix, its usual port, and the path of its list of models."""

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
"""None of these prefixes leads to a service on the network."""

LOCAL_BASES = {
    "lm_studio": ("LM_STUDIO_API_BASE", "http://127.0.0.1:1234/v1"),
    "llamafile": ("LLAMAFILE_API_BASE", "http://127.0.0.1:8080/v1"),
    "hosted_vllm": ("HOSTED_VLLM_API_BASE", "http://127.0.0.1:8000/v1"),
}
"""By provider: the variable that sets its address, and the default."""

LOOK_S = 0.3
_LARGEST = 256 * 1024
_MOST = 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,150}")


async def find_local_models(
    servers: Sequence[LocalModelServer] = LOCAL_SERVERS, *, timeout_s: float = LOOK_S
) -> list[ModelSuggestion]:
    """List the models of the model servers on this machine; ignore unexpected answers.

    Sends one request to each, at the same time, on the loopback address.
    """
    found = await asyncio.gather(*(_ask(server, timeout_s) for server in servers))
    return [suggestion for suggestions in found for suggestion in suggestions]


async def _ask(server: LocalModelServer, timeout_s: float) -> list[ModelSuggestion]:
    address = f"http://127.0.0.1:{server.port}"
    try:
        async with asyncio.timeout(timeout_s):
            names = _names(await ModelServer(address, largest=_LARGEST).json(server.path))
    except (OSError, ValueError, RecursionError):
        return []
    because = f"{server.name} on this machine (port {server.port})"
    return [ModelSuggestion(f"{server.provider}/{name}", because, costs_money=False) for name in names]


def _names(value: dict[str, Any]) -> list[str]:
    """Return the names in a list of models of Ollama or OpenAI; only those that are safe to show."""
    listed = value.get("models", value.get("data"))
    names: list[str] = []
    for entry in listed if isinstance(listed, list) else []:
        name = entry.get("name", entry.get("id")) if isinstance(entry, dict) else None
        if isinstance(name, str) and _NAME.fullmatch(name) and "embed" not in name.lower():
            names.append(name)
    return list(dict.fromkeys(names))[:_MOST]
