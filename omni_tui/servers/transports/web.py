"""What all transports behind a URL have in common: which URL may be asked, and what its failures mean."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import httpx2

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.addresses import is_loopback, shown_url
from omni_tui.servers.health import Trouble, TroubleError
from omni_tui.servers.tap import current
from omni_tui.servers.transports.client import NOT_SENT, Ears

_CREDENTIALS = ("authorization", "cookie", "proxy-authorization", "x-api-key")


def check(spec: ServerSpec) -> httpx2.URL:
    """Return the URL of a spec, or raise `TroubleError` if it may or can not be asked.

    Credentials go over plain HTTP to this machine only: anybody on the way could read them.
    """
    try:
        url = httpx2.URL(spec.url)
    except httpx2.InvalidURL as error:
        raise TroubleError(Trouble("the URL is not valid", "Correct it in the config.", True)) from error
    if url.scheme not in ("http", "https") or not url.host:
        what = f"{shown_url(spec.url)} is not an http or https URL"
        raise TroubleError(Trouble(what, "Correct it in the config.", lasting=True))
    secret = {name.lower() for name in spec.secret_headers}
    secret |= {name.lower() for name in spec.headers if name.lower() in _CREDENTIALS}
    if (secret or url.userinfo) and url.scheme == "http" and not is_loopback(url.host):
        what = (
            f"credentials would cross the network in the clear to {shown_url(spec.url)}; nothing was sent"
        )
        raise TroubleError(Trouble(what, "Use https, or remove the credentials.", lasting=True))
    return url


class WebTransport(Ears):
    """The part of a transport that listens to its HTTP client.

    `on_lost` is called when no connection to the host can be made any more; a request that breaks in the
    middle fails alone. `auth` signs every request.
    """

    web = True
    pid = None

    def __init__(
        self, spec: ServerSpec, on_lost: Callable[[], None], *, auth: httpx2.Auth | None = None
    ) -> None:
        self._spec = spec
        self._on_lost = on_lost
        self._auth = auth
        self._error: Exception | None = None
        self._status = 0

    def failed(self, error: httpx2.TransportError) -> None:
        """Take note of a request that broke."""
        self._error = error
        if isinstance(error, NOT_SENT):
            self._on_lost()

    def answered(self, response: httpx2.Response) -> None:
        """Take note of the head of an answer to a POST."""
        self._error = None
        self._status = response.status_code
        if (opening := current()) is not None:
            opening.status = response.status_code


def explain_status(status: int, spec: ServerSpec) -> Trouble:
    """Say what an HTTP status means for a connection."""
    try:
        answer = f"the server answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        answer = f"the server answered {status}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        todo = f'Give it headers.Authorization or auth = "oauth" in [servers.{spec.name}], then reconnect.'
        return Trouble(f"needs authorisation: {answer}", todo, lasting=True)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE):
        return Trouble(f"no MCP server at {shown_url(spec.url)}: {answer}", "Check the path of the URL.")
    return Trouble(answer, "It is tried again." if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "")


def explain(error: Exception, url: str) -> Trouble:
    """Say in words why an HTTP request failed."""
    shown = shown_url(url)
    text = str(error).lower()
    if isinstance(error, httpx2.LocalProtocolError):
        return Trouble(
            "a header of the config is not valid HTTP", "Correct it in the config.", lasting=True
        )
    if isinstance(error, httpx2.ConnectTimeout):
        return Trouble(f"nothing answers at {shown}", "Check the address and the network.")
    if "certificate" in text:
        return Trouble(f"the certificate of {shown} cannot be verified: {error}", "Check it.", lasting=True)
    if "name or service" in text or "name resolution" in text or "nodename" in text:
        return Trouble(f"there is no host of that name: {shown}", "Check the address and the network.")
    if isinstance(error, httpx2.ConnectError):
        return Trouble(f"nothing listens at {shown}", "Start the server, or check the address.")
    return Trouble(
        f"the connection to {shown} broke: {error or type(error).__name__}", "It is tried again."
    )
