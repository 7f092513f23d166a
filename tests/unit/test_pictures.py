"""Which pictures go to a model, in which form, and what is said of those that do not."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from omni_tui.models.attachments import LARGEST, MOST, image_from, images_in
from omni_tui.models.base import Image, Message, ToolCall
from omni_tui.models.litellm_messages import MOST_IMAGES, to_litellm

PNG = b"\x89PNG\r\n\x1a\n rest"
IMAGE = Image("image/png", base64.b64encode(PNG).decode())
CALL = ToolCall("1", "demo__picture", "{}")


def block(data: bytes = PNG, mime: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "data": base64.b64encode(data).decode(), "mimeType": mime}


def test_pictures_of_a_result_are_taken_and_bounded() -> None:
    assert images_in([{"type": "text", "text": "x"}, block()]) == (IMAGE,)
    assert len(images_in([block()] * 9)) == MOST
    assert image_from("image/JPG; q=1", b"\xff\xd8\xff rest") is not None


@pytest.mark.parametrize(
    "hostile",
    [
        block(b"<svg onload=x>", "image/svg+xml"),
        block(b"not a png"),
        block(PNG + b"x" * LARGEST),
        {"type": "image", "data": "%%%", "mimeType": "image/png"},
        {"type": "image", "data": 5, "mimeType": "image/png"},
        {"type": "image", "mimeType": ["image/png"]},
        {"type": "audio", "data": "AAAA", "mimeType": "image/png"},
    ],
)
def test_what_no_provider_would_take_is_left_out(hostile: dict[str, Any]) -> None:
    assert images_in([hostile]) == ()


def history(role: str = "user") -> list[Message]:
    if role == "user":
        return [Message(role="user", text="look", images=(IMAGE,))]
    return [
        Message(role="user", text="look"),
        Message(role="assistant", calls=(CALL,)),
        Message(role="tool", text="[image]", call_id="1", images=(IMAGE,)),
    ]


def test_a_picture_of_the_person_goes_to_a_model_that_takes_it() -> None:
    (sent,) = to_litellm(history(), "openai", "openai/gpt-4o", images=True)
    text, shown = sent["content"]
    assert text == {"type": "text", "text": "look"}
    assert shown["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


def test_a_picture_of_a_result_goes_only_where_results_take_them() -> None:
    assert isinstance(
        to_litellm(history("tool"), "anthropic", "claude-x", images=True)[-1]["content"], list
    )
    content = to_litellm(history("tool"), "openai", "openai/gpt-4o", images=True)[-1]["content"]
    assert content == "[image]\n[Omni TUI: 1 picture was left out here: this model takes none in results]"


@pytest.mark.parametrize("role", ["user", "tool"])
def test_a_model_that_takes_none_is_told_so(role: str) -> None:
    sent = to_litellm(history(role), "anthropic", "claude-x", images=False)[-1]["content"]
    assert sent.endswith("[Omni TUI: 1 picture was left out here: this model takes none]")
    assert "iVBOR" not in sent


def test_of_many_pictures_the_newest_are_sent() -> None:
    messages = [Message(role="user", text=str(n), images=(IMAGE, IMAGE)) for n in range(MOST_IMAGES)]
    sent = to_litellm(messages, "openai", "openai/gpt-4o", images=True)
    kinds = [part["type"] for wire in sent for part in wire["content"] if isinstance(part, dict)]
    assert kinds.count("image_url") == MOST_IMAGES
    assert "2 pictures were left out here: only the newest are sent" in str(sent[0]["content"])
    assert isinstance(sent[-1]["content"], list)
