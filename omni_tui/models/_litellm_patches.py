"""Corrections of LiteLLM and the OpenAI SDK, each for one known fault. Guarded by the wire tests.

Where a library is built differently than expected, its patch only logs a warning.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

logger = logging.getLogger(__name__)

_AS_THEY_ARE = ("messages", "tools")

ours: ContextVar[bool] = ContextVar("ours", default=False)
"""Whether the current request comes from the worker; others are not touched."""


@contextlib.contextmanager
def _expecting(part: str, otherwise: str) -> Iterator[None]:
    try:
        yield
    except (ImportError, AttributeError):
        logger.warning("%s is not as expected; %s", part, otherwise)


def patch_litellm_gemini() -> None:
    """Make LiteLLM report only Gemini's own finish reasons.

    LiteLLM 1.106.2 puts "stop" on every piece of a Gemini answer: one that was cut off would look finished.
    """
    with _expecting("LiteLLM's part for Gemini", "answers cut off may look whole"):
        from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import VertexGeminiConfig

        judged = VertexGeminiConfig._check_finish_reason

        def only_given(message: Any, finish_reason: str | None) -> Any:
            return judged(message, finish_reason) if finish_reason else None

        setattr(VertexGeminiConfig, "_check_finish_reason", staticmethod(only_given))  # noqa: B010


def patch_openai_sdk() -> None:
    """Make OpenAI's SDK leave messages and tools as they are: they are JSON already.

    The SDK (2.54) looks up every message in its type hints before each request, for names and files that it
    would write differently: 0.3 ms a message, with the interpreter's lock held.
    """
    with _expecting("the SDK of OpenAI", "long conversations may take longer"):
        from openai._utils import _transform

        walk = _transform.async_transform

        async def shorter(data: Any, expected_type: object) -> Any:
            if not ours.get() or not isinstance(data, dict):
                return await walk(data, expected_type)
            kept = {key: data[key] for key in _AS_THEY_ARE if _is_plain(data.get(key))}
            # Empty lists keep the places of their keys.
            walked = await walk({**data, **{key: [] for key in kept}}, expected_type)
            return {**walked, **kept}

        setattr(_transform, "async_transform", shorter)  # noqa: B010


def _is_plain(value: object) -> bool:
    return type(value) is list and all(type(each) is dict for each in value)


def patch_litellm_openrouter() -> None:
    """Make LiteLLM read OpenRouter's reasoning from `reasoning_content` too.

    LiteLLM 1.106.2 reads it only from `reasoning` and overwrites `reasoning_content`.
    """
    with _expecting("LiteLLM's part for OpenRouter", "some reasoning may be lost"):
        from litellm.llms.openrouter.chat.transformation import OpenRouterChatCompletionStreamingHandler

        parse = OpenRouterChatCompletionStreamingHandler.chunk_parser

        def with_both(self: Any, chunk: Any) -> Any:
            choices = chunk.get("choices") if isinstance(chunk, dict) else None
            for choice in choices if isinstance(choices, list) else ():
                delta = choice.get("delta") if isinstance(choice, dict) else None
                if (
                    isinstance(delta, dict)
                    and not delta.get("reasoning")
                    and delta.get("reasoning_content")
                ):
                    delta["reasoning"] = delta["reasoning_content"]
            return parse(self, chunk)

        setattr(OpenRouterChatCompletionStreamingHandler, "chunk_parser", with_both)  # noqa: B010
