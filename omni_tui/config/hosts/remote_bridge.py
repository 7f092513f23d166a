"""Servers that a host reaches through `mcp-remote`, because it can only start programs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_RUNNERS = {"npx", "npx.cmd", "bunx", "pnpx", "pnpm", "yarn", "cmd", "mcp-remote"}
_PACKAGE = re.compile(r"mcp-remote(@[\w.-]+)?")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def reached_directly(written: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an entry with the address that `mcp-remote` is given, None for any other program.

    What it is given that has no meaning here makes it None too: it is then run as it is.
    """
    command, args = written.get("command"), written.get("args")
    if not isinstance(command, str) or not isinstance(args, list):
        return None
    words = [each for each in args if isinstance(each, str)]
    name = PurePath(command.replace("\\", "/")).name.lower()
    if len(words) < len(args) or name not in _RUNNERS:
        return None
    if name != "mcp-remote":
        at = next((index for index, word in enumerate(words) if _PACKAGE.fullmatch(word)), None)
        if at is None:
            return None
        words = words[at + 1 :]
    env = written.get("env")
    env = env if isinstance(env, Mapping) else {}
    entry = _entry(words, env)
    if entry is None:
        return None
    kept = {key: value for key, value in written.items() if key not in ("command", "args", "env", "type")}
    return {**kept, **entry}


def _entry(words: list[str], env: Mapping[str, Any]) -> dict[str, Any] | None:
    url, headers, kind = "", {}, "http"
    rest = iter(words)
    for word in rest:
        if word == "--header":
            name, colon, value = next(rest, "").partition(":")
            if not colon:
                return None
            headers[name.strip()] = _VARIABLE.sub(lambda found: _given(found, env), value.strip())
        elif word == "--transport":
            kind = "sse" if next(rest, "").startswith("sse") else "http"
        elif word in ("--allow-http", "--debug", "--silent") or (url and word.isdigit()):
            continue  # `config check` says what is wrong with plain HTTP; the port is that of its sign-in
        elif word.lower().startswith(("https://", "http://")) and not url:
            url = word
        else:
            return None
    if not url:
        return None
    return {"type": kind, "url": url, **({"headers": headers} if headers else {})}


def _given(found: re.Match[str], env: Mapping[str, Any]) -> str:
    """Return the value that the entry itself gives a variable, else the variable."""
    value = env.get(found[1])
    return value if isinstance(value, str) else found[0]
