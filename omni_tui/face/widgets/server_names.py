"""Names of servers after a slash command, for the list above the composer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import msgspec
from textual.app import App

from omni_tui.face import actions
from omni_tui.face.actions import Action

if TYPE_CHECKING:
    from omni_tui.face.overview import Overview

_TYPED = re.compile(r"/([A-Za-z_][\w-]*)[ ](.*)")


def server_name_completions(text: str, app: App[Any]) -> tuple[Action, ...] | None:
    """Return the command that is written with each name that fits, None if it takes no name."""
    typed = _TYPED.fullmatch(text)
    action = actions.by_slash(typed[1]) if typed else None
    overview = cast("Overview | None", getattr(app, "overview", None))
    if typed is None or action is None or action.argument != "SERVER" or overview is None:
        return None
    return tuple(
        msgspec.structs.replace(
            action, slash=f"{action.slash} {name}", argument="", description=server.state.replace("_", " ")
        )
        for name, server in overview.servers.items()
        if typed[2].lower() in name.lower() and name.isprintable()
    )


def completed_server(action: Action) -> str:
    """Return the name that a command of the list stands for, "" if it is the bare command."""
    return action.slash.partition(" ")[2]
