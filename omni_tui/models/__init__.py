"""Models: what answers. Importing this loads no model library; that happens at the first request."""

from __future__ import annotations

from collections.abc import Mapping

from omni_tui.models.base import Model, ModelError
from omni_tui.models.context import history_from
from omni_tui.models.detect import Suggestion, suggest

__all__ = ["Model", "ModelError", "Suggestion", "history_from", "make_model", "suggest"]

OFFLINE_NAMES = frozenset({"", "offline", "offline/rules"})


def make_model(
    name: str,
    *,
    api_base: str = "",
    environ: Mapping[str, str],
    api_key: str = "",
    temperature: float | None = None,
    max_tokens: int | None = None,
    top_p: float | None = None,
    context: int | None = None,
) -> Model:
    """Return the model of a name: "" and "offline" are the built-in rules, others are LiteLLM's names.

    `api_key` wins over what stands in `environ`. `context` is the window in tokens where the person
    set one. Nothing is loaded and nothing is asked over the network here.
    """
    if name.strip().lower() in OFFLINE_NAMES:
        from omni_tui.models.offline import OfflineModel

        return OfflineModel()
    from omni_tui.models.litellm import LiteLLMModel, Sampling

    sampling = Sampling(temperature=temperature, max_tokens=max_tokens, top_p=top_p)
    return LiteLLMModel(
        name.strip(),
        api_base=api_base,
        api_key=api_key,
        environ=environ,
        sampling=sampling,
        context=context,
    )
