"""The parts of a server's settings that may be shown, and its secrets."""

from __future__ import annotations

import hashlib
import json
import shlex
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from omni_tui.config.references import names_a_secret
from omni_tui.config.spec import ServerSpec
from omni_tui.security.redaction import MASK, redacted_arguments, secrets_in_arguments

_SCHEMES = ("bearer", "basic", "token")


def server_secrets(spec: ServerSpec) -> list[str]:
    """Return every value of a server that must not be shown."""
    found = [value for name, value in spec.env.items() if name in spec.secret_env or names_a_secret(name)]
    for name, value in spec.headers.items():
        if name in spec.secret_headers or names_a_secret(name):
            scheme, _, rest = value.partition(" ")
            found += [value, rest] if scheme.lower() in _SCHEMES else [value]
    found += spec.oauth.secrets() if spec.oauth else ()
    found += [*secrets_in_arguments(spec.args), *_in_address(spec.url), *sorted(spec.secrets)]
    return [value for value in dict.fromkeys(found) if value]


def display_command(spec: ServerSpec) -> str:
    """Return the command line of a server without its secrets, quoted for a shell."""
    return shlex.join([spec.command, *redacted_arguments(spec.args, spec.secrets)])


def display_target(spec: ServerSpec) -> str:
    """Return a server's address or command line, without its secrets."""
    if not spec.url:
        return display_command(spec)
    text = spec.url
    for secret in sorted(filter(None, _in_address(spec.url)), key=len, reverse=True):
        text = text.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
    return text


def display_digest(spec: ServerSpec) -> str:
    """Return a hash of what a server is, without its secrets: another one if it is another server now."""
    env = {name: value for name, value in spec.env.items() if not _is_secret(name, spec.secret_env)}
    headers = {
        name: value for name, value in spec.headers.items() if not _is_secret(name, spec.secret_headers)
    }
    names = [sorted(spec.env), sorted(spec.headers), sorted(spec.inherit)]
    shown = [spec.name, spec.source, spec.transport, display_target(spec), spec.cwd, env, headers, *names]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def _is_secret(name: str, secret: frozenset[str]) -> bool:
    return name in secret or names_a_secret(name)


def _in_address(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        password = parts.password or ""
    except ValueError:
        return []
    named = [value for name, value in parse_qsl(parts.query) if names_a_secret(name)]
    return [password, unquote(password), *named]
