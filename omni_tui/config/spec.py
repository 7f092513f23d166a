"""A server as it is started: every reference resolved, nothing left to expand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LogLevel = Literal["off", "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
Source = Literal["user", "project", "imported", "flag", "demo", "session"]


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """How to reach one MCP server.

    Exactly one of `command` and `url` is set. `env` is added to the allow-listed base environment
    (never the whole of ours). `secret_env` and `secret_headers` name the keys whose values came
    from a reference and must not be shown, hashed in the clear or logged. Times are in seconds.
    `mode` "legacy" skips the modern probe.
    """

    name: str
    source: Source = "user"
    command: str = ""
    args: tuple[str, ...] = ()
    cwd: str = ""
    env: dict[str, str] = field(default_factory=dict)
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    secret_env: frozenset[str] = frozenset()
    secret_headers: frozenset[str] = frozenset()
    mode: Literal["auto", "legacy"] = "auto"
    connect_timeout: float = 30.0
    list_timeout: float = 30.0
    call_timeout: float = 120.0
    roots: tuple[str, ...] = ()
    """Folders a server is told of when it asks for roots, absolute; for none it is not told it may ask."""
    log_level: LogLevel = "info"
    """From which level on the server's logging messages are asked for; "off" asks for none."""
    allowed: bool = True
    enabled: bool = True
    problem: str = ""
    """Why it cannot be started (a reference that does not resolve), in words; "" if it can."""

    @property
    def transport(self) -> Literal["stdio", "http"]:
        """Which transport reaches it."""
        return "http" if self.url else "stdio"
