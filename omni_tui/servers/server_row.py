"""A server's row: everything there is to show about it, made safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_tui.config.server_display import display_command
from omni_tui.config.spec import ServerSpec
from omni_tui.protocol.events import ServerChanged, ServerState
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line
from omni_tui.servers.health import ConnectBreaker, ConnectionFailure
from omni_tui.servers.server_urls import shown_url

if TYPE_CHECKING:
    from omni_tui.servers import mcp_session as live
    from omni_tui.servers.server_listing import ServerListing


def server_changed_event(
    spec: ServerSpec,
    state: ServerState,
    since: float,
    trouble: ConnectionFailure,
    session: live.McpSession | None,
    offer: ServerListing | None,
    breaker: ConnectBreaker,
    *,
    next_try: float | None,
    log_lines: int,
    calls: int,
    wire: bool,
) -> ServerChanged:
    """Return the event that tells of a server; `offer` is None while its tools cannot be called."""
    up = session is not None and session.ready
    return ServerChanged(
        name=spec.name,
        state=state,
        since=since,
        label=identifier(spec.name),
        transport=session.way.transport if session else spec.transport,
        target=safe_line(_target(spec), limit=500),
        source=spec.source,
        reason=safe(trouble.what, limit=1000),
        todo=safe(trouble.todo, limit=500),
        protocol=session.protocol if session and up else "",
        server_version=session.version if session and up else safe_line(""),
        tools=len(offer.tools) if offer else 0,
        prompts=len(offer.others.prompts) if offer else 0,
        resources=len(offer.others.resources) if offer else 0,
        latency_ms=offer.latency_ms if offer else None,
        attempt=0 if up else breaker.attempt,
        next_try=next_try,
        breaker=breaker.state,
        log_lines=log_lines,
        calls=calls,
        wire=wire,
        odd=session.junk if session else 0,
    )


def _target(spec: ServerSpec) -> str:
    if spec.transport == "memory":
        return "in this process"
    if spec.transport == "stdio":
        return display_command(spec)
    return shown_url(spec.url)
