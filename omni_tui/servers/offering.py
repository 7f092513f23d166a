"""Listing prompts, resources and templates: cut to size, one bad entry costing no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.uri_template import InvalidUriTemplate, UriTemplate
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from omni_tui.servers.offers import (
    ArgumentDefinition,
    Offers,
    PromptDefinition,
    ResourceDefinition,
    TemplateDefinition,
)

if TYPE_CHECKING:
    from mcp.client.client import Client

_log = logging.getLogger(__name__)

MAX_ARGUMENTS = 50
MAX_ADDRESS = 4_096
"""Longest name or address that is taken, in characters; it could not be sent back cut."""
_TITLE, _DESCRIPTION = 200, 1_500
_SIZE = 2**53

Params = types.PaginatedRequestParams | None
Walk = Callable[[Callable[[Params], Awaitable[tuple[list[Any], str | None]]]], Awaitable[list[Any]]]


async def list_offers(client: Client, timeout: float, walk: Callable[[], Walk]) -> Offers:
    """List what the server offers besides tools; a kind that cannot be listed counts as empty.

    `walk` makes something that walks the pages of one list. `timeout` in seconds is for each kind.
    """
    can = client.server_capabilities
    prompts, resources, templates = await asyncio.gather(
        _listed("prompts", walk(), _prompts(client), timeout) if can.prompts else _nothing(),
        _listed("resources", walk(), _resources(client), timeout) if can.resources else _nothing(),
        _listed("templates", walk(), _templates(client), timeout) if can.resources else _nothing(),
    )
    modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
    return Offers(
        prompts=tuple(prompt(entry) for entry in prompts if len(entry.name) <= MAX_ADDRESS),
        resources=tuple(resource(entry) for entry in resources if len(entry.uri) <= MAX_ADDRESS),
        templates=tuple(template(entry) for entry in templates if len(entry.uri_template) <= MAX_ADDRESS),
        subscribable=bool(can.resources and (modern or can.resources.subscribe)),
        completes=can.completions is not None,
    )


async def _nothing() -> list[Any]:
    return []


async def _listed(
    kind: str, walk: Walk, ask: Callable[[Params], Awaitable[tuple[list[Any], str | None]]], timeout: float
) -> list[Any]:
    try:
        async with asyncio.timeout(timeout):
            return await walk(ask)
    except (TimeoutError, MCPError, ValidationError, RuntimeError, ValueError) as error:
        _log.info("%s could not be listed: %s", kind, error)
        return []


def _prompts(client: Client) -> Callable[[Params], Awaitable[tuple[list[Any], str | None]]]:
    async def ask(params: Params) -> tuple[list[Any], str | None]:
        page = await client.session.list_prompts(params=params)
        return page.prompts, page.next_cursor

    return ask


def _resources(client: Client) -> Callable[[Params], Awaitable[tuple[list[Any], str | None]]]:
    async def ask(params: Params) -> tuple[list[Any], str | None]:
        page = await client.session.list_resources(params=params)
        return page.resources, page.next_cursor

    return ask


def _templates(client: Client) -> Callable[[Params], Awaitable[tuple[list[Any], str | None]]]:
    async def ask(params: Params) -> tuple[list[Any], str | None]:
        page = await client.session.list_resource_templates(params=params)
        return page.resource_templates, page.next_cursor

    return ask


def prompt(entry: types.Prompt) -> PromptDefinition:
    """Return a prompt as its server listed it."""
    arguments = [one for one in (entry.arguments or [])[:MAX_ARGUMENTS] if len(one.name) <= MAX_ADDRESS]
    return PromptDefinition(
        name=entry.name,
        title=(entry.title or "")[:_TITLE],
        description=(entry.description or "")[:_DESCRIPTION],
        arguments=tuple(
            ArgumentDefinition(one.name, (one.description or "")[:_TITLE], bool(one.required))
            for one in arguments
        ),
    )


def resource(entry: types.Resource) -> ResourceDefinition:
    """Return a resource as its server listed it."""
    size = entry.size if entry.size is not None and 0 <= entry.size <= _SIZE else None
    return ResourceDefinition(
        uri=entry.uri,
        name=entry.name[:_TITLE],
        title=(entry.title or "")[:_TITLE],
        description=(entry.description or "")[:_DESCRIPTION],
        mime=(entry.mime_type or "")[:_TITLE],
        size=size,
    )


def template(entry: types.ResourceTemplate) -> TemplateDefinition:
    """Return a resource template as its server listed it."""
    try:
        variables = tuple(dict.fromkeys(UriTemplate.parse(entry.uri_template).variable_names))
    except InvalidUriTemplate as error:
        _log.info("a resource template cannot be understood: %s", error)
        variables = ()
    return TemplateDefinition(
        uri_template=entry.uri_template,
        name=entry.name[:_TITLE],
        title=(entry.title or "")[:_TITLE],
        description=(entry.description or "")[:_DESCRIPTION],
        mime=(entry.mime_type or "")[:_TITLE],
        variables=variables[:MAX_ARGUMENTS],
    )
