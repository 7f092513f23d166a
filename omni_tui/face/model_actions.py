"""What a person does about models and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

from textual.app import App

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.protocol.commands import SetModel
from omni_tui.protocol.models import BudgetKey, SetBudget

if TYPE_CHECKING:
    from omni_tui.face.overview import Overview
    from omni_tui.face.port import Port

_KEYS: tuple[str, ...] = get_args(BudgetKey)

actions.add(
    Action("models", "", "app", "Choose a model, of those that are set or found", "", "models"),
    Action("budget", "", "app", "Say what was used, or set a budget", "", "budget", "KEY AMOUNT"),
)


class ModelActions(App[None]):
    """The `action_*` methods about models."""

    port: Port
    overview: Overview

    def _tell(self, words: str, level: str) -> None:
        raise NotImplementedError

    def action_model(self, name: str = "") -> None:
        """Use another model; without a name, choose one."""
        if name:
            self.port.send(SetModel(name=name))
        else:
            self.action_models()

    def action_models(self) -> None:
        """Choose a model."""
        from omni_tui.face.screens.models import ModelsScreen

        self.push_screen(ModelsScreen(), self._use_model)

    def _use_model(self, name: str | None) -> None:
        if name and name != self.overview.model:
            self.port.send(SetModel(name=name))

    def action_budget(self, words: str = "") -> None:
        """Say what was used in this session and today, or change a budget until the app is left."""
        key, _, amount = words.partition(" ")
        if not words:
            self._tell(self.overview.spending_summary(), "information")
        elif key not in _KEYS:
            self._tell(f"There is no budget {key}. They are {', '.join(_KEYS)}.", "warning")
        else:
            self._set_budget(cast("BudgetKey", key), amount)

    def _set_budget(self, key: BudgetKey, amount: str) -> None:
        try:
            value = float(amount.strip().replace("_", "").lstrip("$"))
        except ValueError:
            self._tell(
                f"How much? For example: /budget {key} {'2.50' if key.endswith('cost') else '50000'}",
                "warning",
            )
            return
        self.port.send(SetBudget(key=key, value=value))
