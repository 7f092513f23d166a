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
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from omni_tui.servers.base import ToolDefinition
from omni_tui.servers.list_entries import UnusableEntry, read_tool
from omni_tui.servers.list_page import MAX_TOOLS, LeftOut, describe_left_out
from omni_tui.servers.paginator import Paginator
from omni_tui.servers.prompt_resource_lists import list_prompts_and_resources
from omni_tui.servers.prompt_resource_types import PromptsAndResources
from omni_tui.servers.transports.json_rpc import error_words

if TYPE_CHECKING:
    from mcp.client.client import Client

    from omni_tui.servers.tap import Tap

_log = logging.getLogger(__name__)

_DEBOUNCE = 0.2
_RELIST_PAUSE = 2.0
"""Seconds between two listings that a server asked for; sooner only after a quiet time."""
_LISTEN_FIRST, _LISTEN_LAST = 1.0, 60.0
_LISTEN_STEADY = 60.0
"""Seconds after which a stream of changes that ended counts as one that had been of use."""


@dataclass(slots=True)
class ServerListing:
    """What one listing of a server brought. `latency_ms` is the time of the first request.

    `trouble` says in words what was wrong with the listing of the tools, `left_out` which entries of
    its lists are not used, `notes` what else there is to say of a listing that is usable.
    """

    tools: list[ToolDefinition] = field(default_factory=list)
    others: PromptsAndResources = field(default_factory=PromptsAndResources)
    latency_ms: float | None = None
    trouble: str = ""
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def note(self) -> str:
        """What is to be said of a listing that is usable."""
        return "; ".join([*self.notes, *filter(None, [describe_left_out(self.left_out)])])


async def list_all(client: Client, tap: Tap, server: str, timeout: float) -> ServerListing:
    """List what the server says it offers; each kind is asked for once (and once per further page).

    Tools that cannot be listed are `trouble` in the offer; prompts and resources that cannot are
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
        offer.trouble = f"did not answer tools/list within {timeout:g} s"
    except MCPError as error:
        if error.code == types.CONNECTION_CLOSED:
            raise
        offer.trouble = f"refuses to list its tools: {error_words(error.error, with_code=False)}"
    except (ValidationError, RuntimeError, ValueError) as error:
        _log.info("the tool list of %s breaks the specification: %s", server, error)
        offer.trouble = "its list of tools breaks the specification"
    else:
        offer.trouble = f"its tools cannot be listed: {walk.odd}" if walk.odd and not walk.found else ""
    if offer.trouble and walk.found:
        offer.trouble += f"; only the first {len(walk.found)} of its tools are known"
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
