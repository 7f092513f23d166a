"""A file of `NAME=VALUE` lines: variables that are read beside the environment, never put into it.

It is never searched for: it is the one that a flag or the person's config names, or `.env` beside that
config. A variable of the environment goes before the file's.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from omni_tui.config.problems import problem
from omni_tui.protocol.events import Problem
from omni_tui.security.files import open_regular

LARGEST_ENV_FILE = 256 * 1024
ENV_FILE = ".env"
"""Its name beside the person's config file."""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What such a file says. `lines` are those of its variables, counted from 1.

    `problems`: it was named and cannot be read. `notes`: lines that are left out, and other things to say.
    """

    path: FilePath | None = None
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    lines: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()

    def place(self, name: str) -> str:
        """Return the file and line of a variable, "" if it has none."""
        return f"{self.path}:{self.lines[name]}" if name in self.lines else ""


def read_env_file(path: FilePath, *, named: bool) -> EnvFile:
    """Read the file; a missing one is a problem only if it was `named`. Never raises for its content.

    Nothing in a value is filled in, neither `$NAME` nor a command.
    """
    try:
        with open_regular(path) as opened:
            data = opened.read(LARGEST_ENV_FILE + 1)
        open_to_others = path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        if not named:
            return EnvFile()
        return EnvFile(path, problems=(problem(str(path), "there is no such file", "check its name"),))
    except UnicodeDecodeError:
        wrong = problem(str(path), "this is not UTF-8 text", "save it as UTF-8")
        return EnvFile(path, problems=(wrong,))
    except OSError as error:
        why = error.strerror or type(error).__name__
        wrong = problem(str(path), f"cannot be read: {why}", "check the file's rights")
        return EnvFile(path, problems=(wrong,))
    if len(data) > LARGEST_ENV_FILE:
        what = f"is longer than {LARGEST_ENV_FILE} bytes"
        return EnvFile(path, problems=(problem(str(path), what, "is it the right file?"),))
    notes = []
    if open_to_others:
        notes.append(problem(str(path), "other users of this machine may read it", "chmod 600"))
    values, lines, bad = _parsed(text)
    notes += [problem(f"{path}:{line}", "this line is not NAME=VALUE and is not used") for line in bad]
    return EnvFile(path, values, lines, notes=tuple(notes))


def _parsed(text: str) -> tuple[dict[str, str], dict[str, int], list[int]]:
    from dotenv.parser import parse_stream  # takes 15 ms; only if there is such a file

    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    bad = []
    for binding in parse_stream(io.StringIO(text)):
        # What was read begins with the empty lines before it.
        read = binding.original.string
        line = binding.original.line + read[: len(read) - len(read.lstrip())].count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            bad.append(line)
        elif binding.key is not None and binding.value is not None and "\0" not in binding.value:
            values[binding.key], lines[binding.key] = binding.value, line
    return values, lines, bad
