"""Reads what follows `/prompt`: a name, and its arguments as `key=value` or as a JSON object."""

from __future__ import annotations

import json
import shlex


class PromptArgumentsRefused(Exception):
    """The arguments cannot be read; the text says why."""


def read_prompt_arguments(text: str) -> tuple[str, dict[str, str]]:
    """Return the prompt's name and its arguments. Raises `PromptArgumentsRefused`.

    Values with spaces are quoted as in a shell.
    """
    name, _, rest = text.strip().partition(" ")
    if rest.lstrip().startswith("{"):
        return name, _from_json(rest)
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise PromptArgumentsRefused(f"the arguments cannot be read: {str(error).lower()}") from None
    arguments: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise PromptArgumentsRefused(f"{word[:60]!r} is not key=value; quote a value with spaces")
        arguments[key] = value
    return name, arguments


def _from_json(text: str) -> dict[str, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise PromptArgumentsRefused("the arguments are no JSON object") from None
    if not isinstance(value, dict):
        raise PromptArgumentsRefused("the arguments are no JSON object")
    return {key: each if isinstance(each, str) else json.dumps(each) for key, each in value.items()}
