"""The shape of a config file. Every section refuses keys it does not know.

A missing key means its default. Times are seconds. For a *reference*, see `config.references`. A *pattern*
is `SERVER/TOOL`; each half is a name or a glob of `*` and `?`, matched whole and by case.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PureWindowsPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from omni_tui.config.references import UnresolvedReference, has_reference, is_reference, resolve
from omni_tui.config.spec import GrantType, IdpToken, LogLevel, ToolCallingSetting
from omni_tui.policy.glob import matches_glob

Seconds = Annotated[float, Field(gt=0, le=86_400)]
TaskSeconds = Annotated[float, Field(gt=0, le=30 * 86_400)]


def _pattern(value: str) -> str:
    server, slash, tool = value.partition("/")
    if not (server and slash and tool):
        raise PydanticCustomError(
            "pattern", "must be SERVER/TOOL; * and ? stand for anything, as in files/*"
        )
    return value


def _tool(value: str) -> str:
    if not value:
        raise PydanticCustomError("pattern", "must be the name of a tool, or a pattern of names")
    return value


def _route(servers: list[str]) -> list[str]:
    if len(servers) < 2 or len(set(servers)) != len(servers) or not all(servers):
        raise PydanticCustomError(
            "pattern", "must name two servers or more, each once, the first choice first"
        )
    return servers


def _pin(value: str) -> str:
    server, slash, tool = value.partition("/")
    if not (server and slash and tool):
        raise PydanticCustomError("pin", 'must be "server/tool"')
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]
ToolName = Annotated[str, AfterValidator(_tool)]
Route = Annotated[list[str], AfterValidator(_route)]


class Section(BaseModel):
    """Base of all sections: an unknown key is an error, and values are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def setting(default: Any, description: str, *, live: bool = False, **limits: Any) -> Any:
    """Return a field with what a person is told of it.

    `live`: a change of the file counts while the app runs; else from its next start.
    """
    applies: dict[str, Any] = {"applies": "live" if live else "restart"}
    return Field(default=default, description=description, json_schema_extra=applies, **limits)


class LimitSection(Section):
    """`[tools.limits]` for one pattern."""

    timeout: Seconds | None = setting(
        None, "Seconds without an answer or progress after which a call of these tools ends."
    )
    concurrency: int | None = setting(
        None, "The most calls of all matching tools at the same time.", ge=1, le=1000
    )


class ToolsSection(Section):
    """`[tools]`: limits of calls, and the tools of a request."""

    call_timeout: Seconds = setting(
        120.0, "Seconds that a server may be silent during a call, also one that runs as a task."
    )
    task_timeout: TaskSeconds = setting(
        86400.0, "Seconds that a call which runs as a task may take in all."
    )
    result_limit: int = setting(
        16000, "The characters of one result that a model gets.", ge=500, le=1000000, live=True
    )
    offered: int = setting(
        40,
        "The most tools of one request to a model; of more, it carries the best matches.",
        ge=1,
        le=126,
        live=True,
    )
    pinned: list[Annotated[str, AfterValidator(_pin)]] = setting(
        [], "Tools, as SERVER/TOOL, that every request carries.", max_length=100, live=True
    )
    concurrency: int = setting(16, "The most calls at the same time.", ge=1, le=1000)
    server_concurrency: int = setting(4, "The most calls of one server at the same time.", ge=1, le=1000)
    limits: dict[Pattern, LimitSection] = setting(
        {}, "Limits of single tools by pattern; the longest matching pattern counts."
    )
    retry: dict[Pattern, Annotated[int, Field(ge=0, le=10)]] = setting(
        {}, "By pattern, how often a call may be repeated after a failure without effect."
    )
    routes: dict[ToolName, Route] = setting(
        {}, "By a tool's name, the servers that can answer, the first choice first."
    )
    cacheable: list[Pattern] = setting(
        [], "Patterns of tools whose results are kept, besides tools that only read."
    )
    cache_ttl: float = setting(300.0, "Seconds that results are kept; 0 keeps none.", ge=0, le=86400)


def unknown_servers(section: ToolsSection, servers: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the key and the name or glob of each setting that matches no configured server."""
    patterns = [
        *(("tools.pinned", pattern) for pattern in section.pinned),
        *(("tools.limits", pattern) for pattern in section.limits),
        *(("tools.retry", pattern) for pattern in section.retry),
        *(("tools.cacheable", pattern) for pattern in section.cacheable),
    ]
    named = [(where, pattern.partition("/")[0]) for where, pattern in patterns]
    named += [("tools.routes", server) for route in section.routes.values() for server in route]
    for where, server in dict.fromkeys(named):
        if not any(matches_glob(server, name) for name in servers):
            yield where, server


PolicyDecision = Literal["allow", "ask", "deny"]
AgentMode = Literal["chat", "auto", "orchestrator"]

STRICTNESS: dict[PolicyDecision, int] = {"allow": 0, "ask": 1, "deny": 2}
OFFLINE = "offline"
PUBLIC_REGISTRY = "https://registry.modelcontextprotocol.io"


def _reference(value: str) -> str:
    if value and not is_reference(value):
        raise PydanticCustomError("reference", "must be a reference, so that no secret stands in the file")
    return value


def _http_url(value: str) -> str:
    if value and not value.lower().startswith(("http://", "https://")):
        raise PydanticCustomError("http_url", "must begin with https:// or http://")
    return value


def _server_url(value: str) -> str:
    if re.fullmatch(r"plugin\+[a-z][a-z0-9.-]*:.+", value):
        return value
    if value.lower().startswith("plugin+"):
        raise PydanticCustomError("plugin_url", "must be plugin+SCHEME:ADDRESS, in small letters")
    return _http_url(value)


def _folder(value: str) -> str:
    if not value.startswith(("/", "~")) and not PureWindowsPath(value).is_absolute():
        raise PydanticCustomError("folder", "must be an absolute path, or begin with ~")
    return value


Folder = Annotated[str, AfterValidator(_folder)]


def _scope(value: str) -> str:
    if not re.fullmatch(r"[\x21\x23-\x5B\x5D-\x7E]+", value):
        raise PydanticCustomError("oauth", "must be one scope: printable, without spaces and quotes")
    return value


Reference = Annotated[str, AfterValidator(_reference)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
ServerUrl = Annotated[str, AfterValidator(_server_url)]


class ModelTable(Section):
    """`[models."NAME"]`: the settings of one model; missing keys are those of `[model]`."""

    temperature: float | None = setting(
        None, "How random the answers are, from 0 to 2; by default as the provider chooses.", ge=0, le=2
    )
    max_tokens: int | None = setting(None, "The most tokens of one answer.", gt=0)
    top_p: float | None = setting(
        None,
        "The share of likely words that are considered; by default as the provider chooses.",
        gt=0,
        le=1,
    )
    key: Reference = setting("", "The provider's key, as a reference; LLM_API_KEY goes before it.")
    api_base: HttpUrl = setting("", "The address of the model's API, if it is not the provider's own.")
    context: int | None = setting(
        None, "The context window in tokens, if it is unknown or to limit it.", gt=0
    )
    timeout: Seconds | None = setting(None, "Seconds that the model may be silent.")
    tools: ToolCallingSetting = setting(
        "auto",
        "How tools are offered: native, text (one JSON action in the answer), none, or auto to find out.",
    )
    images: bool | None = setting(None, "Whether the model takes images; by default as LiteLLM knows.")
    input_price: float | None = setting(None, "US dollars per million input tokens, if unknown.", ge=0)
    output_price: float | None = setting(None, "US dollars per million output tokens, if unknown.", ge=0)


class ModelSection(ModelTable):
    """`[model]`: the language model.

    temperature, max_tokens, top_p and timeout hold for every model; key and api_base for those of the same
    provider.
    """

    name: str = setting(
        OFFLINE,
        "The model, by LiteLLM's name; offline is the built-in rules, which need no key.",
        min_length=1,
    )
    fallbacks: list[Annotated[str, Field(min_length=1)]] = setting(
        [], "Models that are asked in order when the first cannot answer.", max_length=10
    )


class BudgetSection(Section):
    """`[budget]`: the most tokens and US dollars of a turn, a session, a day.

    A request that would exceed one is not sent. A day is a local calendar day.
    """

    turn_tokens: int = setting(0, "The most tokens of one turn; 0 is no limit.", ge=0)
    session_tokens: int = setting(0, "The most tokens of one session; 0 is no limit.", ge=0)
    day_tokens: int = setting(0, "The most tokens of one day over all sessions; 0 is no limit.", ge=0)
    turn_cost: float = setting(0.0, "The most US dollars of one turn; 0 is no limit.", ge=0)
    session_cost: float = setting(0.0, "The most US dollars of one session; 0 is no limit.", ge=0)
    day_cost: float = setting(0.0, "The most US dollars of one day over all sessions; 0 is no limit.", ge=0)


class AgentSection(Section):
    """`[agent]`: how the agent works."""

    mode: AgentMode = setting("chat", "The mode of a new session: chat, auto or orchestrator.")
    max_steps: int = setting(25, "The most model requests of one turn.", ge=1, le=1000, live=True)
    parallel: int = setting(4, "The most tasks of a plan at the same time.", ge=1, le=32, live=True)
    max_requests: int = setting(
        200, "The most model requests of all agents of a plan.", ge=1, le=10000, live=True
    )
    max_minutes: float = setting(
        60.0, "The most minutes that a plan may work, without waiting for you.", gt=0, le=1440, live=True
    )
    system_prompt: str = setting(
        "", "What the model is told first, in place of the built-in prompt.", live=True
    )
    roots: list[Folder] = setting(
        [], "Folders that servers get as MCP roots; absolute, or from ~.", max_length=50
    )


OAUTH_SECRETS = ("client_secret", "private_key", "idp_client_secret", "idp_token")


class OAuthSection(Section):
    """`[servers.NAME.oauth]`: how to sign in, if the server's metadata is not enough."""

    grant: GrantType = setting(
        "authorization_code",
        "How to sign in: authorization_code, client_credentials or cross_app.",
        live=True,
    )
    client_id: str = setting("", "The client's id; without one the client registers itself.", live=True)
    client_secret: Reference = setting("", "The client's secret, as a reference.", live=True)
    private_key: Reference = setting(
        "", "The client's private key, as a reference, in place of a secret.", live=True
    )
    scopes: list[Annotated[str, AfterValidator(_scope)]] = setting([], "The scopes to ask for.", live=True)
    client_metadata_url: HttpUrl = setting(
        "", "An https address with the client's metadata, which is then its id.", live=True
    )
    issuer: HttpUrl = setting(
        "", "The authorisation server to use; by default the MCP server's metadata names it.", live=True
    )
    callback_port: int = setting(
        0, "The local port of the sign-in; 0 is any free one.", ge=0, le=65535, live=True
    )
    idp_issuer: HttpUrl = setting("", "The company's identity provider, for cross_app.", live=True)
    idp_token_endpoint: HttpUrl = setting(
        "", "The token address of the identity provider, for cross_app.", live=True
    )
    idp_client_id: str = setting("", "The client's id at the identity provider, for cross_app.", live=True)
    idp_client_secret: Reference = setting(
        "", "The client's secret at the identity provider, as a reference.", live=True
    )
    idp_token: Reference = setting("", "Your token of the identity provider, as a reference.", live=True)
    idp_token_type: IdpToken = setting(
        "id_token", "The type of that token: id_token, refresh_token or saml2.", live=True
    )

    def secrets(self) -> Iterator[tuple[str, str]]:
        """Yield the name and value of each secret that is set."""
        for name in OAUTH_SECRETS:
            if value := getattr(self, name):
                yield name, value

    @model_validator(mode="after")
    def _fits_together(self) -> OAuthSection:
        if problem := self._problem():
            raise PydanticCustomError("oauth", problem)
        return self

    def _problem(self) -> str:
        if problem := self._cross_app_problem():
            return problem
        machine = self.grant == "client_credentials"
        if machine and not self.client_id:
            return '`grant = "client_credentials"` needs a `client_id`'
        if machine and bool(self.client_secret) == bool(self.private_key):
            return '`grant = "client_credentials"` needs `client_secret` or `private_key`, one of them'
        if self.private_key and not machine:
            return '`private_key` is for `grant = "client_credentials"`'
        if self.client_secret and not self.client_id:
            return "`client_secret` needs the `client_id` it belongs to"
        if self.client_metadata_url and (self.client_id or self.grant != "authorization_code"):
            return "`client_metadata_url` is itself the id of the client; use it or `client_id`"
        parts = urlsplit(self.client_metadata_url)
        if self.client_metadata_url and (parts.scheme.lower() != "https" or parts.path in ("", "/")):
            return "`client_metadata_url` must begin with https:// and have a path"
        return ""

    def _cross_app_problem(self) -> str:
        given = {
            name for name in type(self).model_fields if name.startswith("idp_") and getattr(self, name)
        }
        given.discard("idp_token_type")
        if self.grant != "cross_app":
            return f'`{min(given)}` is for `grant = "cross_app"`' if given else ""
        for name in ("client_id", "client_secret", "issuer", "idp_client_id", "idp_token"):
            if not getattr(self, name):
                return f'`grant = "cross_app"` needs `{name}`'
        if not given & {"idp_issuer", "idp_token_endpoint"}:
            return '`grant = "cross_app"` needs `idp_issuer` or `idp_token_endpoint`'
        return ""


class ServerSection(Section):
    """`[servers.NAME]`: one MCP server, either a `command` to run or a `url`.

    `inherit` names variables besides those of `config.server_environment`.
    """

    command: str = setting("", "The program to run; a server has a command or a url.", live=True)
    args: list[str] = setting([], "The program's arguments.", live=True)
    env: dict[str, str] = setting(
        {}, "Environment variables of the program; values may be references.", live=True
    )
    inherit: list[str] = setting(
        [], "More variables that the program inherits from your environment.", max_length=100, live=True
    )
    cwd: str = setting(
        "", "The folder that the program runs in; a relative one begins at this file's folder.", live=True
    )
    url: ServerUrl = setting("", "The server's address; a server has a command or a url.", live=True)
    headers: dict[str, str] = setting(
        {}, "HTTP headers of each request; values may be references.", live=True
    )
    auth: Literal["none", "bearer", "oauth"] = setting(
        "none", "How to sign in: none, bearer (with token) or oauth.", live=True
    )
    token: Reference = setting("", "The bearer token, as a reference.", live=True)
    oauth: OAuthSection = setting(
        OAuthSection(), "How to sign in with OAuth, if the server's metadata is not enough.", live=True
    )
    mode: Literal["auto", "legacy"] = setting(
        "auto", "auto tries the modern protocol first; legacy skips that.", live=True
    )
    transport: Literal["auto", "http", "sse"] = setting(
        "auto", "The transport of a url: http, sse (the older one), or auto to find out.", live=True
    )
    heartbeat: float = setting(
        30.0, "Seconds of silence after which the server is pinged; 0 is never.", ge=0, le=86400, live=True
    )
    connect_timeout: Seconds = setting(30.0, "Seconds that the server may take to start.", live=True)
    call_timeout: Seconds | None = setting(
        None, "Seconds without an answer after which a call ends; by default as in tools.", live=True
    )
    tasks: bool = setting(True, "Whether the server may answer calls with tasks.", live=True)
    task_timeout: TaskSeconds | None = setting(
        None, "Seconds that a call which runs as a task may take; by default as in tools.", live=True
    )
    log_level: LogLevel = setting(
        "info", "The lowest level of the server's log messages to ask for; off asks for none.", live=True
    )
    sampling: bool = setting(
        True, "Whether the server may ask the model; you approve each request.", live=True
    )
    enabled: bool = setting(True, "Whether the server is started.", live=True)
    imported_from: str = setting(
        "", "The program it was imported from; such a server starts when you have allowed it.", live=True
    )
    registry: str = setting(
        "",
        "Its name in the public registry it was added from; such a server starts when you have allowed it.",
        live=True,
    )

    def secret_settings(self) -> Iterator[tuple[str, str]]:
        """Yield the key and value of each setting in which a reference counts."""
        yield from ((f"env.{name}", value) for name, value in self.env.items())
        yield from ((f"headers.{name}", value) for name, value in self.headers.items())
        if self.token:
            yield "token", self.token
        yield from ((f"oauth.{name}", value) for name, value in self.oauth.secrets())

    @model_validator(mode="after")
    def _one_way_to_reach_it(self) -> ServerSection:
        if bool(self.command) == bool(self.url):
            how = "only one of them" if self.command else "one of them"
            raise PydanticCustomError("reach", "needs `command` or `url`, " + how)
        misplaced = (
            ("args", "env", "inherit", "cwd")
            if self.url
            else ("headers", "auth", "token", "oauth", "transport")
        )
        for key in misplaced:
            if key in self.model_fields_set:
                other = "command" if self.url else "url"
                raise PydanticCustomError("misplaced", f"`{key}` is for a server with `{other}`")
        for key in ("auth", "token", "oauth", "transport"):
            if self.url.startswith("plugin+") and key in self.model_fields_set:
                raise PydanticCustomError("misplaced", f"`{key}` is for a server with an http(s) `url`")
        if (self.auth == "bearer") != bool(self.token):
            raise PydanticCustomError("bearer", '`token` and `auth = "bearer"` belong together')
        if "oauth" in self.model_fields_set and self.auth != "oauth":
            raise PydanticCustomError("oauth", 'the table `oauth` needs `auth = "oauth"`')
        return self


def stricter(*decisions: PolicyDecision) -> PolicyDecision:
    """Return the strictest of some decisions."""
    return max(decisions, key=lambda decision: STRICTNESS[decision])


class ServerPolicy(Section):
    """`[policy.servers.NAME]`: what each mode does with the calls of one server, if not the usual."""

    chat: PolicyDecision | None = setting(None, "What chat mode does with this server's calls.")
    auto: PolicyDecision | None = setting(None, "What auto mode does with this server's calls.")
    orchestrator: PolicyDecision | None = setting(
        None, "What the calls of a plan's agents to this server get."
    )
    trusted: bool = setting(
        False,
        "Whether the server's word may lower its tools' risk; its results are then not data from outside.",
    )


class PolicySection(Section):
    """`[policy]`: what each mode does with a call that no rule matches.

    The rules of `[[policy.rule]]` are read by `config.policy_rules`.
    """

    chat: PolicyDecision = setting(
        "ask", "What chat mode does with a call that no rule matches: allow, ask or deny."
    )
    auto: PolicyDecision = setting(
        "allow", "What auto mode does with a call that no rule matches: allow, ask or deny."
    )
    orchestrator: PolicyDecision | None = setting(
        None, "The same for calls of a plan's agents; by default as auto."
    )
    plan: Literal["allow", "ask"] = setting(
        "ask", "Whether a plan waits for you (ask) or is carried out at once (allow)."
    )
    servers: dict[str, ServerPolicy] = setting({}, "Decisions for single servers, by name.")
    expire_after: float = setting(
        0.0, "Seconds after which what waits for you ends unapproved; 0 is never.", ge=0, le=30 * 86400
    )

    @property
    def trusted_servers(self) -> frozenset[str]:
        """The servers whose claims about their tools count."""
        return frozenset(name for name, server in self.servers.items() if server.trusted)

    @property
    def of_plans(self) -> PolicyDecision:
        """The decision for calls of a plan's agents."""
        return self.auto if self.orchestrator is None else self.orchestrator

    def decisions(self) -> dict[str, PolicyDecision]:
        """Return every decision by its key, defaults filled in."""
        return {
            "chat": self.chat,
            "auto": self.auto,
            "orchestrator": self.of_plans,
            "plan": self.plan,
        }

    def decisions_for(self, server: str) -> dict[AgentMode, PolicyDecision]:
        """Return the decision of each mode for the calls of a server.

        A server's decision for `auto` restricts the orchestrator too, unless it has its own for that.
        """
        own = self.servers.get(server, ServerPolicy())
        auto = own.auto or self.auto
        if own.orchestrator is not None:
            plans = own.orchestrator
        elif self.orchestrator is None or own.auto is None:
            plans = auto if self.orchestrator is None else self.orchestrator
        else:
            plans = stricter(self.orchestrator, own.auto)
        return {"chat": own.chat or self.chat, "auto": auto, "orchestrator": plans}


class UiSection(Section):
    """`[ui]`: how the app looks, and how the terminal tells that something waits."""

    theme: str = setting("", "The color theme's name.")
    title: bool = setting(True, "Whether the terminal's title says how many items wait.")
    bell: bool = setting(
        True, "Whether the terminal's bell rings when something begins to wait or a long turn ends."
    )


class SamplingSection(Section):
    """`[sampling]`: model answers that servers ask for; the person approves each request."""

    enabled: bool = setting(True, "Whether servers may ask the model; you approve each request.")
    model: str = setting("", "The model that answers servers; by default the session's.")
    max_tokens: int = setting(2048, "The most tokens of one answer to a server.", ge=1, le=1000000)
    session_tokens: int = setting(50000, "The most tokens of all answers to servers in a session.", ge=0)
    review: bool = setting(True, "Whether you see the answer before the server gets it.")


def _redis_url(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        raise PydanticCustomError("redis_url", "must be redis://HOST:PORT/DB") from None
    if value and parts.scheme.lower() not in ("redis", "rediss"):
        raise PydanticCustomError("redis_url", "must begin with redis:// or rediss://")
    if parts.password is not None:
        raise PydanticCustomError(
            "redis_url", "must not hold a password; write `password` with a reference instead"
        )
    return value


class RedisSection(Section):
    """`[memory.redis]`: the Redis that sessions are mirrored to. Keys of the environment go before."""

    url: Annotated[str, AfterValidator(_redis_url)] = setting(
        "", "The address, redis://[USER@]HOST[:PORT][/DB], rediss:// for TLS; by default localhost."
    )
    password: Reference = setting("", "The password, as a reference; REDIS_PASSWORD goes before it.")
    ca: Annotated[str, AfterValidator(_folder)] | Literal[""] = setting(
        "", "A file of certificates to trust instead of the system's."
    )
    ttl: int = setting(
        30 * 86400,
        "Seconds that a session stays in Redis after its last event; 0 is for ever.",
        ge=0,
        le=10 * 366 * 86400,
    )
    max_events: int = setting(
        100000, "About how many of a session's last events stay in Redis; 0 is all.", ge=0, le=100000000
    )


class MemorySection(Section):
    """`[memory]`: where sessions are stored: here only, or mirrored to Redis as well."""

    store: Literal["sqlite", "redis"] = setting(
        "sqlite", "Where sessions are stored: sqlite (this machine), or redis (mirrored there as well)."
    )
    keep_days: int = setting(
        0,
        "Days after which unused sessions are deleted, announced a week before; 0 keeps all.",
        ge=0,
        le=36500,
    )
    redis: RedisSection = setting(RedisSection(), "The Redis that sessions are mirrored to.")


class EnvSection(Section):
    """`[env]`: a file with variables, which are read beside the environment and never put into it."""

    file: str = setting(
        "", "A file of NAME=VALUE lines; by default .env beside this config file, if there is one."
    )


class RegistrySection(Section):
    """`[registry]`: the public registry that is searched for servers."""

    url: HttpUrl = setting(PUBLIC_REGISTRY, "The registry's address.", min_length=1)


def _header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", value):
        raise PydanticCustomError("header", "must be the name of an HTTP header")
    return value


def _with_reference(value: str) -> str:
    if not has_reference(value):
        what = 'must hold a reference, as "Bearer ${TOKEN}", so that no secret stands in the file'
        raise PydanticCustomError("reference", what)
    return value


HeaderName = Annotated[str, AfterValidator(_header)]
HeaderValue = Annotated[str, AfterValidator(_with_reference)]


class TelemetrySection(Section):
    """`[telemetry]`: what of its work the app exports; nothing unless you ask.

    `otlp`: the address of an OpenTelemetry collector (OTLP over HTTP), as `http://127.0.0.1:4318`, which
    gets spans and metrics; needs the extra `otel`. `headers` are sent to it, each value with a reference.
    `prometheus_port`: the port on this machine at which Prometheus reads metrics; needs the extra
    `prometheus`. `contents`: messages, arguments and results are exported too.
    """

    otlp: HttpUrl = setting(
        "", "The address of an OpenTelemetry collector, as http://127.0.0.1:4318; needs the extra otel."
    )
    headers: dict[HeaderName, HeaderValue] = setting(
        {}, "HTTP headers that the collector gets; each value holds a reference.", max_length=20
    )
    prometheus_port: int = setting(
        0,
        "The port on this machine at which Prometheus reads metrics; needs the extra prometheus.",
        ge=0,
        le=65535,
    )
    contents: bool = setting(False, "Whether messages, arguments and results are exported too.")


class LogSection(Section):
    """`[log]`: what the app's own log tells: "debug", "info", "warning" or "error" and what is graver.

    `contents`: messages, arguments and results are in it too; without it they never are.
    """

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "The least important events that the log has: debug, info, warning or error."
    )
    contents: bool = setting(False, "Whether messages, arguments and results are in the log too.")


class Config(Section):
    """A whole configuration; an empty file is one."""

    model: ModelSection = setting(ModelSection(), "The language model.")
    models: dict[Annotated[str, Field(min_length=1)], ModelTable] = setting(
        {}, "Settings of single models, by name."
    )
    budget: BudgetSection = setting(
        BudgetSection(), "The most tokens and US dollars of a turn, a session, a day."
    )
    agent: AgentSection = setting(AgentSection(), "How the agent works.")
    servers: dict[str, ServerSection] = setting({}, "The MCP servers, by name.", live=True)
    policy: PolicySection = setting(PolicySection(), "What each mode does with calls, and the rules.")
    ui: UiSection = setting(UiSection(), "How the app looks and tells that something waits.")
    keys: dict[str, str] = setting(
        {}, "Keys of actions: the action's name, and its keys separated by commas."
    )
    tools: ToolsSection = setting(ToolsSection(), "Limits of calls, and the tools of a request.")
    sampling: SamplingSection = setting(SamplingSection(), "Model answers that servers ask for.")
    memory: MemorySection = setting(MemorySection(), "Where sessions are stored.")
    env: EnvSection = setting(EnvSection(), "The file with variables beside the environment.")
    registry: RegistrySection = setting(RegistrySection(), "The public registry of servers.")
    telemetry: TelemetrySection = setting(TelemetrySection(), "What of its work the app exports.")
    log: LogSection = setting(LogSection(), "What the app's own log tells.")

    def secret_settings(self) -> Iterator[tuple[str, str]]:
        """Yield the key and value of each setting in which a reference counts; empty ones are left out."""
        if self.model.key:
            yield "model.key", self.model.key
        for name, server in self.servers.items():
            for key, value in server.secret_settings():
                yield f"servers.{name}.{key}", value
        if self.memory.redis.password:
            yield "memory.redis.password", self.memory.redis.password
        yield from ((f"telemetry.headers.{name}", value) for name, value in self.telemetry.headers.items())

    def references(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yield the key of each setting with a reference, and why it does not resolve ("" if it does).

        `LLM_API_KEY` replaces the model's key and `REDIS_PASSWORD` that of Redis: the setting is not needed
        then.
        """
        replaced = {"model.key": "LLM_API_KEY", "memory.redis.password": "REDIS_PASSWORD"}
        for key, value in self.secret_settings():
            if has_reference(value) and not environ.get(replaced.get(key, "")):
                try:
                    resolve(value, environ)
                except UnresolvedReference as error:
                    yield key, str(error)
                else:
                    yield key, ""


ASK_FOR_EVERYTHING = PolicySection(chat="ask", auto="ask", orchestrator="ask")
