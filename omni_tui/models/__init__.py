"""Models: what answers. Importing this loads no model library; that happens at the first request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from omni_tui.config.model_settings import ModelSpec
from omni_tui.models.base import Model, ModelError
from omni_tui.models.message_history import history_from
from omni_tui.models.model_discovery import ModelSuggestion, suggest
from omni_tui.models.quirks import QuirkStore
from omni_tui.models.tool_calling_mode import ToolModeModel, ToolModeStore

__all__ = [
    "Model",
    "ModelError",
    "ModelSpec",
    "ModelSuggestion",
    "ToolModeModel",
    "ToolModeStore",
    "history_from",
    "make_model",
    "suggest",
]

OFFLINE_NAMES = frozenset({"", "offline", "offline/rules"})
TINY_NAMES = frozenset({"tiny", "tiny/smollm2"})


def make_model(
    spec: ModelSpec | str,
    *,
    environ: Mapping[str, str],
    memory: ToolModeStore | None = None,
    on_text: Callable[[str, str], None] | None = None,
    known: QuirkStore | None = None,
    on_refused: Callable[[str, str, str], None] | None = None,
) -> Model:
    """Return a model: "" and "offline" are the built-in rules, "tiny" is the small model that can be
    installed beside the app, others are LiteLLM's names.

    The key of `spec` wins over what stands in `environ`. What is found out about how it takes tools
    goes to `memory`; `on_text` is told its name and why. What else it is found to need goes to `known`;
    `on_refused` is told of each tool that its provider refuses: model, tool, why. Nothing is loaded
    and nothing is asked over the network here.
    """
    if isinstance(spec, str):
        spec = ModelSpec(spec)
    if spec.name.strip().lower() in OFFLINE_NAMES:
        from omni_tui.models.offline import OfflineModel

        return OfflineModel()
    if spec.name.strip().lower() in TINY_NAMES:
        from omni_tui.models.tiny import TinyModel

        return TinyModel(
            temperature=spec.temperature,
            max_tokens=spec.max_tokens,
            patience_s=spec.timeout,
            tools=spec.tools != "none",
        )
    from omni_tui.models.litellm import FIRST_TOKEN_S, IDLE_S, LiteLLMModel, SamplingParameters

    if not spec.spare_key:
        environ = {name: value for name, value in environ.items() if name != "LLM_API_KEY"}
    model = LiteLLMModel(
        spec.name.strip(),
        api_base=spec.api_base,
        api_key=spec.key,
        environ=environ,
        sampling=SamplingParameters(spec.temperature, spec.max_tokens, spec.top_p),
        context=spec.context,
        first_token_s=spec.timeout or FIRST_TOKEN_S,
        idle_s=spec.timeout or IDLE_S,
        prices=(spec.input_price, spec.output_price),
        images=spec.images,
        known=known,
        on_refused=on_refused,
    )
    key = f"{model.name} at {spec.api_base}" if spec.api_base else model.name
    return ToolModeModel(model, spec.tools, memory, key=key, on_text=on_text)
