"""The environment variables that a server's program inherits, besides its `env`.

These are what programs usually need: home, display, proxies, certificates, locale, time zone, XDG folders.
Never a key. A proxy address with credentials is passed on only if `inherit` names it; the SSH agent too,
except to servers of the person's own config.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from omni_tui.config.references import UnresolvedReference, names_a_secret
from omni_tui.config.spec import ServerSource, ServerSpec

BASE_VARIABLES = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
DISPLAY = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY")
LOCALE = (
    "LANG", "LANGUAGE", "LC_ADDRESS", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_IDENTIFICATION",
    "LC_MEASUREMENT", "LC_MESSAGES", "LC_MONETARY", "LC_NAME", "LC_NUMERIC", "LC_PAPER", "LC_TELEPHONE",
    "LC_TIME",
)  # fmt: skip
XDG = (
    "XDG_BIN_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_CURRENT_DESKTOP",
    "XDG_DATA_DIRS", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_SESSION_TYPE", "XDG_STATE_HOME",
)  # fmt: skip
CERTIFICATES = (
    "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "CURL_CA_BUNDLE", "DENO_CERT", "DENO_TLS_CA_STORE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR",
    "SSL_CERT_FILE", "UV_NATIVE_TLS",
)  # fmt: skip
PROXIES = (
    "ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
    "all_proxy", "ftp_proxy", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
SSH_AGENT = "SSH_AUTH_SOCK"

EVERY_SERVER = frozenset((*BASE_VARIABLES, *DISPLAY, *LOCALE, *XDG, *CERTIFICATES, *PROXIES))
OWN_CONFIG: frozenset[ServerSource] = frozenset({"user", "session"})
"""Sources of servers that the person wrote."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = re.compile(r"OMNI_TUI_.*|REDIS_.*|LLM_API_KEY|LITELLM_.*")
_USERINFO = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?([^/?#]*)@", re.IGNORECASE)


def inherited_environment(spec: ServerSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a server's program inherits from an environment."""
    names = set(EVERY_SERVER)
    if spec.source in OWN_CONFIG:
        names.add(SSH_AGENT)
    found = {}
    for name in sorted(names | set(spec.inherit)):
        value = environ.get(name)
        if value is None or (name in PROXIES and name not in spec.inherit and has_credentials(value)):
            continue
        # Such a value is an exported shell function, which old shells execute.
        if not value.startswith("()"):
            found[name] = value
    return found


def has_credentials(address: str) -> bool:
    """Whether the address of a proxy has a user name or password."""
    return _USERINFO.match(address.strip()) is not None


def proxy_passwords(names: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """Return the passwords in the addresses of inherited proxies."""
    found = (_USERINFO.match(environ.get(name, "").strip()) for name in names if name in PROXIES)
    given = [each[1].partition(":")[2] or each[1] for each in found if each is not None]
    return [*given, *(unquote(each) for each in given if "%" in each)]


def check_inherit(names: Iterable[str], source: ServerSource) -> tuple[str, ...]:
    """Return the names of an `inherit` list. Raises `UnresolvedReference` for a forbidden name."""
    given = tuple(dict.fromkeys(names))
    for name in given:
        if not _NAME.fullmatch(name):
            raise UnresolvedReference(f"inherit names {name!r}, which cannot be an environment variable")
        if _OURS.fullmatch(name) or names_a_secret(name):
            raise UnresolvedReference(
                f"inherit names {name}, which may hold a secret; give it as "
                f'env = {{ {name} = "${{{name}}}" }}, where it is kept as one'
            )
        allowed = {*EVERY_SERVER, SSH_AGENT}
        if source == "project" and name not in allowed:
            raise UnresolvedReference(
                f"a project's file may not take {name} from your environment; "
                "copy the server to your own config to give it"
            )
    return given
