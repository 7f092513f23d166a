"""What to consider before a server is allowed to start: what is dangerous or unusual about a launch.

They are advice beside the whole launch, which is always shown: no list of shapes is complete.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from omni_tui.config.server_environment import PROXIES, SSH_AGENT
from omni_tui.config.server_program import program_of, server_folder
from omni_tui.config.spec import ServerSpec
from omni_tui.config.wrapped_command import (
    AS_ROOT,
    SHELLS,
    WINDOWS_SHELLS,
    WrappedCommand,
    commands_in,
    program_name,
    script_of,
)
from omni_tui.security.urls import is_unencrypted

_LOADS_CODE = re.compile(
    r"(?i)(?:(?:LD|DYLD|GIT|NPM_CONFIG|PIP|UV|DENO|BUN|DOTNET|BASH_FUNC|MALLOC|GLIBC)_\w+"
    r"|PYTHON(?!UNBUFFERED|IOENCODING|UTF8|HASHSEED|DONTWRITEBYTECODE)\w+"
    r"|NODE_(?:OPTIONS|PATH|REPL_\w+)|RUBY(?:OPT|LIB|PATH|SHELL)|PERL5?(?:OPT|LIB|DB|SHELL)|PHPRC"
    r"|PHP_INI_SCAN_DIR|LUA_(?:INIT|PATH|CPATH)\w*|R_PROFILE\w*|JULIA_\w+|CORECLR_\w+|COR_\w+"
    r"|_?JAVA_(?:TOOL_)?OPTIONS|JAVA_HOME|JDK_JAVA_OPTIONS|CLASSPATH|MAVEN_OPTS|GRADLE_OPTS"
    r"|GCONV_PATH|LOCPATH|NLSPATH|OPENSSL_(?:CONF|MODULES|ENGINES)|RUSTC_WRAPPER|CARGO_\w+"
    r"|BASH_ENV|ENV|IFS|PS4|PROMPT_COMMAND|SHELLOPTS|BASHOPTS|SHELL|ZDOTDIR"
    r"|EDITOR|VISUAL|PAGER|MANPAGER|BROWSER|SSH_ASKPASS|SUDO_ASKPASS|LESSOPEN|LESSCLOSE)\Z"
)
"""Variables that make a program load or run other code."""
_MOVES = re.compile(r"(?i)(?:HOME|TMPDIR|XDG_\w+|APPDATA|USERPROFILE)\Z")
_REROUTES = re.compile(
    r"(?i)(?:\w+_PROXY|SSL_CERT_\w+|\w*_CA_(?:BUNDLE|CERTS?|FILE)|\w*_EXTRA_CA_CERTS|SSLKEYLOGFILE)\Z"
)
_INTERPRETERS = re.compile(
    r"(?:ba|da|z|k|c|tc|fi|a|mk)?sh|busybox|pythonw?[\d.]*|pypy[\d.]*|node(?:js)?|deno|bun|tsx|ts-node|perl"
    r"|ruby|php[\d.]*|lua(?:jit)?[\d.]*|r|rscript|julia|groovy|osascript|tclsh|cmd|pwsh|powershell"
    r"|[gmn]?awk|xargs"
)
_CODE_FLAGS = re.compile(
    r"-\w*[ceEB]|--eval(=.*)?|--print(=.*)?|-p|-pe|-r|-R|--command(=.*)?|eval|-S|/c|/k"
)
_DOWNLOADS = frozenset({"curl", "wget", "fetch", "aria2c", "iwr", "irm", "invoke-webrequest", "http"})
_DOWNLOAD = re.compile(r"(?i)\b(?:curl|wget|fetch|aria2c|iwr|irm|invoke-webrequest)\b")
_SUBSTITUTED = re.compile(r"(?i)(?:[$<]\(|`)\s*(?:curl|wget|fetch)\b|\b(?:iex|invoke-expression)\b")
_LEADING = 8
"""Words of a piped command among which its program is looked for."""
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/private/tmp", "/private/var/tmp", "/var/folders")
_DOWNLOADED = frozenset({"downloads", "download", "desktop"})
_RUNNERS = {
    "npx": (), "pnpx": (), "bunx": (), "uvx": (), "dnx": (),
    "npm": ("exec", "x"), "pnpm": ("dlx",), "yarn": ("dlx",), "bun": ("x",), "pipx": ("run",),
    "uv": ("tool",),
}  # fmt: skip
"""Programs that download what they run, and the words that make them do so."""
_PACKAGE_OPTIONS = {
    "-p", "--package", "--from", "--spec", "--with", "--python", "--index", "--index-url", "-i",
    "--registry", "--cache", "--directory", "--project", "-c", "--call", "-w", "--workspace",
}  # fmt: skip
_NAMES_PACKAGE = frozenset({"-p", "--package", "--from", "--spec", "--with"})
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*:|[./~]|github:)", re.IGNORECASE)
_MANY = 24
"""Blanks in a row that are more than layout."""


def launch_warnings(spec: ServerSpec, project: Iterable[Path]) -> list[str]:
    """Return what to consider before allowing a server, one sentence each.

    `project`: the folders with content from others: the project's, and the current one.
    """
    if spec.url:
        return list(_of_address(spec))
    folders = list(project)
    found = [
        *_of_program(spec, folders),
        *_of_path(spec, folders),
        *_of_arguments(spec, folders),
        *_of_commands(spec, folders),
        *_of_variables(spec),
    ]
    return list(dict.fromkeys(found))


# --- the program ------------------------------------------------------------------------------------


def _of_program(spec: ServerSpec, project: list[Path]) -> Iterator[str]:
    program = program_of(spec)
    folder = server_folder(spec)
    if not program:
        yield "the program is not found; whatever appears under this name later would run"
    if os.sep in spec.command:
        if not os.path.isabs(spec.command):
            yield "the program is named by a relative path: what runs depends on the folder"
    elif program and program_of(ServerSpec(name="", command=spec.command)) != program:
        yield "the program is not the one of this name in your own PATH"
    path = folder / spec.command if os.sep in spec.command else Path(program)
    if path.is_relative_to("/proc") or path.is_relative_to("/dev"):
        yield "the program's path begins at /proc or /dev, where it is a different file for each process"
    yield from _of_place(program, "the program", project)
    if program and _others_may_write(Path(program)):
        yield "the program's file may be changed by every user of this machine"


def _of_place(path: str, what: str, project: list[Path]) -> Iterator[str]:
    if not path:
        return
    if _inside(Path(path), project):
        yield f"{what} is inside the project: anybody who changes the project changes what runs"
    places = {os.path.normpath(path), os.path.realpath(path)}
    temporary = (*_TEMPORARY, tempfile.gettempdir())
    if any(Path(place).is_relative_to(folder) for place in places for folder in temporary):
        yield f"{what} is in a temporary folder, where other programs write"
    if any(part.lower() in _DOWNLOADED for place in places for part in Path(place).parts[:-1]):
        yield f"{what} is in a folder for downloads"


def _others_may_write(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o002)
    except OSError:
        return False


def _of_path(spec: ServerSpec, project: list[Path]) -> Iterator[str]:
    """Yield what is odd in the `PATH` that the server would have."""
    given = "PATH" in spec.env
    entries = (spec.env["PATH"] if given else os.environ.get("PATH", "")).split(os.pathsep)
    whose = "its PATH" if given else "your PATH"
    folder = server_folder(spec)
    relative = [entry for entry in entries if not os.path.isabs(entry)] if any(entries) else []
    if relative:
        yield f"{whose} has a relative folder: which programs run depends on the server's folder"
    inside = [entry for entry in entries if entry and _inside(folder / entry, project)]
    if inside:
        yield f"{whose} has a folder of the project, whose programs can take the place of others"
    shared = [entry for entry in entries if any(Path(entry).is_relative_to(each) for each in _TEMPORARY)]
    if shared and given:
        yield f"{whose} has a temporary folder, where other programs write"


# --- the arguments ----------------------------------------------------------------------------------


def _of_arguments(spec: ServerSpec, project: list[Path]) -> Iterator[str]:
    folder = server_folder(spec)
    for number, argument in enumerate(spec.args, 1):
        named = argument.partition("=")[2] if argument.startswith("-") and "=" in argument else argument
        if named and "\0" not in named and len(named) < 4096 and _is_file_of(folder / named, project):
            yield f"argument {number} is a file of the project, which it may run"
    for number, argument in enumerate((spec.command, *spec.args)):
        what = f"argument {number}" if number else "the command"
        if re.search(rf"[^\S\n]{{{_MANY},}}|\n{{4,}}", argument):
            yield f"{what} has a long run of blanks: look at what follows them"


def _is_file_of(path: Path, project: list[Path]) -> bool:
    try:
        return path.is_file() and _inside(path, project)
    except OSError:
        return False


def _inside(path: Path, folders: list[Path]) -> bool:
    places = {Path(os.path.normpath(path)), path.resolve()}
    return any(place.is_relative_to(folder.resolve()) for place in places for folder in folders)


# --- the commands -----------------------------------------------------------------------------------


def _of_commands(spec: ServerSpec, project: list[Path]) -> Iterator[str]:
    """Yield what is odd in the command and in those that it runs in turn."""
    for command in commands_in(spec.command, spec.args):
        yield from _of_command(command)
        if command.depth:
            yield from _of_inner(command, spec, project)
        module = "-m" in command.args and command.name.startswith(("python", "pypy"))
        if module and _inside(server_folder(spec), project):
            yield "it loads modules from its working folder, which is the project's"


def _of_command(command: WrappedCommand) -> Iterator[str]:
    script = script_of(command)
    name = command.name
    if script is not None:
        yield "it runs code from its arguments"
        if _runs_download(script):
            yield "it may run at once what it downloads"
    elif _INTERPRETERS.fullmatch(name) and any(_CODE_FLAGS.fullmatch(one) for one in _options(command)):
        yield "it runs code from its arguments"
    if name in AS_ROOT:
        yield f"{name} runs it with the rights of another user, usually those of the administrator"
    if name in _DOWNLOADS:
        yield f"{name} downloads something"
    if package := _unversioned(command):
        yield f"{name} downloads the newest {package} each time: name a version"
    for variable in command.variables:
        if words := _of_variable(variable):
            yield words


def _runs_download(script: str) -> bool:
    """Whether something that a script downloads goes into a shell or another interpreter."""
    found = _DOWNLOAD.search(script)
    if found is None:
        return False
    pieces = (piece.split(None, _LEADING)[:_LEADING] for piece in script[found.start() :].split("|")[1:])
    return bool(_SUBSTITUTED.search(script)) or any(
        _INTERPRETERS.fullmatch(program_name(word.strip("'\"(){};&"))) for words in pieces for word in words
    )


def _options(command: WrappedCommand) -> Iterator[str]:
    """Yield an interpreter's own options: what follows its script belongs to the script."""
    for word in command.args:
        yield word
        if not word.startswith(("-", "/")) and word != "eval":
            return


def _of_inner(command: WrappedCommand, spec: ServerSpec, project: list[Path]) -> Iterator[str]:
    if not command.program or command.name in SHELLS or command.name in WINDOWS_SHELLS:
        return
    if os.sep in command.program and not os.path.isabs(os.path.expanduser(command.program)):
        yield "a program inside is named by a relative path: what runs depends on the folder"
    inner = ServerSpec(name="", command=command.program, cwd=spec.cwd, env=spec.env)
    if "\0" not in command.program and len(command.program) < 4096:
        yield from _of_place(program_of(inner), "a program inside", project)


def _unversioned(command: WrappedCommand) -> str:
    """Return the package that a runner would download in whichever version is newest, "" if none."""
    verbs = _RUNNERS.get(command.name)
    words = list(command.args)
    if verbs:
        at = next((at for at, word in enumerate(words) if word in verbs), len(words))
        words = words[at + 1 + (command.name == "uv") :]  # `uv tool run`
    if verbs is None or not words:
        return ""
    for package in _packages(words):
        if not _ADDRESS.match(package) and not _has_version(package):
            return package[:80]
    return ""


def _packages(words: list[str]) -> list[str]:
    """Return the packages that a runner's words name: those of options, else the first operand."""
    named: list[str] = []
    at = 0
    while at < len(words):
        key, equals, value = words[at].partition("=")
        at += 1
        if not key.startswith("-"):
            return named or [words[at - 1]]
        if key in _PACKAGE_OPTIONS and not equals:
            value = words[at] if at < len(words) else ""
            at += 1
        if key in _NAMES_PACKAGE and value:
            named.append(value)
    return named


def _has_version(package: str) -> bool:
    name = package[1:] if package.startswith("@") else package
    version = re.split(r"@|==|===|~=", name, maxsplit=1)
    return len(version) == 2 and bool(re.match(r"[v^~]?\d|[0-9a-f]{7,}\Z", version[1]))


# --- variables and addresses ------------------------------------------------------------------------


def _of_variables(spec: ServerSpec) -> Iterator[str]:
    for name in spec.env:
        if words := _of_variable(name):
            yield words
    for name in spec.inherit:
        if name == SSH_AGENT:
            yield "it gets your SSH agent: it can sign in to other machines with your keys"
        elif name in PROXIES:
            yield f"it gets {name} from your environment, with its password if it has one"
        elif _LOADS_CODE.match(name):
            yield f"{name} can make it load or run other code"


def _of_variable(name: str) -> str:
    if name.upper() == "PATH":
        return f"{name} decides which programs run"
    if _LOADS_CODE.match(name):
        return f"{name} can make it load or run other code"
    if _REROUTES.match(name):
        return f"{name} changes where it connects to, or which certificates it trusts"
    return f"{name} changes which settings files it reads" if _MOVES.match(name) else ""


def _of_address(spec: ServerSpec) -> Iterator[str]:
    if is_unencrypted(spec.url):
        yield "data crosses the network unencrypted"
    try:
        host = urlsplit(spec.url).hostname or ""
    except ValueError:
        host = ""
    if not host.isascii() or "xn--" in host.lower():
        yield "the host name has letters that look like others"
