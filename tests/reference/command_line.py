"""The page of all commands, from the grammar of `omni_tui.cli.parser`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from omni_tui.cli.output import ExitStatus
from omni_tui.cli.parser import PROGRAM, build_parser
from tests.reference.types import table

INTRODUCTION = """\
# Command line reference

Every command and option. [The command line](../command-line.md) shows what you do with them.
Without a command the app starts. The options [everywhere](#everywhere) stand before or after a command.
"""
_EVERYWHERE = "everywhere"
_STATUS = {
    "DONE": "done",
    "FAILED": "what you asked about failed: a turn, a tool, a server, a check",
    "USAGE": "a mistake in the command or in the configuration",
    "WITHHELD": "an approval was needed and nobody could give it, or the policy withholds it: not sent",
    "LIMIT": "a limit was reached (`run`)",
    "CANCELLED": "cancelled",
}


def page() -> str:
    """Return the page."""
    top = build_parser()
    parts = [INTRODUCTION, _section(top, f"## `{PROGRAM}`")]
    for name, parser in _commands(top):
        parts.append(_section(parser, f"## `{PROGRAM} {name}`"))
        for action, deeper in _commands(parser):
            parts.append(_section(deeper, f"### `{PROGRAM} {name} {action}`"))
    shared = next(group for group in top._action_groups if group.title == _EVERYWHERE)
    parts.append("## Everywhere")
    parts.append(table(("option", "meaning"), [_row(one) for one in shared._group_actions]))
    parts.append("## Exit status")
    parts.append(table(("status", "meaning"), [(f"{one.value}", _STATUS[one.name]) for one in ExitStatus]))
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _section(parser: argparse.ArgumentParser, heading: str) -> str:
    said = (parser.description or "").strip()
    lines = [heading, said[:1].upper() + said[1:] + ("" if said.endswith((".", "!")) else ".")]
    nested = {name for name, _ in _commands(parser)}
    words = [one for one in parser._actions if not one.option_strings and one.choices != nested]
    own = [
        one
        for group in parser._action_groups
        if group.title != _EVERYWHERE
        for one in group._group_actions
        if one.option_strings and one.dest != "help"
    ]
    rows = [_row(one) for one in words if not isinstance(one, argparse._SubParsersAction)]
    rows += [_row(one) for one in own]
    if rows:
        lines.append(table(("argument", "meaning"), rows))
    return "\n\n".join(lines)


def _row(action: argparse.Action) -> tuple[str, str]:
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    names = [f"{name} {value}".strip() for name in action.option_strings] or [value]
    if action.nargs == "?":
        names = [f"[{names[0]}]"]
    elif action.nargs in ("*", "+"):
        names = [f"{names[0]} …" if action.nargs == "+" else f"[{names[0]} …]"]
    meaning = action.help or ""
    if action.choices and not action.metavar:
        meaning = f"one of {', '.join(map(str, action.choices))}"
    return ", ".join(f"`{name}`" for name in names), meaning
