"""References to values that must not stand in a file.

`${VAR}` and `${env:VAR}` are of the environment; `${keyring:service/name}` of the system's keyring,
where `${keyring:name}` is of the service "omni-tui", and `keyring:service/name` says the same as a whole
value. They count where a secret may stand (`config.secrets`), and nowhere else. Nothing but these forms
is expanded: no commands, no defaults, no `~`, no `%VAR%`; and what one leads to is not expanded again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

SERVICE = "omni-tui"
"""Where the keyring is looked into for a name without a service. The vault's own key has a name with a
space in it, so no reference leads there."""

_VARIABLE = r"(?:env:)?(?P<variable>[A-Za-z_][A-Za-z0-9_]*)"
_ENTRY = r"keyring:(?:(?P<service>[^/\s{}]+)/)?(?P<name>[^\s{}]*[^\s{}/])"
_ANY = re.compile(rf"\$\{{(?:{_ENTRY}|{_VARIABLE})\}}")
_KEYRING = re.compile(r"keyring:([^/\s]+)/(\S+)")
_SECRET_NAME = re.compile(
    r"key|token|secret|passw|credential|authorization|cookie|bearer|\bauth\b|_auth\b|\bdsn\b", re.IGNORECASE
)


class UnresolvedReference(Exception):
    """A reference that leads to nothing; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class ResolvedValue:
    """The value to use, and whether anything in it came from a reference."""

    value: str
    secret: bool


def has_reference(value: str) -> bool:
    """Tell whether any part of the value is a reference."""
    return bool(_ANY.search(value) or _KEYRING.fullmatch(value))


def is_reference(value: str) -> bool:
    """Tell whether the whole value is one reference."""
    return bool(_ANY.fullmatch(value) or _KEYRING.fullmatch(value))


def names_a_secret(name: str) -> bool:
    """Tell whether an environment variable or header of this name commonly holds a secret."""
    return bool(_SECRET_NAME.search(name))


def resolve(value: str, environ: Mapping[str, str]) -> ResolvedValue:
    """Replace every reference by what it stands for. Raises `UnresolvedReference`."""
    stored = _KEYRING.fullmatch(value)
    if stored:
        return ResolvedValue(_from_keyring(stored[1], stored[2]), secret=True)
    names = {found["variable"] for found in _ANY.finditer(value) if found["variable"]}
    missing = sorted(name for name in names if not environ.get(name))
    if missing:
        one = len(missing) == 1
        raise UnresolvedReference(
            f"the environment variable{'' if one else 's'} {', '.join(missing)} "
            f"{'is' if one else 'are'} not set; set {'it' if one else 'them'} and start again"
        )

    def stands_for(found: re.Match[str]) -> str:
        if found["variable"]:
            return environ[found["variable"]]
        return _from_keyring(found["service"] or SERVICE, found["name"])

    return ResolvedValue(_ANY.sub(stands_for, value), secret=bool(_ANY.search(value)))


def _from_keyring(service: str, name: str) -> str:
    try:
        import keyring

        value = keyring.get_password(service, name)
    except Exception as error:  # keyring's backends raise what they like
        log.warning("reading %s/%s from the keyring failed: %r", service, name, error)
        raise UnresolvedReference(
            f"the keyring did not give {service}/{name} ({type(error).__name__}); "
            "unlock it, or use an environment variable"
        ) from error
    if not value:
        raise UnresolvedReference(
            f"the keyring holds nothing for {service}/{name}; store it with: keyring set {service} {name}"
        )
    return value
