"""URLs without an HTTP library: showing them without secrets, and what crosses a network unencrypted."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def shown_url(url: str) -> str:
    """Return a URL without its user, password, query and fragment, which may be secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + ("?…" if parts.query else "")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is certainly this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_unencrypted(url: str) -> bool:
    """Return whether data to a URL crosses a network unencrypted."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return True
    return parts.scheme.lower() == "http" and not is_loopback(host)
