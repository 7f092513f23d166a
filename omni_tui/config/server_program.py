"""The program that starts a server: where it is, what a person should know, whether it downloads itself.

The program is found as the system finds it: with the server's `PATH`, relative to the server's folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from omni_tui.config.server_environment import PROXIES, SSH_AGENT
from omni_tui.config.spec import ServerSpec
from omni_tui.security.urls import is_unencrypted

_LOADS_CODE = re.compile(
    r"(?i)(?:(?:LD|DYLD|GIT|NPM_CONFIG|PIP|UV|DENO|BUN|DOTNET|BASH_FUNC)_\w+"
    r"|PYTHON(?!UNBUFFERED|IOENCODING|UTF8|HASHSEED|DONTWRITEBYTECODE)\w+"
    r"|NODE_(?:OPTIONS|PATH|REPL_\w+)|RUBY(?:OPT|LIB|PATH|SHELL)|PERL5?(?:OPT|LIB|DB)"
    r"|_?JAVA_(?:TOOL_)?OPTIONS|JAVA_HOME|JDK_JAVA_OPTIONS|CLASSPATH|GCONV_PATH|LOCPATH|NLSPATH"
    r"|BASH_ENV|ENV|IFS|PS4|PROMPT_COMMAND|SHELLOPTS|BASHOPTS|SHELL|ZDOTDIR"
    r"|EDITOR|VISUAL|PAGER|BROWSER|SSH_ASKPASS|LESSOPEN|LESSCLOSE)\Z"
)
"""Variables that make a program load or run other code."""
_MOVES = re.compile(r"(?i)(?:HOME|TMPDIR|XDG_\w+|APPDATA|USERPROFILE)\Z")
_REROUTES = re.compile(
    r"(?i)(?:\w+_PROXY|SSL_CERT_\w+|\w*_CA_(?:BUNDLE|CERTS?|FILE)|\w*_EXTRA_CA_CERTS|SSLKEYLOGFILE)\Z"
)
_INTERPRETERS = re.compile(
    r"(?:ba|da|z|k|c|tc|fi|a)?sh|python[\d.]*|node(?:js)?|deno|bun|perl|ruby|php|pwsh|powershell|env|xargs"
)
_CODE_FLAGS = re.compile(r"-\w*[ceE]|--eval|--print|-p|-r|--command|eval|-S")


def program_of(spec: ServerSpec, environ: Mapping[str, str] | None = None) -> str:
    """Return the absolute path of the program that would run, without following links; "" if none."""
    if not spec.command:
        return ""
    folder = _folder(spec)
    environ = os.environ if environ is None else environ
    if os.sep in spec.command:
        return _runnable(folder / spec.command)
    path = {"PATH": spec.env["PATH"]} if "PATH" in spec.env else dict(environ)
    found = (_runnable(folder / entry / spec.command) for entry in os.get_exec_path(path))
    return next(filter(None, found), "")


def _folder(spec: ServerSpec) -> Path:
    """Return the server's working folder; the engine's may have been deleted."""
    try:
        return Path.cwd() / spec.cwd
    except FileNotFoundError:
        return Path("/", spec.cwd)


def _runnable(path: Path) -> str:
    """Return what the system would run for a path, "" if nothing.

    A path with `..` is resolved, not shortened textually: after a link, that would name another file.
    """
    if not (path.is_file() and os.access(path, os.X_OK)):
        return ""
    if ".." in path.parts:
        path = path.parent.resolve() / path.name
    return os.path.normpath(path)


def program_warnings(
    spec: ServerSpec, project: Iterable[Path], environ: Mapping[str, str] | None = None
) -> list[str]:
    """Return what to consider before allowing a server, one sentence each.

    `project`: the folders with content from others: the project's, and the current one.
    """
    if spec.url:
        return list(_of_address(spec))
    folders = list(project)
    return [
        *_of_program(spec, folders, environ),
        *_of_arguments(spec, folders),
        *_of_variables(spec),
    ]


def _of_program(spec: ServerSpec, project: list[Path], environ: Mapping[str, str] | None) -> Iterator[str]:
    program = program_of(spec, environ)
    folder = _folder(spec)
    if not program:
        yield "the program is not found; whatever appears under this name later would run"
    if os.sep in spec.command:
        if not os.path.isabs(spec.command):
            yield "the program is named by a relative path: what runs depends on the folder"
    elif program and program_of(ServerSpec(name="", command=spec.command), environ) != program:
        yield "the program is not the one of this name in your own PATH"
    if _of_one_process(folder / spec.command if os.sep in spec.command else Path(program)):
        yield "the program's path begins at /proc or /dev, where it is a different file for each process"
    if program and _inside(Path(program), project):
        yield "the program is inside the project: anybody who changes the project changes what runs"


def _of_arguments(spec: ServerSpec, project: list[Path]) -> Iterator[str]:
    folder = _folder(spec)
    for number, argument in enumerate(spec.args, 1):
        named = argument.partition("=")[2] if argument.startswith("-") and "=" in argument else argument
        if named and "\0" not in named and len(named) < 4096 and _is_file_of(folder / named, project):
            yield f"argument {number} is a file of the project, which it may run"
    name = Path(spec.command).name
    if _INTERPRETERS.fullmatch(name):
        if any(_CODE_FLAGS.fullmatch(one) for one in spec.args):
            yield "it runs code from its arguments"
        if "-m" in spec.args and name.startswith("python") and _inside(folder, project):
            yield "it loads modules from its working folder, which is the project's"


def _of_one_process(path: Path) -> bool:
    """Whether a path means a different file for each process."""
    return any(path.is_relative_to(place) for place in ("/proc", "/dev"))


def _is_file_of(path: Path, project: list[Path]) -> bool:
    try:
        return path.is_file() and _inside(path, project)
    except OSError:
        return False


def _inside(path: Path, folders: list[Path]) -> bool:
    places = {Path(os.path.normpath(path)), path.resolve()}
    return any(place.is_relative_to(folder.resolve()) for place in places for folder in folders)


def _of_variables(spec: ServerSpec) -> Iterator[str]:
    for name in spec.env:
        if name.upper() == "PATH":
            yield f"{name} decides which programs run"
        elif _LOADS_CODE.match(name):
            yield f"{name} can make it load or run other code"
        elif _REROUTES.match(name):
            yield f"{name} changes where it connects to, or which certificates it trusts"
        elif _MOVES.match(name):
            yield f"{name} changes which settings files it reads"
    for name in spec.inherit:
        if name == SSH_AGENT:
            yield "it gets your SSH agent: it can sign in to other machines with your keys"
        elif name in PROXIES:
            yield f"it gets {name} from your environment, with its password if it has one"
        elif _LOADS_CODE.match(name):
            yield f"{name} can make it load or run other code"


def _of_address(spec: ServerSpec) -> Iterator[str]:
    if is_unencrypted(spec.url):
        yield "data crosses the network unencrypted"
    try:
        host = urlsplit(spec.url).hostname or ""
    except ValueError:
        host = ""
    if not host.isascii() or "xn--" in host.lower():
        yield "the host name has letters that look like others"


FIRST_START = 180.0
"""Seconds that a package runner may take until its first connection."""

_ALWAYS = frozenset({"npx", "pnpx", "bunx", "uvx", "dnx"})
_WITH_VERB = {
    "npm": ("exec", "x"),
    "pnpm": ("dlx", "exec"),
    "yarn": ("dlx",),
    "bun": ("x",),
    "uv": ("run", "tool"),
    "pipx": ("run",),
    "deno": ("run",),
    "docker": ("run", "mcp"),
    "podman": ("run",),
    "go": ("run",),
    "cargo": ("run",),
    "nix": ("run", "shell", "develop"),
}
_THROUGH = frozenset({"env", "nice", "sh", "bash", "zsh", "cmd"})
_BEFORE_VERB = 6
_ENDINGS = (".cmd", ".exe", ".bat")


def is_package_runner(command: str, args: Sequence[str]) -> bool:
    """Whether a command may download the program that it starts."""
    name = PurePath(command.replace("\\", "/")).name.lower()
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    if name in _ALWAYS:
        return True
    if name in _THROUGH:
        words = [
            word
            for arg in args
            for word in arg.split()
            if not word.startswith(("-", "/")) and "=" not in word
        ]
        return bool(words) and words[0] not in _THROUGH and is_package_runner(words[0], words[1:])
    verbs = _WITH_VERB.get(name, ())
    # Options with values may come before the verb.
    return name == "nix-shell" or any(arg in verbs for arg in args[:_BEFORE_VERB])
