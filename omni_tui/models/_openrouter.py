"""Reasoning through OpenRouter, in whichever field it comes.

LiteLLM 1.106.2 reads it from `reasoning` alone and overwrites `reasoning_content`, which servers behind
the same protocol send. Guarded by the wire tests.
"""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)


def patch_litellm_openrouter() -> None:
    """Have LiteLLM read both fields; a log line if it is not made as expected."""
    try:
        from litellm.llms.openrouter.chat.transformation import OpenRouterChatCompletionStreamingHandler

        parse = OpenRouterChatCompletionStreamingHandler.chunk_parser
    except (ImportError, AttributeError):
        logger.warning("LiteLLM's part for OpenRouter is not as expected; some reasoning may be lost")
        return

    def with_both(self: Any, chunk: Any) -> Any:
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            if isinstance(delta, dict) and not delta.get("reasoning") and delta.get("reasoning_content"):
                delta["reasoning"] = delta["reasoning_content"]
        return parse(self, chunk)

    setattr(OpenRouterChatCompletionStreamingHandler, "chunk_parser", with_both)  # noqa: B010
