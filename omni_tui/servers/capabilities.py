"""What a server offers: its tools, prompts and resources; again when they change."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from omni_tui.servers.base import ToolDefinition
from omni_tui.servers.listing import MAX_ENTRIES, MAX_TOOLS
from omni_tui.servers.offering import Walk, list_offers
from omni_tui.servers.offers import Offers
from omni_tui.servers.transports.answers import error_words

if TYPE_CHECKING:
    from mcp.client.client import Client

_log = logging.getLogger(__name__)

MAX_PAGES = 100
_DEBOUNCE = 0.2
_RELIST_PAUSE = 2.0
"""Seconds between two listings that a server asked for; sooner only after a quiet time."""
_LISTEN_FIRST, _LISTEN_LAST = 1.0, 60.0
_LISTEN_STEADY = 60.0
"""Seconds after which a stream of changes that ended counts as one that had been of use."""


@dataclass(slots=True)
class Offer:
    """What one listing of a server brought. `latency_ms` is the time of the first request.

    `trouble` says in words what was wrong with the listing of the tools, `cut` that it has more of
    them than are taken.
    """

    tools: list[ToolDefinition] = field(default_factory=list)
    others: Offers = field(default_factory=Offers)
    latency_ms: float | None = None
    trouble: str = ""
    cut: bool = False

    @property
    def note(self) -> str:
        """What is to be said of a listing that is usable."""
        return f"has more tools than the {len(self.tools)} that are taken" if self.cut else ""


class _Pages:
    """Walks the pages of one kind of list."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.first_ms: float | None = None
        self.cut = False

    async def walk(
        self, ask: Callable[[types.PaginatedRequestParams | None], Awaitable[tuple[list[Any], str | None]]]
    ) -> list[Any]:
        found: list[Any] = []
        seen: set[str] = set()
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            begun = time.perf_counter()
            entries, following = await ask(types.PaginatedRequestParams(cursor=cursor) if cursor else None)
            if self.first_ms is None:
                self.first_ms = (time.perf_counter() - begun) * 1000
            found += entries[: self.limit - len(found)]
            if following is None or following in seen:
                self.cut = following is not None
                return found
            if len(found) >= self.limit:
                break
            seen.add(following)
            cursor = following
        self.cut = True
        return found


async def list_all(client: Client, server: str, timeout: float) -> Offer:
    """List what the server says it offers; each kind is asked for once (and once per further page).

    Tools that cannot be listed are `trouble` in the offer; prompts and resources that cannot are
    counted as none. Raises `MCPError` only if the connection or its session is gone.
    """
    advertised = client.server_capabilities
    offer = Offer()
    others = asyncio.ensure_future(list_offers(client, timeout, _walk))
    try:
        if advertised.tools:
            await _list_tools(client, server, timeout, offer)
        offer.others = await others
    finally:
        others.cancel()
    return offer


def _walk() -> Walk:
    return _Pages(MAX_ENTRIES).walk


async def _list_tools(client: Client, server: str, timeout: float, offer: Offer) -> None:
    async def ask(params: types.PaginatedRequestParams | None) -> tuple[list[types.Tool], str | None]:
        page = await client.session.list_tools(params=params)
        return page.tools, page.next_cursor

    pages = _Pages(MAX_TOOLS)
    try:
        async with asyncio.timeout(timeout):
            tools = await pages.walk(ask)
    except TimeoutError:
        offer.trouble = f"did not answer tools/list within {timeout:g} s"
        return
    except MCPError as error:
        if error.code == types.CONNECTION_CLOSED:
            raise
        offer.trouble = f"refuses to list its tools: {error_words(error.error, with_code=False)}"
        return
    except (ValidationError, RuntimeError, ValueError) as error:
        _log.info("the tool list of %s breaks the specification: %s", server, error)
        offer.trouble = "its list of tools breaks the specification"
        return
    offer.tools = [definition(server, tool) for tool in tools]
    offer.latency_ms = pages.first_ms
    offer.cut = pages.cut


def definition(server: str, tool: types.Tool) -> ToolDefinition:
    """Return a tool as its server listed it."""
    notes = tool.annotations
    return ToolDefinition(
        server=server,
        name=tool.name,
        title=tool.title or (notes.title if notes and notes.title else ""),
        description=tool.description or "",
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=notes.model_dump(by_alias=True, mode="json", exclude_unset=True) if notes else {},
        only_as_task=tool.execution is not None and tool.execution.task_support == "required",
    )


def changes_lists(message: object) -> bool:
    """Return whether a message of the server says that one of its lists changed (handshake versions)."""
    return isinstance(
        message,
        types.ToolListChangedNotification
        | types.PromptListChangedNotification
        | types.ResourceListChangedNotification,
    )


class Relister:
    """Lists again when told that something changed: soon, once for a burst, and not without end."""

    def __init__(self, relist: Callable[[], Awaitable[None]]) -> None:
        self._relist = relist
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Note that a list changed."""
        self._changed.set()

    async def run(self) -> None:
        """Follow the changes until cancelled, or until listing raises."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(_DEBOUNCE)
            self._changed.clear()
            await self._relist()
            await asyncio.sleep(_RELIST_PAUSE)


async def listen(client: Client, changed: Callable[[], None], timeout: float) -> None:
    """Follow a modern server's change events and open the stream again whenever it ends; until cancelled.

    Returns at once where there is nothing to follow. After an interruption everything may have
    changed, so `changed` is called too.
    """
    offered = client.server_capabilities
    tools = bool(offered.tools and offered.tools.list_changed)
    prompts = bool(offered.prompts and offered.prompts.list_changed)
    resources = bool(offered.resources and offered.resources.list_changed)
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or not (tools or prompts or resources):
        return
    delay = _LISTEN_FIRST
    first = True
    while True:
        begun, told = time.monotonic(), False
        try:
            opening = client.listen(
                tools_list_changed=tools, prompts_list_changed=prompts, resources_list_changed=resources
            )
            async with asyncio.timeout(timeout) as deadline, opening as events:
                deadline.reschedule(None)
                if not first:
                    changed()
                first = False
                async for _ in events:
                    told = True
                    changed()
        except ListenNotSupportedError:
            return
        except (SubscriptionLost, TimeoutError) as error:
            _log.info("a stream of change events was lost: %s", error)
        except MCPError as error:
            if error.code in (types.METHOD_NOT_FOUND, types.CONNECTION_CLOSED):
                return
            _log.info("a stream of change events was refused: %s", error)
        # A server that ends each stream at once would otherwise be listed anew every second.
        if told or time.monotonic() - begun >= _LISTEN_STEADY:
            delay = _LISTEN_FIRST
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))
        delay = min(_LISTEN_LAST, delay * 2)
