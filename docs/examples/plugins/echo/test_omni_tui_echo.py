"""Asks the model, without the app."""

import asyncio

import omni_tui_echo as plugin

from omni_tui.models.base import Message, ModelRequest, Reply, TextPart
from omni_tui.plugins.api import ModelSettings


def test_it_says_what_was_said() -> None:
    async def ask() -> list[object]:
        (provided,) = plugin.omni_models()
        model = provided.make(ModelSettings())
        return [event async for event in model.stream(ModelRequest((Message("user", "Hello there"),)))]

    *parts, reply = asyncio.run(ask())
    assert "".join(part.text for part in parts if isinstance(part, TextPart)) == "Hello there"
    assert isinstance(reply, Reply)
    assert reply.message.text == "Hello there"
