"""Whether the host of a URL is among some hosts.

A URL that programs read differently (user names, backslashes, white space, numbers as addresses, names
that two versions of IDNA spell differently) has no host that one could rely on: the answer is None.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

LONGEST_URL = 8_192
"""Characters of a URL; the host of a longer one is unclear."""
_LONGEST_HOST = 253
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_ODD = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2000-\u200f\u2028-\u202f\u2060-\u206f\u3000\ufeff]")


def has_host(url: str, hosts: tuple[str, ...]) -> bool | None:
    """Whether a URL's host is one of `hosts`; None if it is unclear what its host is.

    A host may begin with `*.` for all names below it, and end with a port; without one, any port is meant.
    """
    found = _host_of(url)
    if found is None:
        return None
    return any(_is_host(found, entry) for entry in hosts)


def host_problem(entry: str) -> str:
    """Return why an entry cannot be used in `host_in`, "" if it can."""
    if _entry(entry) is None:
        return "must be a host such as example.com, *.example.com or example.com:8443"
    return ""


def host_for_rule(url: str) -> str:
    """Return the host of a URL as an entry for `host_in`, with a port that is not the usual one.

    "" if it is unclear.
    """
    found = _host_of(url)
    if found is None:
        return ""
    host, port = found
    shown = f"[{host}]" if ":" in host else host
    usual = port == _PORTS[url.partition(":")[0].lower()]
    return shown if usual else f"{shown}:{port}"


def _is_host(found: tuple[str, int], entry: str) -> bool:
    wanted = _entry(entry)
    if wanted is None:
        return False
    name, port, below = wanted
    same = found[0].endswith(f".{name}") if below else found[0] == name
    return same and port in (0, found[1])


def _host_of(url: str) -> tuple[str, int] | None:
    """Return the host and port of a URL, None if they are unclear."""
    if len(url) > LONGEST_URL:
        return None
    scheme, found, rest = url.partition("://")
    if not found or scheme.lower() not in _PORTS or _ODD.search(url) or rest.startswith("/"):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if "@" in parts.netloc or "%" in parts.netloc or len(host) > _LONGEST_HOST:
        return None
    name = normal_host(host, bracketed=parts.netloc.startswith("["))
    if name is None or port == 0:
        return None
    return name, port or _PORTS[scheme.lower()]


@lru_cache(4096)
def _entry(entry: str) -> tuple[str, int, bool] | None:
    """Return the host, the port (0: any) and whether the names below are meant."""
    text = entry.removeprefix("*.")
    below = text != entry
    bracketed = text.startswith("[")
    if bracketed:
        host, _, tail = text[1:].partition("]")
        port_text = tail.removeprefix(":")
    else:
        host, colon, port_text = text.partition(":")
        tail = colon + port_text
    if tail and not (tail.startswith(":") and port_text.isascii() and port_text.isdigit()):
        return None
    port = int(port_text) if tail else 0
    name = normal_host(host, bracketed=bracketed) if not _ODD.search(host) else None
    if name is None or port > 65_535 or (tail and not port) or (below and _is_address(name)):
        return None
    return name, port, below


@lru_cache(4096)
def normal_host(host: str, *, bracketed: bool = False) -> str | None:
    """Return a host in its one spelling, None if programs may understand it differently."""
    if bracketed:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            return None
        return None if address.scope_id else str(address.ipv4_mapped or address)
    name = _ascii(host)
    if name is None:
        return None
    name = name.lower().removesuffix(".")
    if not _HOST.fullmatch(name) or ".." in name:
        return None
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return name if _is_address(name) else None
    return name


def _ascii(host: str) -> str | None:
    """Return a host in ASCII, None where two versions of IDNA differ."""
    if host.isascii():
        return host
    import idna

    try:
        new = idna.encode(host, uts46=True).decode()
        old = host.encode("idna").decode()
    except UnicodeError:
        return None
    return new if new == old.lower() else None


def _is_address(name: str) -> bool:
    """Whether a name is an address in the usual spelling."""
    try:
        return str(ipaddress.ip_address(name)) == name
    except ValueError:
        return False
