"""Listing prompts, resources and templates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from omni_tui.security.text import safe_line
from omni_tui.servers.list_entries import read_prompt, read_resource, read_template
from omni_tui.servers.list_page import MAX_ENTRIES, LeftOut
from omni_tui.servers.paginator import FetchPage, Paginator
from omni_tui.servers.prompt_resource_types import PromptsAndResources

if TYPE_CHECKING:
    from mcp.client.client import Client

    from omni_tui.servers.tap import Tap

T = TypeVar("T")
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
