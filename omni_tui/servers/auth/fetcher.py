"""HTTP for discovery, registration and tokens: to allowed hosts only, limited, without cookies.

A host that the person did not choose is looked up once; all its addresses are checked, and the
connection goes to a checked address, with the host's name in the certificate check. Hosts that the
person chose are connected to by name, over the sockets of the MCP server's own connection. The proxy of
the environment is used as for the server; it looks hosts up itself, so that the addresses it uses cannot
be checked. Nothing is decompressed; redirects are followed for metadata inside an origin only, never with
credentials.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

import httpx2

from omni_tui.servers.auth.oauth_responses import json_object
from omni_tui.servers.auth.urls import SignInError, UrlOrigin, UrlPolicy
from omni_tui.servers.connection_pools import PoolError, PoolLease, lease, shown_proxy
from omni_tui.servers.transports.http_failures import status_text, tls_failure

MAX_BODY = 1024 * 1024
"""Longest answer, in bytes."""
TIMEOUT = 15.0
"""Seconds for one exchange, redirects included."""
MAX_REDIRECTS = 3

_REDIRECTS = (301, 302, 303, 307, 308)
_TRIES = 4
_DROPPED = ("content-length", "transfer-encoding", "set-cookie")
_FAMILIES = {socket.AF_INET, socket.AF_INET6}

Resolver = Callable[[str, int], Awaitable[list[str]]]


async def resolve_host(host: str, port: int) -> list[str]:
    """Return the addresses of a host. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found if each[0] in _FAMILIES))


class Fetcher:
    """Async context manager: sends the requests of one sign-in or renewal. `last` is the last answer."""

    def __init__(
        self, boundary: UrlPolicy, lookup: Resolver = resolve_host, timeout: float = TIMEOUT
    ) -> None:
        self._boundary = boundary
        self._lookup = lookup
        self._timeout = timeout
        self._sockets: dict[UrlOrigin, PoolLease] = {}
        self.last: httpx2.Response | None = None

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._sockets:
            await self._sockets.popitem()[1].aclose()

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return the whole answer. Raises `SignInError`, with nothing secret in it."""
        origin = self._boundary.check(str(request.url))
        try:
            async with asyncio.timeout(self._timeout):
                for _ in range(MAX_REDIRECTS + 1):
                    self.last = await self._once(request)
                    redirected = _redirected(request, self.last)
                    if redirected is None:
                        return self.last
                    request = redirected
        except TimeoutError:
            raise SignInError(
                f"{origin.host} did not answer in {self._timeout:g} s", passing=True
            ) from None
        raise SignInError(f"{origin.host} redirects without end")

    async def _once(self, request: httpx2.Request) -> httpx2.Response:
        origin = self._boundary.check(str(request.url))
        error: Exception | None = None
        sockets = self._lease(request.url, origin)
        for host in await self._hosts(request, origin, proxied=sockets.proxied):
            try:
                return await self._at(request, origin, host, sockets)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as failure:
                error = failure
            except httpx2.HTTPError as failure:
                raise SignInError(
                    f"the answer of {origin.host} broke off ({type(failure).__name__})", passing=True
                ) from None
        found = tls_failure(error, str(request.url)) if error is not None else None
        blamed = f"the proxy {shown_proxy(str(request.url))} cannot be reached" if sockets.proxied else ""
        why = found.what if found is not None else blamed or "nothing answers"
        raise SignInError(f"{origin.host} could not be reached: {why}", passing=True)

    def _lease(self, url: httpx2.URL, origin: UrlOrigin) -> PoolLease:
        """Return the sockets of an origin, kept until the end; origins never share them."""
        if origin not in self._sockets:
            try:
                self._sockets[origin] = lease(url)
            except PoolError as error:
                raise SignInError(str(error), error.todo) from None
        return self._sockets[origin]

    async def _hosts(self, request: httpx2.Request, origin: UrlOrigin, *, proxied: bool) -> list[str]:
        """Return what to connect to, in order: checked addresses, or the name."""
        try:
            found = await self._lookup(origin.host, origin.port)
        except OSError:
            found = []
        if not found and not proxied:
            raise SignInError(f"no host called {origin.host} was found", passing=True)
        if not self._boundary.chosen(str(request.url)):
            for address in found:
                self._boundary.check_address(origin.host, ipaddress.ip_address(address.partition("%")[0]))
            if not proxied:
                return found[:_TRIES]
        return [origin.host]

    async def _at(
        self, request: httpx2.Request, origin: UrlOrigin, host: str, sockets: PoolLease
    ) -> httpx2.Response:
        """Send a request to its host, or one of its addresses, and read at most `MAX_BODY` bytes."""
        headers = httpx2.Headers(request.headers)
        headers["Host"] = request.url.netloc.decode("ascii")
        headers["Accept-Encoding"] = "identity"
        # The SDK (2.3.0) asks for tokens without it, and some then answer with a form (GitHub).
        headers.setdefault("Accept", "application/json")
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=host),
            headers=headers,
            content=request.content,
            extensions={"timeout": httpx2.Timeout(self._timeout).as_dict(), "sni_hostname": origin.host},
        )
        response = await sockets.handle_async_request(pinned)
        try:
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise SignInError(f"{origin.host} sent a compressed answer, which was not requested")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BODY:
                    raise SignInError(f"the answer of {origin.host} is longer than {MAX_BODY} bytes")
        finally:
            await response.aclose()
        kept = [(k, v) for k, v in response.headers.multi_items() if k not in _DROPPED]
        return httpx2.Response(response.status_code, headers=kept, content=bytes(body), request=request)


def _redirected(request: httpx2.Request, response: httpx2.Response) -> httpx2.Request | None:
    """Return the request that follows a redirect of metadata inside its origin, else None."""
    location = response.headers.get("location", "")
    if request.method != "GET" or response.status_code not in _REDIRECTS or not location:
        return None
    try:
        target = request.url.join(location)
    except httpx2.InvalidURL:
        return None
    if target.userinfo or UrlOrigin.of(str(request.url)) != UrlOrigin.of(str(target)):
        return None
    return httpx2.Request("GET", target, headers={"Accept": "application/json"})


def describe_refusal(response: httpx2.Response) -> str:
    """Return an authorisation server's status and standard error code, without its words."""
    code = str((json_object(response.content) or {}).get("error", ""))
    if code.isascii() and code.replace("_", "").isalnum() and len(code) <= 40:
        return f"{code} ({response.status_code})"
    return status_text(response.status_code)
