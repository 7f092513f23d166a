"""What a server may ask of us without a person in between: the roots they chose; and its log level."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mcp_types as types
from mcp.client.session import ClientRequestContext, ListRootsFnT
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import FileUrl, ValidationError

from omni_tui.config.spec import ServerSpec

if TYPE_CHECKING:
    from mcp.client.client import Client

_log = logging.getLogger(__name__)


def roots_callback(folders: Sequence[str]) -> ListRootsFnT | None:
    """Return what answers `roots/list` with these folders, None for none: then nothing is advertised.

    The SDK asks it in both eras: for a request of the server, and for the rounds of a prompt or a
    resource that needs input.
    """
    if not folders:
        return None
    roots = [types.Root(uri=FileUrl(Path(path).as_uri()), name=Path(path).name or path) for path in folders]

    async def answer(context: ClientRequestContext) -> types.ListRootsResult:
        return types.ListRootsResult(roots=roots)

    return answer


async def set_log_level(client: Client, spec: ServerSpec) -> None:
    """Ask for logging messages where the protocol has a request for it; a refusal is only logged.

    The stateless version has none: there the level goes with every request.
    """
    modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
    if modern or spec.log_level == "off" or client.server_capabilities.logging is None:
        return
    request = types.SetLevelRequest(params=types.SetLevelRequestParams(level=spec.log_level))
    try:
        async with asyncio.timeout(spec.list_timeout):
            await client.session.send_request(request, types.EmptyResult)
    except (TimeoutError, MCPError, ValidationError, RuntimeError, ValueError) as error:
        _log.info("%s does not take a level for its log: %s", spec.name, error)
