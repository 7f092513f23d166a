"""A real language model on this machine, without key or network, small enough to be often wrong."""

from __future__ import annotations

from collections.abc import Sequence

from omni_tui.plugins.api import ModelSettings, PluginInfo, PluginModel, hookimpl
from omni_tui_tiny.model import LABEL, NAME, TinyModel, close, missing

PLUGIN = PluginInfo(
    api=1, summary="SmolLM2-135M-Instruct, run by llama.cpp", permissions=frozenset({"processes"})
)


def make(settings: ModelSettings) -> TinyModel:
    """Return the model; its process starts with the first request."""
    return TinyModel(
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        patience_s=settings.timeout_s,
        tools=settings.tools,
    )


@hookimpl
def omni_models() -> Sequence[PluginModel]:
    """Return the model: `/model tiny` chooses it."""
    return [PluginModel(name=NAME, label=LABEL, make=make, missing=missing)]


@hookimpl
def omni_stopping() -> None:
    """End the model's process."""
    close()
