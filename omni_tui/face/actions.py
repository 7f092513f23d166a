"""Everything a person can do, in one table.

Key bindings, the command palette, slash commands, the help (F1), the footer, the `[keys]` table of the
config and the documentation are made from it. To add an action: write a function of (shell, argument) in
`face/commands`, or a method `action_<name>` of a widget, and add a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec
from textual.binding import Binding, BindingType

from omni_tui.face.commands import (
    app,
    context,
    models,
    navigation,
    prompts_resources,
    rules,
    servers,
    sessions,
    telemetry,
    turns,
)

if TYPE_CHECKING:
    from omni_tui.face.shell import Shell

Where = Literal["app", "servers", "tools", "chat", "composer", "approvals"]
"""Where an action works: everywhere, in a pane, or while a message is written."""


class Action(msgspec.Struct, frozen=True):
    """One thing a person can do.

    `name` is the binding's id and the key in `[keys]`. `keys` are Textual's names of the default keys,
    separated by commas ("" for none). `title` names it in the palette, `description` says in one line
    what it does, `label` is its word in the footer ("" keeps it out of there). `slash` is the command
    without the slash, `argument` what may follow it. `run` carries it out and gets what followed the
    command; without one, the method `action_<name>` of the widget at `where` does.
    """

    name: str
    keys: str
    where: Where
    title: str
    description: str
    run: Callable[[Shell, str], None] | None = None
    label: str = ""
    slash: str = ""
    argument: str = ""
    palette: bool = True
    priority: bool = False
    """Whether its keys go before those of the focused widget."""
    former: str = ""
    """The name that it had before: `[keys]` still takes it."""
    spellings: tuple[str, ...] = ()
    """Other slash commands that mean it: those of MCPOmni Connect."""

    @property
    def usage(self) -> str:
        """The slash command with its argument, "" if there is none."""
        return f"/{self.slash} {self.argument}".rstrip() if self.slash else ""

    def keys_now(self, keymap: Mapping[str, str]) -> str:
        """Return its keys under a keymap of the person."""
        return keymap.get(self.name) or self.keys


_APP = (
    Action("help", "f1", "app", "Show keys", "Show every key of the pane you are in",
           app.show_help, "keys", "help", priority=True),
    Action("show_servers", "f2", "app", "Go to servers", "Go to the servers",
           navigation.go_to("servers"), "servers", "servers", priority=True),
    Action("show_tools", "f3", "app", "Go to tools", "Go to the tools",
           navigation.go_to("tools"), "tools", "tools", priority=True),
    Action("show_chat", "f4", "app", "Go to chat", "Go to the chat",
           navigation.go_to("chat"), "chat", "chat", priority=True),
    Action("show_approvals", "f5", "app", "Go to approvals", "Go to the approvals",
           navigation.go_to("approvals"), "approvals", "approvals", priority=True),
    Action("zoom", "f6", "app", "Zoom pane", "Give the whole window to this pane, or give it back",
           navigation.zoom, "zoom", "zoom", priority=True),
    Action("palette", "ctrl+p", "app", "Find a command", "Open the command palette",
           app.show_palette, "palette", palette=False, priority=True),
    Action("close", "escape", "app", "Close", "Close the innermost thing, else stop the turn",
           navigation.close, palette=False),
    Action("interrupt", "ctrl+c", "app", "Copy or stop", "Copy the selection, else stop the turn",
           app.interrupt, palette=False, priority=True),
    Action("stop", "", "app", "Stop turn", "Stop the running turn", turns.stop, "stop", "stop"),
    Action("send_now", "ctrl+g", "app", "Send now",
           "Do not wait: for servers that connect, or before something is tried again",
           turns.send_now, "", "send-now", priority=True),
    Action("continue", "", "app", "Continue turn", "Continue the turn that was interrupted",
           turns.resume, "", "continue"),
    Action("suspend", "ctrl+z", "app", "Suspend Omni TUI",
           "Put Omni TUI in the background; fg in the shell brings it back",
           app.suspend, "", "suspend", priority=True),
    Action("quit", "ctrl+q", "app", "Quit Omni TUI", "Leave Omni TUI",
           app.leave, "", "quit", priority=True),
    Action("restart", "ctrl+r", "app", "Restart engine", "Start the engine again after it stopped",
           app.restart_engine, palette=False),
    Action("mode", "", "app", "Change mode", "Change the mode: chat, auto or orchestrator",
           turns.set_mode, "", "mode", "chat|auto|orchestrator"),
    Action("model", "", "app", "Use a model", "Use another model from your next message on",
           models.use_model, "", "model", "NAME"),
    Action("models", "", "app", "Choose a model", "List the models that are configured or found",
           models.show_models, "", "models"),
    Action("budget", "", "app", "Show usage and budgets", "Show what was used, or set a budget",
           models.budget, "", "budget", "KEY AMOUNT"),
    Action("theme", "", "app", "Change theme", "Change the colour theme", app.theme, "", "theme", "NAME"),
    Action("new_session", "", "app", "New session", "Start an empty session",
           sessions.new_session, "", "clear", spellings=("clear_history",)),
    Action("sessions", "f7", "app", "Sessions",
           "Search, look into, resume, rename, tag or delete saved sessions",
           sessions.open_session, "", "sessions", "WORDS|ID"),
    Action("save_conversation", "", "app", "Save conversation",
           "Save this conversation as JSON, .md, .html or .cast",
           sessions.save_conversation, "", "save", "FILE", spellings=("save_history",)),
    Action("load_conversation", "", "app", "Load conversation",
           "Load a conversation from a file, as a new session",
           sessions.load_conversation, "", "load", "FILE", spellings=("load_history",)),
    Action("history", "f8", "app", "History", "List the turns of this conversation, and jump to one",
           sessions.show_history, "", "history", "WORDS"),
    Action("remote_sessions", "", "app", "Sessions in Redis",
           "List the sessions in Redis; fetch one to go on with it here",
           sessions.show_remote_sessions, "", "redis"),
    Action("earlier", "", "app", "Show earlier events",
           "Show the beginning of a long session too: at first only its end is shown",
           sessions.show_earlier, "", "earlier"),
    Action("rewind", "", "app", "Rewind session",
           "Choose a message that the model is to forget, with what followed it; nothing is deleted",
           sessions.rewind, "", "rewind", "WORDS"),
    Action("fork", "", "app", "Fork session", "Go on in a copy of this session; this one stays as it is",
           sessions.fork, "", "fork"),
    Action("memory", "", "app", "Mirror sessions to Redis",
           "Mirror sessions to Redis, or no more; say how far that is",
           sessions.memory, "", "memory", "on|off"),
    Action("retry", "", "app", "Resend last message", "Send your last message again, in a new session",
           sessions.retry, "", "retry"),
    Action("context", "", "app", "Show context window", "Show what is in the model's context window",
           context.show_context, "", "context"),
    Action("system", "", "app", "Edit system prompt", "Show the system prompt and edit your part of it",
           context.show_system_prompt, "", "system"),
    Action("pin", "", "app", "Pin words", "Add words to every request of this session",
           context.pin, "", "pin", "WORDS"),
    Action("cache", "", "app", "Clear result cache", "Forget the results kept in the cache",
           turns.clear_cache, "", "cache", "clear [SERVER]"),
    Action("rules", "", "app", "Show rules", "Show every rule of the policy; revoke or adopt one",
           rules.show_rules, "", "rules", "WORDS"),
    Action("audit", "", "app", "Show audit",
           "Show who or which rule decided what in this session, and what came of it",
           rules.show_audit, "", "audit", "WORDS"),
    Action("plugins", "", "app", "Show plugins",
           "List the plugins that are installed; check one, switch it on or off",
           app.show_plugins, "", "plugins"),
    Action("settings", "", "app", "Change settings", "Show and change the settings of your config file",
           app.show_settings, "", "settings", "WORDS"),
    Action("stats", "", "app", "Show call statistics", "Show how the calls of this session went",
           turns.show_stats, "", "stats"),
    Action("trace", "", "app", "Show trace", "Show where the time of the last turns went",
           telemetry.show_trace, "", "trace"),
    Action("metrics", "", "app", "Show metrics",
           "Show how fast and how well servers, tools and models work, as live charts and tables",
           telemetry.show_metrics, "", "metrics"),
    Action("debug", "", "app", "Show debug view",
           "Show live what passes: commands, events, requests to models and servers, and queues",
           telemetry.show_debug, "", "debug", "FILTER"),
    Action("add_server", "", "app", "Add server", "Add a server", servers.add, "", "add"),
    Action("find_server", "", "app", "Find server", "Search the public registry for a server to add",
           servers.find, "", "find", "WORDS"),
    Action("add_bundle", "", "app", "Add bundle", "Add the server in a bundle (.mcpb), not yet allowed",
           servers.add_bundle, "", "bundle", "FILE"),
    Action("edit_server", "", "app", "Edit server", "Change a server's settings",
           servers.edit, "", "edit", "SERVER"),
    Action("enable_server", "", "app", "Enable server", "Enable a server, in your config too",
           servers.enable, "", "enable", "SERVER"),
    Action("disable_server", "", "app", "Disable server", "Disable a server, in your config too",
           servers.disable, "", "disable", "SERVER"),
    Action("restart_server", "", "app", "Restart server", "End a server and start it again",
           servers.restart, "", "restart", "SERVER"),
    Action("import_servers", "", "app", "Import servers", "Import servers from another program",
           servers.import_file, "", "import", "PATH", spellings=("add_servers",)),
    Action("remove_server", "", "app", "Remove server", "End a server and remove it",
           servers.remove, "", "remove", "SERVER", spellings=("remove_server",)),
    Action("refresh", "", "app", "Refresh lists", "List tools, prompts and resources again",
           servers.refresh, "", "refresh", "SERVER"),
    Action("connections", "", "app", "Show connections",
           "Show each server: its state, how it is reached, what is wrong with it",
           app.connections, "", "connections"),
    Action("status", "", "app", "Show status",
           "Show mode, model, servers, session, memory, Redis and budget",
           app.status, "", "status"),
    Action("health", "", "app", "Show health",
           "Show what works and what does not: servers, models, Redis, disk, key store",
           app.show_health, "", "health"),
    Action("api_stats", "", "app", "Show model usage", "Show requests, tokens and cost of each model",
           models.show_usage, "", "api_stats", spellings=("usage",)),
    Action("app_log", "", "app", "Search app log",
           "Search the app's own log: turns, calls, decisions, connections",
           telemetry.show_app_log, "", "app-log", "WORDS"),
    Action("log", "", "app", "Show server log", "Show what a server wrote on stderr",
           servers.show_log, "", "log", "SERVER"),
    Action("wire", "", "app", "Show wire log", "Show the messages to and from a server",
           servers.show_wire_log, "", "wire", "SERVER"),
    Action("prompts", "", "app", "Browse prompts", "Browse the prompts of all servers",
           servers.browse("prompts"), "", "prompts", "FILTER"),
    Action("resources", "", "app", "Browse resources", "Browse the resources of all servers",
           servers.browse("resources"), "", "resources", "FILTER"),
    Action("prompt", "", "app", "Get a prompt", "Get a prompt of a server, with its arguments",
           prompts_resources.get_prompt, "", "prompt", "NAME key=value"),
    Action("resource", "", "app", "Read a resource", "Read any resource by its address, listed or not",
           prompts_resources.read_resource, "", "resource", "URI", spellings=("subscribe",)),
    Action("questions", "", "app", "Go to server requests", "Go to the oldest request of a server",
           navigation.show_server_request, "", "questions"),
    Action("messages", "", "app", "Show notifications", "Show the notifications of this start again",
           app.show_notifications, "", "messages"),
    Action("welcome", "", "app", "Show welcome page", "Show the first page: demo, import, add a server",
           servers.welcome, "", "welcome"),
)  # fmt: skip

_SERVERS = (
    Action("server_log", "l", "servers", "Log of this server", "Show this server's log", label="log"),
    Action("server_connect", "c", "servers", "Connect this server", "Connect this server now",
           label="connect"),
    Action("server_disconnect", "d", "servers", "Disconnect this server", "Disconnect this server",
           label="disconnect"),
    Action("server_refresh", "r", "servers", "Refresh this server's tools",
           "List this server's tools again", label="refresh"),
    Action("server_allow", "y", "servers", "Allow this server",
           "Review what this server starts, and allow it", label="allow"),
    Action("server_offers", "p", "servers", "Prompts and resources of this server",
           "Show this server's prompts and resources", label="prompts"),
    Action("server_add", "n", "servers", "Add server", "Add a server", label="new", palette=False),
    Action("server_remove", "delete", "servers", "Remove this server", "Remove this server", palette=False),
    Action("server_edit", "e", "servers", "Edit this server", "Change this server's settings",
           label="edit", palette=False),
    Action("server_switch", "x", "servers", "Enable or disable this server",
           "Disable or enable this server, in your config too", palette=False),
    Action("server_restart", "R", "servers", "Restart this server",
           "End this server and start it again", palette=False),
    Action("server_wire", "w", "servers", "Wire log of this server",
           "Show the messages to and from this server", palette=False),
    Action("server_sign_in", "s", "servers", "Sign in to this server",
           "Sign in to this server, or show how far it is", label="sign in"),
    Action("server_copy_sign_in", "u", "servers", "Copy sign-in address",
           "Copy the address of the sign-in page", label="copy address"),
    Action("server_open_sign_in", "o", "servers", "Open sign-in page",
           "Open the sign-in page in a browser", label="open"),
    Action("server_cancel_sign_in", "g", "servers", "Cancel sign-in", "Cancel the sign-in", label="cancel"),
    Action("server_sign_out", "S", "servers", "Sign out of this server",
           "Sign out: forget this server's tokens"),
)  # fmt: skip

_TOOLS = (
    Action("tools_filter", "slash", "tools", "Find a tool", "Find a tool by its name or description",
           label="filter"),
)  # fmt: skip

_CHAT = (
    Action("item_previous", "up,k", "chat", "Previous message", "Go to the message before", palette=False),
    Action("item_next", "down,j", "chat", "Next message", "Go to the next message", palette=False),
    Action("turn_previous", "left_square_bracket", "chat", "Previous message of yours",
           "Go to the message of yours above", palette=False),
    Action("turn_next", "right_square_bracket", "chat", "Next message of yours",
           "Go to the message of yours below", palette=False),
    Action("item_fold", "space", "chat", "Expand or collapse", "Expand or collapse this",
           label="expand", palette=False),
    Action("item_open", "enter", "chat", "Open", "Expand this, or show the whole result", palette=False),
    Action("item_copy", "y", "chat", "Copy item", "Copy this message or call",
           label="copy", palette=False),
    Action("copy_answer", "Y", "chat", "Copy last answer", "Copy the last answer", slash="copy"),
    Action("copy_code", "c", "chat", "Copy code block",
           "Copy a code block of this answer; again for the next one"),
    Action("copy_arguments", "a", "chat", "Copy arguments", "Copy this call's arguments", palette=False),
    Action("copy_result", "r", "chat", "Copy result", "Copy this call's result", palette=False),
    Action("transcript_home", "home", "chat", "Go to the start", "Go to the start", palette=False),
    Action("transcript_end", "end", "chat", "Go to the end", "Go to the end and follow it"),
    Action("transcript_page_up", "pageup", "chat", "Page up", "Scroll up one page", palette=False),
    Action("transcript_page_down", "pagedown", "chat", "Page down", "Scroll down one page", palette=False),
    Action("agent_alone", "z", "chat", "Show this agent only",
           "Show only the agent of this task; closing shows all again", palette=False, former="lane_alone"),
    Action("edit_message", "E", "chat", "Edit and resend", "Edit and resend this message of yours",
           slash="reword"),
)  # fmt: skip

_COMPOSER = (
    Action("send_message", "enter", "composer", "Send", "Send the message, or run the command",
           palette=False),
    Action("new_line", "ctrl+j,alt+enter,shift+enter", "composer", "New line", "Start a new line",
           palette=False),
    Action("older_message", "up", "composer", "Older message", "On the first line: the message before",
           palette=False),
    Action("newer_message", "down", "composer", "Newer message", "On the last line: the message after",
           palette=False),
    Action("complete_command", "tab", "composer", "Complete command", "Complete a command", palette=False),
    Action("undo", "ctrl+underscore,super+z", "composer", "Undo", "Undo the last change of the text",
           palette=False),
    Action("page_back", "pageup", "composer", "Scroll up", "Scroll the transcript up", palette=False),
    Action("page_on", "pagedown", "composer", "Scroll down", "Scroll the transcript down", palette=False),
)  # fmt: skip

_APPROVALS = (
    Action("approve", "A", "approvals", "Approve", "Approve exactly what is shown; fill in a form",
           label="approve", palette=False),
    Action("reject", "R", "approvals", "Reject", "Reject this call or plan, or decline this request",
           label="reject", palette=False),
    Action("reject_stop", "S", "approvals", "Reject and stop", "Reject this call and stop its turn",
           label="reject and stop", palette=False),
    Action("reject_why", "f", "approvals", "Reject with feedback", "Reject, with feedback for the model",
           label="reject with feedback", palette=False),
    Action("edit_call", "e", "approvals", "Edit", "Edit what would be sent", label="edit", palette=False),
    Action("cancel_ask", "X", "approvals", "Cancel request",
           "Cancel this request: the server hears that nobody decided", label="cancel", palette=False),
    Action("open_page", "o", "approvals", "Open page", "Open a request's page first, without agreeing",
           label="open", palette=False),
    Action("later", "D", "approvals", "Defer", "Look at it later", label="defer", palette=False),
    Action("mark", "m", "approvals", "Mark", "Mark it, to approve or reject several at once",
           label="mark", palette=False),
    Action("approve_marked", "M", "approvals", "Approve marked", "Approve the marked calls together",
           palette=False),
    Action("write_rule", "W", "approvals", "Write a rule",
           "Write a rule from this call, so that you are not asked again",
           label="write a rule…", palette=False),
    Action("reject_marked", "F", "approvals", "Reject marked",
           "Reject the marked calls together, with the same feedback", palette=False),
    Action("view_call", "v", "approvals", "Full view", "Show all of what would be sent",
           label="full view", palette=False),
    Action("show_change", "c", "approvals", "What changed", "Show what has changed since you accepted it",
           label="changes", palette=False),
    Action("copy_call", "y", "approvals", "Copy", "Copy the arguments, or the address", palette=False),
)  # fmt: skip

_registry: dict[str, Action] = {}


def add(*actions: Action) -> None:
    """Add actions. Raises `ValueError` if a name or a slash command is taken."""
    for action in actions:
        if action.name in _registry:
            raise ValueError(f"the action {action.name} exists already")
        if action.slash and by_slash(action.slash) is not None:
            raise ValueError(f"the command /{action.slash} exists already")
        _registry[action.name] = action


def all_actions() -> tuple[Action, ...]:
    """Return every action, in the order of the table: what the documentation lists."""
    return tuple(_registry.values())


def get(name: str) -> Action:
    """Return one action. Raises `KeyError`."""
    return _registry[name]


def named(name: str) -> Action | None:
    """Return the action that `[keys]` means by a name, present or former; None if there is none."""
    if name in _registry:
        return _registry[name]
    return next((action for action in _registry.values() if name and action.former == name), None)


def for_target(where: Where) -> tuple[Action, ...]:
    """Return the actions of one place."""
    return tuple(action for action in _registry.values() if action.where == where)


def slash_commands() -> tuple[Action, ...]:
    """Return the actions that have a slash command, sorted by its name."""
    return tuple(sorted((a for a in _registry.values() if a.slash), key=lambda action: action.slash))


def by_slash(name: str) -> Action | None:
    """Return the action of a slash command, in any of its spellings, None if there is none of that name."""
    exact = (action for action in _registry.values() if action.slash == name)
    other = (action for action in _registry.values() if name in action.spellings)
    return next(exact, None) or next(other, None)


def bindings(where: Where) -> list[BindingType]:
    """Return Textual bindings for a place, each with the action's name as its id."""
    return [
        Binding(
            action.keys,
            action.name if action.run is None else f"app.run('{action.name}')",
            action.label or action.description,
            show=bool(action.label),
            priority=action.priority,
            tooltip=action.description,
            id=action.name,
        )
        for action in for_target(where)
        if action.keys
    ]


add(*_APP, *_SERVERS, *_TOOLS, *_CHAT, *_COMPOSER, *_APPROVALS)
