"""Requests through OpenAI's SDK, without its walk through every message.

Before each request the SDK (2.54) looks every message up in its type hints, for names and files that it
would have to write differently. A chat request has none, so that nothing comes of it but time: 0.3 ms a
message, with the interpreter's lock held. Messages and tools of `to_wire` are JSON already and are left
as they are. Guarded by the wire tests, which compare the two.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

logger = logging.getLogger(__name__)

_AS_THEY_ARE = ("messages", "tools")

ours: ContextVar[bool] = ContextVar("ours", default=False)
"""Whether the request that is being made comes from the worker: nobody else's are touched."""


def patch_openai_sdk() -> None:
    """Have the SDK leave what is JSON already; a log line if it is not made as expected."""
    try:
        from openai._utils import _transform

        walk = _transform.async_transform
    except (ImportError, AttributeError):
        logger.warning("the SDK of OpenAI is not as expected; long conversations may take longer")
        return

    async def shorter(data: Any, expected_type: object) -> Any:
        if not ours.get() or not isinstance(data, dict):
            return await walk(data, expected_type)
        kept = {key: data[key] for key in _AS_THEY_ARE if _is_plain(data.get(key))}
        # Empty lists keep their keys' places.
        walked = await walk({**data, **{key: [] for key in kept}}, expected_type)
        return {**walked, **kept}

    setattr(_transform, "async_transform", shorter)  # noqa: B010


def _is_plain(value: object) -> bool:
    return type(value) is list and all(type(each) is dict for each in value)
