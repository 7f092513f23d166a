"""The models of one engine: make them from their settings, list them, add up what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from omni_tui.config.load import LoadedConfig
from omni_tui.config.model_settings import ModelSpec, provider_of
from omni_tui.engine.model_files import DailyUsageFile, ModelQuirksFile
from omni_tui.models import make_model
from omni_tui.models.base import Model
from omni_tui.models.budget import Budget, BudgetLimits, Forecast
from omni_tui.models.model_chain import ModelBreakers, ModelChain
from omni_tui.models.model_discovery import LOCAL_BASES, ModelSuggestion, find_local_models, suggest_all
from omni_tui.models.model_facts import FREE
from omni_tui.plugins.plugin_models import PluginModels
from omni_tui.protocol.base import Event
from omni_tui.protocol.events import Notice
from omni_tui.protocol.models import ModelChoice, ModelStateChanged, Spending
from omni_tui.resilience.breaker import CircuitBreaker
from omni_tui.security.text import safe, safe_line

_OFFLINE = "offline"


class ModelService:
    """What all sessions of an engine share about models."""

    def __init__(
        self,
        loaded: LoadedConfig,
        environ: Mapping[str, str],
        live: Callable[[Event], None],
        plugins: PluginModels,
    ) -> None:
        folder = loaded.paths.state_dir / "models"
        self._loaded = loaded
        self._environ = environ
        self._live = live
        self.plugins = plugins
        self._quirks = ModelQuirksFile(folder)
        self.days = DailyUsageFile(folder)
        self.breakers = ModelBreakers(self._changed)
        self.limits = BudgetLimits(**loaded.config.budget.model_dump())
        self._reserved: dict[object, Forecast] = {}

    # --- models ---------------------------------------------------------------------------------

    def make(self, name: str, *, max_tokens: int | None = None, temperature: float | None = None) -> Model:
        """Return a model by name, with the limits given here in place of the config's."""
        spec = self._with_address(self._loaded.model(name))
        if max_tokens is not None:
            spec = replace(spec, max_tokens=max_tokens)
        if temperature is not None:
            spec = replace(spec, temperature=temperature)
        if (provided := self.plugins.make(spec)) is not None:
            return provided
        return make_model(
            spec,
            environ=self._environ,
            memory=self._quirks,
            on_text=self._needs_text,
            on_refused=self._refuses_tool,
        )

    def with_fallbacks(self, name: str) -> ModelChain:
        """Return a model by name with its fallbacks. Raises what `make` raises."""
        fallbacks = self._loaded.config.model.fallbacks
        return ModelChain(self.make(name), fallbacks, self.make, self.breakers)

    def _with_address(self, spec: ModelSpec) -> ModelSpec:
        """Give a local model its usual address on this machine, if none is set."""
        variable, address = LOCAL_BASES.get(provider_of(spec.name), ("", ""))
        if spec.api_base or not address or self._environ.get(variable, "").strip():
            return spec
        return replace(spec, api_base=address)

    def _needs_text(self, name: str, reason: str) -> None:
        what = safe(f"{name} now gets its tools as text: {reason}.", limit=400)
        why = safe('set tools = "native" or "text" for this model in the config to choose yourself')
        self._live(Notice(level="info", what=what, why=why))

    def _refuses_tool(self, name: str, tool: str, words: str) -> None:
        self._live(
            Notice(
                level="warning",
                what=safe(f"{tool} is now left out of requests to {name}.", limit=400),
                why=safe(words, limit=600),
            )
        )

    def _changed(self, name: str, breaker: CircuitBreaker) -> None:
        event = ModelStateChanged(
            model=safe_line(name),
            state=breaker.state,
            reason=safe_line(breaker.reason, limit=400),
            wait_s=breaker.wait_s,
        )
        self._live(event)

    # --- listing --------------------------------------------------------------------------------

    async def found(self, current: str, *, look: bool) -> tuple[ModelChoice, ...]:
        """Return the models that can be used, each once; `look` also asks model servers on this machine."""
        config = self._loaded.config
        listed = [ModelSuggestion(current, "in use now", not self._is_free(current))]
        for names, because in (
            ([config.model.name], "your config"),
            (config.model.fallbacks, "your config, when another fails"),
            (list(config.models), "your config"),
        ):
            listed += [ModelSuggestion(name, because, not self._is_free(name)) for name in names]
        listed += suggest_all(self._environ)
        if look:
            listed += await find_local_models()
        listed += self.plugins.suggestions()
        listed.append(ModelSuggestion(_OFFLINE, "built-in rules: no key, no network", costs_money=False))
        return tuple(self._choice(each, current) for each in _once(listed))

    def _choice(self, found: ModelSuggestion, current: str) -> ModelChoice:
        breaker = self.breakers.of(found.model)
        return ModelChoice(
            name=found.model,
            label=safe_line(found.model, limit=200),
            because=safe_line(found.because, limit=200),
            costs_money=found.costs_money,
            current=found.model == current,
            state=breaker.state,
            wait_s=breaker.wait_s,
        )

    def _is_free(self, name: str) -> bool:
        return name == _OFFLINE or name in self.plugins.known or provider_of(name) in FREE

    # --- cost -----------------------------------------------------------------------------------

    def budget(self, limits: BudgetLimits) -> Budget:
        """Return the budgets of a session that is opened."""
        return Budget(limits, self.days, self._reserved)

    def spending(self, budget: Budget) -> Spending:
        """Return what a session and the day have used, with the limits."""
        session, today, limits = budget.session, self.days.today(), budget.limits
        return Spending(
            session_tokens=session.tokens,
            session_cost=session.cost,
            day_tokens=today.tokens,
            day_cost=today.cost,
            estimated=session.estimated or today.estimated,
            unpriced=today.unpriced,
            session_unpriced=session.unpriced,
            session_tokens_limit=limits.session_tokens,
            session_cost_limit=limits.session_cost,
            day_tokens_limit=limits.day_tokens,
            day_cost_limit=limits.day_cost,
        )


def _once(listed: Sequence[ModelSuggestion]) -> list[ModelSuggestion]:
    return list({each.model: each for each in reversed(listed)}.values())[::-1]
