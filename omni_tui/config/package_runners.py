"""Programs that fetch what they run: their first start may take minutes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

FIRST_START = 180.0
"""Seconds that such a program may take until it has once been connected."""

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
    """Whether a command may have to download what it starts."""
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
    # Options with values may stand before the verb.
    return name == "nix-shell" or any(arg in verbs for arg in args[:_BEFORE_VERB])
