"""A model that repeats what you say."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from omni_tui.models.base import Message, ModelEvent, ModelRequest, Reply, TextPart
from omni_tui.plugins.api import ModelSettings, PluginInfo, PluginModel, hookimpl
from omni_tui.protocol.events import Usage

PLUGIN = PluginInfo(api=1, summary="A model that repeats what you say")


class EchoModel:
    """Answers with what was said. A real one would ask its provider in `stream`."""

    name = "echo"
    label = "repeats what you say"

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings

    def context_window(self) -> int | None:
        """Return the context window in tokens."""
        return 8_000

    def count(self, request: ModelRequest) -> int:
        """Estimate the tokens of a request."""
        return sum(len(message.text) // 4 + 4 for message in request.messages)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Stream parts of the answer, then one `Reply`. Raise `ModelError` for what goes wrong."""
        said = next((one.text for one in reversed(request.messages) if one.role == "user"), "")
        words = said.split(" ")
        for number, word in enumerate(words):
            yield TextPart(word if number == 0 else f" {word}")
        usage = Usage(input=self.count(request), output=len(words), cost=0.0)
        yield Reply(Message("assistant", said), "stop", usage, label=self.label)


@hookimpl
def omni_models() -> Sequence[PluginModel]:
    """Return the model: `/model echo` chooses it."""
    return [PluginModel(name="echo", label="repeats what you say", make=EchoModel)]
