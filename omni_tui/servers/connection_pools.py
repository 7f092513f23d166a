"""Sockets to web servers, shared by all clients of the same origin (scheme, host, port).

Only sockets are shared, as in a browser: cookies, tokens, headers and time-outs stay with each client.
Another proxy, or other certificate authorities, make another pool. A pool is closed when its last user
leaves.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass
from typing import NamedTuple
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

import httpx2

from omni_tui.security.urls import is_loopback, shown_url

LIMITS = httpx2.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=15.0)
"""Limits of one pool. An event stream occupies a connection while it is open."""

PROXY_TODO = "Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or exclude the host in NO_PROXY."
_PORTS = {"http": 80, "https": 443}


class PoolError(Exception):
    """A proxy or certificates of the environment cannot be used; the text holds no passwords."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.todo = todo


class _Key(NamedTuple):
    scheme: str
    host: str
    port: int
    proxy: str
    certificates: tuple[str, str]


@dataclass(eq=False)
class _Pool:
    transport: httpx2.AsyncHTTPTransport
    leases: int = 0


open_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _Pool]] = WeakKeyDictionary()
"""The pools by event loop, since a socket belongs to the loop that opened it."""


class PoolLease(httpx2.AsyncBaseTransport):
    """The transport of one client, over the pool of its origin; closing the client leaves the pool."""

    def __init__(self, key: _Key, pool: _Pool) -> None:
        self._key = key
        self._pool = pool
        self._left = False
        pool.leases += 1

    @property
    def proxied(self) -> bool:
        """Whether a proxy makes the connections."""
        return bool(self._key.proxy)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request over a socket of the pool."""
        if self._left:
            raise httpx2.TransportError("the connection is closed")
        return await self._pool.transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Leave the pool; the last user closes the sockets."""
        if self._left:
            return
        self._left = True
        self._pool.leases -= 1
        if not self._pool.leases:
            pools = open_pools[asyncio.get_running_loop()]
            if pools.get(self._key) is self._pool:
                del pools[self._key]
            await self._pool.transport.aclose()


def lease(url: httpx2.URL) -> PoolLease:
    """Join the pool for a URL's origin. Raises `PoolError`.

    No proxy is used for this machine. `SSL_CERT_FILE` and `SSL_CERT_DIR` name the certificate authorities,
    for this machine too, since developers may have their own.
    """
    proxy = "" if is_loopback(url.host) else proxy_for(url)
    certificates = (os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))
    port = url.port or _PORTS.get(url.scheme, 0)
    key = _Key(url.scheme, url.host.lower(), port, proxy, certificates)
    pools = open_pools.setdefault(asyncio.get_running_loop(), {})
    if key not in pools:
        try:
            pools[key] = _Pool(
                httpx2.AsyncHTTPTransport(limits=LIMITS, trust_env=True, proxy=proxy or None)
            )
        except OSError as error:
            place = certificates[0] or certificates[1]
            named = "SSL_CERT_FILE" if certificates[0] else "SSL_CERT_DIR"
            why = (not isinstance(error, ssl.SSLError) and error.strerror) or "it holds no certificate"
            what = f"{named} names {place}, which cannot be used: {why.lower()}"
            raise PoolError(what, "Correct it, or unset it, and start again.") from None
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            why = "its address is wrong"
            if isinstance(error, ImportError):
                why = "SOCKS needs the package socksio"
            what = f"the proxy of the environment cannot be used: {why}"
            raise PoolError(what, PROXY_TODO) from None
    return PoolLease(key, pools[key])


def proxy_for(url: httpx2.URL) -> str:
    """Return the proxy for a URL, "" for none; Python's standard library reads the environment."""
    proxies = getproxies()
    proxy = (proxies.get(url.scheme) or proxies.get("all") or "").strip()
    host = f"{url.host}:{url.port}" if url.port else url.host
    if not proxy or proxy_bypass(host):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def shown_proxy(url: str) -> str:
    """Return the proxy for a URL without its password, "" for none."""
    try:
        address = httpx2.URL(url)
    except httpx2.InvalidURL:
        return ""
    proxy = "" if is_loopback(address.host) else proxy_for(address)
    return shown_url(proxy) if proxy else ""
