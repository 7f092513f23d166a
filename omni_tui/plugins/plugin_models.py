"""The models that plugins provide, by name, and what guards the app from them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from omni_tui.config.model_settings import ModelSpec
from omni_tui.models.base import (
    ErrorKind,
    Model,
    ModelError,
    ModelEvent,
    ModelRequest,
    Reply,
    TextPart,
    ThoughtPart,
)
from omni_tui.models.budget import EXPECTED_OUTPUT, Forecast, UsageForecaster
from omni_tui.models.message_history import estimate
from omni_tui.models.model_discovery import ModelSuggestion
from omni_tui.plugins.own_thread import in_own_thread

if TYPE_CHECKING:
    from omni_tui.plugins.api import PluginModel

logger = logging.getLogger(__name__)

SILENCE_S = 600.0
"""Seconds that a model may be silent if the config does not say; a plugin should give up before."""
_MAKE_S = 30.0
RAISED = (Exception, SystemExit)
"""What a plugin may raise: a `SystemExit` on the loop would end the engine."""

FaultListener = Callable[[str, str, int], None]
"""Gets a plugin's name, what it did wrong, and how many faults in a row that makes."""


class PluginModels:
    """The models of all plugins of an engine.

    `known` has the plugin of each name, as when it was last checked, enabled or not.
    `complete` is set once every enabled plugin is loaded, or cannot be. `changes` counts new names.
    """

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.complete = asyncio.Event()
        self.changes = 0
        self.on_fault: FaultListener | None = None
        self._provided: dict[str, tuple[str, PluginModel]] = {}
        self._faults: dict[str, int] = {}

    def add(self, plugin: str, model: PluginModel) -> None:
        """Add a model of a plugin. Raises `ValueError` if another plugin has its name."""
        if model.name in self._provided:
            other, _ = self._provided[model.name]
            raise ValueError(f"plugin {other} has a model named {model.name} too")
        self._provided[model.name] = (plugin, model)
        self.changes += model.name not in self.known
        self.known[model.name] = plugin

    def remove(self, plugin: str) -> None:
        """Take the models of a plugin away; requests under way go on."""
        for name in [name for name, (owner, _) in self._provided.items() if owner == plugin]:
            del self._provided[name]

    def make(self, spec: ModelSpec) -> GuardedModel | None:
        """Return a model by its name, None if no plugin is known to provide it. Loads nothing."""
        name = spec.name.strip()
        return GuardedModel(name, spec, self) if name in self.known else None

    async def find(self, name: str) -> tuple[str, PluginModel]:
        """Return a model and its plugin; waits until the plugins are loaded. Raises `ModelError`."""
        if name not in self._provided:
            await self.complete.wait()
        found = self._provided.get(name)
        if found is None:
            plugin = self.known.get(name, "")
            what = f"the model {name} is provided by the plugin {plugin}, which is not enabled"
            raise ModelError("permanent", what, todo="see /plugins, or choose another model")
        return found

    def present(self, name: str) -> tuple[str, PluginModel] | None:
        """Return a model and its plugin if it is loaded."""
        return self._provided.get(name)

    def suggestions(self) -> list[ModelSuggestion]:
        """Return the models that can be used now."""
        found = []
        for name, (plugin, model) in sorted(self._provided.items()):
            try:
                missing = model.missing()
            except RAISED as error:
                self.fault(plugin, f"`missing` of its model {name} failed: {error!r:.200}")
                continue
            if not missing:
                because = f"{model.label}: from the plugin {plugin}"
                found.append(ModelSuggestion(name, because, costs_money=False))
        return found

    def fault(self, plugin: str, what: str) -> None:
        """Report what a plugin did wrong."""
        logger.warning("plugin %s: %s", plugin, what)
        self._faults[plugin] = self._faults.get(plugin, 0) + 1
        if self.on_fault is not None:
            self.on_fault(plugin, what, self._faults[plugin])

    def worked(self, plugin: str) -> None:
        """Forget the faults of a plugin: it has answered."""
        self._faults.pop(plugin, None)


class GuardedModel:
    """A model of a plugin: made at its first use, and every failure of it is a `ModelError`."""

    def __init__(self, name: str, spec: ModelSpec, models: PluginModels) -> None:
        self.name = name
        self.label = ""
        self._spec = spec
        self._models = models
        self._made: tuple[PluginModel, Model] | None = None

    def context_window(self) -> int | None:
        """Return the context window in tokens, None if it is not known or not made yet."""
        try:
            return self._made[1].context_window() if self._made is not None else None
        except RAISED as error:
            self._blame(f"`context_window` of its model failed: {error!r:.200}")
            return None

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens; our own estimate until it is made, and if it fails."""
        try:
            if self._made is not None:
                return int(self._made[1].count(request))
        except RAISED as error:
            self._blame(f"`count` of its model failed: {error!r:.200}")
        return estimate(request.messages)

    def forecast(self, request: ModelRequest) -> Forecast:
        """Estimate a request's usage."""
        try:
            if self._made is not None and isinstance(self._made[1], UsageForecaster):
                return self._made[1].forecast(request)
        except RAISED as error:
            self._blame(f"`forecast` of its model failed: {error!r:.200}")
        return Forecast(self.count(request), EXPECTED_OUTPUT)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Stream one answer. Raises `ModelError`, whatever the plugin raises."""
        plugin, provided = await self._models.find(self.name)
        if missing := self._ask_what_is_missing(plugin, provided):
            raise ModelError("permanent", f"the model {self.name} cannot be used: {missing}")
        model = await self._make(plugin, provided)
        patience = self._spec.timeout or SILENCE_S
        finished = False
        try:
            async with aclosing(model.stream(request)) as stream:
                while not finished:
                    async with asyncio.timeout(patience):
                        event = await anext(stream, None)
                    if not isinstance(event, TextPart | ThoughtPart | Reply):
                        raise self._failed(plugin, f"its model {self.name} ends without an answer")
                    if finished := isinstance(event, Reply):
                        self._models.worked(plugin)
                    yield event
        except (ModelError, GeneratorExit, asyncio.CancelledError):
            raise
        except TimeoutError:
            what = f"its model {self.name} was silent for {patience:g} seconds"
            raise self._failed(plugin, what, kind_of_time=True) from None
        except RAISED as error:
            logger.info("a model of plugin %s failed", plugin, exc_info=True)
            what = f"its model {self.name} failed: {type(error).__name__}: {error}"
            raise self._failed(plugin, what) from error

    def _ask_what_is_missing(self, plugin: str, provided: PluginModel) -> str:
        try:
            return provided.missing()
        except RAISED as error:
            what = f"`missing` of its model {self.name} failed: {error!r:.200}"
            raise self._failed(plugin, what) from error

    async def _make(self, plugin: str, provided: PluginModel) -> Model:
        if self._made is not None and self._made[0] is provided:
            return self._made[1]
        from omni_tui.plugins.api import ModelSettings

        settings = ModelSettings(
            temperature=self._spec.temperature,
            max_tokens=self._spec.max_tokens,
            timeout_s=self._spec.timeout,
            tools=self._spec.tools != "none",
        )
        try:
            model = await in_own_thread(lambda: provided.make(settings), _MAKE_S, f"plugin {plugin}")
        except RAISED as error:
            what = f"its model {self.name} cannot be made: {type(error).__name__}: {error}"
            raise self._failed(plugin, what) from error
        self._made = (provided, model)
        return model

    def _failed(self, plugin: str, what: str, *, kind_of_time: bool = False) -> ModelError:
        self._models.fault(plugin, what)
        kind: ErrorKind = "transient" if kind_of_time else "permanent"
        return ModelError(kind, f"the plugin {plugin} failed: {what}", todo="see /plugins")

    def _blame(self, what: str) -> None:
        self._models.fault(self._models.known.get(self.name, ""), what)
