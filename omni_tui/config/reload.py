"""What a changed configuration means for an app that runs: pure, without an engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel

from omni_tui.config.load import READ_VARIABLES, LoadedConfig
from omni_tui.config.schema import applies_of
from omni_tui.config.sections import Config
from omni_tui.config.spec import ServerSpec
from omni_tui.policy import rule_digest
from omni_tui.protocol.events import Problem

_OF_FILES = ("user", "project")


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """What has changed.

    `mistake`: why nothing of it counts, None if it can. `live` and `restart` are settings that count now
    and from the next start; variables of the env file are among the latter. `servers` are new or changed
    ones, `removed` are gone. `broken`: servers whose new settings have a mistake; they stay as they were.
    """

    mistake: Problem | None = None
    live: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    servers: tuple[ServerSpec, ...] = ()
    removed: tuple[str, ...] = ()
    broken: tuple[Problem, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to do or say."""
        return self == ConfigChange()


def compare(before: LoadedConfig, now: LoadedConfig) -> ConfigChange:
    """Return what a configuration that was read again changes; with a mistake in it, only that counts."""
    known = {(each.where, each.what) for each in before.problems}
    if now.serious:
        fresh = [each for each in now.serious if (each.where, each.what) not in known]
        return ConfigChange(mistake=(fresh or list(now.serious))[0])
    live: list[str] = []
    restart: list[str] = []
    for name, applies in _changed(before.config, now.config):
        (live if applies == "live" else restart).append(name)
    if _rules(before) != _rules(now):
        restart.append("policy.rule")
    restart += [name for name in READ_VARIABLES if before.environ.get(name) != now.environ.get(name)]
    old = {spec.name: spec for spec in before.servers if spec.source in _OF_FILES}
    new = {spec.name: spec for spec in now.servers if spec.source in _OF_FILES}
    mistaken = {each.name for each in new.values() if each.problem} & old.keys()
    return ConfigChange(
        live=tuple(live),
        restart=tuple(restart),
        servers=tuple(spec for name, spec in new.items() if spec != old.get(name) and name not in mistaken),
        removed=tuple(name for name in old if name not in new),
        broken=tuple(each for each in now.confined if (each.where, each.what) not in known),
    )


def without_waiting(now: LoadedConfig, config: Config) -> LoadedConfig:
    """Return a configuration whose servers have nothing of settings that count from the next start.

    `config` is the one in force: a server takes from it what it does not set itself.
    """
    return dataclasses.replace(now, servers=tuple(_settled(spec, now, config) for spec in now.servers))


def _settled(spec: ServerSpec, now: LoadedConfig, config: Config) -> ServerSpec:
    section = now.config.servers.get(spec.name)
    if section is None or spec.source not in _OF_FILES:
        return spec
    return dataclasses.replace(
        spec,
        call_timeout=section.call_timeout or config.tools.call_timeout,
        task_timeout=section.task_timeout or config.tools.task_timeout,
        sampling=section.sampling and config.sampling.enabled,
        roots=tuple(str(FilePath(root).expanduser()) for root in config.agent.roots),
    )


def in_force(before: LoadedConfig, now: LoadedConfig) -> LoadedConfig:
    """Return the configuration that counts now: live settings as they are read, the rest as it was."""
    changed: dict[str, Any] = {}
    for name, field in Config.model_fields.items():
        old, new = getattr(before.config, name), getattr(now.config, name)
        if applies_of(field) == "live":
            changed[name] = new
        elif isinstance(old, BaseModel):
            live = {
                key: getattr(new, key)
                for key, inner in type(old).model_fields.items()
                if applies_of(inner) == "live"
            }
            changed[name] = old.model_copy(update=live)
    return dataclasses.replace(
        before,
        config=before.config.model_copy(update=changed),
        servers=now.servers,
        origins=now.origins,
        secrets=before.secrets | now.secrets,
        environ=before.environ | now.environ,
    )


def _changed(before: Config, now: Config) -> Iterator[tuple[str, str]]:
    """Yield the name of each changed setting, and when it counts. Servers are compared as specs."""
    for section, field in Config.model_fields.items():
        old, new = getattr(before, section), getattr(now, section)
        if section == "servers" or old == new:
            continue
        if not isinstance(old, BaseModel):
            yield section, applies_of(field)
            continue
        for key, inner in type(old).model_fields.items():
            if getattr(old, key) != getattr(new, key):
                yield f"{section}.{key}", applies_of(inner)


def _rules(loaded: LoadedConfig) -> set[Any]:
    """Return the rules of the person's file and the project's, without those that the app writes."""
    return {
        (rule.key, rule_digest(rule))
        for rule in (*loaded.rules, *loaded.proposals)
        if rule.origin.made != "card"
    }
