"""What a server offers (tools, prompts, resources, templates), listed page by page and again on changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import mcp_types as types
from mcp.client.client import Client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from omni_tui.resilience.backoff import Backoff
from omni_tui.servers.base import ToolDefinition
from omni_tui.servers.list_page import (
    ENTRY_NAMES,
    MAX_PAGES,
    LeftOut,
    ListPage,
    UnusableEntry,
    describe_left_out,
    entry_limit,
    read_prompt,
    read_resource,
    read_template,
    read_tool,
)
from omni_tui.servers.prompt_resource_types import PromptsAndResources
from omni_tui.servers.tap import Tap
from omni_tui.servers.transports.json_rpc import error_words

T = TypeVar("T")

_log = logging.getLogger(__name__)
FetchPage = Callable[[types.PaginatedRequestParams | None], Awaitable[Any]]
_INVALID = (ValidationError, RuntimeError, ValueError)
"""What the SDK raises for an answer that breaks the specification."""

DEBOUNCE_S = 0.2
"""Seconds in which further changes lead to no further listing."""
RELIST_PAUSE_S = 2.0
"""Pause between two listings that a server asked for."""
_STEADY_S = 60.0
"""A stream of changes that lasted this long is opened again at once."""


@dataclass(slots=True)
class ServerListing:
    """One listing of a server. `latency_ms` is the time of the first request.

    `failure` says why the tools could not be listed, `left_out` which entries are not used, `notes` what
    else the person should know.
    """

    tools: list[ToolDefinition] = field(default_factory=list)
    others: PromptsAndResources = field(default_factory=PromptsAndResources)
    latency_ms: float | None = None
    failure: str = ""
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def note(self) -> str:
        """The notes and what was left out, on one line."""
        return "; ".join([*self.notes, *filter(None, [describe_left_out(self.left_out)])])


class Paginator(Generic[T]):
    """Reads the list `kind` page by page, each entry by `read`; `words` names the entries ("tools").

    `found` grows with each page and stays if a later one fails. `invalid` is why a page could not be
    read, `note` why there may be more entries than were found.
    """

    def __init__(self, tap: Tap, kind: str, read: Callable[[Any], T], name_of: Callable[[T], str]) -> None:
        self.found: list[T] = []
        self.left_out: list[LeftOut] = []
        self.first_ms: float | None = None
        self.note = ""
        self.invalid = ""
        self.words = f"{ENTRY_NAMES[kind]}s"
        self._tap = tap
        self._kind = kind
        self._limit = entry_limit(kind)
        self._read = read
        self._name_of = name_of
        self._known: dict[str, T] = {}

    async def run(self, fetch: FetchPage) -> None:
        """Fetch page after page. Raises what `fetch` raises."""
        seen: set[str] = set()
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._page(fetch, cursor)
            if page is None:
                return
            fresh = self._add(page, first=cursor is None)
            self.invalid = page.invalid
            if page.invalid and self.found:
                self.note = f"its list of {self.words} is not whole: {page.invalid}"
            if self.note or page.cursor is None:
                return
            if page.cursor in seen:
                # "" may be a cursor, or what some servers write after their last page.
                if page.cursor or fresh:
                    self.note = (
                        f"its list of {self.words} stopped at {len(self.found)}: "
                        "it gave the same cursor twice"
                    )
                return
            seen.add(page.cursor)
            cursor = page.cursor
            if len(self.found) >= self._limit:
                break
        self.note = self._more

    @property
    def _more(self) -> str:
        return f"has more {self.words} than the {len(self.found)} that are taken"

    async def _page(self, fetch: FetchPage, cursor: str | None) -> ListPage | None:
        """Return the next page, None if the cursor "" turns out to be none."""
        started = time.perf_counter()
        with self._tap.listing(self._kind) as page:
            try:
                await fetch(None if cursor is None else types.PaginatedRequestParams(cursor=cursor))
            except MCPError as error:
                if cursor == "" and error.code == types.INVALID_PARAMS:
                    return None
                raise
            except _INVALID:
                if not page.arrived:
                    raise
        if self.first_ms is None:
            self.first_ms = (time.perf_counter() - started) * 1000
        return page

    def _add(self, page: ListPage, *, first: bool) -> bool:
        """Take a page's entries; return whether one of them is new."""
        fresh = False
        for entry in page.read(self._read):
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
        if fresh or first:  # else it is probably a page that came before
            self.left_out += page.left_out
        if page.over:
            self.note = self._more
        return fresh


async def list_all(client: Client, tap: Tap, server: str, timeout: float) -> ServerListing:
    """List what the server says it offers. `timeout` in seconds is for each kind of entry.

    Tools that cannot be listed are the listing's `failure`; prompts and resources that cannot count as
    none, with a note. Raises `MCPError` only if the connection or its session is gone.
    """
    listing = ServerListing()
    listing_others = asyncio.ensure_future(_list_prompts_and_resources(client, tap, timeout))
    try:
        if client.server_capabilities.tools:
            await _list_tools(client, tap, server, timeout, listing)
        others = await listing_others
        listing.others = others.others
        listing.left_out += others.left_out
        listing.notes += others.notes
    finally:
        listing_others.cancel()
    return listing


async def _list_tools(
    client: Client, tap: Tap, server: str, timeout: float, listing: ServerListing
) -> None:
    modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS

    def read(entry: Any) -> ToolDefinition:
        definition = read_tool(server, entry)
        # 2026-07-28: a tool whose x-mcp-header marks are wrong must not be used.
        if modern and (reason := find_invalid_x_mcp_header(definition.input_schema)) is not None:
            raise UnusableEntry(reason)
        return definition

    pages = Paginator(tap, "tools", read, lambda tool: tool.name)
    listing.failure = await _read_all(
        pages, lambda params: client.session.list_tools(params=params), timeout
    )
    if listing.failure and pages.found:
        listing.failure += f"; only the first {len(pages.found)} of its tools are known"
    listing.tools = pages.found
    listing.latency_ms = pages.first_ms
    listing.left_out += pages.left_out
    listing.notes += filter(None, [pages.note])


async def _list_prompts_and_resources(client: Client, tap: Tap, timeout: float) -> ServerListing:
    """Return a listing without tools."""
    can, session = client.server_capabilities, client.session
    prompts = Paginator(tap, "prompts", read_prompt, lambda each: each.name)
    resources = Paginator(tap, "resources", read_resource, lambda each: each.uri)
    templates = Paginator(tap, "resourceTemplates", read_template, lambda each: each.uri_template)
    listing = ServerListing()

    async def fill(pages: Paginator[Any], fetch: FetchPage, capability: object) -> None:
        note = "" if capability is None else await _read_all(pages, fetch, timeout)
        listing.left_out += pages.left_out
        listing.notes += filter(None, [note or pages.note])

    await asyncio.gather(
        fill(prompts, lambda params: session.list_prompts(params=params), can.prompts),
        fill(resources, lambda params: session.list_resources(params=params), can.resources),
        fill(templates, lambda params: session.list_resource_templates(params=params), can.resources),
    )
    modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
    listing.others = PromptsAndResources(
        prompts=tuple(prompts.found),
        resources=tuple(resources.found),
        templates=tuple(templates.found),
        subscribable=bool(can.resources and (modern or can.resources.subscribe)),
        completes=can.completions is not None,
    )
    return listing


async def _read_all(pages: Paginator[Any], fetch: FetchPage, timeout: float) -> str:
    """Read a list; return why that failed or stopped early, "" if it did not."""
    words, required = pages.words, pages.words == "tools"
    try:
        async with asyncio.timeout(timeout):
            await pages.run(fetch)
    except TimeoutError:
        return f"did not answer {words}/list within {timeout:g} s"
    except MCPError as error:
        _log.info("%s could not be listed: %s", words, error)
        if required and error.code == types.CONNECTION_CLOSED:
            raise
        # Many servers have resources and do not know templates; a cut connection is reported elsewhere.
        if not required and error.code in (types.METHOD_NOT_FOUND, types.CONNECTION_CLOSED):
            return ""
        return f"refuses to list its {words}: {error_words(error.error, with_code=False)}"
    except _INVALID as error:
        _log.info("%s could not be listed: %s", words, error)
        return f"its list of {words} breaks the specification"
    return f"its {words} cannot be listed: {pages.invalid}" if pages.invalid and not pages.found else ""


def is_list_change(message: object) -> bool:
    """Return whether a notification says that one of the lists changed (handshake versions)."""
    return isinstance(
        message,
        types.ToolListChangedNotification
        | types.PromptListChangedNotification
        | types.ResourceListChangedNotification,
    )


async def follow_list_changes(client: Client, changed: Callable[[], None], timeout: float) -> None:
    """Listen to a modern server's changes until cancelled; open the stream again when it ends.

    Returns at once if the server reports no changes. After an interruption anything may have changed,
    so `changed` is called too.
    """
    can = client.server_capabilities
    tools = bool(can.tools and can.tools.list_changed)
    prompts = bool(can.prompts and can.prompts.list_changed)
    resources = bool(can.resources and can.resources.list_changed)
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or not (tools or prompts or resources):
        return
    backoff = Backoff(1.0, 60.0)
    first = True
    while True:
        started, useful = time.monotonic(), False
        try:
            stream = client.listen(
                tools_list_changed=tools, prompts_list_changed=prompts, resources_list_changed=resources
            )
            async with asyncio.timeout(timeout) as deadline, stream as events:
                deadline.reschedule(None)
                if not first:
                    changed()
                first = False
                async for _ in events:
                    useful = True
                    changed()
        except ListenNotSupportedError:
            return
        except (SubscriptionLost, TimeoutError) as error:
            _log.info("a stream of change events was lost: %s", error)
        except MCPError as error:
            if error.code in (types.METHOD_NOT_FOUND, types.CONNECTION_CLOSED):
                return
            _log.info("a stream of change events was refused: %s", error)
        # Else a server that ends each stream at once would be listed every second.
        if useful or time.monotonic() - started >= _STEADY_S:
            backoff.reset()
        await asyncio.sleep(backoff.next_delay())
