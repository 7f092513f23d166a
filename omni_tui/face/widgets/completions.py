"""What the list above the composer shows: commands, names of servers, resources, files."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from textual.content import Content

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.prompts_resources.index import PromptOrResource, address_of, full_label
from omni_tui.face.widgets.file_names import FileName
from omni_tui.protocol.events import ServerChanged

_TYPED = re.compile(r"/([A-Za-z_][\w-]*)[ ](.*)")


def matching_actions(text: str, servers: dict[str, ServerChanged]) -> list[Action]:
    """Return the commands that begin with what is written, then those that contain it.

    After a command that takes a server, each is that command with the name of a server.
    """
    typed, found = text[1:].lower(), _with_server_names(text, servers)
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


def _with_server_names(text: str, servers: dict[str, ServerChanged]) -> tuple[Action, ...] | None:
    """Return the written command with each server name that fits, None if it takes no name."""
    typed = _TYPED.fullmatch(text)
    action = actions.by_slash(typed[1]) if typed else None
    if typed is None or action is None or action.argument != "SERVER":
        return None
    return tuple(
        msgspec.structs.replace(
            action, slash=f"{action.slash} {name}", argument="", description=server.state.replace("_", " ")
        )
        for name, server in servers.items()
        if typed[2].lower() in name.lower() and name.isprintable()
    )


def completed_server(action: Action) -> str:
    """Return the server name in a listed command, "" if it has none."""
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
