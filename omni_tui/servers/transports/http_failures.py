"""Puts into words why an HTTP request failed or was refused."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from http import HTTPStatus

import httpx2

from omni_tui.config.spec import ServerSpec
from omni_tui.security.urls import shown_url
from omni_tui.servers.connection_failure import ConnectionFailure
from omni_tui.servers.connection_pools import PROXY_TODO, shown_proxy

_CREDENTIALS = ("authorization", "cookie", "proxy-authorization", "x-api-key")
_PROBE = 3.0
"""Seconds for testing whether a port speaks TLS."""

# OpenSSL's reasons for a first answer that is not TLS, and for having no version in common.
_NOT_TLS = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "HTTPS_PROXY_REQUEST",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "UNKNOWN_PROTOCOL",
        "BAD_RECORD_TYPE",
    }
)
_NO_VERSION = frozenset(
    {
        "UNSUPPORTED_PROTOCOL",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "WRONG_SSL_VERSION",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "NO_PROTOCOLS_AVAILABLE",
        "NO_SHARED_CIPHER",
    }
)
_WANTS_CERTIFICATE = ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_CERTIFICATE_REQUIRED")


class TlsExpected(httpx2.ConnectError):
    """A request went unencrypted to a port that speaks TLS, so nobody read it."""


def credentials_of(spec: ServerSpec) -> list[str]:
    """Return the names of the configured headers that carry credentials."""
    return [name for name in spec.headers if name in spec.secret_headers or name.lower() in _CREDENTIALS]


def explain_status(status: int, spec: ServerSpec, words: str = "") -> ConnectionFailure:
    """Return the failure that an HTTP status means; `words` are the server's."""
    answer = f"the server answered {status_text(status)}" + (f": {words}" if words else "")
    if status == HTTPStatus.UNAUTHORIZED:
        return ConnectionFailure(f"needs authorisation: {answer}", _authorise(spec), lasting=True)
    if status == HTTPStatus.FORBIDDEN:
        return ConnectionFailure(f"refuses access: {answer}", _permit(spec), lasting=True)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return ConnectionFailure(f"a proxy asks for credentials: {answer}", PROXY_TODO, lasting=True)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE):
        what = f"no MCP server at {shown_url(spec.url)}: {answer}"
        return ConnectionFailure(what, "Check the path of the URL.")
    todo = "Omni TUI tries again." if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ""
    return ConnectionFailure(answer, todo)


def status_text(status: int) -> str:
    """Return a status with its phrase, if it has one."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _authorise(spec: ServerSpec) -> str:
    """Say what to do about a 401, without what is set already."""
    where = f"[servers.{spec.name}]"
    if spec.oauth is not None:
        return "It did not accept the token of the sign-in. Sign out and in again (s in the servers pane)."
    if given := credentials_of(spec):
        those = ", ".join(f"headers.{name}" for name in given)
        return f"It did not accept {those}: check that it is right and still valid."
    return f'Give it headers.Authorization or auth = "oauth" in {where}, then reconnect.'


def _permit(spec: ServerSpec) -> str:
    """Say what to do about a 403: the credentials are not enough, or none help."""
    if spec.oauth is not None or credentials_of(spec):
        return "Its credentials do not allow this. Check there which rights they have."
    return "If it needs credentials, set them in headers and reconnect. Else ask who runs it."


def explain_failure(error: Exception, url: str) -> ConnectionFailure:
    """Return the failure of an HTTP request."""
    shown = shown_url(url)
    if isinstance(error, httpx2.LocalProtocolError):
        todo = "Correct it where the server is defined."
        return ConnectionFailure("one of its headers is not valid HTTP", todo, lasting=True)
    if isinstance(error, TlsExpected):
        what = f"that port speaks TLS, and the request was not encrypted: {shown}"
        return ConnectionFailure(what, "Write https:// in its URL.", lasting=True)
    if (failure := tls_failure(error, url)) is not None:
        return failure
    if proxy := shown_proxy(url):
        if isinstance(error, httpx2.ProxyError):
            what = f"the proxy {proxy} does not let it through to {shown}: {error}"
            return ConnectionFailure(what, PROXY_TODO)
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            what = f"the proxy {proxy} cannot be reached, on the way to {shown}"
            return ConnectionFailure(what, PROXY_TODO)
    causes = list(_chain(error))
    if isinstance(error, httpx2.ConnectTimeout):
        return ConnectionFailure(f"nothing answers at {shown}", "Check the address and the network.")
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        what = f"no host of that name was found: {shown}"
        return ConnectionFailure(what, "Check the address and the network.")
    if isinstance(error, httpx2.ConnectError):
        return ConnectionFailure(f"nothing listens at {shown}", "Start the server, or check the address.")
    why = str(error) or _first_words(causes)
    return ConnectionFailure(f"the connection to {shown} broke: {why}", "Omni TUI tries again.")


def tls_failure(error: Exception, url: str) -> ConnectionFailure | None:
    """Return the failure of TLS, None if it was something else."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLError):
            return _tls(cause, shown_url(url))
    return None


def _first_words(causes: list[BaseException]) -> str:
    """Return the first words about a failure, or its class."""
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return next((str(cause) for cause in causes if str(cause)), type(causes[0]).__name__)


def _tls(error: ssl.SSLError, shown: str) -> ConnectionFailure:
    if isinstance(error, ssl.SSLCertVerificationError):
        what = f"the certificate of {shown} cannot be verified: {error.verify_message}"
        todo = "For a certificate authority of your own, set SSL_CERT_FILE to its file."
        if "expired" in error.verify_message or "mismatch" in error.verify_message:
            todo = "Check the host name in the URL; else the server needs a new certificate."
        return ConnectionFailure(what, todo, lasting=True)
    reason = error.reason or ""
    if reason in _NOT_TLS:
        what = f"that port does not speak TLS: {shown}"
        todo = "Write http:// if it is on this machine; else check the port."
        return ConnectionFailure(what, todo, lasting=True)
    if reason in _NO_VERSION:
        what = f"no safe version of TLS, or no cipher, in common with {shown}"
        return ConnectionFailure(what, "The server needs newer TLS settings.", lasting=True)
    if reason in _WANTS_CERTIFICATE:
        what = f"asks for a client certificate, which Omni TUI does not support: {shown}"
        return ConnectionFailure(what, "Use another address of it, or a proxy that adds one.", lasting=True)
    words = reason.replace("_", " ").lower() or "it broke off"
    return ConnectionFailure(f"no secure connection to {shown}: {words}", "Omni TUI tries again.")


def _chain(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    for _ in range(12):
        if following is None:
            return
        yield following
        following = following.__cause__ or following.__context__


async def speaks_tls(host: str, port: int) -> bool:
    """Return whether a port answers a TLS handshake; nothing else is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_PROBE):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except ssl.SSLError as error:
        # An alert is an answer in TLS, too.
        return (error.reason or "") not in _NOT_TLS and "ALERT" in (error.reason or "")
    except (OSError, TimeoutError, ValueError):
        return False
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
