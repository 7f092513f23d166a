"""Language models. Importing this loads no model library; the first request does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from omni_tui.config.model_settings import ModelSpec
from omni_tui.models.base import Model, ModelError
from omni_tui.models.model_discovery import ModelSuggestion, suggest_all
from omni_tui.models.quirks import ModelMemory
from omni_tui.models.tool_calling_mode import ToolModeModel

__all__ = [
    "Model",
    "ModelError",
    "ModelSpec",
    "ModelSuggestion",
    "ToolModeModel",
    "make_model",
    "suggest_all",
]

OFFLINE_NAMES = frozenset({"", "offline", "offline/rules"})


def make_model(
    spec: ModelSpec | str,
    *,
    environ: Mapping[str, str],
    memory: ModelMemory | None = None,
    on_text: Callable[[str, str], None] | None = None,
    on_refused: Callable[[str, str, str], None] | None = None,
) -> Model:
    """Return a model of the app: "" and "offline" are the built-in rules, any other name is LiteLLM's.

    The key of `spec` wins over `environ`. `memory` stores what the model turns out to need. `on_text` gets
    the model's name and why it switched to text mode; `on_refused` gets the model, the tool and the reason
    for each tool that the provider refuses. Loads nothing, sends nothing.
    """
    if isinstance(spec, str):
        spec = ModelSpec(spec)
    name = spec.name.strip().lower()
    if name in OFFLINE_NAMES:
        from omni_tui.models.offline import OfflineModel

        return OfflineModel()
    from omni_tui.models.litellm import LiteLLMModel

    if not spec.spare_key:
        environ = {name: value for name, value in environ.items() if name != "LLM_API_KEY"}
    model = LiteLLMModel(spec, environ=environ, memory=memory, on_refused=on_refused)
    return ToolModeModel(model, spec.tools, memory, key=model.key, on_text=on_text)
