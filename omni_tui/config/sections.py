"""The shape of a config file. Every section refuses keys it does not know.

A missing key means its default. Times are seconds. For a *reference*, see `config.references`. A *pattern*
is `SERVER/TOOL`; each half is a name or a glob of `*` and `?`, matched whole and by case.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PureWindowsPath
from typing import Annotated, Literal
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


class LimitSection(Section):
    """`[tools.limits]` for one pattern.

    `timeout`: seconds without an answer or progress. `concurrency`: the most calls of all matching tools at
    the same time.
    """

    timeout: Seconds | None = None
    concurrency: int | None = Field(default=None, ge=1, le=1000)


class ToolsSection(Section):
    """`[tools]`: limits of calls, and the tools of a request.

    `result_limit`: the characters of one result that a model gets. With more than `offered` tools, a
    request carries the best matches; `pinned` tools are always among them. `call_timeout`: how long a
    server may be silent, also for a task; `task_timeout`: the whole time of a task. `concurrency`: calls at
    the same time; `server_concurrency`: those of one server. `limits` overrides this for single tools; the
    longest matching pattern counts. `retry`: how often a call may be repeated after a failure without
    effect. `routes`: by a tool's name, the servers that can answer, in order. Results of read-only and
    `cacheable` tools are kept for `cache_ttl` seconds (0: never).
    """

    call_timeout: Seconds = 120.0
    task_timeout: TaskSeconds = 86_400.0
    result_limit: int = Field(default=16_000, ge=500, le=1_000_000)
    offered: int = Field(default=40, ge=1, le=126)
    pinned: list[Annotated[str, AfterValidator(_pin)]] = Field(default=[], max_length=100)
    concurrency: int = Field(default=16, ge=1, le=1000)
    server_concurrency: int = Field(default=4, ge=1, le=1000)
    limits: dict[Pattern, LimitSection] = {}
    retry: dict[Pattern, Annotated[int, Field(ge=0, le=10)]] = {}
    routes: dict[ToolName, Route] = {}
    cacheable: list[Pattern] = []
    cache_ttl: float = Field(default=300.0, ge=0, le=86_400)


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


class ModelTable(Section):
    """`[models."NAME"]`: the settings of one model; missing keys are those of `[model]`.

    `timeout`: how long the model may be silent. `tools`: the tool-calling mode: "native", "text" (one JSON
    action in the answer), "none", or "auto" to find out. `images`: whether it takes images. Prices are US
    dollars per million tokens. `context`: the context window in tokens, if unknown or to limit it.
    """

    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, gt=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    key: Reference = ""
    api_base: HttpUrl = ""
    context: int | None = Field(default=None, gt=0)
    timeout: Seconds | None = None
    tools: ToolCallingSetting = "auto"
    images: bool | None = None
    input_price: float | None = Field(default=None, ge=0)
    output_price: float | None = Field(default=None, ge=0)


class ModelSection(ModelTable):
    """`[model]`: the language model, by LiteLLM's name; "offline" is the built-in rules.

    `fallbacks` are asked in order when it cannot answer. temperature, max_tokens, top_p and timeout hold
    for every model; key and api_base for those of the same provider.
    """

    name: str = Field(default=OFFLINE, min_length=1)
    fallbacks: list[Annotated[str, Field(min_length=1)]] = Field(default=[], max_length=10)


class BudgetSection(Section):
    """`[budget]`: the most tokens and US dollars of a turn, a session, a day; 0 is no limit.

    A request that would exceed one is not sent. A day is a local calendar day, over all sessions.
    """

    turn_tokens: int = Field(default=0, ge=0)
    session_tokens: int = Field(default=0, ge=0)
    day_tokens: int = Field(default=0, ge=0)
    turn_cost: float = Field(default=0.0, ge=0)
    session_cost: float = Field(default=0.0, ge=0)
    day_cost: float = Field(default=0.0, ge=0)


class AgentSection(Section):
    """`[agent]`: how the agent works. `max_steps`: the most model requests of one turn.

    `roots`: the folders that servers get as MCP roots. For plans of the orchestrator: `parallel` tasks at
    the same time, `max_requests` of all its agents, `max_minutes` of work (without waiting for the person).
    """

    mode: AgentMode = "chat"
    max_steps: int = Field(default=25, ge=1, le=1000)
    parallel: int = Field(default=4, ge=1, le=32)
    max_requests: int = Field(default=200, ge=1, le=10_000)
    max_minutes: float = Field(default=60.0, gt=0, le=1440)
    system_prompt: str = ""
    roots: list[Folder] = Field(default=[], max_length=50)


OAUTH_SECRETS = ("client_secret", "private_key", "idp_client_secret", "idp_token")


class OAuthSection(Section):
    """`[servers.NAME.oauth]`: how to sign in, if the server's metadata is not enough.

    `issuer` is the authorisation server to use; by default the MCP server's metadata names it. Without a
    `client_id` the client registers itself or uses its `client_metadata_url`. `callback_port` 0 is any free
    port. With `grant = "cross_app"` a company's identity provider (`idp_*`) signs the person in;
    `idp_token` is the person's token there, of type `idp_token_type`.
    """

    grant: GrantType = "authorization_code"
    client_id: str = ""
    client_secret: Reference = ""
    private_key: Reference = ""
    scopes: list[Annotated[str, AfterValidator(_scope)]] = []
    client_metadata_url: HttpUrl = ""
    issuer: HttpUrl = ""
    callback_port: int = Field(default=0, ge=0, le=65_535)
    idp_issuer: HttpUrl = ""
    idp_token_endpoint: HttpUrl = ""
    idp_client_id: str = ""
    idp_client_secret: Reference = ""
    idp_token: Reference = ""
    idp_token_type: IdpToken = "id_token"

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

    `inherit` names more environment variables for its program (see `config.server_environment`). With
    `tasks = false` the server is not offered to answer calls with tasks. `registry`: its name in the public
    registry, or that of its bundle; such a server starts only after the person allowed it in the app.
    """

    command: str = ""
    args: list[str] = []
    env: dict[str, str] = {}
    inherit: list[str] = Field(default=[], max_length=100)
    cwd: str = ""
    url: HttpUrl = ""
    headers: dict[str, str] = {}
    auth: Literal["none", "bearer", "oauth"] = "none"
    token: Reference = ""
    oauth: OAuthSection = OAuthSection()
    mode: Literal["auto", "legacy"] = "auto"
    transport: Literal["auto", "http", "sse"] = "auto"
    heartbeat: float = Field(default=30.0, ge=0, le=86_400)
    connect_timeout: Seconds = 30.0
    call_timeout: Seconds | None = None
    tasks: bool = True
    task_timeout: TaskSeconds | None = None
    log_level: LogLevel = "info"
    sampling: bool = True
    enabled: bool = True
    registry: str = ""

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
        if (self.auth == "bearer") != bool(self.token):
            raise PydanticCustomError("bearer", '`token` and `auth = "bearer"` belong together')
        if "oauth" in self.model_fields_set and self.auth != "oauth":
            raise PydanticCustomError("oauth", 'the table `oauth` needs `auth = "oauth"`')
        return self


def stricter(*decisions: PolicyDecision) -> PolicyDecision:
    """Return the strictest of some decisions."""
    return max(decisions, key=lambda decision: STRICTNESS[decision])


class ServerPolicy(Section):
    """`[policy.servers.NAME]`: what each mode does with the calls of one server, if not the usual.

    `trusted`: what the server claims about its tools may lower their risk for allow rules, and what it
    returns does not count as data from outside (`outside` of a rule).
    """

    chat: PolicyDecision | None = None
    auto: PolicyDecision | None = None
    orchestrator: PolicyDecision | None = None
    trusted: bool = False


class PolicySection(Section):
    """`[policy]`: what each mode does with a call that no rule matches: "allow", "ask" or "deny".

    `orchestrator` is for the calls of a plan's agents, by default that of `auto`. `plan`: whether a plan
    waits for the person before it is carried out. `servers` overrides the modes for single servers.
    `expire_after`: the seconds after which what waits for the person (a call, a plan, a server request)
    ends unapproved; 0 for never.
    The rules of `[[policy.rule]]` are read by `config.policy_rules`.
    """

    chat: PolicyDecision = "ask"
    auto: PolicyDecision = "allow"
    orchestrator: PolicyDecision | None = None
    plan: Literal["allow", "ask"] = "ask"
    servers: dict[str, ServerPolicy] = {}
    expire_after: float = Field(default=0.0, ge=0, le=30 * 86_400)

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
    """`[ui]`: the theme's name, and how the terminal tells that something waits.

    `title`: its title says how many items wait. `bell`: it rings when something begins to wait, or a long
    turn ends, while it does not have the focus.
    """

    theme: str = ""
    title: bool = True
    bell: bool = True


class SamplingSection(Section):
    """`[sampling]`: model answers that servers ask for; the person approves each request.

    `model` answers, by default the session's. `max_tokens` limits one answer, `session_tokens` the input
    and output of a session. With `review` the answer is shown before the server gets it.
    """

    enabled: bool = True
    model: str = ""
    max_tokens: int = Field(default=2_048, ge=1, le=1_000_000)
    session_tokens: int = Field(default=50_000, ge=0)
    review: bool = True


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
    """`[memory.redis]`: the Redis that sessions are mirrored to. Keys of the environment go before.

    `url`: `redis://[USER@]HOST[:PORT][/DB]`, `rediss://` for TLS; by default `localhost`. `ca`: a file of
    certificates to trust instead of the system's. `ttl`: the seconds that a session stays there after its
    last event, 0 for ever. `max_events`: about how many of its last events stay there, 0 for all.
    """

    url: Annotated[str, AfterValidator(_redis_url)] = ""
    password: Reference = ""
    ca: Annotated[str, AfterValidator(_folder)] | Literal[""] = ""
    ttl: int = Field(default=30 * 86_400, ge=0, le=10 * 366 * 86_400)
    max_events: int = Field(default=100_000, ge=0, le=100_000_000)


class MemorySection(Section):
    """`[memory]`: where sessions are stored: here only, or mirrored to Redis as well.

    Sessions that were not used for `keep_days` are deleted, a week after that was announced; 0 keeps all.
    """

    store: Literal["sqlite", "redis"] = "sqlite"
    keep_days: int = Field(default=0, ge=0, le=36_500)
    redis: RedisSection = RedisSection()


class RegistrySection(Section):
    """`[registry]`: the public registry that is searched for servers."""

    url: HttpUrl = Field(default=PUBLIC_REGISTRY, min_length=1)


class Config(Section):
    """A whole configuration; an empty file is one."""

    model: ModelSection = ModelSection()
    models: dict[Annotated[str, Field(min_length=1)], ModelTable] = {}
    budget: BudgetSection = BudgetSection()
    agent: AgentSection = AgentSection()
    servers: dict[str, ServerSection] = {}
    policy: PolicySection = PolicySection()
    ui: UiSection = UiSection()
    keys: dict[str, str] = {}
    tools: ToolsSection = ToolsSection()
    sampling: SamplingSection = SamplingSection()
    memory: MemorySection = MemorySection()
    registry: RegistrySection = RegistrySection()

    def secret_settings(self) -> Iterator[tuple[str, str]]:
        """Yield the key and value of each setting in which a reference counts; empty ones are left out."""
        if self.model.key:
            yield "model.key", self.model.key
        for name, server in self.servers.items():
            for key, value in server.secret_settings():
                yield f"servers.{name}.{key}", value
        if self.memory.redis.password:
            yield "memory.redis.password", self.memory.redis.password

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
