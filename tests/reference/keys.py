"""The page of keys and slash commands, from the table of `omni_tui.face.actions`."""

from __future__ import annotations

from typing import get_args

from omni_tui.face import actions
from omni_tui.face.actions import Action, Where
from omni_tui.face.key_names import show_key
from tests.reference.types import table

INTRODUCTION = """\
# Keys and slash commands

Everything that you can do in the app, with its usual key. F1 shows the keys of the pane you are in, Ctrl+P
finds an action by words. *Action* is the name for `[keys]` in your config file: see [Keys](../keys.md). An
action without a key is in the palette, or has a slash command.
"""
HEADINGS: dict[Where, str] = {
    "app": "Everywhere",
    "servers": "In the servers",
    "tools": "In the tools",
    "chat": "In the chat",
    "composer": "While you write a message",
    "approvals": "In the approvals",
}


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION, "## Slash commands", "Type them into the composer. Tab completes them."]
    rows = [(f"`{one.usage}`", one.description) for one in actions.slash_commands()]
    parts.append(table(("command", "what it does"), rows))
    for where in get_args(Where):
        parts += [f"## {HEADINGS[where]}", _keys(actions.for_target(where))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _keys(found: tuple[Action, ...]) -> str:
    rows = [(_shown(one), one.description, f"`{one.name}`") for one in found]
    return table(("key", "what it does", "action"), rows)


def _shown(action: Action) -> str:
    keys = [show_key(key, spelled=True) for key in action.keys.split(",") if key]
    return ", ".join(f"`` {key} ``" if "`" in key else f"`{key}`" for key in keys)
