"""Commands about models and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from omni_tui.protocol.commands import SetModel
from omni_tui.protocol.models import BudgetKey, SetBudget

if TYPE_CHECKING:
    from omni_tui.face.shell import Shell

_KEYS: tuple[BudgetKey, ...] = get_args(BudgetKey)


def use_model(shell: Shell, name: str) -> None:
    """Use another model; without a name, choose one."""
    if name:
        shell.port.send(SetModel(name=name))
    else:
        show_models(shell, "")


def show_models(shell: Shell, _argument: str) -> None:
    """Choose a model."""
    from omni_tui.face.screens.choice import ModelsScreen

    def chosen(name: str | None) -> None:
        if name and name != shell.overview.model:
            shell.port.send(SetModel(name=name))

    shell.show(ModelsScreen(), chosen)


def show_usage(shell: Shell, _argument: str) -> None:
    """Show what each model used in this session, and the budgets."""
    shell.in_background(_show_usage(shell), "stats")


async def _show_usage(shell: Shell) -> None:
    from omni_tui.face.screens.status import ModelUsageScreen
    from omni_tui.face.shell import request
    from omni_tui.protocol.call_stats import ReadStats, StatsRead

    reply = await request(shell, ReadStats())
    if isinstance(reply, StatsRead):
        shell.show(ModelUsageScreen(reply))


def budget(shell: Shell, words: str) -> None:
    """Show what was used in this session and today, or set a budget until the app ends."""
    name, _, amount = words.partition(" ")
    key = next((key for key in _KEYS if key == name), None)
    if not words:
        shell.say(shell.overview.spending_summary())
        return
    if key is None:
        shell.say(f"There is no budget {name}. They are {', '.join(_KEYS)}.", level="warning")
        return
    try:
        value = float(amount.strip().replace("_", "").lstrip("$"))
    except ValueError:
        example = "2.50" if key.endswith("cost") else "50000"
        shell.say(f"How much? For example: /budget {key} {example}", level="warning")
    else:
        shell.port.send(SetBudget(key=key, value=value))
