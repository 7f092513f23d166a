"""One HTTP exchange as it really was, which LiteLLM and the SDKs do not report.

LiteLLM turns a 529 into a 500 and a 413 into a 429, and reads pages and errors with status 200 as empty
answers. For requests of the worker, `httpx` is watched: status, headers and the text of a refusal are kept,
and the body of an answer goes through an `AnswerReader`. Other requests are not touched. Guarded by the
wire tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextvars import ContextVar
from typing import Any

import httpx

from omni_tui.models._provider_streams import AnswerReader, TokenCounts

_MOST_WORDS = 64 * 1024
_ABOUT_THE_BODY = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class HttpExchange:
    """The last HTTP request of a model request, and its response."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = names
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.words = ""
        self.reader: AnswerReader | None = None

    @property
    def refused(self) -> bool:
        """Whether the server answered with an error."""
        return self.status is not None and self.status >= 400

    @property
    def counts(self) -> TokenCounts:
        """The tokens as the provider counted them."""
        return self.reader.counts if self.reader is not None else TokenCounts()

    async def watch(self, response: httpx.Response, *, streamed: bool) -> httpx.Response:
        """Take a response; return the one that the library gets instead."""
        self.status, self.headers, self.words = response.status_code, dict(response.headers), ""
        self.reader = None
        if self.refused:
            body = await _head_of(response) if streamed else response.content[:_MOST_WORDS]
            self.words = body.decode(errors="replace")
            return _like(response, content=body) if streamed else response
        if not streamed or response.status_code != 200:
            return response
        self.reader = AnswerReader(response.headers.get("content-type", ""), self._names)
        return _like(response, stream=_Watched(response, self.reader))


current: ContextVar[HttpExchange | None] = ContextVar("current", default=None)
"""The exchange of this task, if it is a model request."""


async def _head_of(response: httpx.Response) -> bytes:
    body = b""
    try:
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) >= _MOST_WORDS:
                break
    finally:
        await response.aclose()
    return body[:_MOST_WORDS]


def _like(response: httpx.Response, **body: Any) -> httpx.Response:
    """Return a response with another, unencoded body."""
    headers = [
        (name, value) for name, value in response.headers.multi_items() if name not in _ABOUT_THE_BODY
    ]
    return httpx.Response(
        response.status_code,
        headers=headers,
        request=response.request,
        extensions=response.extensions,
        history=response.history,
        **body,
    )


class _Watched(httpx.AsyncByteStream):
    """A body that passes through the reader. Closing it closes the connection."""

    def __init__(self, response: httpx.Response, reader: AnswerReader) -> None:
        self._response = response
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._response.aiter_bytes():
            if piece := self._reader.feed(data):
                yield piece
            if self._reader.problem is not None:
                return
        if piece := self._reader.end():
            yield piece

    async def aclose(self) -> None:
        await self._response.aclose()


def patch_httpx() -> None:
    """Make `httpx` pass the worker's responses through their exchange."""
    send = httpx.AsyncClient.send

    async def watched(self: httpx.AsyncClient, request: httpx.Request, **more: Any) -> httpx.Response:
        response = await send(self, request, **more)
        exchange = current.get()
        if exchange is None:
            return response
        return await exchange.watch(response, streamed=bool(more.get("stream")))

    setattr(httpx.AsyncClient, "send", watched)  # noqa: B010
