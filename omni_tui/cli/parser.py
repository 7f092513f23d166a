"""The grammar of the command line: `argparse` and nothing else, so that `--help` is quick."""

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
"""Most seconds that a server may be given to start."""

_EPILOG = """\
Without a command the app starts. Everything it can do is in its help (F1) and its palette (Ctrl+P).

exit status of run: 0 done, 1 error, 2 usage or configuration, 3 an approval was needed and nobody
could give it (nothing was sent), 4 a limit was reached, 130 cancelled; of the others: 0, 1 what was
asked about failed, 2 usage or configuration, 3 withheld by policy
"""

_DESCRIPTIONS = {
    "demo": "Try everything out: a bundled server and a rules model. No key, no network, no configuration; "
    "what it writes goes to a temporary folder that is removed at the end.",
    "run": "Let the agent work on one prompt without a screen. What would ask you is not sent.",
    "servers": "Connect to the configured servers, report, and leave; or show what one of them wrote.",
    "tools": "List the tools of all servers, or those whose name or description has every word of QUERY.",
    "call": "Call one tool by hand. You decide by typing it; a destructive tool needs --yes as well.",
    "config": "Look at the configuration.",
    "sessions": "Look at saved sessions.",
    "doctor": "Check what Omni TUI needs of this machine, and say what is missing.",
}


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong and where to read on."""

    def error(self, message: str) -> NoReturn:
        """Print the mistake and leave with status 2."""
        print(f"{PROGRAM}: {_near(message)}\nsee: {self.prog} --help", file=sys.stderr)
        raise SystemExit(USAGE_ERROR)


def _near(message: str) -> str:
    """Return argparse's words about a wrong choice or a missing word as a person would say them."""
    head, found, choices = message.partition(" (choose from ")
    if not found:
        start, required, names = message.partition("arguments are required: ")
        # A word that may be repeated or left out is counted as missing too.
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
    """Read the command line. Leaves with status 0 after `--help`, 2 after a mistake.

    The result has every global option (empty where not given), `command` ("app" for none), and the
    command's own arguments.
    """
    parser = build_parser()
    words = list(sys.argv[1:] if argv is None else argv)
    if odd := _not_utf8(words):
        parser.error(odd)
    _must_know_options(parser, words)
    arguments, further = parser.parse_known_args(words)
    _must_have_an_action(parser, arguments)
    _take_further(parser, arguments, further)
    for name, value in _GLOBAL_DEFAULTS.items():
        if not hasattr(arguments, name):
            setattr(arguments, name, value)
    if arguments.command is None:
        arguments.command = "app"
    if arguments.json and arguments.command in {"app", "demo"}:
        parser.error("--json needs a command that prints, e.g. run, servers, tools or call")
    if arguments.new and arguments.session:
        parser.error("--new and --session exclude each other: begin a session, or open that one")
    return arguments


_FOLDERS = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")


def _not_utf8(words: Sequence[str]) -> str:
    """Say which word is not UTF-8: nothing that is sent or written down can hold it."""
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
    """Name the actions of a command that needs one and got none."""
    command = arguments.command
    actions = list(_subparsers(_subparsers(top)[command])) if command in ("config", "sessions") else []
    if actions and arguments.action is None:
        _subparsers(top)[command].error(f"{command} needs one of: {', '.join(actions)}")


def _must_know_options(top: Parser, words: Sequence[str]) -> None:
    """Name an unknown option as such: `argparse` would take the word behind it for a command."""
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
        return f"; it belongs to a command: {PROGRAM} {owners[0]} … {name}"
    known = {
        option for each in (parser, *_subparsers(parser).values()) for option in each._option_string_actions
    }
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    """Return the parsers of a parser's commands, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _take_further(parser: Parser, arguments: argparse.Namespace, further: list[str]) -> None:
    """Take the words that `argparse` leaves over when options stand between them."""
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
}


def build_parser() -> Parser:
    """Return the whole grammar."""
    shared = _shared()
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [COMMAND] [OPTIONS]",
        description="Connect MCP servers, talk to an agent that uses them, decide on every tool call.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    _add_session_options(parser)
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", parser_class=Parser, prog=PROGRAM
    )

    def command(name: str, text: str) -> Parser:
        made: Parser = commands.add_parser(
            name, help=text, description=_DESCRIPTIONS[name], parents=[shared], allow_abbrev=False
        )
        return made

    command("demo", "try it out: no key, no network, no configuration")
    _add_run(command("run", "let the agent work on one prompt without a screen"))
    _add_servers(command("servers", "connect, report, leave; show a server's log"))
    tools = command("tools", "list tools")
    tools.add_argument("query", nargs="*", metavar="QUERY", help="words that name or description must have")
    _add_demo(tools)
    _add_call(command("call", "call one tool by hand"))
    _add_actions(
        command("config", "check, show or find the configuration"),
        {
            "check": "explain every mistake, with file, line and what would be right",
            "path": "print where files are kept",
            "show": "print what is in force and where each value comes from",
        },
    )
    _add_sessions(command("sessions", "list, show or delete saved sessions"))
    command("doctor", "check what is needed of this machine")
    return parser


def _shared() -> Parser:
    """Options that every command takes, before or after its name."""
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    group = shared.add_argument_group("everywhere")
    group.add_argument("--config", metavar="FILE", help="read this config file in place of your own")
    group.add_argument("--mcp-config", metavar="FILE", help="add the servers of an mcpServers JSON file")
    group.add_argument("--project", metavar="DIR", help="read DIR/.omni-tui.toml, which may tighten only")
    group.add_argument("--state-dir", metavar="DIR", help="keep sessions, keys and logs here")
    group.add_argument("--model", metavar="NAME", help='LiteLLM\'s name of a model, "offline" or "tiny"')
    group.add_argument("--api-base", metavar="URL", help="where the model is served")
    group.add_argument("--theme", metavar="NAME", help="a theme's name")
    modes = ("chat", "auto", "orchestrator")
    group.add_argument(
        "--mode", choices=modes, metavar="MODE", help=f"{', '.join(modes[:2])} or {modes[2]}"
    )
    group.add_argument(
        "--connect-timeout", type=_seconds, metavar="SECONDS", help="how long each server may take to start"
    )
    group.add_argument("--json", action="store_true", help="print JSON, where a command prints")
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
    parser.add_argument("--demo", action="store_true", help="use the bundled server in place of your own")


def _add_servers(parser: Parser) -> None:
    _add_demo(parser)
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    text = "print what a server wrote in its last starts, without starting it"
    log = subparsers.add_parser("log", help=text, description=text, parents=[_shared()], allow_abbrev=False)
    log.add_argument("name", metavar="NAME", help="a server's name, as `omni-tui servers` prints it")
    log.add_argument("--follow", action="store_true", help="go on printing what comes, until Ctrl+C")


def _add_run(parser: Parser) -> None:
    parser.add_argument("prompt", metavar="PROMPT", help='what to do; "-" reads it from the input')
    _add_demo(parser)


def _add_call(parser: Parser) -> None:
    parser.add_argument("server", metavar="SERVER")
    parser.add_argument("tool", metavar="TOOL")
    parser.add_argument(
        "pairs", nargs="*", metavar="KEY=VALUE", help="arguments, typed by the tool's schema"
    )
    parser.add_argument("--args", metavar="JSON", default="", help="arguments as one JSON object")
    parser.add_argument("--yes", action="store_true", help="call it even though it may destroy something")
    _add_demo(parser)


def _add_actions(parser: Parser, actions: dict[str, str]) -> None:
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    for name, text in actions.items():
        subparsers.add_parser(name, help=text, description=text, parents=[_shared()], allow_abbrev=False)


def _add_sessions(parser: Parser) -> None:
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    texts = {
        "list": "list saved sessions, newest first",
        "show": "print what was said and done",
        "delete": "delete a session for good",
    }
    for name, text in texts.items():
        made = subparsers.add_parser(
            name, help=text, description=text, parents=[_shared()], allow_abbrev=False
        )
        if name != "list":
            made.add_argument("id", metavar="ID", help="a session's id, as `list` prints it")
