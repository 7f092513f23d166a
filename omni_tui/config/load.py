"""Read the whole configuration of one start."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from omni_tui.config.env_file import ENV_FILE, EnvFile, read_env_file
from omni_tui.config.layers import (
    Layer,
    environment_layer,
    flags_layer,
    merged,
    read_layer,
    read_rules_file,
    tightened,
)
from omni_tui.config.model_settings import ModelSpec, model_spec, provider_of
from omni_tui.config.paths import Paths, find_paths
from omni_tui.config.policy_rules import repeated_ids
from omni_tui.config.problems import ENVIRONMENT, KeyPath, problem, setting_location
from omni_tui.config.redis_address import REDIS_VARIABLES, RedisAddress, RedisRefused, redis_address
from omni_tui.config.references import UnresolvedReference, names_a_secret, resolve
from omni_tui.config.sections import (
    ASK_FOR_EVERYTHING,
    OFFLINE,
    Config,
    PolicySection,
    stricter,
    unknown_servers,
)
from omni_tui.config.server_display import server_secrets
from omni_tui.config.server_environment import proxy_passwords
from omni_tui.config.servers import DEMO_NAME, configured_servers, demo_spec
from omni_tui.config.spec import ServerSpec
from omni_tui.policy import Rule, rule_digest
from omni_tui.protocol import LaunchOptions
from omni_tui.protocol.events import Problem
from omni_tui.security.urls import is_unencrypted

_TRUE = {"1", "true", "yes", "on"}
_NO_KEY = "use https, or take the key away"
READ_VARIABLES = ("OMNI_TUI_MODEL", "LLM_API_KEY", "DEBUG", *REDIS_VARIABLES)
"""The variables that the app itself reads, besides those of references."""
_ASIDE = {"LLM_API_KEY", "OMNI_TUI_MODEL", *REDIS_VARIABLES}


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A loaded configuration.

    With `problems`, every "allow" becomes "ask" and no allow rule counts (`cautious`); the model is offline
    unless a project's file only asked for too much. Problems that are `confined` to a server disable only
    that server. `notes` change nothing. `secrets` are resolved values, for redaction. `model_keys` are the
    keys of single models, by name. `redis` is where Redis is, whether or not it is asked for; where that
    cannot be told, `redis_problem` says why, and only Redis is not used. `telemetry_headers` are for the
    OpenTelemetry collector; where nothing can be sent there, `telemetry_problem` says why. `origins` is the
    file and line, or the layer, of each `(section, key)` that is not at its default.

    `rules` are those of the files that count. `proposals` are the allow rules of a project, which count
    when the person has adopted them (`rules_with`). `suspended` are the person's own that do not count
    because of a mistake.
    """

    config: Config
    servers: tuple[ServerSpec, ...]
    problems: tuple[Problem, ...]
    first_run: bool
    paths: Paths
    notes: tuple[Problem, ...] = ()
    debug: bool = False
    model_key: str = ""
    model_keys: Mapping[str, str] = field(default_factory=dict)
    redis: RedisAddress | None = None
    redis_problem: str = ""
    telemetry_headers: Mapping[str, str] = field(default_factory=dict)
    telemetry_problem: str = ""
    secrets: frozenset[str] = frozenset()
    origins: Mapping[KeyPath, str] | None = None
    confined: tuple[Problem, ...] = ()
    rules: tuple[Rule, ...] = ()
    proposals: tuple[Rule, ...] = ()
    suspended: tuple[Rule, ...] = ()
    cautious: bool = False
    environ: dict[str, str] = field(default_factory=dict, repr=False)
    """What references resolve from: the environment, the env file, and secrets of the sealed store."""
    env_file: EnvFile = field(default_factory=EnvFile)
    variable_origins: Mapping[str, str] = field(default_factory=dict)
    """Where each variable that the app itself reads comes from."""

    def rules_with(self, adopted: Collection[str]) -> tuple[Rule, ...]:
        """Return the rules that count if the person has adopted proposals with these hashes."""
        if self.cautious:
            return self.rules
        return (*self.rules, *(rule for rule in self.proposals if rule_digest(rule) in adopted))

    @property
    def serious(self) -> tuple[Problem, ...]:
        """The problems that concern more than one server."""
        return tuple(each for each in self.problems if each not in self.confined)

    def model(self, name: str) -> ModelSpec:
        """Return the settings of a model."""
        return model_spec(name, self.config, key=self.model_key, keys=self.model_keys)


def load_config(options: LaunchOptions, environ: Mapping[str, str]) -> LoadedConfig:
    """Read, validate and merge all layers. Never raises for the content of a file."""
    paths = find_paths(config=options.config, state_dir=options.state_dir, project=options.project)
    user, project = _files(options, paths)
    if options.demo:  # the demo uses no key and no network, even if there are some
        environ = {name: value for name, value in environ.items() if name not in _ASIDE}
    base, _ = merged([user])
    env_file = _env_file(options, base, paths)
    variable_origins = _variable_origins(environ, env_file)
    environ = {**env_file.values, **environ}
    refused = tightened(project, base)
    flags = flags_layer(options)
    variables = environment_layer(environ, variable_origins.get("OMNI_TUI_MODEL", ENVIRONMENT))
    config, origins = merged([user, project, variables, flags])
    card = _rules_file(options, paths)
    rules = (*user.rules, *card.rules, *project.rules)
    mistakes = [*user.problems, *card.problems, *project.problems, *variables.problems, *flags.problems]
    mistakes += [*env_file.problems, *repeated_ids(rules)]
    servers = configured_servers(config, user, project, environ)
    notes: list[Problem] = list(env_file.notes)
    if options.mcp_config:
        from omni_tui.config.hosts.imports import import_servers  # most starts need none of the hosts

        imported = import_servers(
            FilePath(options.mcp_config), source="flag", environ=environ, config=config
        )
        servers |= {spec.name: spec for spec in imported.servers}
        mistakes += imported.problems
        notes += imported.notes
    if options.demo and options.config:
        what = f"the demo reads no configuration, so {paths.config_file} is not used"
        notes.append(problem("--config", what))
    if options.demo:
        servers[DEMO_NAME] = demo_spec(paths.state_dir)
    if options.connect_timeout:
        limit = options.connect_timeout
        servers = {
            name: replace(spec, connect_timeout=limit, first_start=0.0) for name, spec in servers.items()
        }
    for setting, name in unknown_servers(config.tools, servers.keys()):
        section, _, key_name = setting.partition(".")
        what = f"{setting}: there is no server {name}, so this does nothing yet"
        notes.append(problem(setting_location(origins, section, key_name), what))
    for name in [name for name in config.policy.servers if name not in servers]:
        what = f"policy.servers: there is no server {name}, so this does nothing yet"
        notes.append(problem(setting_location(origins, "policy", "servers"), what))
    key = _model_key(config, base, environ, mistakes, origins)
    keys = _model_keys(config, environ, mistakes, origins)
    redis, redis_problem = _redis(config, environ)
    if redis_problem and config.memory.store == "redis":
        notes.append(problem(setting_location(origins, "memory", "store"), f"Redis: {redis_problem}"))
    headers, untold = _telemetry(config, environ)
    notes += [problem(setting_location(origins, "telemetry", "otlp"), why) for why in untold]
    secrets = [key, *keys.values(), environ.get("REDIS_PASSWORD", ""), redis.password if redis else ""]
    secrets += headers.values()
    secrets += [value for name, value in env_file.values.items() if names_a_secret(name)]
    for spec in servers.values():
        secrets += [*server_secrets(spec), *proxy_passwords(spec.inherit, environ)]
    confined = (*user.confined, *project.confined)
    named = options.demo or options.config or options.mcp_config
    first_run = not named and not any(
        file is not None and file.exists() for file in (paths.config_file, paths.project_file)
    )
    serious = any(each not in confined for each in mistakes)
    cautious = serious or bool(refused)
    return LoadedConfig(
        config=_cautious(config, mistakes=serious, refused=bool(refused)),
        servers=tuple(servers.values()),
        problems=(*mistakes, *refused),
        first_run=first_run,
        paths=paths,
        notes=tuple(notes),
        debug=options.debug or environ.get("DEBUG", "").strip().lower() in _TRUE,
        model_key=key,
        model_keys=keys,
        redis=redis,
        redis_problem=redis_problem,
        telemetry_headers=headers,
        telemetry_problem="; ".join(untold),
        secrets=frozenset(filter(None, secrets)),
        origins=origins,
        confined=confined,
        rules=tuple(rule for rule in rules if rule.decision != "allow" or _counts(rule, cautious=cautious)),
        proposals=tuple(rule for rule in project.rules if rule.decision == "allow"),
        suspended=tuple(
            rule for rule in (*user.rules, *card.rules) if cautious and rule.decision == "allow"
        ),
        cautious=cautious,
        environ=dict(environ),
        env_file=env_file,
        variable_origins=variable_origins,
    )


def _counts(allow: Rule, *, cautious: bool) -> bool:
    """Whether an allow rule counts without being adopted."""
    return allow.origin.scope == "user" and not cautious


def _rules_file(options: LaunchOptions, paths: Paths) -> Layer:
    """Return the layer of the app's own rules, which has nothing else."""
    if options.demo:
        return Layer(where="")
    return read_rules_file(paths.rules_file)


def _files(options: LaunchOptions, paths: Paths) -> tuple[Layer, Layer]:
    """Return the layers of the person's file and of the project's; the demo reads neither.

    A named file that is missing is still a mistake.
    """
    user = project = None
    if options.demo and options.config and not paths.config_file.is_file():
        user = Layer(where="", problems=read_layer(paths.config_file, required=True).problems)
    elif not options.demo:
        user = read_layer(paths.config_file, required=bool(options.config))
        if paths.project_file:
            project = read_layer(paths.project_file, required=False, scope="project")
    return user or Layer(where=""), project or Layer(where="")


def _env_file(options: LaunchOptions, base: Config, paths: Paths) -> EnvFile:
    """Return the file of variables that a flag or the person's config names, else the one beside it."""
    if options.demo:
        return EnvFile()
    if options.env_file:
        return read_env_file(FilePath(options.env_file), named=True)
    if base.env.file:
        return read_env_file(paths.config_dir / FilePath(base.env.file).expanduser(), named=True)
    return read_env_file(paths.config_dir / ENV_FILE, named=False)


def _variable_origins(environ: Mapping[str, str], env_file: EnvFile) -> dict[str, str]:
    """Return where each variable that is set and read by the app comes from."""
    places = ((name, ENVIRONMENT if name in environ else env_file.place(name)) for name in READ_VARIABLES)
    return {name: place for name, place in places if place}


def _model_key(
    config: Config,
    base: Config,
    environ: Mapping[str, str],
    mistakes: list[Problem],
    origins: Mapping[KeyPath, str],
) -> str:
    """Return the model's key: `LLM_API_KEY`, else the value of `[model] key`, else "".

    The key in the person's file (`base`) is for the provider or the address there: it is not sent to the
    provider of another model from a flag or the environment.
    """
    elsewhere = provider_of(config.model.name) != provider_of(base.model.name)
    at_home = base.model.name == OFFLINE or bool(base.model.api_base)
    try:
        own = "" if elsewhere and not at_home else config.model.key
        key = environ.get("LLM_API_KEY") or resolve(own, environ).value
    except UnresolvedReference as error:
        mistakes.append(problem(setting_location(origins, "model", "key"), f"model.key: {error}"))
        return ""
    if key and is_unencrypted(config.model.api_base):
        what = "model.api_base would send your key over plain HTTP to another machine"
        where = setting_location(origins, "model", "api_base")
        mistakes.append(problem(where, f"{what}: {config.model.api_base}", _NO_KEY))
    return key


def _model_keys(
    config: Config, environ: Mapping[str, str], mistakes: list[Problem], origins: Mapping[KeyPath, str]
) -> Mapping[str, str]:
    """Return the keys in the tables of single models, by the model's name."""
    keys: dict[str, str] = {}
    for name, table in config.models.items():
        if not table.key:
            continue
        try:
            keys[name] = resolve(table.key, environ).value
        except UnresolvedReference as error:
            what = f'models."{name}".key: {error}'
            mistakes.append(problem(setting_location(origins, "models", name), what))
    for name in keys:
        if is_unencrypted(model_spec(name, config, keys=keys).api_base):
            what = f'models."{name}".api_base would send a key over plain HTTP to another machine'
            mistakes.append(problem(setting_location(origins, "models", name), what, _NO_KEY))
    return keys


def _redis(config: Config, environ: Mapping[str, str]) -> tuple[RedisAddress | None, str]:
    """Return where Redis is, or why that cannot be told. Neither changes any other setting."""
    try:
        own = "" if environ.get("REDIS_PASSWORD") else config.memory.redis.password
        return redis_address(config.memory.redis, resolve(own, environ).value, environ), ""
    except RedisRefused as error:
        return None, str(error)
    except UnresolvedReference as error:
        return None, f"memory.redis.password: {error}"


def _telemetry(config: Config, environ: Mapping[str, str]) -> tuple[Mapping[str, str], list[str]]:
    """Return the headers for a collector, and why nothing is sent to it, without a reason if it is."""
    settings = config.telemetry
    try:
        headers = {name: resolve(value, environ).value for name, value in settings.headers.items()}
    except UnresolvedReference as error:
        return {}, [f"telemetry.headers: {error}; nothing is exported"]
    if (headers or settings.contents) and is_unencrypted(settings.otlp):
        what = "your headers" if headers else "contents"
        return {}, [f"telemetry.otlp would send {what} over plain HTTP to another machine; use https"]
    return headers, []


def _cautious(config: Config, *, mistakes: bool, refused: bool) -> Config:
    """Restrict a configuration with mistakes: ask for every call, and use the offline model."""
    if not (mistakes or refused):
        return config
    asking = ASK_FOR_EVERYTHING.decisions()
    own = config.policy.decisions()
    strict: dict[str, object] = {mode: stricter(own[mode], asking[mode]) for mode in own}
    strict["servers"] = {
        name: {mode: stricter(each, "ask") for mode, each in config.policy.decisions_for(name).items()}
        for name in config.policy.servers
    }
    strict["expire_after"] = config.policy.expire_after
    changed: dict[str, object] = {"policy": PolicySection.model_validate(strict)}
    if mistakes:
        changed["model"] = config.model.model_copy(update={"name": OFFLINE, "fallbacks": []})
    return config.model_copy(update=changed)
