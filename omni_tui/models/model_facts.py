"""What is known of models without asking anybody: window, prices, pictures, from LiteLLM's own table.

The table is a file of the installed package; reading it imports nothing and takes about 25 ms, once.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from pathlib import Path
from typing import Any

import msgspec

from omni_tui.config.model_settings import provider_of

logger = logging.getLogger(__name__)

_FILE = "model_prices_and_context_window_backup.json"
FREE = frozenset({"ollama", "ollama_chat", "lm_studio", "llamafile", "hosted_vllm"})
"""Providers that run on a machine of the person's own."""


class ModelFacts(msgspec.Struct, frozen=True):
    """Tokens of the window, US dollars for one token, whether pictures are taken; None is not known."""

    window: int | None = None
    input_price: float | None = None
    output_price: float | None = None
    images: bool | None = None


class _Entry(msgspec.Struct):
    # LiteLLM writes words where a number is not known.
    max_input_tokens: Any = None
    max_tokens: Any = None
    input_cost_per_token: Any = None
    output_cost_per_token: Any = None
    supports_vision: Any = None
    mode: Any = None


_lock = threading.Lock()
_table: dict[str, _Entry] | None = None


def facts_of(name: str) -> ModelFacts:
    """Return what is known of a model by LiteLLM's name for it; all None for one that is not listed."""
    table = _read()
    entry = table.get(name) or table.get(name.partition("/")[2])
    if entry is None or entry.mode not in (None, "chat", "completion", "responses"):
        return ModelFacts()
    window = next((n for n in (entry.max_input_tokens, entry.max_tokens) if _is_count(n)), None)
    free = provider_of(name) in FREE
    return ModelFacts(
        window=window,
        input_price=0.0 if free else _price(entry.input_cost_per_token),
        output_price=0.0 if free else _price(entry.output_cost_per_token),
        images=entry.supports_vision if isinstance(entry.supports_vision, bool) else None,
    )


def _read() -> dict[str, _Entry]:
    global _table
    with _lock:
        if _table is None:
            _table = _load()
        return _table


def _load() -> dict[str, _Entry]:
    found = importlib.util.find_spec("litellm")
    for folder in (found.submodule_search_locations or ()) if found else ():
        try:
            return msgspec.json.decode((Path(folder) / _FILE).read_bytes(), type=dict[str, _Entry])
        except (OSError, msgspec.DecodeError):
            logger.warning("LiteLLM's table of models cannot be read", exc_info=True)
    return {}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _price(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return float(value)
