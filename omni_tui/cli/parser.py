"""The grammar of the command line. Imports only `argparse`, so that `--help` is fast."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
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
    "servers": "Connect to the configured servers and print their state; print the log of one; or search "
    "the public registry.",
    "tools": "List the tools of all servers, or those with every word of QUERY in name or description.",
    "call": "Call one tool. Typing the command is your approval; a destructive tool also needs --yes. "
    "A tool that has changed is not called until you accepted it in the app.",
    "config": "Check, show or find the configuration, or import the servers of another program.",
    "policy": "Show the rules that decide on calls, try a call on them, find useless rules, revoke one. "
    "Starts no server.",
    "sessions": "List, search, show, rename, tag, delete, back up, restore, export or import "
    "saved sessions.",
    "audit": "Check or export the audit: who or which rule decided what, on which bytes, and the outcome.",
    "plugins": "List, check, enable, disable, install and remove plugins, or begin one. A plugin adds "
    "models, tools, transports, memory or themes, and runs with the app's own rights.",
    "completion": "Print the script with which bash, zsh or fish completes commands, options and values.",
    "doctor": "Check that this machine has what Omni TUI needs, and report what is missing.",
}


class Parser(argparse.ArgumentParser):
    """Prints errors in one line, with a pointer to the help."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with status 2."""
        from omni_tui.security.text import safe_line  # help and the app start without it

        # A word of the command line may come from a script, which has it from anywhere.
        print(
            f"{PROGRAM}: {safe_line(_near(message), limit=2_000)}\nsee: {self.prog} --help", file=sys.stderr
        )
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
    words, removals = _without_removals(words)
    _must_know_options(parser, words)
    arguments, further = parser.parse_known_args(words, argparse.Namespace(**_GLOBAL_DEFAULTS))
    _take_further(parser, arguments, further)
    if arguments.command in ("config", "policy", "sessions", "plugins") and arguments.action is None:
        command = _subparsers(parser)[arguments.command]
        command.error(f"{arguments.command} needs one of: {', '.join(_subparsers(command))}")
    if arguments.command == "sessions" and arguments.action == "tag":
        arguments.remove = removals
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
    if arguments.command == "policy" and arguments.action == "test":
        rest = "pairs"
    if arguments.command == "servers" and arguments.action == "search":
        rest = "words"
    if arguments.command == "sessions":
        rest = {"search": "words", "rename": "title", "tag": "changes"}.get(arguments.action)
    if len(words) < len(further) or (words and rest is None):
        parser.error(f"unknown: {' '.join(word for word in further if word not in words) or words[0]}")
    if words and rest:
        getattr(arguments, rest).extend(words)


_GLOBAL_DEFAULTS: dict[str, object] = {
    "debug": False,
    "json": False,
    "config": "",
    "mcp_config": "",
    "env_file": "",
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
    group = parser.add_argument_group("the app")
    group.add_argument("--new", action="store_true", help="begin a new session")
    group.add_argument("--session", metavar="ID", default="", help="open this session")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser, prog=PROGRAM)

    def command(name: str, text: str, *, demo: bool = False) -> Parser:
        made: Parser = commands.add_parser(
            name, help=text, description=_DESCRIPTIONS[name], parents=[shared], allow_abbrev=False
        )
        if demo:
            made.add_argument(
                "--demo", action="store_true", help="use the bundled server instead of your own"
            )
        return made

    def actions(made: Parser, texts: dict[str, str]) -> dict[str, Parser]:
        subparsers = made.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
        return {
            name: subparsers.add_parser(
                name, help=text, description=text, parents=[_shared()], allow_abbrev=False
            )
            for name, text in texts.items()
        }

    command("demo", "try it without key, network or configuration")
    run = command("run", "let the agent work on one prompt without a screen", demo=True)
    run.add_argument("prompt", metavar="PROMPT", help='what to do; "-" reads standard input')
    servers = command("servers", "print the state of servers, or a log; search for servers", demo=True)
    of_servers = actions(
        servers,
        {
            "log": "print the log of a server's last starts, without starting it",
            "search": "search the public registry for servers; /find in the app adds one",
        },
    )
    log, search = of_servers["log"], of_servers["search"]
    search.add_argument("words", nargs="+", metavar="WORDS", help="all in name, title or description")
    search.add_argument("--limit", type=int, metavar="N", default=30, help="how many to print (30)")
    log.add_argument("name", metavar="NAME", help="a server's name, as `omni-tui servers` prints it")
    log.add_argument("--follow", action="store_true", help="keep printing new lines until Ctrl+C")
    tools = command("tools", "list tools", demo=True)
    tools.add_argument("query", nargs="*", metavar="QUERY", help="words in the name or description")
    call = command("call", "call one tool", demo=True)
    call.add_argument("server", metavar="SERVER")
    call.add_argument("tool", metavar="TOOL")
    call.add_argument(
        "pairs", nargs="*", metavar="KEY=VALUE", help="arguments, converted by the tool's schema"
    )
    call.add_argument("--args", metavar="JSON", default="", help="arguments as one JSON object")
    call.add_argument("--yes", action="store_true", help="call a destructive tool")
    config = actions(
        command("config", "check, show or find the configuration, import another program's servers"),
        {
            "check": "explain every mistake, with file, line and correction",
            "path": "print the paths of files and folders",
            "show": "print the settings in effect and where each comes from",
            "schema": "print the JSON schema of a config file",
            "import": "show what another program's file would bring, and take it over",
        },
    )
    _add_import(config["import"])
    config["show"].add_argument(
        "--origin", action="store_true", help="print every setting with its layer and place"
    )
    policy = actions(
        command("policy", "show, try, check and remove the rules that decide on calls"),
        {
            "list": "list every rule, its state and its place",
            "test": "say what would be decided on a call, and by which rules",
            "explain": "say in plain words what a rule does",
            "lint": "find rules that are mistaken or do nothing",
            "revoke": "remove a rule of yours, or withdraw the adoption of a project's rule",
        },
    )
    for name in ("explain", "revoke"):
        policy[name].add_argument("id", metavar="ID", help="a rule's id, as `list` prints it")
    _add_call_facts(policy["test"])
    sessions = actions(
        command("sessions", "list, search, show, delete, back up, export or import saved sessions"),
        {
            "list": "list saved sessions, newest first",
            "show": "print a session",
            "search": "find words in all sessions: messages, answers, calls, results, titles and tags",
            "rename": "give a session another title",
            "tag": "add tags to a session (+work) or remove them (-work); print them if there is no change",
            "delete": "delete a session permanently, in its backups too",
            "backup": "back sessions up; a backup can be read with the key store of this state folder only",
            "restore": "put a backup in the place of a session",
            "export": "save a conversation to a file: JSON to import again, or Markdown, HTML or asciicast",
            "import": "make sessions of the conversations in a file of Omni TUI or another program",
            "resume": "fetch a session from Redis, to go on with it on this machine",
            "key": "create, export or import the key of the sessions in Redis",
        },
    )
    _add_labels(sessions)
    _add_files(sessions)
    sessions["list"].add_argument("--redis", action="store_true", help="list the sessions in Redis instead")
    sessions["delete"].add_argument("--redis", action="store_true", help="delete it from Redis only")
    sessions["resume"].add_argument(
        "--copy", action="store_true", help="make it another session, and leave it where it is"
    )
    sessions["key"].add_argument(
        "step", choices=("create", "export", "import"), metavar="create|export|import"
    )
    sessions["key"].add_argument(
        "--file",
        metavar="FILE",
        default="",
        help="export to FILE or import from it; by default to and from here",
    )
    for name in ("show", "delete", "restore", "resume"):
        sessions[name].add_argument("id", metavar="ID", help="a session's id, as `list` prints it")
    sessions["backup"].add_argument("ids", metavar="ID", nargs="*", help="sessions; by default all")
    sessions["restore"].add_argument(
        "--from",
        dest="memory",
        metavar="MEMORY",
        default="",
        help="fetch the copy that a plugin's memory keeps",
    )
    sessions["backup"].add_argument("--list", action="store_true", help="list the backups there are")
    sessions["restore"].add_argument(
        "--number", metavar="N", type=int, default=0, help="which backup; by default the newest"
    )
    audit = actions(
        command("audit", "check or export the audit"),
        {
            "verify": "check that no entry was changed or removed; name the first bad one",
            "export": "print every entry as a line of JSON",
        },
    )
    for each in audit.values():
        each.add_argument("id", metavar="ID", nargs="?", default="", help="only this session")
    _add_plugins(
        actions(
            command("plugins", "list, check, switch, install and remove plugins"),
            {
                "list": "list the plugins that are installed",
                "show": "say what one plugin is and provides",
                "check": "import plugins in a process of their own and try what they provide",
                "enable": "check a plugin and load it from the next start on",
                "disable": "load a plugin no more",
                "install": "install a package with a plugin; the exact command is shown first",
                "remove": "remove a plugin's package; the exact command is shown first",
                "new": "write a working plugin with its test, to begin with",
            },
        )
    )
    command("doctor", "check this machine")
    completion = command("completion", "print the script with which your shell completes omni-tui")
    completion.add_argument(
        "shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish"
    )
    return parser


def _shared() -> Parser:
    """Return the options of every command, before or after its name."""
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    group = shared.add_argument_group("everywhere")
    group.add_argument("--config", metavar="FILE", help="use this config file instead of your own")
    group.add_argument("--mcp-config", metavar="FILE", help="add the servers of an mcpServers JSON file")
    group.add_argument("--env-file", metavar="FILE", help="read variables from this file of NAME=VALUE")
    group.add_argument("--project", metavar="DIR", help="read DIR/.omni-tui.toml, which can only restrict")
    group.add_argument("--state-dir", metavar="DIR", help="store sessions, keys and logs here")
    group.add_argument("--model", metavar="NAME", help='a model name of LiteLLM or a plugin, or "offline"')
    group.add_argument("--api-base", metavar="URL", help="the address of the model's API")
    group.add_argument("--theme", metavar="NAME", help="the color theme")
    modes = ("chat", "auto", "orchestrator")
    group.add_argument("--mode", choices=modes, metavar="MODE", help="chat, auto or orchestrator")
    group.add_argument(
        "--connect-timeout", type=_seconds, metavar="SECONDS", help="how long each server may take to start"
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument("--debug", action="store_true", help="write more to the log")
    return shared


def _add_plugins(plugins: dict[str, Parser]) -> None:
    for name in ("show", "enable", "disable", "remove"):
        plugins[name].add_argument("name", metavar="NAME", help="a plugin's name, as `list` prints it")
    plugins["check"].add_argument("name", metavar="NAME", nargs="?", default="", help="by default all")
    plugins["install"].add_argument(
        "what", metavar="WHAT", help="a folder with a pyproject.toml, a wheel, or a package's name"
    )
    for name in ("enable", "install", "remove"):
        plugins[name].add_argument("--yes", action="store_true", help="answer yes to every question")
    plugins["new"].add_argument("name", metavar="NAME", help="small letters, digits and hyphens")
    kinds = ("tools", "model", "transport", "memory", "theme")
    plugins["new"].add_argument(
        "--kind", choices=kinds, metavar="KIND", default="tools", help=", ".join(kinds)
    )
    plugins["new"].add_argument(
        "--folder", metavar="DIR", default="", help="write it into DIR/NAME; by default here"
    )


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


def _add_import(importing: Parser) -> None:
    importing.add_argument(
        "file",
        metavar="FILE|PROGRAM",
        nargs="?",
        default="",
        help="a file, or a program's name as --list prints it; nothing is written unless you say what",
    )
    importing.add_argument("--list", action="store_true", help="list the files found on this machine")
    importing.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="write this server to your config file; may be given again",
    )
    importing.add_argument("--all", action="store_true", help="write all its servers and settings")


def _add_labels(sessions: dict[str, Parser]) -> None:
    sessions["list"].add_argument(
        "--tag", metavar="TAG", action="append", default=[], help="only sessions with this tag"
    )
    sessions["search"].add_argument("words", nargs="+", metavar="WORDS", help="all in one text, any case")
    sessions["search"].add_argument(
        "--limit", type=int, metavar="N", default=20, help="how many sessions to print, the best first (20)"
    )
    for name in ("rename", "tag"):
        sessions[name].add_argument("id", metavar="ID", help="a session's id, as `list` prints it")
    sessions["rename"].add_argument("title", nargs="+", metavar="TITLE", help="the new title")
    sessions["tag"].add_argument("changes", nargs="*", metavar="+TAG|-TAG", help="what to add or remove")


def _add_files(sessions: dict[str, Parser]) -> None:
    export = sessions["export"]
    export.add_argument("id", metavar="ID", help="a session's id, as `list` prints it, or its beginning")
    export.add_argument(
        "--format",
        choices=("json", "markdown", "html", "asciicast"),
        metavar="FORMAT",
        default="",
        help="json, markdown, html or asciicast; by default what the name of FILE tells, else json",
    )
    export.add_argument(
        "-o", "--output", metavar="FILE", default="", help="write to FILE, readable by you only"
    )
    export.add_argument("--force", action="store_true", help="replace FILE if it exists")
    importing = sessions["import"]
    importing.add_argument(
        "file",
        metavar="FILE",
        help="JSON of Omni TUI or MCPOmni Connect, a transcript of Claude Code or Codex (.jsonl), or a "
        "database of llm or oterm; it is only read",
    )
    importing.add_argument("--list", action="store_true", help="list the conversations in FILE")
    importing.add_argument(
        "--only",
        metavar="N",
        type=int,
        action="append",
        default=[],
        help="import conversation number N of the list; may be given again",
    )
    importing.add_argument("--all", action="store_true", help="import every conversation in FILE")


def _without_removals(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take out of `sessions tag` what is to be removed: `argparse` would take `-home` for an option."""
    at = next((n for n, pair in enumerate(pairwise(words)) if pair == ("sessions", "tag")), None)
    if at is None:
        return list(words), []
    removals = [word for word in words[at + 2 :] if re.fullmatch(r"-[^-].+|-[^-h]", word)]
    return [word for word in words if word not in removals], [word[1:] for word in removals]


def _add_call_facts(test: Parser) -> None:
    test.add_argument("server", metavar="SERVER")
    test.add_argument("tool", metavar="TOOL")
    test.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="arguments: JSON, else text")
    test.add_argument("--args", metavar="JSON", default="", help="arguments as one JSON object")
    risks = ("read", "write", "unknown", "destructive")
    test.add_argument("--risk", choices=risks, default="", metavar="RISK", help=", ".join(risks))
    askers = ("agent", "hand", "gateway", "operator")
    test.add_argument("--who", choices=askers, default="agent", metavar="WHO", help=", ".join(askers))
    test.add_argument("--agent", metavar="PATH", default="root", help="the agent's path, root by default")
    test.add_argument("--client", metavar="NAME", default="", help="the name of the gateway's client")
    test.add_argument(
        "--outside",
        action="store_true",
        help="every argument contains data of an untrusted server that you did not type",
    )
