"""The commands inside a command: what `env`, `nice`, `sudo` or a shell's `-c` run in the end.

What cannot be told, such as an option that is not known, ends the search for the inner command; the
warnings about the outer ones stay.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "ash", "busybox"})
WINDOWS_SHELLS = frozenset({"cmd", "powershell", "pwsh"})
AS_ROOT = frozenset({"sudo", "doas", "su", "pkexec", "runas", "run0", "gosu", "su-exec", "setpriv"})

_WITH_VALUE: dict[str, str] = {
    "env": "u C S unset chdir split-string",
    "nice": "n adjustment",
    "ionice": "c n p class classdata",
    "nohup": "",
    "setsid": "",
    "time": "f o format output",
    "timeout": "k s kill-after signal",
    "stdbuf": "i o e input output error",
    "chrt": "T P D",
    "taskset": "",
    "xargs": "a d E I L n P s",
    "unbuffer": "",
    "command": "",
    "exec": "a",
    "caffeinate": "t w",
    "catchsegv": "",
    "strace": "e o p s u",
    "ltrace": "e o p s u",
    "watch": "n interval",
    "dotenv": "f",
    "cross-env": "",
    "direnv": "",
    "sudo": "u g p C h D R T r t U user group prompt host chdir chroot",
    "doas": "u C",
    "su": "c s g G command shell",
    "pkexec": "user",
    "run0": "u g D unit user",
    "gosu": "",
    "su-exec": "",
    "setpriv": "",
}
"""Programs that run another one, and which of their options take a value."""
_WINDOWS_FLAGS = ("/c", "/k", "/r", "-c", "-command", "-encodedcommand", "-enc", "-e")
_OPERANDS = {"timeout": 1, "taskset": 1, "chrt": 1, "gosu": 1, "su-exec": 1, "direnv": 2}
"""How many operands of such a program come before the command."""
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\+?=(.*)", re.DOTALL)
_CUTS = re.compile(r"&&|\|\||\|&|[;|&\n()`]|\$\(")
_ENDINGS = (".cmd", ".exe", ".bat", ".ps1", ".com")
_DEEPEST = 8
_MOST = 64
"""Commands that are looked at; a longer script is only told to be one."""


@dataclass(frozen=True, slots=True)
class WrappedCommand:
    """One command: the program as it is written, its arguments, and the variables that it is given."""

    program: str
    args: tuple[str, ...]
    variables: tuple[str, ...] = ()
    depth: int = 0

    @property
    def name(self) -> str:
        """The program's name without its folder and ending, in small letters."""
        return program_name(self.program)


def program_name(program: str) -> str:
    """Return a program's name without folder and ending, in small letters."""
    name = PurePath(program.replace("\\", "/")).name.lower()
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name


def commands_in(program: str, args: Sequence[str]) -> list[WrappedCommand]:
    """Return a command and all commands that are known to run inside it, the outermost first."""
    found: list[WrappedCommand] = []
    for each in _unwrapped(WrappedCommand(program, tuple(args))):
        found.append(each)
        if len(found) >= _MOST:
            break
    return found


def script_of(command: WrappedCommand) -> str | None:
    """Return the script that a shell gets as an argument (`sh -c SCRIPT`), None if it gets none."""
    name, args = command.name, list(command.args)
    if name == "busybox" and args:
        name, args = args[0], args[1:]
    if name in WINDOWS_SHELLS:
        return _after_flag(args, _WINDOWS_FLAGS, rest=True)
    if name == "su":
        return _after_flag(args, ("-c", "--command"))
    return _script_of_shell(args) if name in SHELLS else None


def _after_flag(args: list[str], flags: Container[str], *, rest: bool = False) -> str | None:
    for at, word in enumerate(args):
        key, equals, value = word.partition("=")
        if key.lower() in flags:
            following = args[at + 1 :] if rest else args[at + 1 : at + 2]
            return value if equals else " ".join(following)
    return None


def _script_of_shell(args: list[str]) -> str | None:
    """Return the first operand of a shell if one of its options is `-c`."""
    reads = False
    words = iter(args)
    for word in words:
        if word.startswith("--command"):  # fish
            return word.partition("=")[2] or next(words, "")
        if not word.startswith(("-", "+")):
            return word if reads else None
        if not word.startswith("--"):
            reads = reads or "c" in word
        if word in ("--rcfile", "--init-file") or (word[-1:] in "oO" and not word.startswith("--")):
            next(words, "")
    return "" if reads else None


def _unwrapped(command: WrappedCommand) -> Iterator[WrappedCommand]:
    yield command
    if command.depth >= _DEEPEST:
        return
    script = script_of(command)
    if script is not None:
        for words in _simple_commands(script):
            yield from _unwrapped(_with_variables(words, (), command.depth + 1))
        return
    name = command.name
    if name in _WITH_VALUE:
        inner = _after_options(name, list(command.args))
        if inner is not None:
            yield from _unwrapped(_with_variables(inner, (), command.depth + 1))
    elif name in ("eval", "source", "."):
        for words in _simple_commands(" ".join(command.args)):
            yield from _unwrapped(_with_variables(words, (), command.depth + 1))


def _with_variables(words: list[str], variables: tuple[str, ...], depth: int) -> WrappedCommand:
    """Return a command with the assignments in front of it taken as its variables."""
    given = list(variables)
    at = 0
    while at < len(words) and (found := _ASSIGNMENT.fullmatch(words[at])):
        given.append(found[1])
        at += 1
    rest = words[at:]
    if rest and program_name(rest[0]) in ("export", "declare", "typeset", "set", "setenv"):
        given += [word.partition("=")[0] for word in rest[1:] if _ASSIGNMENT.fullmatch(word)]
        given += rest[1:2] if program_name(rest[0]) == "setenv" else []
    return WrappedCommand(rest[0] if rest else "", tuple(rest[1:]), tuple(given), depth)


def _after_options(name: str, args: list[str]) -> list[str] | None:
    """Return the words of the inner command, its variables in front; None if there is none."""
    operands = _OPERANDS.get(name, 0)
    variables: list[str] = []
    while args:
        word = args.pop(0)
        if word.startswith("-") and word != "-":
            split = _option(name, word, args)
            if split is not None:
                return [*variables, *_split(split), *args]
        elif _ASSIGNMENT.fullmatch(word):
            variables.append(word)
        elif operands:
            operands -= 1
        elif name != "su":
            return [*variables, word, *args]
    return variables or None


def _option(name: str, word: str, args: list[str]) -> str | None:
    """Take the value of an option out of `args`. Return the command line of `env -S`, else None."""
    with_value = _WITH_VALUE[name].split()
    key, equals, value = word.removeprefix("--").partition("=")
    if not word.startswith("--"):
        key = next((letter for letter in word[1:] if letter in with_value), "")
        value = word.partition(key)[2] if key else ""
        equals = value
    if key in with_value and not equals:
        value = args.pop(0) if args else ""
    return value if name == "env" and key in ("S", "split-string") else None


def _simple_commands(script: str) -> Iterator[list[str]]:
    """Yield the words of every simple command of a script, as well as they can be told."""
    for piece in _CUTS.split(script)[:_MOST]:
        words = _split(piece)
        while words and words[0] in ("if", "then", "else", "do", "while", "until", "!", "{", "}", "exec"):
            words = words[1:]
        if words:
            yield words


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.replace('"', " ").replace("'", " ").split()
