"""Gemini's reason to stop, as it really came.

LiteLLM 1.106.2 puts "stop" on every piece of a Gemini answer, so that one that was cut off by an orderly
end of the stream looks finished. Here a piece without a reason has none. Guarded by the wire tests.
"""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)


def patch_litellm_gemini() -> None:
    """Have LiteLLM report only reasons that Gemini gave; a log line if it is not made as expected."""
    try:
        from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import VertexGeminiConfig

        judged = VertexGeminiConfig._check_finish_reason
    except (ImportError, AttributeError):
        logger.warning("LiteLLM's part for Gemini is not as expected; answers cut off may look whole")
        return

    def only_given(message: Any, finish_reason: str | None) -> Any:
        return judged(message, finish_reason) if finish_reason else None

    setattr(VertexGeminiConfig, "_check_finish_reason", staticmethod(only_given))  # noqa: B010
