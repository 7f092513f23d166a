"""Walk the pages of one of a server's lists."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from omni_tui.servers.list_page import MAX_PAGES, LeftOut, ListPage
from omni_tui.servers.tap import Tap

T = TypeVar("T")

FetchPage = Callable[[types.PaginatedRequestParams | None], Awaitable[Any]]
_NOT_ON_THE_WIRE = (ValidationError, RuntimeError, ValueError)


class Paginator(Generic[T]):
    """The pages of the list `kind`, each entry read by `one`; `words` names them ("tools").

    `found` grows page by page, so that a page that fails takes nothing away. `odd` is why a page could
    not be read, `note` why there may be more than was found.
    """

    def __init__(
        self,
        tap: Tap,
        kind: str,
        limit: int,
        words: str,
        one: Callable[[Any], T],
        name_of: Callable[[T], str],
    ) -> None:
        self.found: list[T] = []
        self.left_out: list[LeftOut] = []
        self.first_ms: float | None = None
        self.note = ""
        self.odd = ""
        self._tap = tap
        self._kind = kind
        self._limit = limit
        self._words = words
        self._one = one
        self._name_of = name_of
        self._known: dict[str, T] = {}

    async def run(self, ask: FetchPage) -> None:
        """Ask for page after page. Raises what `ask` raises."""
        seen: set[str] = set()
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._page(ask, cursor)
            if page is None:
                return
            fresh = self._add(page, first=cursor is None)
            self.odd = page.odd
            if page.odd and self.found:
                self.note = f"its list of {self._words} is not whole: {page.odd}"
            if self.note or page.cursor is None:
                return
            if page.cursor in seen:
                # "" may be a cursor, or what some servers write after their last page.
                if page.cursor or fresh:
                    self.note = (
                        f"its list of {self._words} stopped at {len(self.found)}: "
                        "it gave the same cursor twice"
                    )
                return
            seen.add(page.cursor)
            cursor = page.cursor
            if len(self.found) >= self._limit:
                break
        self.note = f"has more {self._words} than the {len(self.found)} that are taken"

    async def _page(self, ask: FetchPage, cursor: str | None) -> ListPage | None:
        """Return the next page, None if the cursor "" turns out to be none."""
        begun = time.perf_counter()
        with self._tap.listing(self._kind) as page:
            try:
                await ask(None if cursor is None else types.PaginatedRequestParams(cursor=cursor))
            except MCPError as error:
                if cursor == "" and error.code == types.INVALID_PARAMS:
                    return None
                raise
            except _NOT_ON_THE_WIRE:
                if not page.arrived:
                    raise
        if self.first_ms is None:
            self.first_ms = (time.perf_counter() - begun) * 1000
        return page

    def _add(self, page: ListPage, *, first: bool) -> bool:
        """Take a page's entries; return whether there was a new one."""
        fresh = False
        for entry in page.read(self._one):
            name = self._name_of(entry)
            if name in self._known:
                if self._known[name] != entry:
                    page.leave_out({"name": name}, "another one of this name came before it")
            elif len(self.found) < self._limit:
                self._known[name] = entry
                self.found.append(entry)
                fresh = True
            else:
                page.over += 1
        if fresh or first:  # else it is likely a page that came before
            self.left_out += page.left_out
        if page.over:
            self.note = f"has more {self._words} than the {len(self.found)} that are taken"
        return fresh
