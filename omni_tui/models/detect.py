"""Which model this machine could use, judged by the keys in the environment. Never chosen unasked."""

from __future__ import annotations

from collections.abc import Mapping
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


class Suggestion(NamedTuple):
    """A model that could be used: its name, which variable speaks for it, and whether it costs money."""

    model: str
    because: str
    costs_money: bool


def suggest(environ: Mapping[str, str]) -> Suggestion | None:
    """Return the model that the environment speaks for, None if nothing does.

    It is for showing: whoever uses it asks the person first where it costs money. Only the names of
    variables are ever told, never their values.
    """
    for provider, model in _EXAMPLES.items():
        for key in PROVIDER_KEYS[provider]:
            if environ.get(key, "").strip():
                return Suggestion(model, f"{key} is set", costs_money=True)
    if environ.get("OLLAMA_HOST", "").strip():
        return Suggestion("ollama_chat/qwen3", "OLLAMA_HOST is set", costs_money=False)
    return None


def key_in(provider: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and value of the variable that holds a provider's key; both "" if there is none."""
    for name in PROVIDER_KEYS.get(provider, ()):
        if value := environ.get(name, "").strip():
            return name, value
    return "", ""
