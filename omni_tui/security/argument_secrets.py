"""Secrets in the arguments of a program: found by the name before them, or by their looks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote, urlsplit

from omni_tui.security.redaction import MASK, MIN_LENGTH, is_secret_name, token_shapes

_NAMED = re.compile(r"(-{0,2}[A-Za-z][\w.-]{0,80})=(.+)", re.DOTALL)
_HEADER = re.compile(r"([A-Za-z][\w-]{0,80}):[ \t]*(\S.*)", re.DOTALL)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")
_DEEPEST = 3
_SCHEME = re.compile(r"(?i:bearer|basic|token)[ \t]+(\S+)")
_REFERENCE = re.compile(r"\$\{[^{}]{1,200}\}|\$\w{1,200}|keyring:\S{1,200}")
_SHORT_FLAG = re.compile(r"(?i)--?(?:key|pat|pwd|pass|pin|authorization|dsn|bearer|connection-string)")
_NO_SECRET = re.compile(r"(?i)true|false|yes|no|on|off|none|null|auto|default|\d{1,20}|[./~]\S*")


def secrets_in_arguments(arguments: Sequence[str]) -> list[str]:
    """Return every part of a program's arguments that is likely a secret.

    That is what stands behind a name for one (`--token X`, `--api-key=X`, `-e GITHUB_TOKEN=X`,
    `Authorization: Bearer X`), a token by its looks, and the password in a URL. References such as `${X}`,
    numbers, switches and paths are none.
    """
    found: list[str] = []
    before = ""
    for argument in arguments:
        flag = bool(_SHORT_FLAG.fullmatch(before)) or (before.startswith("-") and _names(before))
        if flag and not argument.startswith("-"):
            found += _value(argument)
        found += _inside(argument)
        before = argument
    return list(dict.fromkeys(found))


def redacted_arguments(arguments: Sequence[str], known: Iterable[str] = ()) -> list[str]:
    """Return a program's arguments as they may be seen, with `MASK` in place of each secret.

    `known` are further secrets, as references led to them.
    """
    secrets = sorted({*secrets_in_arguments(arguments), *filter(None, known)}, key=len, reverse=True)
    masked: list[str] = []
    for argument in arguments:
        text = argument
        for secret in secrets:
            ends = argument.endswith(("=" + secret, ": " + secret, ":" + secret))
            if secret == argument or len(secret) >= MIN_LENGTH or ends:
                text = text.replace(secret, MASK)
        masked.append(text)
    return masked


def _inside(argument: str, depth: int = 0) -> Iterator[str]:
    """Yield the secrets that one argument holds by itself."""
    yield from token_shapes(argument)
    for pattern in (_NAMED, _HEADER):
        parts = pattern.fullmatch(argument)
        if parts and (_names(parts[1]) or _SHORT_FLAG.fullmatch(parts[1])):
            yield from _value(parts[2])
        elif (
            parts and pattern is _NAMED and depth < _DEEPEST
        ):  # as in --env=NAME=value and --url=scheme://user:password@host
            yield from _inside(parts[2], depth + 1)
    if _URL.match(argument):
        yield from _in_url(argument)


def _in_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return
    found = [password] if password else []
    fields = (field.partition("=") for field in parts.query.split("&"))
    found += [value for name, _, value in fields if value and _names(name)]
    for each in found:
        yield from _value(each)
        yield from _value(unquote(each))


def _value(text: str) -> Iterator[str]:
    scheme = _SCHEME.fullmatch(text)
    value = scheme[1] if scheme else text
    if value and not _REFERENCE.fullmatch(value) and not _NO_SECRET.fullmatch(value):
        yield value


def _names(name: str) -> bool:
    return is_secret_name(name.lstrip("-"))
