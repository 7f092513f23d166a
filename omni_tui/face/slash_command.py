"""Reads what is typed after a slash: a command of Omni TUI, or in the spelling of MCPOmni Connect."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

_WORD = re.compile(r"/([^\W\d][^\s/:]*)([:\s]|$)")


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """The name without its slash, and what follows. `lines`: it goes on after the first line."""

    name: str
    argument: str
    lines: bool = False


def read_command(text: str) -> SlashCommand | None:
    """Return the command that a text is, None if it is a message.

    A message may begin with a path: a first word with a second slash is no command, nor is what begins
    with two slashes.
    """
    text = text.strip()
    found = _WORD.match(text)
    if found is None:
        return None
    rest = text[found.end() :]
    old = found[2] == ":"
    argument = _plain_arguments(found[1], rest) if old else rest.strip()
    return SlashCommand(found[1], argument, "\n" in text)


def nearest_command(name: str, known: Iterable[str]) -> str:
    """Return the known command that is most like a name, "" if none is."""
    plain = name.lower().replace("_", "-")
    by_spelling = {each.replace("_", "-"): each for each in known}
    near = get_close_matches(plain, by_spelling, 1, 0.5)
    return by_spelling[near[0]] if near else ""


def _plain_arguments(name: str, rest: str) -> str:
    """Return the argument of `/name:rest`, as it is written after a space here.

    `/prompt:NAME/key=value/key=value`: a piece without `=` belongs to the value before it. After the name
    there may also be a JSON object.
    """
    if name != "prompt":
        return rest.strip()
    prompt, slash, values = rest.strip().partition("/")
    if not slash or values.lstrip().startswith("{"):
        return f"{prompt} {values}".strip()
    pieces: list[str] = []
    for piece in values.split("/"):
        key, sign, _ = piece.partition("=")
        if pieces and not (sign and key.isidentifier()):
            pieces[-1] += f"/{piece}"
        else:
            pieces.append(piece)
    return " ".join([prompt, *(shlex.quote(piece) for piece in pieces if piece)])
