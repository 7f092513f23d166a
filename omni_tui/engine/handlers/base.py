"""What all handlers have: the engine, the client whose commands they carry out, and its session."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from types import MethodType
from typing import Any, ParamSpec, TypeVar

import msgspec

from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.live_session import LiveSession
from omni_tui.protocol import AnyEvent, Command, SafeText, UserError
from omni_tui.protocol.events import PartKind, TextPage
from omni_tui.security.text import safe_line, safe_part

_P = ParamSpec("_P")
_T = TypeVar("_T")
_PAGE = 60_000
_PAGE_BYTES = 200_000

Handler = Callable[[Any], Awaitable[AnyEvent | None]]
"""Carries out one command and returns its reply. A refusal is a `UserError`."""


class Handlers:
    """The handlers of one client for the commands about one subject.

    A handler is a coroutine method that takes a command and nothing else.
    """

    def __init__(self, engine: Engine, client: Client) -> None:
        self._engine = engine
        self._context = engine.context
        self._client = client

    def table(self) -> dict[type, Handler]:
        """Return the handlers by the type of their command."""
        table: dict[type, Handler] = {}
        for method in filter(inspect.iscoroutinefunction, vars(type(self)).values()):
            _, *given = inspect.signature(method, eval_str=True).parameters.values()
            kind = given[0].annotation if len(given) == 1 else None
            if isinstance(kind, type) and issubclass(kind, Command):
                table[kind] = MethodType(method, self)
        return table

    @property
    def _session(self) -> LiveSession:
        return self._engine.session(self._client)

    def _check_person(self) -> None:
        """Raise `UserError` for a client without a person, which may follow a session that has one."""
        if self._client.headless:
            raise UserError("this client has no person to decide; decide in the app")

    async def _in_pool(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do blocking work in the engine's pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._context.pool, lambda: work(*args, **kwargs))


def text_page(
    source: str, part: int, offset: int, limit: int, text: SafeText, kind: PartKind, mime: str
) -> TextPage:
    """Return a page of a long text; it always fits a frame."""
    offset = max(0, min(offset, len(text)))
    page = safe_part(text, offset, offset + max(1, min(limit, _PAGE)))
    # A character may take six bytes as JSON.
    while len(msgspec.json.encode(page)) > _PAGE_BYTES:
        page = safe_part(page, 0, len(page) // 2)
    return TextPage(
        call=source,
        part=part,
        offset=offset,
        total=len(text),
        text=page,
        kind=kind,
        mime=safe_line(mime, limit=100),
    )
