"""What a server offers (tools, prompts, resources, templates), listed page by page and again on changes."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import mcp_types as types
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from omni_tui.security.text import safe_line
from omni_tui.servers.base import ToolDefinition
from omni_tui.servers.list_page import (
    MAX_ENTRIES,
    MAX_PAGES,
    MAX_TOOLS,
    LeftOut,
    ListPage,
    UnusableEntry,
    describe_left_out,
    read_prompt,
    read_resource,
    read_template,
    read_tool,
)
from omni_tui.servers.prompt_resource_types import PromptsAndResources
from omni_tui.servers.tap import Tap
from omni_tui.servers.transports.json_rpc import error_words

if TYPE_CHECKING:
    from mcp.client.client import Client

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


_log = logging.getLogger(__name__)


@dataclass(slots=True)
class PromptResourceLists:
    """What was listed besides tools, what of it stays out, and what is to be said of it."""

    offers: PromptsAndResources
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def list_prompts_and_resources(client: Client, tap: Tap, timeout: float) -> PromptResourceLists:
    """List what the server offers besides tools; a kind that cannot be listed counts as empty.

    `timeout` in seconds is for each kind.
    """
    can = client.server_capabilities
    session = client.session
    listed = PromptResourceLists(PromptsAndResources())

    async def walked(
        kind: str,
        words: str,
        ask: FetchPage,
        one: Callable[[Any], T],
        name: Callable[[T], str],
        there: bool,
    ) -> tuple[T, ...]:
        walk = Paginator(tap, kind, MAX_ENTRIES, words, one, name)
        note = await _walk(walk, ask, words, timeout) if there else ""
        listed.left_out += walk.left_out
        listed.notes += filter(None, [note or walk.note])
        return tuple(walk.found)

    prompts, resources, templates = await asyncio.gather(
        walked(
            "prompts",
            "prompts",
            lambda params: session.list_prompts(params=params),
            read_prompt,
            lambda each: each.name,
            can.prompts is not None,
        ),
        walked(
            "resources",
            "resources",
            lambda params: session.list_resources(params=params),
            read_resource,
            lambda each: each.uri,
            can.resources is not None,
        ),
        walked(
            "resourceTemplates",
            "templates",
            lambda params: session.list_resource_templates(params=params),
            read_template,
            lambda each: each.uri_template,
            can.resources is not None,
        ),
    )
    modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
    listed.offers = PromptsAndResources(
        prompts=prompts,
        resources=resources,
        templates=templates,
        subscribable=bool(can.resources and (modern or can.resources.subscribe)),
        completes=can.completions is not None,
    )
    return listed


async def _walk(walk: Paginator[T], ask: FetchPage, words: str, timeout: float) -> str:
    """Walk a list; return what is to be said where it could not be listed, or not to its end."""
    try:
        async with asyncio.timeout(timeout):
            await walk.run(ask)
    except TimeoutError:
        return f"did not list its {words} within {timeout:g} s"
    except MCPError as error:
        _log.info("%s could not be listed: %s", words, error)
        # Many servers have resources and know nothing of templates; a cut connection is told elsewhere.
        if error.code in (types.METHOD_NOT_FOUND, types.CONNECTION_CLOSED):
            return ""
        return f"refuses to list its {words}: {safe_line(error.message, limit=200)}"
    except (ValidationError, RuntimeError, ValueError) as error:
        _log.info("%s could not be listed: %s", words, error)
        return f"its list of {words} breaks the specification"
    return f"its {words} cannot be listed: {walk.odd}" if walk.odd and not walk.found else ""


_DEBOUNCE = 0.2
_RELIST_PAUSE = 2.0
"""Seconds between two listings that a server asked for; sooner only after a quiet time."""
_LISTEN_FIRST, _LISTEN_LAST = 1.0, 60.0
_LISTEN_STEADY = 60.0
"""Seconds after which a stream of changes that ended counts as one that had been of use."""


@dataclass(slots=True)
class ServerListing:
    """What one listing of a server brought. `latency_ms` is the time of the first request.

    `failure` says in words what was wrong with the listing of the tools, `left_out` which entries of
    its lists are not used, `notes` what else there is to say of a listing that is usable.
    """

    tools: list[ToolDefinition] = field(default_factory=list)
    others: PromptsAndResources = field(default_factory=PromptsAndResources)
    latency_ms: float | None = None
    failure: str = ""
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def note(self) -> str:
        """What is to be said of a listing that is usable."""
        return "; ".join([*self.notes, *filter(None, [describe_left_out(self.left_out)])])


async def list_all(client: Client, tap: Tap, server: str, timeout: float) -> ServerListing:
    """List what the server says it offers; each kind is asked for once (and once per further page).

    Tools that cannot be listed are `failure` in the offer; prompts and resources that cannot are
    counted as none, with a note. Raises `MCPError` only if the connection or its session is gone.
    """
    advertised = client.server_capabilities
    offer = ServerListing()
    others = asyncio.ensure_future(list_prompts_and_resources(client, tap, timeout))
    try:
        if advertised.tools:
            await _list_tools(client, tap, server, timeout, offer)
        rest = await others
        offer.others = rest.offers
        offer.left_out += rest.left_out
        offer.notes += rest.notes
    finally:
        others.cancel()
    return offer


async def _list_tools(client: Client, tap: Tap, server: str, timeout: float, offer: ServerListing) -> None:
    modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS

    def one(entry: Any) -> ToolDefinition:
        definition = read_tool(server, entry)
        # 2026-07-28: a tool whose x-mcp-header marks are wrong must not be used.
        if modern and (reason := find_invalid_x_mcp_header(definition.input_schema)) is not None:
            raise UnusableEntry(reason)
        return definition

    walk = Paginator(tap, "tools", MAX_TOOLS, "tools", one, lambda each: each.name)
    try:
        async with asyncio.timeout(timeout):
            await walk.run(lambda params: client.session.list_tools(params=params))
    except TimeoutError:
        offer.failure = f"did not answer tools/list within {timeout:g} s"
    except MCPError as error:
        if error.code == types.CONNECTION_CLOSED:
            raise
        offer.failure = f"refuses to list its tools: {error_words(error.error, with_code=False)}"
    except (ValidationError, RuntimeError, ValueError) as error:
        _log.info("the tool list of %s breaks the specification: %s", server, error)
        offer.failure = "its list of tools breaks the specification"
    else:
        offer.failure = f"its tools cannot be listed: {walk.odd}" if walk.odd and not walk.found else ""
    if offer.failure and walk.found:
        offer.failure += f"; only the first {len(walk.found)} of its tools are known"
    offer.tools = walk.found
    offer.latency_ms = walk.first_ms
    offer.left_out += walk.left_out
    offer.notes += filter(None, [walk.note])


def is_list_change(message: object) -> bool:
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


async def follow_list_changes(client: Client, changed: Callable[[], None], timeout: float) -> None:
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
