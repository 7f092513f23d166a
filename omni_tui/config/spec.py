"""The spec of a server, with every reference resolved; and the words that settings may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

GrantType = Literal["authorization_code", "client_credentials", "cross_app"]
IdpToken = Literal["id_token", "refresh_token", "saml2"]
LogLevel = Literal["off", "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
ServerSource = Literal["user", "project", "imported", "flag", "demo", "session", "plugin"]
ToolCallingSetting = Literal["auto", "native", "text", "none"]
TransportKind = Literal["stdio", "http", "sse", "memory", "plugin"]
PLUGIN_PREFIX = "plugin+"
"""How an address begins that a transport of a plugin reaches: `plugin+SCHEME:…`."""

BUNDLE = "bundle:"
"""What the `registry` of a server begins with that came from a bundle."""
SOURCE_WORDS: dict[ServerSource, str] = {
    "user": "your config",
    "project": "the project's config",
    "imported": "the imported file",
    "flag": "the file named with --mcp-config",
    "demo": "the demo",
    "session": "its settings (press e)",
    "plugin": "a plugin (/plugins)",
}
"""Where a server is defined, in words: a mistake is corrected there."""


@dataclass(frozen=True, slots=True)
class OAuthSpec:
    """How to sign in to a server, references resolved; see `OAuthSection`."""

    grant: GrantType = "authorization_code"
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ()
    client_metadata_url: str = ""
    issuer: str = ""
    callback_port: int = 0
    idp_issuer: str = ""
    idp_token_endpoint: str = ""
    idp_client_id: str = ""
    idp_client_secret: str = field(default="", repr=False)
    idp_token: str = field(default="", repr=False)
    idp_token_type: IdpToken = "id_token"

    def secrets(self) -> tuple[str, ...]:
        """Return the values that must not be shown."""
        every = (self.client_secret, self.private_key, self.idp_client_secret, self.idp_token)
        return tuple(value for value in every if value)


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """How to reach one MCP server. Times are in seconds.

    Exactly one of `command`, `url` and `inside` (an `MCPServer` in this process) is set. `env` is added to
    the inherited variables (see `server_environment`), `inherit` names more of those. `secret_env` and
    `secret_headers` name the values from references, which must not be shown, logged or hashed unkeyed.
    `mode` "legacy" skips the modern probe. `web`: streamable HTTP, the older SSE, or "auto" to find out.
    `heartbeat`: ping after this much silence, 0 for never.
    """

    name: str
    source: ServerSource = "user"
    command: str = ""
    args: tuple[str, ...] = ()
    cwd: str = ""
    env: dict[str, str] = field(default_factory=dict)
    inherit: tuple[str, ...] = ()
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    secret_env: frozenset[str] = frozenset()
    secret_headers: frozenset[str] = frozenset()
    oauth: OAuthSpec | None = None
    mode: Literal["auto", "legacy"] = "auto"
    web: Literal["auto", "http", "sse"] = "auto"
    inside: Any = field(default=None, repr=False)
    connect_timeout: float = 30.0
    first_start: float = 0.0
    """Seconds for the first connection if it may take longer, else 0."""
    list_timeout: float = 30.0
    call_timeout: float = 120.0
    heartbeat: float = 30.0
    roots: tuple[str, ...] = ()
    """The folders that a server gets as roots, absolute; if empty, roots are not offered."""
    tasks: bool = True
    """Whether it is offered to answer calls with tasks."""
    task_timeout: float = 86_400.0
    """Seconds that a task may run in all."""
    log_level: LogLevel = "info"
    """The lowest level of logging messages to request; "off" requests none."""
    sampling: bool = True
    """Whether sampling is offered; the person approves each request."""
    allowed: bool = True
    enabled: bool = True
    registry: str = ""
    """Its name in the public registry, if it was added from there."""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Values in its command or address that must not be shown."""
    problem: str = ""
    """Why it cannot be started, in words; "" if it can."""

    @property
    def transport(self) -> TransportKind:
        """The configured transport (`web` "auto" counts as http)."""
        if self.inside is not None:
            return "memory"
        if self.url.startswith(PLUGIN_PREFIX):
            return "plugin"
        if self.url:
            return "sse" if self.web == "sse" else "http"
        return "stdio"
