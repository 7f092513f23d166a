"""The settings of one model: its table `[models."NAME"]` over `[model]`, references resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omni_tui.config.spec import ToolCallingSetting

if TYPE_CHECKING:
    from omni_tui.config.sections import Config


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The settings of one model; None and "" mean not set.

    `timeout`: seconds of silence. `context`: the window in tokens. Prices are US dollars per million
    tokens. `spare_key`: whether `LLM_API_KEY` is for it too.
    """

    name: str
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    key: str = field(default="", repr=False)
    api_base: str = ""
    context: int | None = None
    timeout: float | None = None
    tools: ToolCallingSetting = "auto"
    images: bool | None = None
    input_price: float | None = None
    output_price: float | None = None
    spare_key: bool = True


_EVERYWHERE = ("temperature", "max_tokens", "top_p", "timeout")
"""The keys of `[model]` that hold for every model; the others hold only for the one it names."""
_OWN = ("context", "tools", "images", "input_price", "output_price")


def provider_of(name: str) -> str:
    """Return the provider in a model's name, "" if it has none."""
    provider, slash, _ = name.strip().partition("/")
    return provider.lower() if slash else ""


def model_spec(
    name: str, config: Config, *, key: str = "", keys: Mapping[str, str] | None = None
) -> ModelSpec:
    """Return the settings of a model.

    `key` is the resolved key of `[model]`, `keys` those of the tables, by name. The key and address of
    `[model]` hold only for models of the same provider: no provider gets another's key.
    """
    name = name.strip()
    base, own = config.model, config.models.get(name)
    named = name == base.name
    values: dict[str, Any] = {each: getattr(base, each) for each in _EVERYWHERE}
    if named:
        values |= {each: getattr(base, each) for each in _OWN}
    related = named or (provider_of(name) == provider_of(base.name) != "")
    address = base.api_base if related else ""
    if own is not None:
        values |= {
            each: value
            for each in (*_EVERYWHERE, *_OWN)
            if (value := getattr(own, each)) is not None and each in own.model_fields_set
        }
        address = own.api_base or address
    related_key = key if related and not (own and own.api_base) else ""
    secret = (keys or {}).get(name, "") or related_key
    spare = related or base.name == "offline"
    return ModelSpec(name, key=secret, api_base=address, spare_key=spare, **values)
