"""References to secrets, which must not be in a config file.

`${VAR}` and `${env:VAR}` read the environment; `${keyring:service/name}` reads the system keyring,
`${keyring:name}` its service "omni-tui"; `keyring:service/name` is allowed as a whole value.
`${sealed:name}` reads the app's own sealed store, which is for machines without a keyring: its values are
in the mapping that references are resolved from, as `sealed:name` (`memory.secret_store`). References work
only in secret settings (`Config.secret_settings`). Nothing else is expanded: no commands, defaults,
`~` or `%VAR%`; and a value is not expanded again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

SERVICE = "omni-tui"
"""The keyring service of a name without one. The vault's own key has a space in its name: no reference
reaches it."""

_VARIABLE = r"(?:env:)?(?P<variable>[A-Za-z_][A-Za-z0-9_]*)"
_ENTRY = r"keyring:(?:(?P<service>[^/\s{}]+)/)?(?P<name>[^\s{}]*[^\s{}/])"
_SEALED = r"(?P<sealed>sealed:[^\s{}]+)"
_ANY = re.compile(rf"\$\{{(?:{_ENTRY}|{_SEALED}|{_VARIABLE})\}}")
_KEYRING = re.compile(r"keyring:([^/\s]+)/(\S+)")
_SECRET_NAME = re.compile(
    r"key|token|secret|passw|credential|authorization|cookie|bearer|\bauth\b|_auth\b|\bdsn\b", re.IGNORECASE
)


class UnresolvedReference(Exception):
    """A reference does not resolve; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class ResolvedValue:
    """The value, and whether any part of it came from a reference."""

    value: str
    secret: bool


def has_reference(value: str) -> bool:
    """Whether any part of the value is a reference."""
    return bool(_ANY.search(value) or _KEYRING.fullmatch(value))


def is_reference(value: str) -> bool:
    """Whether the whole value is one reference."""
    return bool(_ANY.fullmatch(value) or _KEYRING.fullmatch(value))


def names_a_secret(name: str) -> bool:
    """Whether an environment variable or header of this name usually holds a secret."""
    return bool(_SECRET_NAME.search(name))


def resolve(value: str, environ: Mapping[str, str]) -> ResolvedValue:
    """Replace every reference by its value. Raises `UnresolvedReference`."""
    stored = _KEYRING.fullmatch(value)
    if stored:
        return ResolvedValue(_from_keyring(stored[1], stored[2]), secret=True)
    names = {found["variable"] for found in _ANY.finditer(value) if found["variable"]}
    missing = sorted(name for name in names if not environ.get(name))
    if missing:
        raise UnresolvedReference(not_set(missing))
    for found in _ANY.finditer(value):
        if found["sealed"] and found["sealed"] not in environ:
            name = found["sealed"].removeprefix("sealed:")
            raise UnresolvedReference(
                f"the sealed store has nothing that can be opened for {name}; enter the secret again"
            )

    def stands_for(found: re.Match[str]) -> str:
        if known := found["variable"] or found["sealed"]:
            return environ[known]
        return _from_keyring(found["service"] or SERVICE, found["name"])

    return ResolvedValue(_ANY.sub(stands_for, value), secret=bool(_ANY.search(value)))


def not_set(names: Sequence[str]) -> str:
    """Return in words that environment variables are missing."""
    if len(names) == 1:
        return f"the environment variable {names[0]} is not set; set it and start again"
    return f"the environment variables {', '.join(names)} are not set; set them and start again"


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
