"""References to values that must not stand in a file: `${VAR}`, `${env:VAR}`, `keyring:service/name`.

They count in `env`, `headers`, `token` and `key`, and nowhere else. Nothing but these forms is
expanded: no commands, no defaults, no `~`, no `%VAR%`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)\}")
_KEYRING = re.compile(r"keyring:([^/\s]+)/(\S+)")
_SECRET_NAME = re.compile(
    r"key|token|secret|passw|credential|authorization|cookie|bearer|\bauth\b|_auth\b|\bdsn\b", re.IGNORECASE
)


class Unresolved(Exception):
    """A reference that leads to nothing; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The value to use, and whether anything in it came from a reference."""

    value: str
    secret: bool


def has_reference(value: str) -> bool:
    """Tell whether any part of the value is a reference."""
    return bool(_VARIABLE.search(value) or _KEYRING.fullmatch(value))


def is_reference(value: str) -> bool:
    """Tell whether the whole value is one reference."""
    return bool(_VARIABLE.fullmatch(value) or _KEYRING.fullmatch(value))


def names_a_secret(name: str) -> bool:
    """Tell whether an environment variable or header of this name commonly holds a secret."""
    return bool(_SECRET_NAME.search(name))


def resolve(value: str, environ: Mapping[str, str]) -> Resolved:
    """Replace every reference by what it stands for. Raises `Unresolved`."""
    stored = _KEYRING.fullmatch(value)
    if stored:
        return Resolved(_from_keyring(stored[1], stored[2]), secret=True)
    names = _VARIABLE.findall(value)
    missing = sorted({name for name in names if not environ.get(name)})
    if missing:
        one = len(missing) == 1
        raise Unresolved(
            f"the environment variable{'' if one else 's'} {', '.join(missing)} "
            f"{'is' if one else 'are'} not set; set {'it' if one else 'them'} and start again"
        )
    return Resolved(_VARIABLE.sub(lambda found: environ[found[1]], value), secret=bool(names))


def _from_keyring(service: str, name: str) -> str:
    try:
        import keyring

        value = keyring.get_password(service, name)
    except Exception as error:  # keyring's backends raise what they like
        log.warning("reading %s/%s from the keyring failed: %r", service, name, error)
        raise Unresolved(
            f"the keyring did not give {service}/{name} ({type(error).__name__}); "
            "unlock it, or use an environment variable"
        ) from error
    if not value:
        raise Unresolved(
            f"the keyring holds nothing for {service}/{name}; store it with: keyring set {service} {name}"
        )
    return value
