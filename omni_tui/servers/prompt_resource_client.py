"""Requests to a connected server besides tool calls: prompts, resources, completions, subscriptions.

Each has a time-out in seconds and raises `PromptResourceError`. By the specification they change nothing
at the server, and a person asked for each, so no gate decides about them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import mcp_types as types
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from omni_tui.servers.prompt_resource_types import PromptMessages, PromptResourceError, ResourceContent
from omni_tui.servers.timeouts import HARD_CAP_S, PausableTimeout, RequestTimeouts
from omni_tui.servers.transports.json_rpc import error_words

T = TypeVar("T")

MAX_READ = 24 * 1024 * 1024
"""Largest resource, in bytes of all its parts."""
MAX_PARTS = 200
MAX_PROMPT = 2_000_000
"""Longest prompt, in characters of all its messages."""
MAX_COMPLETIONS = 100
"""The specification's own limit for one answer (2025-11-25, server/utilities/completion)."""


class PromptResourceClient:
    """Requests over one connection. `on_error` is called after each JSON-RPC error."""

    def __init__(
        self,
        client: Client,
        on_error: Callable[[], object] = lambda: None,
        timeouts: RequestTimeouts | None = None,
    ) -> None:
        self._client = client
        self._on_error = on_error
        self._timeouts = timeouts or RequestTimeouts()

    async def get_prompt(self, name: str, arguments: Mapping[str, str], timeout: float) -> PromptMessages:
        """Return a prompt's messages with the arguments filled in."""
        if self._client.server_capabilities.prompts is None:
            raise PromptResourceError("it offers no prompts")
        reply = await self._request(
            self._client.get_prompt(name, dict(arguments) or None), timeout, "prompts/get"
        )
        messages = tuple((message.role, block_text(message.content)) for message in reply.messages)
        if sum(len(text) for _, text in messages) > MAX_PROMPT:
            raise PromptResourceError(f"its prompt is longer than {MAX_PROMPT:,} characters")
        return PromptMessages(reply.description or "", messages)

    async def read(self, uri: str, timeout: float) -> tuple[ResourceContent, ...]:
        """Return all parts of a resource."""
        if self._client.server_capabilities.resources is None:
            raise PromptResourceError("it offers no resources")
        reply = await self._request(self._client.read_resource(uri), timeout, "resources/read")
        if len(reply.contents) > MAX_PARTS:
            raise PromptResourceError(f"the resource has more than {MAX_PARTS} parts")
        parts = tuple([await asyncio.to_thread(_part, content) for content in reply.contents])
        if sum(part.size for part in parts) > MAX_READ:
            raise PromptResourceError(f"the resource is larger than {MAX_READ // 2**20} MB")
        return parts

    async def complete(
        self, ref: types.PromptReference | types.ResourceTemplateReference,
        argument: str, value: str, others: Mapping[str, str], timeout: float,
    ) -> tuple[list[str], int]:  # fmt: skip
        """Return completions of an argument, and how many more exist; none if not supported."""
        if self._client.server_capabilities.completions is None:
            return [], 0
        asked = self._client.complete(ref, {"name": argument, "value": value}, dict(others) or None)
        completion = (await self._request(asked, timeout, "completion/complete")).completion
        values = completion.values[:MAX_COMPLETIONS]
        total = completion.total if completion.total is not None else len(completion.values)
        return values, max(0, total - len(values), int(bool(completion.has_more)))

    async def subscribe(self, uri: str, on: bool, timeout: float) -> None:
        """Subscribe to a resource or unsubscribe (handshake versions)."""
        request: types.SubscribeRequest | types.UnsubscribeRequest
        if on:
            request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
        else:
            request = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri=uri))
        # Not by the SDK's own methods, which only add a deprecation warning.
        sent = self._client.session.send_request(request, types.EmptyResult)
        await self._request(sent, timeout, request.method)

    async def _request(self, request: Awaitable[T], timeout: float, method: str) -> T:
        try:
            async with self._timeouts.limit(PausableTimeout(timeout, HARD_CAP_S)):
                return await request
        except TimeoutError:
            raise PromptResourceError(
                f"it did not answer {method} within {timeout:g} s", "Try again, or look at its log."
            ) from None
        except MCPError as error:
            self._on_error()
            raise _refusal(error, method) from error
        except ValidationError as error:
            raise PromptResourceError(f"its answer to {method} breaks the specification") from error
        except (RuntimeError, ValueError, OSError) as error:
            raise PromptResourceError(f"{method} failed: {error or type(error).__name__}") from error


def _refusal(error: MCPError, method: str) -> PromptResourceError:
    if error.code == types.CONNECTION_CLOSED:
        return PromptResourceError(
            f"the connection was cut before it answered {method}", "Try again when it is back."
        )
    if error.code == types.METHOD_NOT_FOUND:
        return PromptResourceError(f"it does not know {method}")
    return PromptResourceError(error_words(error.error)[:4000])


def block_text(block: types.ContentBlock) -> str:
    """Return a block of a prompt's message as text; describe what is not text."""
    match block:
        case types.TextContent(text=text):
            return text
        case types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, text=text)):
            return f"[resource {uri}]\n{text}"
        case types.EmbeddedResource(resource=inner):
            return f"[resource {inner.uri}, {inner.mime_type or 'unknown type'}, not text: left out]"
        case types.ResourceLink(uri=uri, name=name):
            return f"[link to the resource {name}: {uri}]"
        case types.ImageContent(mime_type=mime) | types.AudioContent(mime_type=mime):
            return f"[{block.type}, {mime}: left out]"


def _part(content: types.TextResourceContents | types.BlobResourceContents) -> ResourceContent:
    mime = content.mime_type or ""
    if isinstance(content, types.TextResourceContents):
        text = content.text
        return ResourceContent(content.uri, mime, text=text, size=len(text.encode(errors="surrogatepass")))
    try:
        blob = base64.b64decode(content.blob, validate=False)
    except (binascii.Error, ValueError):
        raise PromptResourceError("a part of the resource is not base64, as it claims to be") from None
    return ResourceContent(content.uri, mime, blob=blob, size=len(blob))
