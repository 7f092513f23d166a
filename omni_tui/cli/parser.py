"""The grammar of the command line. Imports only `argparse`, so that `--help` is fast."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from omni_tui import __version__

PROGRAM = "omni-tui"
USAGE_ERROR = 2
LONGEST_START = 3600.0
"""The largest `--connect-timeout`, in seconds."""

_EPILOG = """\
Without a command, the app starts. Press F1 there for help, and Ctrl+P for the command palette.

exit status of run: 0 done, 1 error, 2 usage or configuration, 3 approval needed but nobody could
give it (nothing was sent), 4 limit reached, 130 cancelled; of other commands: 0 done, 1 failed,
2 usage or configuration, 3 withheld by policy
"""

_DESCRIPTIONS = {
    "demo": "Try Omni TUI with a bundled server and a rule-based model. Needs no key, network or "
    "configuration; its files go to a temporary folder that is removed at the end.",
    "run": "Let the agent work on one prompt without a screen. Calls that need your approval are not sent.",
    "servers": "Connect to the configured servers and print their state; or print the log of one.",
    "tools": "List the tools of all servers, or those with every word of QUERY in name or description.",
    "call": "Call one tool. Typing the command is your approval; a destructive tool also needs --yes.",
    "config": "Check, show or find the configuration.",
    "sessions": "List, show or delete saved sessions.",
    "doctor": "Check that this machine has what Omni TUI needs, and report what is missing.",
}


class Parser(argparse.ArgumentParser):
    """Prints errors in one line, with a pointer to the help."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with status 2."""
        print(f"{PROGRAM}: {_near(message)}\nsee: {self.prog} --help", file=sys.stderr)
        raise SystemExit(USAGE_ERROR)


def _near(message: str) -> str:
    """Return argparse's error in plain words, with the nearest match for a wrong choice."""
    head, found, choices = message.partition(" (choose from ")
    if not found:
        start, required, names = message.partition("arguments are required: ")
        # argparse also counts optional repeated words as missing.
        missing = [name for name in names.split(", ") if name != "KEY=VALUE"]
        return f"missing: {', '.join(missing)}" if required else start
    what = head.removeprefix("argument ").partition(":")[0]
    wrong = head.rpartition("invalid choice: ")[2].strip("'\"")
    known = [choice.strip(" '") for choice in choices.rstrip(")").split(",")]
    match = difflib.get_close_matches(wrong, known, n=1)
    hint = f"did you mean {match[0]}?" if match else f"known: {', '.join(known)}"
    kind = what.removeprefix("--").lower()
    return f"there is no {kind} {wrong!r}; {hint}"


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line. Exits with status 0 after `--help`, 2 after an error.

    The result has every global option (empty if not given), `command` ("app" for none), and the arguments
    of the command.
    """
    parser = build_parser()
    words = list(sys.argv[1:] if argv is None else argv)
    if odd := _not_utf8(words):
        parser.error(odd)
    _must_know_options(parser, words)
    arguments, further = parser.parse_known_args(words, argparse.Namespace(**_GLOBAL_DEFAULTS))
    _must_have_an_action(parser, arguments)
    _take_further(parser, arguments, further)
    if arguments.command is None:
        arguments.command = "app"
    if arguments.json and arguments.command in {"app", "demo"}:
        parser.error("--json needs a command that prints, e.g. run, servers, tools or call")
    if arguments.new and arguments.session:
        parser.error("--new and --session cannot be used together: begin a new session, or open one")
    return arguments


_FOLDERS = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")


def _not_utf8(words: Sequence[str]) -> str:
    """Return an error for a word that is not UTF-8, "" if all are: it could be neither sent nor saved."""
    named = [("argument", word) for word in words]
    named += [
        (f"environment variable {name}", value)
        for name, value in os.environ.items()
        if name in _FOLDERS or name.startswith("OMNI_TUI_")
    ]
    for what, text in named:
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = text[:200].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            return f"the {what} is not UTF-8 text: {shown}"
    return ""


def _must_have_an_action(top: Parser, arguments: argparse.Namespace) -> None:
    """Exit with the actions of a command that needs one and got none."""
    command = arguments.command
    actions = list(_subparsers(_subparsers(top)[command])) if command in ("config", "sessions") else []
    if actions and arguments.action is None:
        _subparsers(top)[command].error(f"{command} needs one of: {', '.join(actions)}")


def _must_know_options(top: Parser, words: Sequence[str]) -> None:
    """Exit for an unknown option: `argparse` would take the next word for a command."""
    parser, value_of = top, ""
    for word in words:
        if word == "--":
            return
        if value_of:
            value_of = ""
            continue
        if not word.startswith("-") or word == "-" or word[1:2].isdigit() or " " in word:
            parser = _subparsers(parser).get(word, parser)
            continue
        name, given, _ = word.partition("=")
        action = parser._option_string_actions.get(name)
        if action is None:
            parser.error(f"there is no option {name}{_about_option(name, top, parser)}")
        value_of = name if action.nargs != 0 and not given else ""


def _about_option(name: str, top: Parser, parser: Parser) -> str:
    owners = [each for each, one in _subparsers(top).items() if name in one._option_string_actions]
    if owners and parser is top:
        return f"; it is an option of a command: {PROGRAM} {owners[0]} … {name}"
    known = {
        option for each in (parser, *_subparsers(parser).values()) for option in each._option_string_actions
    }
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    """Return the subparsers of a parser, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _take_further(parser: Parser, arguments: argparse.Namespace, further: list[str]) -> None:
    """Take the words that `argparse` leaves over when options come between them."""
    words = [word for word in further if not word.startswith("-")]
    rest = {"call": "pairs", "tools": "query"}.get(arguments.command)
    if len(words) < len(further) or (words and rest is None):
        parser.error(f"unknown: {' '.join(word for word in further if word not in words) or words[0]}")
    if words and rest:
        getattr(arguments, rest).extend(words)


_GLOBAL_DEFAULTS: dict[str, object] = {
    "debug": False,
    "json": False,
    "config": "",
    "mcp_config": "",
    "project": "",
    "state_dir": "",
    "model": "",
    "api_base": "",
    "theme": "",
    "mode": "",
    "connect_timeout": 0.0,
    "new": False,
    "session": "",
    "demo": False,
}


def build_parser() -> Parser:
    """Return the whole grammar."""
    shared = _shared()
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [COMMAND] [OPTIONS]",
        description="Connect MCP servers, chat with an agent that uses them, and approve its tool calls.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    _add_session_options(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser, prog=PROGRAM)

    def command(name: str, text: str) -> Parser:
        made: Parser = commands.add_parser(
            name, help=text, description=_DESCRIPTIONS[name], parents=[shared], allow_abbrev=False
        )
        return made

    command("demo", "try it without key, network or configuration")
    _add_run(command("run", "let the agent work on one prompt without a screen"))
    _add_servers(command("servers", "connect and print the state of servers; print a server's log"))
    tools = command("tools", "list tools")
    tools.add_argument("query", nargs="*", metavar="QUERY", help="words in the name or description")
    _add_demo(tools)
    _add_call(command("call", "call one tool"))
    _add_actions(
        command("config", "check, show or find the configuration"),
        {
            "check": "explain every mistake, with file, line and correction",
            "path": "print the paths of files and folders",
            "show": "print the settings in effect and where each comes from",
        },
    )
    _add_sessions(command("sessions", "list, show or delete saved sessions"))
    command("doctor", "check this machine")
    return parser


def _shared() -> Parser:
    """Return the options of every command, before or after its name."""
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    group = shared.add_argument_group("everywhere")
    group.add_argument("--config", metavar="FILE", help="use this config file instead of your own")
    group.add_argument("--mcp-config", metavar="FILE", help="add the servers of an mcpServers JSON file")
    group.add_argument("--project", metavar="DIR", help="read DIR/.omni-tui.toml, which can only restrict")
    group.add_argument("--state-dir", metavar="DIR", help="store sessions, keys and logs here")
    group.add_argument("--model", metavar="NAME", help='a model name of LiteLLM, "offline" or "tiny"')
    group.add_argument("--api-base", metavar="URL", help="the address of the model's API")
    group.add_argument("--theme", metavar="NAME", help="the color theme")
    modes = ("chat", "auto", "orchestrator")
    group.add_argument(
        "--mode", choices=modes, metavar="MODE", help=f"{', '.join(modes[:2])} or {modes[2]}"
    )
    group.add_argument(
        "--connect-timeout", type=_seconds, metavar="SECONDS", help="how long each server may take to start"
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument("--debug", action="store_true", help="write more to the log")
    return shared


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= LONGEST_START:
        raise argparse.ArgumentTypeError(
            f"must be more than 0 and at most {LONGEST_START:g} seconds, not {text!r}"
        )
    return value


def _add_session_options(parser: Parser) -> None:
    group = parser.add_argument_group("the app")
    group.add_argument("--new", action="store_true", help="begin a new session")
    group.add_argument("--session", metavar="ID", default="", help="open this session")


def _add_demo(parser: Parser) -> None:
    parser.add_argument("--demo", action="store_true", help="use the bundled server instead of your own")


def _add_servers(parser: Parser) -> None:
    _add_demo(parser)
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    text = "print the log of a server's last starts, without starting it"
    log = subparsers.add_parser("log", help=text, description=text, parents=[_shared()], allow_abbrev=False)
    log.add_argument("name", metavar="NAME", help="a server's name, as `omni-tui servers` prints it")
    log.add_argument("--follow", action="store_true", help="keep printing new lines until Ctrl+C")


def _add_run(parser: Parser) -> None:
    parser.add_argument("prompt", metavar="PROMPT", help='what to do; "-" reads standard input')
    _add_demo(parser)


def _add_call(parser: Parser) -> None:
    parser.add_argument("server", metavar="SERVER")
    parser.add_argument("tool", metavar="TOOL")
    parser.add_argument(
        "pairs", nargs="*", metavar="KEY=VALUE", help="arguments, converted by the tool's schema"
    )
    parser.add_argument("--args", metavar="JSON", default="", help="arguments as one JSON object")
    parser.add_argument("--yes", action="store_true", help="call a destructive tool")
    _add_demo(parser)


def _add_actions(parser: Parser, actions: dict[str, str]) -> None:
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    for name, text in actions.items():
        subparsers.add_parser(name, help=text, description=text, parents=[_shared()], allow_abbrev=False)


def _add_sessions(parser: Parser) -> None:
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    texts = {
        "list": "list saved sessions, newest first",
        "show": "print a session",
        "delete": "delete a session permanently",
    }
    for name, text in texts.items():
        made = subparsers.add_parser(
            name, help=text, description=text, parents=[_shared()], allow_abbrev=False
        )
        if name != "list":
            made.add_argument("id", metavar="ID", help="a session's id, as `list` prints it")
