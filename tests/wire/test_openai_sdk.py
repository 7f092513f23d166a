"""OpenAI's SDK leaves our messages as they are; what it would have made of them is the same."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from omni_tui.models import _litellm_patches
from omni_tui.models._worker import ensure_litellm, the_worker
from omni_tui.models.base import Image, Message, ModelRequest, ToolCall
from omni_tui.models.litellm_messages import to_litellm
from omni_tui.models.litellm_tools import LiteLLMTools
from tests.wire.double import Say, double
from tests.wire.litellm_fixtures import ADD, MARKS, warm

__all__ = ["warm"]

pytestmark = MARKS

CALL = ToolCall("call_1", "demo__add", '{"a": 1, "b": 2}')
TALK = (
    Message(role="system", text="Be brief."),
    Message(role="user", text="What is this?", images=(Image(mime="image/png", data="aGVsbG8="),)),
    Message(
        role="assistant", text="I add.", calls=(CALL,), thinking=({"type": "thinking", "thinking": "hm"},)
    ),
    Message(role="tool", text="3", call_id="call_1", name="demo__add"),
    Message(role="assistant", text="Three."),
    Message(role="user", text="And now?"),
)


@pytest.fixture
def walked(warm: None, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what the SDK looks up in its type hints, by role of the message."""
    from openai._utils import _transform

    seen: Counter[str] = Counter()
    real = _transform._async_transform_typeddict

    async def counted(data: Any, expected_type: type) -> Any:
        seen[str(data.get("role", ""))] += 1
        return await real(data, expected_type)

    monkeypatch.setattr(_transform, "_async_transform_typeddict", counted)
    return seen


def body(provider: str) -> dict[str, Any]:
    request = ModelRequest(TALK, (ADD,))
    messages = to_litellm(request.messages, provider, f"{provider}/m", images=True)
    return {"messages": messages, "model": "m", "stream": True, "tools": LiteLLMTools().of(request)}


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "deepseek", "openrouter"])
async def test_the_sdk_would_change_nothing(walked: Counter[str], provider: str) -> None:
    from openai._utils._transform import async_maybe_transform
    from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

    theirs = await async_maybe_transform(body(provider), CompletionCreateParamsStreaming)
    assert walked["user"], "the SDK walks no more by itself: the mend can go"
    walked.clear()
    mark = _litellm_patches.ours.set(True)
    try:
        mended = await async_maybe_transform(body(provider), CompletionCreateParamsStreaming)
    finally:
        _litellm_patches.ours.reset(mark)
    assert not walked["user"]
    assert json.dumps(mended) == json.dumps(theirs)


async def test_messages_that_are_no_json_are_left_to_the_sdk(walked: Counter[str]) -> None:
    import pydantic
    from openai._utils._transform import async_maybe_transform
    from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

    class Said(pydantic.BaseModel):
        role: str
        content: str

    mark = _litellm_patches.ours.set(True)
    try:
        asked = {"messages": [Said(role="user", content="hello")], "model": "m", "stream": True}
        made = await async_maybe_transform(asked, CompletionCreateParamsStreaming)
    finally:
        _litellm_patches.ours.reset(mark)
    assert made is not None
    assert made["messages"] == [{"role": "user", "content": "hello"}]


async def test_a_request_of_ours_is_not_walked_through(walked: Counter[str]) -> None:
    async with double("openai", [Say("Four.")]) as serving:
        async for _ in serving.model().stream(ModelRequest(TALK, (ADD,))):
            pass
    assert walked
    assert not walked["user"]
    assert [each.role for each in serving.sent()] == [message.role for message in TALK]
    assert serving.tools() == ["demo__add"]


async def test_the_requests_of_others_are(walked: Counter[str]) -> None:
    async with double("openai", [Say("Four.")]) as serving:
        stream = await ensure_litellm().acompletion(
            model="openai/gpt-4o",
            api_base=f"http://127.0.0.1:{serving.port}/v1",
            api_key="sk-test",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
        )
        async for _ in stream:
            pass
    assert walked["user"]
    assert the_worker().alive
