"""What the servers report to whoever runs them, and what they ask of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, Protocol

from omni_tui.protocol import Event
from omni_tui.servers.base import Dispatch, ToolDefinition
from omni_tui.servers.prompt_resource_types import PromptsAndResources
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer

_log = logging.getLogger(__name__)
_Arguments = ParamSpec("_Arguments")


class ServerListener(Protocol):
    """Receives what happens to the servers. Methods that are not async must not block."""

    @property
    def answers_requests(self) -> bool:
        """Whether server requests can be answered; if not, servers are not offered to send any."""

    def server_changed(self, event: Event) -> None:
        """Take a new state: `ServerChanged`, `ServerRemoved` or `SignInChanged`."""

    def tools_listed(self, server: str, tools: list[ToolDefinition]) -> None:
        """Take the whole tool listing of a server."""

    def prompts_and_resources_listed(self, server: str, lists: PromptsAndResources) -> None:
        """Take the prompts and resources of a server, after each of its tool listings."""

    def tools_gone(self, server: str) -> None:
        """Note that a server's tools cannot be called any more; it may come back."""

    def resource_updated(self, server: str, uri: str) -> None:
        """Note that a subscribed resource has changed."""

    def log_written(self, server: str, lines: list[bytes | None]) -> None:
        """Store new lines of a server's log; None marks a start of the server."""

    async def server_request(self, request: ServerRequest) -> ServerRequestAnswer:
        """Answer a server request. Raises nothing; cancelling it withdraws the request."""

    async def input_round(self, dispatch: Dispatch, number: int, methods: tuple[str, ...]) -> None:
        """Record, before it is sent, that a call continues with answers to `methods`.

        Raises `DispatchRefused` if the call must not continue.
        """


def notify(method: Callable[_Arguments, None], *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
    """Call a listener's method; log what it raises, so that its mistakes end no connection."""
    try:
        method(*args, **kwargs)
    except Exception:
        _log.exception("a listener of the servers failed")
