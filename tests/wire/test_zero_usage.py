"""Usage that a provider leaves out, or tells as nothing, is estimated and says so."""

from __future__ import annotations

from typing import Any

import pytest

from omni_tui.config.model_settings import ModelSpec
from omni_tui.models.base import Reply
from omni_tui.models.litellm import LiteLLMModel
from tests.wire.litellm_fixtures import DONE, KEY, MARKS, chunk, collect, event, serve, warm

__all__ = ["warm"]

pytestmark = MARKS

NOTHING: list[dict[str, Any] | None] = [
    None,
    {},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    {"prompt_tokens": None, "completion_tokens": None},
    {"prompt_tokens": 12, "completion_tokens": 0, "total_tokens": 12},
    {"prompt_tokens": 0, "completion_tokens": 3, "total_tokens": 3},
]


@pytest.mark.parametrize("usage", NOTHING, ids=repr)
async def test_missing_and_zero_usage_is_estimated(usage: dict[str, Any] | None) -> None:
    last = [] if usage is None else [event({**_LAST, "usage": usage})]
    async with serve(
        [chunk({"content": "twelve words and more"}), chunk({}, "stop"), *last, DONE]
    ) as server:
        model = LiteLLMModel(ModelSpec("openai/local", api_base=server.v1, key=KEY), environ={})
        reply = (await collect(model))[-1]
    assert isinstance(reply, Reply)
    assert reply.usage.input > 0
    assert reply.usage.output > 0
    assert reply.usage.estimated


async def test_usage_that_is_told_is_taken_as_it_is() -> None:
    told = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    pieces = [chunk({"content": "x"}), chunk({}, "stop"), event({**_LAST, "usage": told}), DONE]
    async with serve(pieces) as server:
        model = LiteLLMModel(ModelSpec("openai/local", api_base=server.v1, key=KEY), environ={})
        reply = (await collect(model))[-1]
    assert isinstance(reply, Reply)
    assert (reply.usage.input, reply.usage.output, reply.usage.estimated) == (12, 3, False)


_LAST = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
