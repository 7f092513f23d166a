"""What the list above the composer shows: commands, their values, resources, files."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from textual.content import Content

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.argument_values import argument_values
from omni_tui.face.prompts_resources.index import PromptOrResource, address_of, full_label
from omni_tui.face.shell import Shell
from omni_tui.face.widgets.file_names import FileName

_TYPED = re.compile(r"/([A-Za-z_][\w-]*)[ ](.*)")


def matching_actions(text: str, shell: Shell) -> list[Action]:
    """Return the commands that begin with what is written, then those that contain it.

    After a command whose values can be listed, each is that command with a value.
    """
    typed, found = text[1:].lower(), _with_values(text, shell)
    if found is None:
        if not re.fullmatch(r"/[\w-]{0,40}", text):
            return []
        found = actions.slash_commands()
    begin = [action for action in found if action.slash.lower().startswith(typed)]
    begin.sort(key=lambda action: action.slash.lower() != typed)
    others = [action for action in found if action not in begin]
    valued = " " in typed  # then each of them fits
    matches = begin + [action for action in others if valued or (typed and typed in action.slash)]
    exact = len(matches) == 1 and matches[0].slash.lower() == typed
    return [] if exact else matches


def _with_values(text: str, shell: Shell) -> tuple[Action, ...] | None:
    """Return the written command with each value that fits, None if its values cannot be listed."""
    typed = _TYPED.fullmatch(text)
    action = actions.by_slash(typed[1]) if typed else None
    values = argument_values(action, shell) if action is not None else None
    if typed is None or action is None or values is None:
        return None
    return tuple(
        msgspec.structs.replace(
            action,
            slash=f"{typed[1]} {value.text}".rstrip(),
            argument="AMOUNT" if value.text.endswith(" ") else "",
            description=value.about,
        )
        for value in values
        if typed[2].lower() in value.text.lower()
    )


def completed_value(action: Action) -> str:
    """Return the value in a listed command, "" if it has none."""
    return action.slash.partition(" ")[2]


Completion = Action | PromptOrResource | FileName
"""One row of the list."""


def completion_rows(matches: Sequence[Completion]) -> list[Content]:
    """Return the rows of the list."""
    column = min(max(len(_name(one)) for one in matches), 60) + 3
    return [
        _row(one, column)
        if isinstance(one, Action)
        else Content.assemble((f"{_name(one):<{column}}", "$text-1"), (_about(one), "$text-3"))
        for one in matches
    ]


def _name(one: Completion) -> str:
    if isinstance(one, FileName):
        return f"{one.name}/" if one.folder else one.name
    return one.slash if isinstance(one, Action) else full_label(one)


def _about(one: PromptOrResource | FileName) -> str:
    if isinstance(one, FileName):
        return "folder" if one.folder else ""
    return address_of(one)


def _row(action: Action, column: int) -> Content:
    name, argument = f"/{action.slash}", f"  {action.argument}"
    words = (action.description, "$text-2"), (argument, "$text-3")
    return Content.assemble((f"{name:<{column}}", "$text-1"), *words)
