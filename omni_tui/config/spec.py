"""A server as it is started: every reference resolved, nothing left to expand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

GrantType = Literal["authorization_code", "client_credentials", "cross_app"]
IdpToken = Literal["id_token", "refresh_token", "saml2"]
LogLevel = Literal["off", "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
ServerSource = Literal["user", "project", "imported", "flag", "demo", "session"]
TransportKind = Literal["stdio", "http", "sse", "memory"]

SOURCE_WORDS: dict[ServerSource, str] = {
    "user": "your config",
    "project": "the project's config",
    "imported": "the imported file",
    "flag": "the file named with --mcp-config",
    "demo": "the demo",
    "session": "its settings (press e)",
}
"""Where a server is defined, in words: there a mistake is to be corrected."""


@dataclass(frozen=True, slots=True)
class OAuthSpec:
    """How to sign in to a server, references resolved; see `OAuthSection`. The secrets are not shown."""

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
        """Return the values that must not be seen anywhere."""
        every = (self.client_secret, self.private_key, self.idp_client_secret, self.idp_token)
        return tuple(value for value in every if value)


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """How to reach one MCP server.

    Exactly one of `command`, `url` and `inside` is set. `env` is added to the allow-listed base
    environment (never the whole of ours), in which `inherit` names further variables. `secret_env` and
    `secret_headers` name the keys whose values came from a reference and must not be shown, hashed in the
    clear or logged. Times are in seconds. `mode` "legacy" skips the modern probe. `web` says how a `url`
    is spoken to: streamable HTTP, the older SSE, or what the server turns out to understand. `inside` is
    an `MCPServer` of this process, of a plugin or a test. `heartbeat` is after how much silence it is
    asked for a sign of life, 0 for never.
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
    """Seconds for connecting while it has not yet been connected, where that may take longer; 0 if not."""
    list_timeout: float = 30.0
    call_timeout: float = 120.0
    heartbeat: float = 30.0
    roots: tuple[str, ...] = ()
    """Folders a server is told of when it asks for roots, absolute; for none it is not told it may ask."""
    tasks: bool = True
    """Whether it is told that it may answer a call with a task."""
    task_timeout: float = 86_400.0
    """Seconds that a task may run in all, however much it reports."""
    log_level: LogLevel = "info"
    """From which level on the server's logging messages are asked for; "off" asks for none."""
    sampling: bool = True
    """Whether it is told that it may ask for answers of the model; each one is asked about."""
    allowed: bool = True
    enabled: bool = True
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Values filled into its command or address that must not be seen."""
    problem: str = ""
    """Why it cannot be started (a reference that does not resolve), in words; "" if it can."""

    @property
    def transport(self) -> TransportKind:
        """Which transport reaches it, as far as the configuration tells (`web` "auto" counts as http)."""
        if self.inside is not None:
            return "memory"
        if self.url:
            return "sse" if self.web == "sse" else "http"
        return "stdio"
