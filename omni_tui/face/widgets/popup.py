"""What the list above the composer holds: commands, or resources, and how they are drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from textual.app import App
from textual.content import Content

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.prompts_resources.index import PromptOrResource, address_of, full_label
from omni_tui.face.widgets.server_names import server_name_completions


def matching_actions(text: str, app: App[Any]) -> list[Action]:
    """Return the commands that begin with what is written, then those that contain it.

    After a command that takes a server it is that command with each name that fits.
    """
    typed, found = text[1:].lower(), server_name_completions(text, app)
    if found is None:
        if not re.fullmatch(r"/[\w-]{0,40}", text):
            return []
        found = actions.slash_commands()
    begin = [action for action in found if action.slash.lower().startswith(typed)]
    matches = begin + [
        action for action in found if typed and typed in action.slash and action not in begin
    ]
    exact = len(matches) == 1 and matches[0].slash.lower() == typed
    return [] if exact else matches


def completion_rows(matches: Sequence[Action | PromptOrResource]) -> list[Content]:
    """Return how commands, or resources, are drawn in the list."""
    names = [one.slash if isinstance(one, Action) else full_label(one) for one in matches]
    column = min(max(map(len, names)), 60) + 3
    return [
        _row(one, column)
        if isinstance(one, Action)
        else Content.assemble((f"{name:<{column}}", "$text-1"), (address_of(one), "$text-3"))
        for one, name in zip(matches, names, strict=True)
    ]


def _row(action: Action, column: int) -> Content:
    name, argument = f"/{action.slash}", f"  {action.argument}"
    words = (action.description, "$text-2"), (argument, "$text-3")
    return Content.assemble((f"{name:<{column}}", "$text-1"), *words)
