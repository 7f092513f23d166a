"""Which addresses a sign-in may use, checked before anything is fetched, opened or shown.

A server's metadata names other hosts. The person chose the server's own origin and the issuers in the
config; everything else must be https and on the open internet, or on this machine if the server is too.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from omni_tui.security.urls import is_loopback, shown_url

LONGEST = 4096
"""Longest authorisation URL, in characters."""

_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z][a-z0-9-]{0,62}\.?")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_POINTS = "the server's sign-in metadata points to"
_PORTS = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class SignInError(Exception):
    """Why a sign-in failed, in words for the person. `passing`: trying again later may help."""

    def __init__(self, what: str, todo: str = "", *, passing: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo
        self.passing = passing


@dataclass(frozen=True, slots=True)
class UrlOrigin:
    """Scheme, host and port of a URL."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> UrlOrigin:
        """Return the origin of a URL. Raises `SignInError` if it is not an http(s) URL of a plain host."""
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme.lower(), (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise SignInError("the server's sign-in metadata holds an invalid URL") from None
        if scheme not in _PORTS or not host or "@" in parts.netloc or not _VISIBLE.fullmatch(url):
            raise SignInError(f"{_POINTS} {shown_url(url)[:200]}, which is not a plain web address")
        return cls(scheme, host, port or _PORTS[scheme])


class UrlPolicy:
    """Which URLs the sign-in to one server may use; `named` are those in its config."""

    def __init__(self, server: str, *named: str) -> None:
        self.server = UrlOrigin.of(server)
        self._chosen = {self.server} | {UrlOrigin.of(url) for url in named if url}
        self._local = is_loopback(self.server.host)

    def chosen(self, url: str) -> bool:
        """Return whether the person chose this origin, which may then be anywhere."""
        return UrlOrigin.of(url) in self._chosen

    def check(self, url: str) -> UrlOrigin:
        """Return the origin of a URL that may be fetched. Raises `SignInError`. Looks nothing up."""
        origin = UrlOrigin.of(url)
        literal = _literal(origin.host)
        if literal is None and not _NAME.fullmatch(origin.host):
            raise SignInError(f"{_POINTS} {origin.host!r}, which is not a host name")
        if origin in self._chosen and (origin.scheme == "https" or is_loopback(origin.host)):
            return origin
        if origin.scheme != "https" and not (self._local and is_loopback(origin.host)):
            raise SignInError(
                f"{_POINTS} {shown_url(url)[:200]}, which is not https; nothing was sent there"
            )
        if literal is not None:
            self.check_address(origin.host, literal)
        return origin

    def check_address(self, host: str, address: Address) -> None:
        """Raise `SignInError` if a host that the person did not choose is in a private network or local."""
        if self._local and address.is_loopback:
            return
        if not is_public(address):
            raise SignInError(
                f"{_POINTS} {host}, which is not on the open internet ({address}); nothing was sent there",
                "If that is right, name it in the config: issuer in the server's oauth table.",
            )


def is_public(address: Address) -> bool:
    """Return whether an address is a public unicast address, also if it is wrapped in IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def authorize_problem(url: str) -> str:
    """Return why an authorisation URL must not be shown or opened, "" if it may."""
    if len(url) > LONGEST:
        return f"the sign-in page's address has more than {LONGEST} characters"
    if not _VISIBLE.fullmatch(url):
        return "the sign-in page's address holds characters that no address has"
    try:
        origin = UrlOrigin.of(url)
    except SignInError:
        return "the sign-in page's address is not a plain web address"
    if _literal(origin.host) is None and not _NAME.fullmatch(origin.host):
        return "the sign-in page's address has no proper host name"
    if origin.scheme != "https" and not is_loopback(origin.host):
        return f"the sign-in page at {origin.host} is not https"
    return ""


def same_issuer(one: str, other: str) -> bool:
    """Return whether two issuers are the same, with and without a last slash.

    Both have the same metadata address (RFC 8414, section 3.1, removes the slash).
    """
    return one.removesuffix("/") == other.removesuffix("/")


def _literal(host: str) -> Address | None:
    """Return the IP address that a host is, None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
