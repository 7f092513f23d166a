"""What may be told from an address alone. Imports nothing that is heavy."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_unencrypted(url: str) -> bool:
    """Tell whether what is sent to this address crosses a network unencrypted."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return True
    if parts.scheme.lower() != "http":
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
