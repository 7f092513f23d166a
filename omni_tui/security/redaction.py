"""Removes secrets from what is written: logs, exports, previews, crash reports, command lines.

Three rings: known secrets, in the forms in which they travel; shapes of secrets (tokens, keys, credentials
in URLs and headers); values whose name says so. The last two may remove too much. Standard library only.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "[redacted]"

MIN_LENGTH = 8
"""Shorter values are not registered: replacing them would remove ordinary words."""

_MAX_DEPTH = 20

_SECRET_NAME = (
    r"(?:pass(?:word|wd|phrase)|secret|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret"
    r"|(?:access|refresh|auth|id|session|bearer)[_-]?token|token|credentials?)"
)
_HEADER = r"(?:(?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-goog-api-key)"
# `"name": "`, `name=`, `('name', b'`: what may stand between a name and its value.
# The backslashes are those of JSON inside a JSON string.
_BETWEEN = (
    r"""(?:\\{0,8}["'])?[ \t]{0,8}[:=][ \t]{0,8}(?:b?\\{0,8}["'])?|\\{0,8}["'],[ \t]{0,8}b?\\{0,8}["']"""
)

_TOKENS = (
    re.compile(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{16,255}|github_pat_\w{20,255}|glpat-[\w-]{16,255}|sk-[\w-]{16,255}"
        r"|(?:AKIA|ASIA)[0-9A-Z]{16}\b|xox[a-z]-[\w-]{8,255}|AIza[\w-]{30,255}|hf_[A-Za-z0-9]{20,255}"
        r"|npm_[A-Za-z0-9]{30,255}|ya29\.[\w-]{20,2048})"
    ),
    re.compile(r"\beyJ[\w-]{8,8192}\.[\w-]{8,65536}(?:\.[\w-]{0,8192})?"),
)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A shape of a secret, and what a text that has it holds for sure.

    `signs`: one of them is in the text, in small letters if `folded`. Looking for these costs a hundredth
    of what the pattern costs, and most texts have none.
    """

    pattern: re.Pattern[str]
    instead: str
    signs: tuple[str, ...]
    folded: bool = False

    def mask(self, text: str, small: str) -> str:
        """Return `text` masked; `small` is `_folded(text)`."""
        where = small if self.folded else text
        return self.pattern.sub(self.instead, text) if any(sign in where for sign in self.signs) else text


_NAME_SIGNS = ("pass", "secret", "key", "token", "credential")
"""One of them is in every name that `_SECRET_NAME` matches."""

_TOKEN_SIGNS = (
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-", "AKIA", "ASIA", "xox", "AIza",
    "hf_", "npm_", "ya29.",
)  # fmt: skip

_SHAPES = (
    _Shape(
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)",
            re.S,
        ),
        MASK,
        ("PRIVATE KEY-----",),
    ),
    _Shape(
        _TOKENS[0],
        MASK,
        (
            "ghp_",
            "gho_",
            "ghu_",
            "ghs_",
            "ghr_",
            "github_pat_",
            "glpat-",
            "sk-",
            "AKIA",
            "ASIA",
            "xox",
            "AIza",
            "hf_",
            "npm_",
            "ya29.",
        ),
    ),
    _Shape(_TOKENS[1], MASK, ("eyJ",)),
    _Shape(
        re.compile(rf"""(?i)\b({_HEADER})({_BETWEEN})(?:(?<=["'])[^"'\\\r\n]+|(?<!["'])[^\r\n]+)"""),
        rf"\1\2{MASK}",
        ("authorization", "cookie", "x-api-key", "x-goog-api-key"),
        folded=True,
    ),
    _Shape(
        re.compile(r"(?i)\b(bearer[ \t]{1,8})(?=[^\s\d]{0,4096}\d)[\w.~+/=-]{8,}"),
        rf"\1{MASK}",
        ("bearer",),
        folded=True,
    ),
    _Shape(re.compile(r"""(://[^\s/?#@:"'<>]{0,256}):[^\s/?#"'<>]{1,512}@"""), rf"\1:{MASK}@", ("://",)),
    _Shape(re.compile(r"""://[^\s/?#@:"'<>]{16,512}@"""), f"://{MASK}@", ("://",)),
    _Shape(
        re.compile(
            rf"""(?i)([?&](?:[\w-]{{0,40}}{_SECRET_NAME}|code|key|sig|signature)=)[^&\s"'<>\\]+""",
        ),
        rf"\1{MASK}",
        ("?", "&"),
    ),
)
_LONGEST_PREFIX = 40
_NAMED_SECRET = re.compile(
    rf"""(?i)(?<![\w-])([\w-]{{0,{_LONGEST_PREFIX}}}{_SECRET_NAME})({_BETWEEN})(?!\[redacted])"""
    r"""(?:(?<=["'])[^"'\\\r\n]{3,}|(?<!["'])[^\s"',;&}\])]{8,})"""
)
_NAMED_INSTEAD = rf"\1\2{MASK}"
_FAR = 64
"""Characters: more than stand before a sign of a name in a word that the pattern matches, and fewer than
stand between two signs where looking at each of them is faster than trying the pattern everywhere."""
_SECRET_KEY = re.compile(rf"(?i)(?:^|[_-]|\b)(?:{_SECRET_NAME}|{_HEADER})$")


class Redactor:
    """Replaces secrets in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._forms: tuple[str, ...] = ()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> bool:
        """Register a value that may never be written. False if it is shorter than `MIN_LENGTH`."""
        secret = secret.strip()
        if len(secret) < MIN_LENGTH:
            return False
        if secret not in self._secrets:
            self._secrets.add(secret)
            # A new tuple in one step: other threads read it without a lock.
            self._forms = tuple(sorted({*self._forms, *_forms(secret)}, key=len, reverse=True))
        return True

    def redact(self, text: str) -> str:
        """Return `text` with every secret replaced by `MASK`. Applying it twice changes nothing."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        small = _folded(text)
        for shape in _SHAPES:
            text = shape.mask(text, small)
        return _mask_named(text)

    def redact_value(self, value: object, name: str = "", depth: int = 0) -> object:
        """Return a value of JSON with its strings redacted, and masked if its name means a secret."""
        if (
            isinstance(value, str | bytes | int | float)
            and not isinstance(value, bool)
            and _SECRET_KEY.search(name)
        ):
            return MASK
        if isinstance(value, str):
            return self.redact(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            return {
                self.redact(str(key)): self.redact_value(item, str(key), depth + 1)
                for key, item in value.items()
            }
        if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
            return [self.redact_value(item, name, depth + 1) for item in value]
        return self.redact(repr(value))


def _folded(text: str) -> str:
    """Return a text in small letters, also where a pattern takes one letter for another.

    Python's patterns that ignore case take the long s, the dotless and the dotted i, and the kelvin sign
    for the letters of ASCII (`re`, Unicode matching).
    """
    small = text.lower()
    if small.isascii():
        return small
    return small.replace("\u017f", "s").replace("\u0131", "i").replace("i\u0307", "i")


def _mask_named(text: str) -> str:
    """Return a text without the values whose names mean a secret: what `_NAMED_SECRET.sub` returns.

    The pattern can only match where a word begins that has a sign of a name, and is tried only there.
    """
    small = _folded(text)
    count = sum(small.count(sign) for sign in _NAME_SIGNS)
    if not count:
        return text
    if len(small) != len(text) or count * _FAR > len(text) > _FAR:
        return _NAMED_SECRET.sub(_NAMED_INSTEAD, text)
    pieces: list[str] = []
    end = 0
    for start in _word_starts(text, small):
        if start >= end and (found := _NAMED_SECRET.match(text, start)):
            pieces += [text[end:start], found.expand(_NAMED_INSTEAD)]
            end = found.end()
    return "".join((*pieces, text[end:])) if pieces else text


def _word_starts(text: str, small: str) -> list[int]:
    """Return where the words begin that have a sign of a name, in order."""
    starts: set[int] = set()
    for sign in _NAME_SIGNS:
        at = small.find(sign)
        while at >= 0:
            start = at
            while start and at - start <= _FAR and (text[start - 1].isalnum() or text[start - 1] in "_-"):
                start -= 1
            starts.add(start)
            at = small.find(sign, at + 1)
    return sorted(starts)


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it may stand in text: as it is, escaped for JSON and URLs, in base64, in hex."""
    data = secret.encode("utf-8", "surrogatepass")
    plain = {secret, repr(secret)[1:-1]}
    for ascii_only in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        plain |= {once, json.dumps(once)[1:-1]}
    for quoted in (quote(data), quote(data, safe=""), quote_plus(data)):
        plain |= {quoted, re.sub("%[0-9A-F]{2}", lambda code: code.group().lower(), quoted)}
    yield from plain
    yield data.hex()
    yield data.hex().upper()
    for before in range(3):
        # In base64 of a longer text the secret may begin at any of three offsets; only the
        # characters that no neighbour has a share in are the same everywhere.
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        padded = b"\0" * before + data
        yield base64.b64encode(padded).decode()[first:last]
        yield base64.urlsafe_b64encode(padded).decode()[first:last]


_NAMED = re.compile(r"(-{0,2}[A-Za-z][\w.-]{0,80})=(.+)", re.DOTALL)
_HEADER_ARGUMENT = re.compile(r"([A-Za-z][\w-]{0,80}):[ \t]*(\S.*)", re.DOTALL)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")
_DEEPEST = 3
_SCHEME = re.compile(r"(?i:bearer|basic|token)[ \t]+(\S+)")
_REFERENCE = re.compile(r"\$\{[^{}]{1,200}\}|\$\w{1,200}|keyring:\S{1,200}")
_SHORT_FLAG = re.compile(r"(?i)--?(?:key|pat|pwd|pass|pin|authorization|dsn|bearer|connection-string)")
_NO_SECRET = re.compile(r"(?i)true|false|yes|no|on|off|none|null|auto|default|\d{1,20}|[./~]\S*")


def secrets_in_arguments(arguments: Sequence[str]) -> list[str]:
    """Return every part of a program's arguments that is probably a secret.

    Those are values after a secret's name (`--token X`, `--api-key=X`, `-e GITHUB_TOKEN=X`,
    `Authorization: Bearer X`), shapes of tokens, and passwords in URLs; not references such as `${X}`,
    numbers, switches and paths.
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
    """Return a program's arguments with `MASK` for each secret; `known` are further secrets."""
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
    """Yield the secrets inside one argument."""
    for tokens in _TOKENS:
        yield from (found.group() for found in tokens.finditer(argument))
    for pattern in (_NAMED, _HEADER_ARGUMENT):
        parts = pattern.fullmatch(argument)
        if parts and (_names(parts[1]) or _SHORT_FLAG.fullmatch(parts[1])):
            yield from _value(parts[2])
        elif parts and pattern is _NAMED and depth < _DEEPEST:  # as in --env=NAME=value
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
    return _SECRET_KEY.search(name.lstrip("-")) is not None
