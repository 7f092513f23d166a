"""The program that starts a server: where it is, and whether it downloads itself.

The program is found as the system finds it: with the server's `PATH`, relative to the server's folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from omni_tui.config.spec import ServerSpec


def program_of(spec: ServerSpec) -> str:
    """Return the absolute path of the program that would run, without following links; "" if none."""
    if not spec.command:
        return ""
    folder = server_folder(spec)
    if os.sep in spec.command:
        return _runnable(folder / spec.command)
    path = {"PATH": spec.env["PATH"]} if "PATH" in spec.env else None
    found = (_runnable(folder / entry / spec.command) for entry in os.get_exec_path(path))
    return next(filter(None, found), "")


def resolved_program(spec: ServerSpec) -> tuple[str, str]:
    """Return the program that would run ("" if none), and the file behind its links, "" if the same."""
    program = program_of(spec)
    real = str(Path(program).resolve()) if program else ""
    return program, "" if real == program else real


def server_folder(spec: ServerSpec) -> Path:
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
        words = [word for word in " ".join(args).split() if word[0] not in "-/" and "=" not in word]
        return bool(words) and words[0] not in _THROUGH and is_package_runner(words[0], words[1:])
    verbs = _WITH_VERB.get(name, ())
    # Options with values may come before the verb.
    return name == "nix-shell" or any(arg in verbs for arg in args[:_BEFORE_VERB])
