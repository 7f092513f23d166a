"""Read the whole configuration of one start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from omni_tui.config.importers import import_servers
from omni_tui.config.layers import (
    Layer,
    environment_layer,
    flags_layer,
    merged,
    read_layer,
    tightened,
)
from omni_tui.config.model_settings import ModelSpec, model_spec, provider_of, resolved_keys
from omni_tui.config.paths import Paths, find_paths
from omni_tui.config.problems import KeyPath, SettingLocations, problem
from omni_tui.config.references import UnresolvedReference, resolve
from omni_tui.config.sections import (
    ASK_FOR_EVERYTHING,
    OFFLINE,
    STRICTNESS,
    Config,
    PolicySection,
    unknown_servers,
)
from omni_tui.config.server_display import server_secrets
from omni_tui.config.server_environment import proxy_passwords
from omni_tui.config.servers import configured_servers, demo_spec
from omni_tui.config.spec import ServerSpec
from omni_tui.protocol import LaunchOptions
from omni_tui.protocol.events import Problem
from omni_tui.security.urls import is_unencrypted

_TRUE = {"1", "true", "yes", "on"}
_NO_KEY = "use https, or take the key away"
_ASIDE = {"LLM_API_KEY", "OMNI_TUI_MODEL", "REDIS_HOST"}


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where Redis is, from `REDIS_HOST`, `REDIS_PORT`, `REDIS_DB` and `REDIS_PASSWORD`."""

    host: str
    port: int = 6379
    db: int = 0
    password: str = ""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A loaded configuration.

    With `problems`, every "allow" becomes "ask" and the model is offline, unless a project's file only
    asked for too much. Problems that are `confined` to a server disable only that server. `notes` change
    nothing. `secrets` are resolved values, for redaction. `model_keys` are the keys of single models, by
    name. `origins` is the file and line, or the layer, of each `(section, key)` that is not at its default.
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
    redis: RedisSettings | None = None
    secrets: frozenset[str] = frozenset()
    origins: Mapping[KeyPath, str] | None = None
    confined: tuple[Problem, ...] = ()

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
    refused = tightened(project, base)
    flags = flags_layer(options)
    variables = environment_layer(environ)
    config, origins = merged([user, project, variables, flags])
    mistakes = [*user.problems, *project.problems, *variables.problems, *flags.problems]
    places = SettingLocations(origins)
    servers = configured_servers(config, user, project, environ)
    notes: list[Problem] = []
    if options.mcp_config:
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
        demo = demo_spec(paths.state_dir)
        servers[demo.name] = demo
    if options.connect_timeout:
        limit = options.connect_timeout
        servers = {
            name: replace(spec, connect_timeout=limit, first_start=0.0) for name, spec in servers.items()
        }
    for setting, name in unknown_servers(config.tools, servers.keys()):
        section, _, key_name = setting.partition(".")
        what = f"{setting}: there is no server {name}, so this does nothing yet"
        notes.append(problem(places.of((section, key_name)), what))
    key = _model_key(config, base, environ, mistakes, places)
    keys = _model_keys(config, environ, mistakes, places)
    redis = _redis(environ, mistakes)
    confined = (*user.confined, *project.confined)
    serious = any(each not in confined for each in mistakes)
    return LoadedConfig(
        config=_cautious(config, mistakes=serious, refused=bool(refused)),
        servers=tuple(servers.values()),
        problems=(*mistakes, *refused),
        first_run=_is_first_run(options, paths),
        paths=paths,
        notes=tuple(notes),
        debug=options.debug or environ.get("DEBUG", "").strip().lower() in _TRUE,
        model_key=key,
        model_keys=keys,
        redis=redis,
        secrets=frozenset(
            [
                *_secrets(servers.values(), (key, *keys.values()), redis),
                *(word for spec in servers.values() for word in proxy_passwords(spec.inherit, environ)),
            ]
        ),
        origins=origins,
        confined=confined,
    )


def _files(options: LaunchOptions, paths: Paths) -> tuple[Layer, Layer]:
    """Return the layers of the person's file and of the project's; the demo reads neither.

    A named file that is missing is still a mistake.
    """
    user = project = None
    if options.demo and options.config and not paths.config_file.is_file():
        user = Layer(where="", problems=read_layer(paths.config_file, required=True).problems)
    elif not options.demo:
        user = read_layer(paths.config_file, required=bool(options.config))
        project = read_layer(paths.project_file, required=False) if paths.project_file else None
    return user or Layer(where=""), project or Layer(where="")


def _model_key(
    config: Config,
    base: Config,
    environ: Mapping[str, str],
    mistakes: list[Problem],
    places: SettingLocations,
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
        mistakes.append(problem(places.of(("model", "key")), f"model.key: {error}"))
        return ""
    if key and is_unencrypted(config.model.api_base):
        what = "model.api_base would send your key over plain HTTP to another machine"
        where = places.of(("model", "api_base"))
        mistakes.append(problem(where, f"{what}: {config.model.api_base}", _NO_KEY))
    return key


def _model_keys(
    config: Config, environ: Mapping[str, str], mistakes: list[Problem], places: SettingLocations
) -> Mapping[str, str]:
    """Return the keys in the tables of single models, by the model's name."""
    keys, wrong = resolved_keys(config, environ)
    for name, why in wrong.items():
        mistakes.append(problem(places.of(("models", name)), f'models."{name}".key: {why}'))
    for name in keys:
        if is_unencrypted(model_spec(name, config, keys=keys).api_base):
            what = f'models."{name}".api_base would send a key over plain HTTP to another machine'
            mistakes.append(problem(places.of(("models", name)), what, _NO_KEY))
    return keys


def _redis(environ: Mapping[str, str], mistakes: list[Problem]) -> RedisSettings | None:
    host = environ.get("REDIS_HOST", "")
    if not host:
        return None
    numbers: dict[str, int] = {}
    for name, default, most in (("REDIS_PORT", 6379, 65535), ("REDIS_DB", 0, 1_000_000)):
        text = environ.get(name, "") or str(default)
        if not (text.isascii() and text.isdigit() and int(text) <= most):
            what = f"must be a whole number up to {most}, not {text[:40]!r}"
            mistakes.append(problem(f"environment: {name}", what, f"correct {name}, or unset it"))
            return None
        numbers[name] = int(text)
    password = environ.get("REDIS_PASSWORD", "")
    return RedisSettings(host, numbers["REDIS_PORT"], numbers["REDIS_DB"], password)


def _secrets(
    servers: Iterable[ServerSpec], keys: Iterable[str], redis: RedisSettings | None
) -> Iterator[str]:
    """Yield every value that must not be shown: resolved references, and literals that look secret."""
    candidates = [*keys, redis.password if redis else ""]
    for spec in servers:
        candidates += server_secrets(spec)
    yield from (value for value in candidates if value)


def _is_first_run(options: LaunchOptions, paths: Paths) -> bool:
    if options.demo or options.config or options.mcp_config:
        return False
    files = (paths.config_file, paths.project_file)
    return not any(file is not None and file.exists() for file in files)


def _cautious(config: Config, *, mistakes: bool, refused: bool) -> Config:
    """Restrict a configuration with mistakes: ask for every call, and use the offline model."""
    if not (mistakes or refused):
        return config
    own = config.policy.decisions()
    asking = ASK_FOR_EVERYTHING.decisions()
    strict = {mode: max(own[mode], asking[mode], key=lambda name: STRICTNESS[name]) for mode in own}
    changed: dict[str, object] = {"policy": PolicySection.model_validate(strict)}
    if mistakes:
        changed["model"] = config.model.model_copy(update={"name": OFFLINE, "fallbacks": []})
    return config.model_copy(update=changed)
