"""Everything a person can do, in one table.

It feeds the key bindings, the command palette, the slash commands, the help and the user's `[keys]`
table. A pane with keys of its own adds them with `add()` when it is imported, and takes its
`BINDINGS` from `bindings()`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from textual.binding import Binding, BindingType

Target = Literal["app", "servers", "tools", "chat", "composer", "approvals", "screen"]


class Action(msgspec.Struct, frozen=True):
    """One thing a person can do.

    `name` is the method (`action_<name>` on the target), the binding's id and the key in `[keys]`;
    `keys` are Textual's key names, comma-separated ("" for none); `label` is the word or two beside
    the key in the bottom bar ("" keeps it out of there); `slash` is the command's name without the
    slash, `argument` what may follow it. `palette` lists it in the command palette.
    """

    name: str
    keys: str
    target: Target
    description: str
    label: str = ""
    slash: str = ""
    argument: str = ""
    palette: bool = True
    priority: bool = False


_APP: tuple[Action, ...] = (
    Action("help", "f1", "app", "Show every key of the pane you are in", "keys", "help", priority=True),
    Action("show_servers", "f2", "app", "Go to the servers", "servers", "servers", priority=True),
    Action("show_tools", "f3", "app", "Go to the tools", "tools", "tools", priority=True),
    Action("show_chat", "f4", "app", "Go to the chat", "chat", "chat", priority=True),
    Action("show_approvals", "f5", "app", "Go to the approvals", "approvals", "approvals", priority=True),
    Action(
        "zoom",
        "f6",
        "app",
        "Give the whole window to this pane, or give it back",
        "zoom",
        "zoom",
        priority=True,
    ),
    Action("palette", "ctrl+p", "app", "Find a command", "palette", palette=False, priority=True),
    Action("close", "escape", "app", "Close the innermost thing, else stop the run", palette=False),
    Action(
        "interrupt", "ctrl+c", "app", "Copy the selection, else stop the run", palette=False, priority=True
    ),
    Action("stop", "", "app", "Stop the run", "stop", "stop"),
    Action(
        "send_now",
        "ctrl+g",
        "app",
        "Send at once what waits for servers that are connecting",
        "",
        "send-now",
        priority=True,
    ),
    Action(
        "continue",
        "",
        "app",
        "Continue where the last turn left off",
        "",
        "continue",
    ),
    Action(
        "suspend",
        "ctrl+z",
        "app",
        "Put Omni TUI in the background; fg in the shell brings it back",
        "",
        "suspend",
        priority=True,
    ),
    Action("quit", "ctrl+q", "app", "Leave Omni TUI", "", "quit", priority=True),
    Action("restart", "ctrl+r", "app", "Start the engine again after it stopped", palette=False),
    Action(
        "mode",
        "",
        "app",
        "Change the mode: chat, auto or orchestrator",
        "",
        "mode",
        "chat|auto|orchestrator",
    ),
    Action("model", "", "app", "Use another model from your next message on", "", "model", "NAME"),
    Action("theme", "", "app", "Change the theme", "", "theme", "NAME"),
    Action("new_session", "", "app", "Begin an empty session", "", "clear"),
    Action("sessions", "", "app", "Open a saved session", "", "sessions", "ID"),
    Action("add_server", "", "app", "Add a server by hand", "", "add"),
    Action("import_servers", "", "app", "Read servers from an mcpServers file", "", "import", "PATH"),
    Action("remove_server", "", "app", "End and forget a server", "", "remove", "SERVER"),
    Action("refresh", "", "app", "List tools, prompts and resources again", "", "refresh", "SERVER"),
    Action("connections", "", "app", "Say how every server is doing", "", "connections"),
    Action("status", "", "app", "Say what the engine is set to", "", "status"),
    Action("log", "", "app", "Show what a server wrote on stderr", "", "log", "SERVER"),
    Action("prompts", "", "app", "Browse the prompts that servers offer", "", "prompts", "FILTER"),
    Action("resources", "", "app", "Browse the resources that servers offer", "", "resources", "FILTER"),
    Action("questions", "", "app", "Go to what servers ask of you", "", "questions"),
    Action("messages", "", "app", "Show again what Omni TUI said in passing", "", "messages"),
    Action("welcome", "", "app", "Show the first page: demo, import, add a server", "", "welcome"),
)

_SERVERS: tuple[Action, ...] = (
    Action("server_log", "l", "servers", "Show this server's log", "log"),
    Action("server_connect", "c", "servers", "Connect this server now", "connect"),
    Action("server_disconnect", "d", "servers", "Disconnect this server", "disconnect"),
    Action("server_refresh", "r", "servers", "List this server's tools again", "refresh"),
    Action("server_allow", "y", "servers", "Look at what this server starts, and allow it", "allow"),
    Action("server_offers", "p", "servers", "Show this server's prompts and resources", "offers"),
    Action("server_add", "n", "servers", "Add a server", "new", palette=False),
    Action("server_remove", "delete", "servers", "Forget this server", palette=False),
)

_APPROVALS: tuple[Action, ...] = (
    Action(
        "approve",
        "A",
        "approvals",
        "Approve exactly what is shown; fill in a form",
        "approve",
        palette=False,
    ),
    Action(
        "reject",
        "R",
        "approvals",
        "Reject this call or plan, or decline this question",
        "reject",
        palette=False,
    ),
    Action(
        "reject_why", "f", "approvals", "Reject, with words for the model", "reject, say why", palette=False
    ),
    Action("edit_call", "e", "approvals", "Edit what would be sent", "edit", palette=False),
    Action(
        "cancel_ask",
        "X",
        "approvals",
        "Tell the server that nobody decided on its question",
        "cancel",
        palette=False,
    ),
    Action(
        "open_page",
        "o",
        "approvals",
        "Open a question's page first, without agreeing",
        "open",
        palette=False,
    ),
    Action("later", "D", "approvals", "Look at it later", "later", palette=False),
    Action("mark", "m", "approvals", "Mark for approving several at once", "mark", palette=False),
    Action("approve_marked", "M", "approvals", "Approve the marked calls together", palette=False),
    Action("view_call", "v", "approvals", "See the whole of what would be sent", "whole", palette=False),
    Action("copy_call", "y", "approvals", "Copy the arguments, or the address", palette=False),
)

_registry: dict[str, Action] = {}


def add(*actions: Action) -> None:
    """Add actions. Raises `ValueError` if a name or a slash command is taken by a different one."""
    for action in actions:
        known = _registry.get(action.name)
        if known is not None and known != action:
            raise ValueError(f"the action {action.name} is there already")
        if action.slash and any(a.slash == action.slash and a.name != action.name for a in all_actions()):
            raise ValueError(f"the command /{action.slash} is there already")
        _registry[action.name] = action


def all_actions() -> tuple[Action, ...]:
    """Return every action known so far, in the order they were added."""
    return tuple(_registry.values())


def get(name: str) -> Action:
    """Return one action. Raises `KeyError`."""
    return _registry[name]


def for_target(target: Target) -> tuple[Action, ...]:
    """Return the actions of one target."""
    return tuple(action for action in _registry.values() if action.target == target)


def bindings(target: Target) -> list[BindingType]:
    """Return Textual bindings for a target, each with the action's name as its id."""
    return [_binding(action) for action in for_target(target) if action.keys]


def slash_commands() -> tuple[Action, ...]:
    """Return the actions that have a slash command, sorted by its name."""
    return tuple(sorted((a for a in _registry.values() if a.slash), key=lambda action: action.slash))


def by_slash(name: str) -> Action | None:
    """Return the action of a slash command, None if there is none of that name."""
    return next((action for action in _registry.values() if action.slash == name), None)


def _binding(action: Action) -> Binding:
    return Binding(
        action.keys,
        action.name,
        action.label or action.description,
        show=bool(action.label),
        priority=action.priority,
        tooltip=action.description,
        id=action.name,
    )


def _seed(groups: Iterable[tuple[Action, ...]]) -> None:
    for group in groups:
        add(*group)


_seed((_APP, _SERVERS, _APPROVALS))
