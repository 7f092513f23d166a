"""The browser's part of a sign-in: opening the page, and the address on this machine it returns to.

A page is opened only because the person pressed a key for it. The address is open while one sign-in
waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import platform
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from omni_tui.servers.auth.urls import authorize_problem


def browser_available() -> bool:
    """Return whether a browser window can be opened here (not over ssh, not on a console)."""
    if platform.system() in ("Darwin", "Windows"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_page(url: str) -> str:
    """Open the address of a sign-in page; return why that failed, "" if it did not."""
    if problem := authorize_problem(url):
        return problem
    if not browser_available():
        return "no browser window can be opened on this machine; copy the address instead"
    try:
        opened = webbrowser.open(url)
    except (webbrowser.Error, OSError):
        opened = False
    return "" if opened else "no browser could be opened; copy the address instead"


PATH = "/callback"
_LONGEST = 8 * 1024
_HEADERS = 100
_PATIENCE = 5.0
_AT_ONCE = 8

_PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Omni TUI</title>"
    "<body style='font:16px sans-serif;margin:3em'><h1>{title}</h1><p>{words}</p>"
)


class RedirectMismatch(Exception):
    """A redirect that does not belong to the waiting sign-in; the text says why."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """The answer of an authorisation server: a code, or an error (RFC 6749, section 4.1.2)."""

    code: str = field(default="", repr=False)
    state: str = field(default="", repr=False)
    iss: str | None = None
    error: str = ""


def read_redirect(url: str, state: str) -> Redirect:
    """Return the content of a redirect with the state of this sign-in. Raises `RedirectMismatch`."""
    try:
        query = parse_qs(urlsplit(url.strip()).query, max_num_fields=20)
    except ValueError:
        raise RedirectMismatch("that is not an address") from None
    if any(len(values) > 1 for values in query.values()):
        raise RedirectMismatch("that address has a parameter twice")
    fields = {name: values[0] for name, values in query.items()}
    if not fields.get("code") and not fields.get("error"):
        raise RedirectMismatch("that address holds no answer; copy the browser's last address whole")
    if not state or not hmac.compare_digest(fields.get("state", "").encode(), state.encode()):
        raise RedirectMismatch("that answer belongs to another sign-in")
    return Redirect(fields.get("code", ""), fields["state"], fields.get("iss"), fields.get("error", ""))


class CallbackServer:
    """Listens on 127.0.0.1 until it is closed, or `take` has accepted one redirect.

    `take` gets the path and query of a request to `PATH`; it may raise `RedirectMismatch`.
    """

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._server: asyncio.Server | None = None
        self._busy = 0
        self._done = False
        self.port = 0

    @property
    def uri(self) -> str:
        """The redirect URI."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    async def open(self, port: int) -> None:
        """Listen on a port, 0 for any. Raises `OSError`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=_LONGEST)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._busy += 1
        try:
            if self._busy <= _AT_ONCE:
                async with asyncio.timeout(_PATIENCE):
                    status, title, words = await self._answer(reader)
                    await _reply(writer, status, title, words)
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            self._busy -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            if self._done:
                self.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[str, str, str]:
        method, _, rest = (await reader.readline()).decode("latin-1").partition(" ")
        target = rest.rpartition(" ")[0]
        host = ""
        for _ in range(_HEADERS):
            line = (await reader.readline()).decode("latin-1")
            if not line.strip():
                break
            name, _, value = line.partition(":")
            host = value.strip().lower() if name.strip().lower() == "host" else host
        if method != "GET" or urlsplit(target).path != PATH:
            return "404 Not Found", "Nothing here", "This address only ends a sign-in."
        if host not in (f"127.0.0.1:{self.port}", f"localhost:{self.port}"):
            return "400 Bad Request", "Not for us", "This request was meant for another host."
        if self._done:
            return "410 Gone", "It is over", "This sign-in has its answer already."
        try:
            self._take(target)
        except RedirectMismatch as refused:
            return "400 Bad Request", "Not this sign-in", f"{str(refused)[:1].upper()}{str(refused)[1:]}."
        self._done = True
        return "200 OK", "Back to the terminal", "The answer has arrived. You can close this page."


async def _reply(writer: asyncio.StreamWriter, status: str, title: str, words: str) -> None:
    body = _PAGE.format(title=title, words=words).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
        "Connection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
